//
// Pairs of many proteins, scored part by part and gathered to what one run would have written
//

include { PLIANT_SCREEN } from '../../modules/pliant/screen/main'
include { PLIANT_GATHER } from '../../modules/pliant/gather/main'

workflow FASTA_SCREEN_PLIANT {
    take:
    ch_proteins    // channel: [ val(meta), path(first), path(second) or [], path(pairs) or [] ]
    ch_head        // value channel: [ path(head.json), path(head.safetensors), ... ], or the files of a plugin or an ONNX file
    ch_calibration // value channel: what its scores are worth; [] for what is among the files of the head, if anything is
    ch_model       // value channel: [ path(config.json), path(model.safetensors), ... ]
    val_parts      // integer: parts of each screen
    val_format     // string: tsv, parquet, graphml, txt or txt.gz

    main:
    ch_asked = ch_proteins.flatMap { meta, first, second, pairs ->
        (1..val_parts).collect { number -> [meta, first, second, pairs, "${number}/${val_parts}".toString()] }
    }

    PLIANT_SCREEN(ch_asked, ch_head, ch_calibration, ch_model, val_format)

    // In the order of their names, as the order in which they end is another one in every run.
    ch_parts = PLIANT_SCREEN.out.part
        .groupTuple(size: val_parts)
        .map { meta, parts -> [meta, [], [], parts.sort { one, other -> one.name <=> other.name }, []] }

    PLIANT_GATHER(ch_parts, val_format)

    pairs = PLIANT_GATHER.out.table
    failures = PLIANT_SCREEN.out.failures
    summaries = PLIANT_SCREEN.out.summary

    emit:
    pairs     // channel: [ val(meta), path(table) ]
    failures  // channel: [ val(meta), path(tsv) ], the same for each part
    summaries // channel: [ val(meta), path(json) ], one for each part
}

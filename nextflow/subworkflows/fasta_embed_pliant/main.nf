//
// Proteins to vectors: split into shards, embed every shard, gather the parts to what one run would have written
//

include { PLIANT_SPLIT                            } from '../../modules/pliant/split/main'
include { PLIANT_EMBED                            } from '../../modules/pliant/embed/main'
include { PLIANT_GATHER                           } from '../../modules/pliant/gather/main'
include { PLIANT_GATHER as PLIANT_GATHER_RESIDUES } from '../../modules/pliant/gather/main'
include { each_shard ; of_each_fasta              } from '../shards'

workflow FASTA_EMBED_PLIANT {
    take:
    ch_fasta     // channel: [ val(meta), path(fasta) ]
    ch_model     // value channel: [ path(config.json), path(model.safetensors), ... ]
    val_shards   // integer: shards of each FASTA; 0 where ext.args of PLIANT_SPLIT says --shard-residues
    val_format   // string: format of the vectors of proteins: npz, tsv, h5, parquet or safetensors
    val_residues // string: format of the vectors of residues, null for none

    main:
    // The format in which parts travel; gathering turns it into the one that is wanted. Parquet tells the
    // lengths of proteins, which only parquet can hand on.
    def part_format = val_format == 'parquet' ? 'parquet' : 'npz'

    PLIANT_SPLIT(ch_fasta, val_shards)

    ch_shards = PLIANT_SPLIT.out.shards.flatMap { meta, shards -> each_shard(meta, shards) }

    PLIANT_EMBED(ch_shards, ch_model, part_format, val_residues ? 'npz' : '')

    ch_parts = of_each_fasta(PLIANT_EMBED.out.part, PLIANT_SPLIT.out.shards)
    // A sample without its parts is an error and not a sample less.
    ch_gather = PLIANT_SPLIT.out.split.join(ch_parts, failOnDuplicate: true, failOnMismatch: true)

    PLIANT_GATHER(
        ch_gather.map { meta, json, split_lists, pooled, _states, lists -> [meta, json, split_lists, pooled, lists] },
        val_format,
    )
    // Failures are listed beside the vectors of proteins, once.
    PLIANT_GATHER_RESIDUES(
        ch_gather
            .filter { _meta, _json, _split_lists, _pooled, states, _lists -> states }
            .map { meta, json, _split_lists, _pooled, states, _lists ->
                [[id: "${meta.id}.residues", fasta: meta], json, [], states, []]
            },
        val_residues ?: 'npz',
    )

    embeddings = PLIANT_GATHER.out.table
    residues = PLIANT_GATHER_RESIDUES.out.table.map { meta, table -> [meta.fasta, table] }
    split = PLIANT_SPLIT.out.split
    failures = PLIANT_GATHER.out.failures
    summaries = PLIANT_EMBED.out.summary

    // Names alone: Nextflow 25.04 with its strict parser does not take `name = channel` here.
    emit:
    embeddings // channel: [ val(meta), path(table) ]
    residues   // channel: [ val(meta), path(table) ]
    split      // channel: [ val(meta), path(json), [ path(tsv) ] or [] ]
    failures   // channel: [ val(meta), path(tsv) ]
    summaries  // channel: [ [ id, fasta: meta ], path(json) ], one for each shard
}

//
// Proteins to log-probabilities: split into shards, compute every shard, gather to what one run would have written
//

include { PLIANT_GATHER              } from '../../modules/pliant/gather/main'
include { PLIANT_LOGITS              } from '../../modules/pliant/logits/main'
include { PLIANT_SPLIT               } from '../../modules/pliant/split/main'
include { each_shard ; of_each_fasta } from '../shards'

workflow FASTA_LOGITS_PLIANT {
    take:
    ch_fasta   // channel: [ val(meta), path(fasta) ]
    ch_model   // value channel: [ path(config.json), path(model.safetensors), ... ]
    val_shards // integer: shards of each FASTA; 0 where ext.args of PLIANT_SPLIT says --shard-residues
    val_format // string: format of the log-probabilities: npz, h5 or parquet

    main:
    PLIANT_SPLIT(ch_fasta, val_shards)
    ch_shards = PLIANT_SPLIT.out.shards.flatMap { meta, shards -> each_shard(meta, shards) }

    PLIANT_LOGITS(ch_shards, ch_model, val_format)

    // A sample without its parts is an error and not a sample less.
    ch_parts = of_each_fasta(PLIANT_LOGITS.out.part, PLIANT_SPLIT.out.shards)
    PLIANT_GATHER(PLIANT_SPLIT.out.split.join(ch_parts, failOnDuplicate: true, failOnMismatch: true), val_format)

    logits = PLIANT_GATHER.out.table
    split = PLIANT_SPLIT.out.split
    failures = PLIANT_GATHER.out.failures
    summaries = PLIANT_LOGITS.out.summary

    // Names alone: Nextflow 25.04 with its strict parser does not take `name = channel` here.
    emit:
    logits    // channel: [ val(meta), path(table) ]
    split     // channel: [ val(meta), path(json), [ path(tsv) ] or [] ]
    failures  // channel: [ val(meta), path(tsv) ]
    summaries // channel: [ [ id, fasta: meta ], path(json) ], one for each shard
}

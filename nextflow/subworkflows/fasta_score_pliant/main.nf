//
// Proteins to what a model says of them, shard by shard: perplexities or contacts
//

include { PLIANT_CONTACTS   } from '../../modules/pliant/contacts/main'
include { PLIANT_PERPLEXITY } from '../../modules/pliant/perplexity/main'
include { PLIANT_SPLIT      } from '../../modules/pliant/split/main'
include { each_shard        } from '../shards'

workflow FASTA_SCORE_PLIANT {
    take:
    ch_fasta    // channel: [ val(meta), path(fasta) ]
    ch_model    // value channel: [ path(config.json), path(model.safetensors), ... ]
    val_task    // string: perplexity or contacts
    val_shards  // integer: shards of each FASTA; 0 where ext.args of PLIANT_SPLIT says --shard-residues
    val_format  // string: format of the results, one that the task has
    val_picture // string: format of pictures of contacts, png or svg; null for none

    main:
    PLIANT_SPLIT(ch_fasta, val_shards)
    ch_shards = PLIANT_SPLIT.out.shards.flatMap { meta, shards -> each_shard(meta, shards) }

    results = channel.empty()
    pictures = channel.empty()
    failures = channel.empty()
    summaries = channel.empty()
    if (val_task == 'perplexity') {
        PLIANT_PERPLEXITY(ch_shards, ch_model, val_format)
        results = PLIANT_PERPLEXITY.out.perplexity
        failures = PLIANT_PERPLEXITY.out.failures
        summaries = PLIANT_PERPLEXITY.out.summary
    }
    else if (val_task == 'contacts') {
        PLIANT_CONTACTS(ch_shards, ch_model, val_format, val_picture ?: '')
        results = PLIANT_CONTACTS.out.contacts
        pictures = PLIANT_CONTACTS.out.pictures
        failures = PLIANT_CONTACTS.out.failures
        summaries = PLIANT_CONTACTS.out.summary
    }
    else {
        error("FASTA_SCORE_PLIANT: found the task '${val_task}', wanted perplexity or contacts")
    }
    split = PLIANT_SPLIT.out.split

    // Names alone: Nextflow 25.04 with its strict parser does not take `name = channel` here.
    emit:
    results   // channel: [ [ id, fasta: meta ], path(table) ], one for each shard
    pictures  // channel: [ [ id, fasta: meta ], path(folder) ], one for each shard
    split     // channel: [ val(meta), path(json), [ path(tsv) ] or [] ]
    failures  // channel: [ [ id, fasta: meta ], path(tsv) ], one for each shard that has some
    summaries // channel: [ [ id, fasta: meta ], path(json) ], one for each shard
}

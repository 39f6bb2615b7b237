//
// Labelled proteins to a head, its metrics on others, and its predictions for proteins without labels
//

include { PLIANT_EVALUATE } from '../../modules/pliant/evaluate/main'
include { PLIANT_FINETUNE } from '../../modules/pliant/finetune/main'
include { PLIANT_PREDICT  } from '../../modules/pliant/predict/main'

workflow LABELS_FINETUNE_PLIANT {
    take:
    ch_labels    // channel: [ val(meta), path(train), path(valid) or [] ], one
    ch_model     // value channel: the files of the encoder; [] where it begins with random weights
    ch_settings  // value channel: [ path(toml) or [], path(config.json of random weights) or [] ]
    ch_sequences // value channel: sequences of proteins that pairs name, or []
    ch_metric    // value channel: the files of a plugin that measures on ch_tests, or []
    ch_tests     // channel: [ val(meta), path(table) ] of labelled proteins to evaluate on
    ch_inputs    // channel: [ val(meta), path(fasta or table) ] to predict for
    val_task     // string: the task
    val_formats  // map: formats of results, as [ evaluate: 'json', predict: 'tsv' ]
    val_run_dir  // string: absolute path of a folder that all attempts see

    main:
    PLIANT_FINETUNE(
        ch_labels,
        ch_settings.map { settings, _architecture -> settings },
        ch_model,
        ch_settings.map { _settings, architecture -> architecture },
        ch_sequences,
        val_task,
        val_run_dir,
    )
    ch_head = PLIANT_FINETUNE.out.head.map { _meta, files -> files }.first()
    // The encoder that was trained with the head, else the one that it was trained on.
    ch_encoder = PLIANT_FINETUNE.out.encoder.map { _meta, files -> [files] }
        .concat(ch_model.map { files -> [files] })
        .first()
        .map { found -> found[0] }

    PLIANT_EVALUATE(ch_tests, ch_encoder, ch_head, ch_sequences, ch_metric, val_task, val_formats.evaluate, '')
    PLIANT_PREDICT(ch_inputs, ch_head, ch_encoder, ch_sequences, val_formats.predict)

    head = PLIANT_FINETUNE.out.head
    encoder = PLIANT_FINETUNE.out.encoder
    asked = ch_encoder
    logs = PLIANT_FINETUNE.out.log
    evaluations = PLIANT_EVALUATE.out.evaluation
    predictions = PLIANT_PREDICT.out.predictions
    failures = PLIANT_PREDICT.out.failures.mix(PLIANT_EVALUATE.out.failures)

    // Names alone: Nextflow 25.04 with its strict parser does not take `name = channel` here.
    emit:
    head        // channel: [ val(meta), [ path(head.json), path(head.safetensors), path(adapter) where one was trained ] ]
    encoder     // channel: [ val(meta), [ path(config.json), ... ] ], where it was trained
    asked       // value channel: the files of the encoder that the head is asked with
    logs        // channel: [ val(meta), path(jsonl) ]
    evaluations // channel: [ val(meta), path(table) ]
    predictions // channel: [ val(meta), path(table) ]
    failures    // channel: [ val(meta), path(tsv) ], where records were left out
}

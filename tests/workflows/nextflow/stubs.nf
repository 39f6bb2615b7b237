// Runs every module that the stub run of the pipeline leaves out, with `-stub-run`, and prints what the stubs made.

include { PLIANT_ALIGN      } from '../../../nextflow/modules/pliant/align/main'
include { PLIANT_CONTACTS   } from '../../../nextflow/modules/pliant/contacts/main'
include { PLIANT_EVALUATE   } from '../../../nextflow/modules/pliant/evaluate/main'
include { PLIANT_FINETUNE   } from '../../../nextflow/modules/pliant/finetune/main'
include { PLIANT_LOGITS     } from '../../../nextflow/modules/pliant/logits/main'
include { PLIANT_PERPLEXITY } from '../../../nextflow/modules/pliant/perplexity/main'
include { PLIANT_PLOT       } from '../../../nextflow/modules/pliant/plot/main'
include { PLIANT_PREDICT    } from '../../../nextflow/modules/pliant/predict/main'
include { PLIANT_PRETRAIN   } from '../../../nextflow/modules/pliant/pretrain/main'
include { PLIANT_SWEEP      } from '../../../nextflow/modules/pliant/sweep/main'
include { PLIANT_SCREEN     } from '../../../nextflow/modules/pliant/screen/main'
include { PLIANT_VARIANTS   } from '../../../nextflow/modules/pliant/variants/main'

workflow {
    ch_fasta = channel.of([[id: 'few'], file("${projectDir}/../../fixtures/fasta/ecoli20.fasta", checkIfExists: true)])
    PLIANT_LOGITS(ch_fasta, [], 'npz')
    PLIANT_CONTACTS(ch_fasta, [], 'npz', 'svg')
    PLIANT_PERPLEXITY(ch_fasta, [], 'tsv')
    PLIANT_VARIANTS(ch_fasta.map { meta, fasta -> [meta, [], fasta] }, [], 'csv', 'png')
    PLIANT_PRETRAIN(ch_fasta.map { meta, fasta -> [meta, fasta, []] }, [], [], [], [], [], "${workflow.workDir}/runs")
    PLIANT_PLOT(PLIANT_PRETRAIN.out.log, 'svg')
    PLIANT_EVALUATE(ch_fasta, PLIANT_PRETRAIN.out.model.map { _meta, files -> files }, [], [], [], 'mlm', 'json', 'platt')
    PLIANT_ALIGN(ch_fasta.map { meta, fasta -> [meta, fasta, []] }, [], 'svg')
    PLIANT_FINETUNE(ch_fasta.map { meta, fasta -> [meta, fasta, []] }, [], [], [], [], 'classification', "${workflow.workDir}/runs")
    PLIANT_SWEEP(ch_fasta.map { meta, fasta -> [meta, fasta, []] }, [], [], [], 'head.hidden=2,4', 'classification', "${workflow.workDir}/runs")
    PLIANT_PREDICT(ch_fasta, PLIANT_FINETUNE.out.head.map { _meta, files -> files }, [], [], 'jsonl')

    PLIANT_SCREEN(ch_fasta.map { meta, fasta -> [meta, fasta, [], [], '2/3'] }, [], [], [], 'tsv')

    PLIANT_LOGITS.out.logits
        .mix(PLIANT_LOGITS.out.summary, PLIANT_SCREEN.out.part, PLIANT_SCREEN.out.summary)
        .mix(PLIANT_CONTACTS.out.contacts, PLIANT_CONTACTS.out.pictures, PLIANT_CONTACTS.out.summary)
        .mix(PLIANT_PERPLEXITY.out.perplexity, PLIANT_PERPLEXITY.out.failures, PLIANT_PERPLEXITY.out.summary)
        .mix(PLIANT_VARIANTS.out.scores, PLIANT_VARIANTS.out.picture, PLIANT_VARIANTS.out.summary)
        .mix(PLIANT_PRETRAIN.out.log, PLIANT_PRETRAIN.out.training, PLIANT_PRETRAIN.out.summary, PLIANT_PLOT.out.plot)
        .mix(PLIANT_EVALUATE.out.evaluation, PLIANT_EVALUATE.out.calibration, PLIANT_EVALUATE.out.failures, PLIANT_EVALUATE.out.summary)
        .mix(PLIANT_ALIGN.out.alignment, PLIANT_ALIGN.out.picture, PLIANT_PREDICT.out.predictions, PLIANT_PREDICT.out.failures)
        .mix(PLIANT_FINETUNE.out.head, PLIANT_FINETUNE.out.log, PLIANT_FINETUNE.out.training, PLIANT_FINETUNE.out.summary)
        .mix(PLIANT_SWEEP.out.table, PLIANT_SWEEP.out.json)
        .view { _meta, made -> "made ${made}" }
}

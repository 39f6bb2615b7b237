#!/usr/bin/env nextflow
//
// Proteins through a language model with pliant: every FASTA is split and computed shard by shard; vectors and
// log-probabilities are gathered again. Variants are scored table by table.
//

include { FASTA_EMBED_PLIANT  } from './subworkflows/fasta_embed_pliant/main'
include { FASTA_LOGITS_PLIANT } from './subworkflows/fasta_logits_pliant/main'
include { FASTA_SCORE_PLIANT  } from './subworkflows/fasta_score_pliant/main'
include { PLIANT_VARIANTS     } from './modules/pliant/variants/main'

workflow {
    main:
    check(params)
    ch_model = channel.value(model_files(params.model.toString()))
    def format = params.format ?: [perplexity: 'tsv', variants: 'csv'].get(params.task, 'npz')
    def shards = params.shard_residues ? 0 : params.shards

    if (params.task == 'embed') {
        FASTA_EMBED_PLIANT(channel.fromList(inputs(params.input.toString())), ch_model, shards, format, params.residues)
    }
    else if (params.task == 'logits') {
        FASTA_LOGITS_PLIANT(channel.fromList(inputs(params.input.toString())), ch_model, shards, format)
    }
    else if (params.task == 'variants') {
        PLIANT_VARIANTS(channel.fromList(assays(params)), ch_model, format, params.picture ?: '')
    }
    else {
        FASTA_SCORE_PLIANT(
            channel.fromList(inputs(params.input.toString())),
            ch_model,
            params.task,
            shards,
            format,
            params.picture,
        )
    }

    channel.topic('versions')
        .map { process, tool, version -> "${process.tokenize(':').last()}:\n    ${tool}: ${version}" }
        .unique()
        .collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info", newLine: true, sort: true)
}

/** Stops with what is missing before any task starts; what the values may be is checked by pliant itself. */
def check(options) {
    def tasks = ['embed', 'logits', 'contacts', 'perplexity', 'variants']
    if (!(options.task in tasks)) {
        error("--task ${options.task}: wanted one of ${tasks.join(', ')}")
    }
    (options.task == 'variants' ? ['model', 'outdir'] : ['input', 'model', 'outdir']).each { name ->
        if (!options[name]) {
            error("--${name} is missing; see nextflow/README.md")
        }
    }
    if (options.task == 'variants' && !options.wild_type && !(options.mutants && options.sequence_column)) {
        error("--task variants: wanted --wild_type, or --mutants and --sequence_column; see nextflow/README.md")
    }
    if (options.task == 'embed' && options.format == 'parquet' && options.layers.toString().contains(',')) {
        error("--format parquet is gathered one layer at a time: found --layers ${options.layers}, wanted one layer or another format")
    }
    // A relative path would lead into the folder of each task.
    if (options.cache && !options.cache.toString().startsWith('/')) {
        error("--cache ${options.cache}: wanted an absolute path, from / on")
    }
}

/** The FASTA files as [meta, files]: of a sample sheet (columns sample, fasta), or of a path or pattern. */
def inputs(input) {
    return each_once('--input', input, input.endsWith('.csv') ? sheet(input) : plain(input))
}

/** What was found for a parameter, which must name no sample twice: results would replace each other. */
def each_once(name, value, found) {
    def doubled = found.countBy { row -> row[0].id }.findAll { _id, count -> count > 1 }.keySet()
    if (doubled) {
        error("${name} ${value}: these samples are there more than once: ${doubled.join(', ')}")
    }
    return found
}

/** The rows of a sample sheet; several rows of one sample are several files of it, in their order. */
def sheet(input) {
    def rows = file(input, checkIfExists: true).splitCsv(header: true, strip: true)
    rows.each { row ->
        if (!row.sample || !row.fasta) {
            error("--input ${input}: found a row ${row}, wanted the columns sample and fasta, both filled")
        }
        if (!(row.sample ==~ /[A-Za-z0-9._-]+/)) {
            error("--input ${input}: sample '${row.sample}': wanted letters, digits, '.', '_' and '-' only")
        }
    }
    return rows
        .groupBy { row -> row.sample }
        .collect { sample, of_sample -> [[id: sample], of_sample.collect { row -> file(row.fasta, checkIfExists: true) }] }
}

/** The files of a path or a pattern. */
def plain(input) {
    return files(input, checkIfExists: true).sort().collect { fasta -> [sample(fasta), fasta] }
}

/** The sample of a file: its name without suffixes. */
def sample(found) {
    def name = found.name.replaceFirst(/\.(gz|bz2|xz|zst)$/, '').replaceFirst(/\.(fasta|fas|fa|faa|pep|csv|tsv)$/, '')
    return [id: name.replaceAll(/[^A-Za-z0-9._-]/, '_')]
}

/** Each table of mutants with the wild type as [meta, table, fasta]; without a table, the wild type alone. */
def assays(options) {
    def wild_type = options.wild_type ? file(options.wild_type, checkIfExists: true) : []
    if (!options.mutants) {
        return [[sample(wild_type), [], wild_type]]
    }
    return each_once('--mutants', options.mutants, files(options.mutants, checkIfExists: true).sort().collect { table ->
        [sample(table), table, wild_type]
    })
}

/**
 * The files of the model that pliant reads, one by one: a folder as input would hide changes inside it. Not the lock
 * of a model that was pulled: it names licences and pages too, which would then be missed.
 */
def model_files(folder) {
    def config = file("${folder}/config.json", checkIfExists: true)
    // A pattern, as a plain name is taken whether the file is there or not.
    def vocabulary = files("${folder}/vocab.tx[t]")
    def safetensors = files("${folder}/*.safetensors{,.index.json}")
    def weights = safetensors ?: files("${folder}/pytorch_model*.bin{,.index.json}")
    if (!weights) {
        error("--model ${folder}: found no weights, wanted *.safetensors or pytorch_model.bin; see pliant model import for other forms")
    }
    return ([config] + vocabulary + weights).sort()
}

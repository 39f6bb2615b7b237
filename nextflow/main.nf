#!/usr/bin/env nextflow
//
// Proteins to vectors with pliant: every FASTA is split, embedded shard by shard, and gathered again
//

include { FASTA_EMBED_PLIANT } from './subworkflows/fasta_embed_pliant/main'

workflow {
    main:
    check(params)

    FASTA_EMBED_PLIANT(
        channel.fromList(inputs(params.input.toString())),
        channel.value(model_files(params.model.toString())),
        params.shard_residues ? 0 : params.shards,
        params.format,
        params.residues,
    )

    channel.topic('versions')
        .map { process, tool, version -> "${process.tokenize(':').last()}:\n    ${tool}: ${version}" }
        .unique()
        .collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info", newLine: true, sort: true)
}

/** Stops with what is missing before any task starts; what the values may be is checked by pliant itself. */
def check(options) {
    ['input', 'model', 'outdir'].each { name ->
        if (!options[name]) {
            error("--${name} is missing; see nextflow/README.md")
        }
    }
    if (options.format == 'parquet' && options.layers.toString().contains(',')) {
        error("--format parquet is gathered one layer at a time: found --layers ${options.layers}, wanted one layer or another format")
    }
    // A relative path would lead into the folder of each task.
    if (options.cache && !options.cache.toString().startsWith('/')) {
        error("--cache ${options.cache}: wanted an absolute path, from / on")
    }
}

/** The FASTA files as [meta, files]: of a sample sheet (columns sample, fasta), or of a path or pattern. */
def inputs(input) {
    def found = input.endsWith('.csv') ? sheet(input) : plain(input)
    def doubled = found.countBy { meta, _fasta -> meta.id }.findAll { _id, count -> count > 1 }.keySet()
    if (doubled) {
        error("--input ${input}: these samples are there more than once: ${doubled.join(', ')}")
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

/** The files of a path or a pattern; the name without its suffixes is the sample. */
def plain(input) {
    return files(input, checkIfExists: true).sort().collect { fasta ->
        def name = fasta.name.replaceFirst(/\.(gz|bz2|xz|zst)$/, '').replaceFirst(/\.(fasta|fas|fa|faa|pep)$/, '')
        [[id: name.replaceAll(/[^A-Za-z0-9._-]/, '_')], fasta]
    }
}

/**
 * The files of the model that pliant reads, one by one: a folder as input would hide changes inside it. Not the lock
 * of a model that was pulled: it names licences and pages too, which would then be missed.
 */
def model_files(folder) {
    def config = files("${folder}/config.json", checkIfExists: true) + files("${folder}/vocab.txt")
    def safetensors = files("${folder}/*.safetensors{,.index.json}")
    def weights = safetensors ?: files("${folder}/pytorch_model*.bin{,.index.json}")
    if (!weights) {
        error("--model ${folder}: found no weights, wanted *.safetensors or pytorch_model.bin; see pliant model import for other forms")
    }
    return (config + weights).sort()
}

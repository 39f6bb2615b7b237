#!/usr/bin/env nextflow
//
// Proteins to vectors with pliant: every FASTA is split, embedded shard by shard, and gathered again
//

include { FASTA_EMBED_PLIANT } from './subworkflows/fasta_embed_pliant/main'

workflow {
    main:
    check_params()

    FASTA_EMBED_PLIANT(
        channel.fromList(inputs()),
        channel.value(model_files()),
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
def check_params() {
    ['input', 'model', 'outdir'].each { name ->
        if (!params[name]) {
            error("--${name} is missing; see nextflow/README.md")
        }
    }
    if (params.format == 'parquet' && params.layers.toString().contains(',')) {
        error("--format parquet has one file for each layer and is gathered one layer at a time: give one of --layers ${params.layers}, or another format")
    }
    // A relative path would lead into the folder of each task.
    if (params.cache && !params.cache.toString().startsWith('/')) {
        error("--cache ${params.cache}: a cache needs an absolute path, from / on")
    }
}

/** The FASTA files as [meta, files]: of a sample sheet (columns sample, fasta), or of a path or pattern. */
def inputs() {
    def found = params.input.toString().endsWith('.csv') ? sheet() : plain()
    def doubled = found.countBy { meta, _fasta -> meta.id }.findAll { _id, count -> count > 1 }.keySet()
    if (doubled) {
        error("--input ${params.input}: these samples are there more than once: ${doubled.join(', ')}")
    }
    return found
}

/** The rows of a sample sheet; several rows of one sample are several files of it, in their order. */
def sheet() {
    def rows = file(params.input, checkIfExists: true).splitCsv(header: true, strip: true)
    rows.each { row ->
        if (!row.sample || !row.fasta) {
            error("--input ${params.input}: found a row ${row}, wanted the columns sample and fasta, both filled")
        }
        if (!(row.sample ==~ /[A-Za-z0-9._-]+/)) {
            error("--input ${params.input}: sample '${row.sample}': wanted letters, digits, '.', '_' and '-' only")
        }
    }
    return rows
        .groupBy { row -> row.sample }
        .collect { sample, of_sample -> [[id: sample], of_sample.collect { row -> file(row.fasta, checkIfExists: true) }] }
}

/** The files of a path or a pattern; the name without its suffixes is the sample. */
def plain() {
    return files(params.input, checkIfExists: true).sort().collect { fasta ->
        def name = fasta.name.replaceFirst(/\.(gz|bz2|xz|zst)$/, '').replaceFirst(/\.(fasta|fas|fa|faa|pep)$/, '')
        [[id: name.replaceAll(/[^A-Za-z0-9._-]/, '_')], fasta]
    }
}

/** The files of the model that pliant reads, one by one: a folder as input would hide changes inside it. */
def model_files() {
    return files("${params.model}/*.{json,txt,safetensors}", checkIfExists: true).sort()
}

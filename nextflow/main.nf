#!/usr/bin/env nextflow
//
// Proteins through a language model with pliant: every FASTA is split and computed shard by shard; vectors and
// log-probabilities are gathered again. Variants are scored table by table. Models and heads on them are trained,
// evaluated, and predict.
//

include { FASTA_EMBED_PLIANT     } from './subworkflows/fasta_embed_pliant/main'
include { FASTA_LOGITS_PLIANT    } from './subworkflows/fasta_logits_pliant/main'
include { FASTA_SCORE_PLIANT     } from './subworkflows/fasta_score_pliant/main'
include { FASTA_SCREEN_PLIANT    } from './subworkflows/fasta_screen_pliant/main'
include { LABELS_FINETUNE_PLIANT } from './subworkflows/labels_finetune_pliant/main'
include { PLIANT_ALIGN           } from './modules/pliant/align/main'
include { PLIANT_EVALUATE        } from './modules/pliant/evaluate/main'
include { PLIANT_PLOT            } from './modules/pliant/plot/main'
include { PLIANT_PREDICT         } from './modules/pliant/predict/main'
include { PLIANT_PRETRAIN        } from './modules/pliant/pretrain/main'
include { PLIANT_SWEEP           } from './modules/pliant/sweep/main'
include { PLIANT_VARIANTS        } from './modules/pliant/variants/main'

workflow {
    main:
    check(params)
    ch_model = channel.value(params.model ? model_files(params.model.toString()) : [])
    def formats = [evaluate: 'json', finetune: 'json', perplexity: 'tsv', predict: 'tsv', pretrain: 'json', screen: 'tsv', variants: 'csv']
    def format = params.format ?: formats.get(params.task, 'npz')
    def shards = params.shard_residues ? 0 : params.shards
    def samples = params.input && !(params.task in ['align', 'sweep', 'variants']) ? told(inputs(params.input.toString()), params) : []

    def run_dir = file(params.run_dir ?: "${params.outdir}/runs").toString()
    if (params.task in ['finetune', 'pretrain'] && params.training) {
        PLIANT_PRETRAIN(
            channel.fromList(told(trainings(params), params)),
            channel.value(files_of('--corpus', params.corpus)),
            channel.value(files_of('--held_out', params.held_out)),
            channel.value(files_of('--pairs', params.pairs)),
            channel.value(files_of('--exclude', params.exclude)),
            channel.value(params.init ? model_files(params.init.toString()) : []),
            run_dir,
        )
    }

    if (params.task == 'embed') {
        FASTA_EMBED_PLIANT(channel.fromList(samples), ch_model, shards, format, params.residues)
    }
    else if (params.task == 'logits') {
        FASTA_LOGITS_PLIANT(channel.fromList(samples), ch_model, shards, format)
    }
    else if (params.task == 'variants') {
        PLIANT_VARIANTS(channel.fromList(told(assays(params), params)), ch_model, format, params.picture ?: '')
    }
    else if (params.task == 'align') {
        PLIANT_ALIGN(channel.fromList(told(aligned(params), params)), ch_model, params.picture ?: '')
    }
    else if (params.task == 'evaluate') {
        PLIANT_EVALUATE(
            channel.fromList(samples),
            ch_model,
            head_of(params),
            sequences_of(params),
            metric_of(params),
            params.learn ?: 'mlm',
            format,
            params.curve ?: '',
        )
    }
    else if (params.task == 'predict') {
        PLIANT_PREDICT(channel.fromList(samples), head_of(params), ch_model, sequences_of(params), format)
    }
    else if (params.task == 'screen') {
        def against = params.against ? file(params.against, checkIfExists: true) : []
        def asked = params.asked ? file(params.asked, checkIfExists: true) : []
        // With a head that is there, or with one that labelled pairs teach first.
        if (params.labels) {
            LABELS_FINETUNE_PLIANT(
                channel.fromList(told(labelled(params), params)),
                ch_model,
                channel.value([params.settings ? file(params.settings, checkIfExists: true) : [], []]),
                channel.value(sequences_of(params)),
                channel.value([]),
                channel.empty(),
                channel.empty(),
                params.learn ?: 'ppi',
                [evaluate: 'json', predict: 'tsv'],
                run_dir,
            )
        }
        ch_head = params.labels ? LABELS_FINETUNE_PLIANT.out.head.map { _meta, files -> files }.first() : channel.value(head_of(params))
        ch_asked = params.labels ? LABELS_FINETUNE_PLIANT.out.asked : ch_model
        // What its scores are worth, by pairs that it was not taught.
        if (params.calibration_labels) {
            def labelled_pairs = file(params.calibration_labels, checkIfExists: true)
            PLIANT_EVALUATE(
                channel.fromList(told([[sample(labelled_pairs), labelled_pairs]], params)),
                ch_asked,
                ch_head,
                sequences_of(params),
                [],
                params.learn ?: 'ppi',
                'json',
                params.curve ?: 'platt',
            )
        }
        ch_calibration = params.calibration_labels ? PLIANT_EVALUATE.out.calibration.map { _meta, curve -> curve }.first() : channel.value([])
        FASTA_SCREEN_PLIANT(
            channel.fromList(samples.collect { row -> row + [against, asked] }),
            ch_head,
            ch_calibration,
            ch_asked,
            params.shards,
            format,
        )
    }
    else if (params.task == 'finetune') {
        // On a model that is there, begins with random weights, or is pretrained first.
        ch_encoder = params.training ? PLIANT_PRETRAIN.out.model.map { _meta, files -> files }.first() : ch_model
        def architecture = params.architecture && !params.training ? file(params.architecture, checkIfExists: true) : []
        LABELS_FINETUNE_PLIANT(
            channel.fromList(told(labelled(params), params)),
            ch_encoder,
            channel.value([params.settings ? file(params.settings, checkIfExists: true) : [], architecture]),
            channel.value(sequences_of(params)),
            channel.value(metric_of(params)),
            channel.fromList(told(tests(params), params)),
            channel.fromList(samples),
            params.learn,
            [evaluate: format, predict: 'tsv'],
            run_dir,
        )
        PLIANT_PLOT(LABELS_FINETUNE_PLIANT.out.logs, params.picture ?: 'svg')
    }
    else if (params.task == 'sweep') {
        PLIANT_SWEEP(
            channel.fromList(told(labelled(params), params)),
            params.settings ? file(params.settings, checkIfExists: true) : [],
            ch_model,
            sequences_of(params),
            params.grid.toString().tokenize(';').collect { axis -> axis.trim() },
            params.learn,
            run_dir,
        )
    }
    else if (params.task == 'pretrain') {
        // In the order of their names, which decides their colours.
        ch_logs = PLIANT_PRETRAIN.out.log.map { _meta, log -> log }.toSortedList { one, other -> one.name <=> other.name }
        PLIANT_PLOT(ch_logs.map { logs -> [[id: 'losses'], logs] }, params.picture ?: 'svg')
        // Every model on every input.
        ch_asked = PLIANT_PRETRAIN.out.model
            .combine(channel.fromList(samples))
            .multiMap { run, model, sample, fasta ->
                fasta: [sample + [id: "${run.id}.${sample.id}"], fasta]
                model: model
            }
        PLIANT_EVALUATE(ch_asked.fasta, ch_asked.model, [], [], [], 'mlm', format, '')
    }
    else {
        FASTA_SCORE_PLIANT(
            channel.fromList(samples),
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
    def tasks = [
        'embed', 'logits', 'contacts', 'perplexity', 'variants', 'align', 'evaluate', 'predict', 'pretrain', 'finetune',
        'screen', 'sweep',
    ]
    if (!(options.task in tasks)) {
        error("--task ${options.task}: wanted one of ${tasks.join(', ')}")
    }
    def needed = [
        align: ['first', 'model', 'outdir'],
        finetune: ['labels', 'learn', 'outdir'],
        predict: ['input', 'head', 'model', 'outdir'],
        pretrain: ['training', 'corpus', 'outdir'],
        screen: ['input', 'model', 'outdir'],
        sweep: ['labels', 'learn', 'grid', 'outdir'],
        variants: ['model', 'outdir'],
    ]
    needed.get(options.task, ['input', 'model', 'outdir']).each { name ->
        if (!options[name]) {
            error("--${name} is missing; see nextflow/README.md")
        }
    }
    if (options.task == 'screen' && !options.head == !options.labels) {
        error("--task screen: wanted --head, or --labels to train one with; see nextflow/README.md")
    }
    if (options.calibration_labels && options.task != 'screen') {
        error("--calibration_labels is for --task screen; with --task evaluate say --curve: see nextflow/README.md")
    }
    if (options.task == 'variants' && !options.wild_type && !(options.mutants && options.sequence_column)) {
        error("--task variants: wanted --wild_type, or --mutants and --sequence_column; see nextflow/README.md")
    }
    if (options.task == 'embed' && options.format == 'parquet' && options.layers.toString().contains(',')) {
        error("--format parquet is gathered one layer at a time: found --layers ${options.layers}, wanted one layer or another format")
    }
    if (options.task == 'pretrain' && options.architecture && options.init) {
        error("--task pretrain: found --architecture and --init, wanted one of them; see nextflow/README.md")
    }
    if (options.task == 'finetune') {
        // A head may have the composition of proteins for its encoder, which is no file.
        def encoders = ['model', 'architecture', 'training'].findAll { name -> options[name] }
        def pretrained = encoders == ['architecture', 'training']
        if (encoders.size() > 1 && !pretrained) {
            error("--task finetune: found --${encoders.join(' and --')}, wanted one of them; see nextflow/README.md")
        }
        if (options.training && !options.corpus) {
            error("--task finetune with --training: --corpus is missing; see nextflow/README.md")
        }
        if (options.training && files_of('--training', options.training).size() != 1) {
            error("--training ${options.training}: wanted one configuration for the encoder of a head")
        }
    }
    // A relative path would lead into the folder of each task.
    ['cache', 'run_dir'].each { name ->
        if (options[name] && !options[name].toString().startsWith('/')) {
            error("--${name} ${options[name]}: wanted an absolute path, from / on")
        }
    }
}

/**
 * Rows with what their tasks are told as flags. Nextflow before 26.04 with its strict parser does not see that ext.args
 * have changed when it resumes (nextflow-io/nextflow#6695), but it sees that an input has.
 */
def told(rows, options) {
    def names = [
        'shard_residues', 'h5_layout', 'layers', 'pool', 'precision', 'out_dtype', 'long_policy', 'id', 'on_error',
        'max_residues', 'task_args', 'masked', 'method', 'sequence_column', 'score', 'offset', 'training_args',
        'finetune_args', 'predict_args', 'screen_args', 'learn', 'grid',
    ]
    def flags = names.collect { name -> "${name}=${options[name]}" }.join(' ')
    return rows.collect { row -> [row[0] + [flags: flags.toString()]] + row.drop(1) }
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
    def suffix = /\.(fasta|fas|fa|faa|pep|csv|tsv|toml|yaml|yml)$/
    def name = found.name.replaceFirst(/\.(gz|bz2|xz|zst)$/, '').replaceFirst(suffix, '')
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

/** The files of a path or a pattern, where there is one. */
def files_of(name, pattern) {
    def all = pattern ? files(pattern.toString()).sort() : []
    if (pattern && !all) {
        error("${name} ${pattern}: there is no such file")
    }
    return all
}

/** The labelled proteins of a head with those that say when to stop, or without, as [meta, file, file]. */
def labelled(options) {
    def train = file(options.labels, checkIfExists: true)
    return [[sample(train), train, options.valid_labels ? file(options.valid_labels, checkIfExists: true) : []]]
}

/** The labelled proteins that a head is evaluated on as [meta, file]. */
def tests(options) {
    return each_once('--test_labels', options.test_labels, files_of('--test_labels', options.test_labels).collect { table ->
        [sample(table), table]
    })
}

/** Two proteins as [meta, file, file]; both may stand in the first file. */
def aligned(options) {
    def first = file(options.first, checkIfExists: true)
    def second = options.second ? file(options.second, checkIfExists: true) : []
    def name = options.second ? "${sample(first).id}.${sample(second).id}" : sample(first).id
    return [[[id: name.toString()], first, second]]
}

/** The files of the head, where there is one: of a folder, of the manifest of a plugin, or of an ONNX file. */
def head_of(options) {
    if (!options.head) {
        return []
    }
    def onnx = onnx_files(options.head.toString())
    if (onnx) {
        return onnx
    }
    def manifest = options.head.toString().endsWith('.toml') ? file(options.head, checkIfExists: true) : null
    // What a screen tells probabilities by need not be there.
    def calibration = options.task == 'screen' ? files("${manifest ? manifest.parent : options.head}/calibration.jso[n]") : []
    if (manifest) {
        return plugin_files(options.head) + calibration
    }
    // A folder, as its files have names of their own: head.json says which adapter it must be.
    def adapter = files("${options.head}/adapte[r]", type: 'dir')
    def own = ['head.json', 'head.safetensors'].collect { name -> file("${options.head}/${name}", checkIfExists: true) }
    return own + calibration + adapter
}

/** The files of the plugin that measures, where there is one. */
def metric_of(options) {
    return options.metric ? plugin_files(options.metric) : []
}

/** The manifest of a plugin with the files that it names, one by one: a change in any of them is one of the input. */
def plugin_files(path) {
    def manifest = file(path, checkIfExists: true)
    def named = manifest.readLines()
        .findAll { line -> line ==~ /\s*file\s*=\s*"[^"]+".*/ }
        .collect { line -> line.replaceFirst(/^\s*file\s*=\s*"([^"]+)".*/, '$1') }
    return [manifest] + named.collect { name -> file("${manifest.parent}/${name}", checkIfExists: true) }
}

/** The file of sequences that pairs name, where there is one. */
def sequences_of(options) {
    return options.sequences ? file(options.sequences, checkIfExists: true) : []
}

/** Each configuration of a training with the config.json of its model, or without, as [meta, file, file]. */
def trainings(options) {
    def architecture = options.architecture ? file(options.architecture, checkIfExists: true) : []
    return each_once('--training', options.training, files_of('--training', options.training).collect { config ->
        [sample(config), config, architecture]
    })
}

/** The files of an ONNX file, which are all that begin with its name, as its sidecar does, or of a folder with one. */
def onnx_files(path) {
    if (path.endsWith('.onnx')) {
        return files("${path}*").sort()
    }
    return files("${path}/{config,head}.jso[n]") ? [] : files("${path}/*.onnx*").sort()
}

/**
 * The files of the model that pliant reads, one by one: a folder as input would hide changes inside it. Not the lock
 * of a model that was pulled: it names licences and pages too, which would then be missed.
 */
def model_files(folder) {
    def onnx = onnx_files(folder)
    if (onnx) {
        return onnx
    }
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

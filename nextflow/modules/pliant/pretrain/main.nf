process PLIANT_PRETRAIN {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(config, stageAs: 'config/*'), path(architecture, stageAs: 'config/*')
    path(corpus, stageAs: 'corpus/*')
    path(held_out, stageAs: 'held_out/*')
    path(pairs, stageAs: 'pairs/*')
    path(exclude, stageAs: 'exclude/*')
    path(init, stageAs: 'init/*')
    val run_dir

    output:
    tuple val(meta), path("${prefix}/{config.json,model.safetensors,vocab.txt}"), emit: model
    tuple val(meta), path("${prefix}.log.jsonl"), emit: log
    tuple val(meta), path("${prefix}/{run.toml,training.json}"), emit: training
    tuple val(meta), path("${prefix}.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def begin = init ? '--init init' : architecture ? "--model-config '${architecture}'" : ''
    def train = [corpus].flatten().collect { fasta -> "--train '${fasta}'" }.join(' ')
    def apart = held_out ? "--held-out '${held_out}'" : ''
    def examined = [pairs].flatten().collect { table -> "--pairs '${table}'" }.join(' ')
    def left_out = [exclude].flatten().collect { list -> "--exclude '${list}'" }.join(' ')
    prefix = task.ext.prefix ?: "${meta.id}"
    // The run lives outside of the task's folder, which is another one at every attempt.
    """
    mkdir -p '${run_dir}'
    pliant pretrain \\
        ${args} \\
        --config ${config} \\
        ${begin} \\
        ${train} \\
        ${apart} \\
        ${examined} \\
        ${left_out} \\
        --out '${run_dir}/${prefix}' \\
        --resume \\
        --summary ${prefix}.summary.json \\
        --device ${device} \\
        --threads ${task.cpus}
    mkdir ${prefix}
    cp '${run_dir}/${prefix}'/{config.json,model.safetensors,vocab.txt,run.toml,training.json} ${prefix}/
    cp '${run_dir}/${prefix}/log.jsonl' ${prefix}.log.jsonl
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    mkdir ${prefix}
    touch ${prefix}/{config.json,model.safetensors,vocab.txt,run.toml,training.json} ${prefix}.log.jsonl
    echo '{}' > ${prefix}.summary.json
    """
}

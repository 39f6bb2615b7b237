process PLIANT_FINETUNE {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(train, stageAs: 'train/*'), path(valid, stageAs: 'valid/*')
    path(config, stageAs: 'config/*')
    path(model, stageAs: 'model/*')
    path(architecture, stageAs: 'architecture/*')
    path(sequences, stageAs: 'sequences/*')
    val what
    val run_dir

    output:
    tuple val(meta), path("${prefix}/{head.json,head.safetensors,adapter}"), emit: head
    tuple val(meta), path("${prefix}/encoder/*"), emit: encoder, optional: true
    tuple val(meta), path("${prefix}.log.jsonl"), emit: log
    tuple val(meta), path("${prefix}/{run.toml,training.json}"), emit: training
    tuple val(meta), path("${prefix}.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def encoder = model ? '--model model' : architecture ? "--model-config '${architecture}'" : ''
    def settings = config ? "--config '${config}'" : ''
    def apart = valid ? "--valid '${valid}'" : ''
    def named = sequences ? "--sequences '${sequences}'" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    // The run lives outside of the task's folder, which is another one at every attempt.
    """
    mkdir -p '${run_dir}'
    pliant finetune \\
        ${args} \\
        --task ${what} \\
        --train '${train}' \\
        ${apart} \\
        ${settings} \\
        ${encoder} \\
        ${named} \\
        --out '${run_dir}/${prefix}' \\
        --resume \\
        --summary ${prefix}.summary.json \\
        --device ${device} \\
        --threads ${task.cpus}
    mkdir -p ${prefix}
    cp '${run_dir}/${prefix}'/{head.json,head.safetensors,run.toml,training.json} ${prefix}/
    if [[ -d '${run_dir}/${prefix}/encoder' ]]; then cp -r '${run_dir}/${prefix}/encoder' ${prefix}/encoder; fi
    if [[ -d '${run_dir}/${prefix}/adapter' ]]; then cp -r '${run_dir}/${prefix}/adapter' ${prefix}/adapter; fi
    cp '${run_dir}/${prefix}/log.jsonl' ${prefix}.log.jsonl
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    mkdir -p ${prefix}
    touch ${prefix}/{head.json,head.safetensors,run.toml,training.json} ${prefix}.log.jsonl
    echo '{}' > ${prefix}.summary.json
    """
}

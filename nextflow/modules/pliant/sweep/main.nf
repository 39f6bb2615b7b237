process PLIANT_SWEEP {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(train, stageAs: 'train/*'), path(valid, stageAs: 'valid/*')
    path(config, stageAs: 'config/*')
    path(model, stageAs: 'model/*')
    path(sequences, stageAs: 'sequences/*')
    val grid
    val what
    val run_dir

    output:
    tuple val(meta), path("${prefix}.tsv"), emit: table
    tuple val(meta), path("${prefix}.json"), emit: json
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def axes = (grid instanceof List ? grid : [grid]).collect { axis -> "--grid '${axis}'" }.join(' ')
    def encoder = model ? '--model model' : ''
    def settings = config ? "--config '${config}'" : ''
    def apart = valid ? "--valid '${valid}'" : ''
    def named = sequences ? "--sequences '${sequences}'" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    // The folders of all combinations live outside of the task's folder, which is another one at every attempt.
    """
    mkdir -p '${run_dir}'
    pliant sweep \\
        ${args} \\
        ${axes} \\
        --task ${what} \\
        --train '${train}' \\
        ${apart} \\
        ${settings} \\
        ${encoder} \\
        ${named} \\
        --out '${run_dir}/${prefix}' \\
        --resume \\
        --device ${device} \\
        --threads ${task.cpus}
    cp '${run_dir}/${prefix}/sweep.tsv' ${prefix}.tsv
    cp '${run_dir}/${prefix}/sweep.json' ${prefix}.json
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    touch ${prefix}.tsv
    echo '{}' > ${prefix}.json
    """
}

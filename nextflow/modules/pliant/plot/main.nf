process PLIANT_PLOT {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(logs, stageAs: 'logs/*')
    val format

    output:
    tuple val(meta), path("${prefix}.${format}"), emit: plot
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def drawn = [logs].flatten().collect { log -> "'${log}'" }.join(' ')
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant plot \\
        ${args} \\
        --out ${prefix}.${format} \\
        ${drawn}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    touch ${prefix}.${format}
    """
}

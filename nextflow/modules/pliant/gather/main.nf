process PLIANT_GATHER {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(split), path(split_failures), path(parts, stageAs: 'parts/*'), path(failures, stageAs: 'parts/*')
    val format

    output:
    tuple val(meta), path("${prefix}{,.layer*}.${format}"), emit: table
    tuple val(meta), path("${prefix}.${format}.failures.tsv"), emit: failures, optional: true
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    // Parts of a screen know each other.
    def named = split ? "--split ${split}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant gather \\
        ${args} \\
        ${named} \\
        --out ${prefix}.${format} \\
        ${parts}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    def listed = split_failures || failures ? true : false
    """
    echo "${args}"
    touch ${prefix}.${format}
    if ${listed}; then
        printf 'file\\tline\\trecord\\tid\\treason\\n' > ${prefix}.${format}.failures.tsv
    fi
    """
}

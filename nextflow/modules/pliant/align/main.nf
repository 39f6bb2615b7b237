process PLIANT_ALIGN {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(first, stageAs: 'first/*'), path(second, stageAs: 'second/*')
    path(model, stageAs: 'model/*')
    val picture

    output:
    tuple val(meta), path("${prefix}.tsv"), emit: alignment
    tuple val(meta), path("${prefix}.${picture}"), emit: picture, optional: true
    tuple val(meta), path("${prefix}.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def drawn = picture ? "--picture ${task.ext.prefix ?: meta.id}.${picture}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant align \\
        ${args} \\
        --model model \\
        --out ${prefix}.tsv \\
        ${drawn} \\
        --summary ${prefix}.summary.json \\
        --device ${device} \\
        --threads ${task.cpus} \\
        ${first} ${second}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    touch ${prefix}.tsv
    if [[ -n "${picture ?: ''}" ]]; then touch ${prefix}.${picture}; fi
    echo '{}' > ${prefix}.summary.json
    """
}

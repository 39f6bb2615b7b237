process PLIANT_VARIANTS {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(mutants, stageAs: 'mutants/*'), path(wild_type, stageAs: 'wild_type/*')
    path(model, stageAs: 'model/*')
    val format
    val picture

    output:
    tuple val(meta), path("${prefix}.variants.${format}"), emit: scores
    tuple val(meta), path("${prefix}.variants.${picture}"), emit: picture, optional: true
    tuple val(meta), path("${prefix}.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def which = mutants ? "--mutants ${mutants}" : '--scan'
    def protein = wild_type ? "--wild-type ${wild_type}" : ''
    def drawn = picture ? "--picture ${task.ext.prefix ?: meta.id}.variants.${picture}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant variants \\
        ${args} \\
        ${which} \\
        ${protein} \\
        --model model \\
        --out ${prefix}.variants.${format} \\
        ${drawn} \\
        --summary ${prefix}.summary.json \\
        --device ${device} \\
        --threads ${task.cpus}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    touch ${prefix}.variants.${format}
    echo '{}' > ${prefix}.summary.json
    if [ -n "${picture ?: ''}" ]; then
        touch ${prefix}.variants.${picture}
    fi
    """
}

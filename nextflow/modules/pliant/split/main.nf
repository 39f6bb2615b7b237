process PLIANT_SPLIT {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(fasta)
    val shards

    output:
    tuple val(meta), path("${prefix}/shard_*.fasta", arity: '1..*'), emit: shards
    tuple val(meta), path("${prefix}/split.json"), path("${prefix}/split.failures.tsv", arity: '0..*'), emit: split
    tuple val(meta), path("${prefix}.split_summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def number = shards ? "--shards ${shards}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant split \\
        ${args} \\
        ${number} \\
        --out-dir ${prefix} \\
        --summary ${prefix}.split_summary.json \\
        ${fasta}
    """

    stub:
    def args = task.ext.args ?: ''
    def number = shards ?: 2
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    mkdir -p ${prefix}
    for shard in \$(seq -f '%04g' 1 ${number}); do
        printf '>stub_%s\\nMK\\n' "\$shard" > ${prefix}/shard_\$shard.fasta
    done
    echo '{}' > ${prefix}/split.json
    echo '{}' > ${prefix}.split_summary.json
    if [[ "${args}" == *"--on-error skip"* ]]; then
        printf 'file\\tline\\trecord\\tid\\treason\\n' > ${prefix}/split.failures.tsv
    fi
    """
}

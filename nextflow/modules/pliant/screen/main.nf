process PLIANT_SCREEN {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(first, stageAs: 'first/*'), path(second, stageAs: 'second/*'), path(pairs, stageAs: 'pairs/*'), val(shard)
    path(head, stageAs: 'head/*')
    path(calibration, stageAs: 'calibration/*')
    path(model, stageAs: 'model/*')
    val format

    output:
    tuple val(meta), path("${prefix}.${format}"), emit: pairs, optional: true
    tuple val(meta), path("${prefix}.*.screen"), emit: part, optional: true
    tuple val(meta), path("*.failures.tsv"), emit: failures, optional: true
    tuple val(meta), path("${prefix}*.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def encoder = model ? '--model model' : ''
    // A head that was trained is a folder, as is one with an ONNX file; one that is a plugin is its manifest.
    def manifest = [head].flatten().find { file -> file.name.endsWith('.toml') && !file.name.endsWith('.onnx.toml') }
    def named = pairs ? "--pairs '${pairs}'" : ''
    def worth = calibration ? "--calibration '${calibration}'" : ''
    def part = shard ? "--shard ${shard}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    def number = shard ? shard.toString().replace('/', '_of_') : ''
    def out = shard ? "${prefix}.${number}.screen" : "${prefix}.${format}"
    def summary = shard ? "${prefix}.${number}.summary.json" : "${prefix}.summary.json"
    def device = task.accelerator ? 'cuda' : 'cpu'
    """
    pliant screen \\
        ${args} \\
        --head '${manifest ?: 'head'}' \\
        ${encoder} \\
        ${worth} \\
        ${named} \\
        ${part} \\
        --out ${out} \\
        --summary ${summary} \\
        --device ${device} \\
        --threads ${task.cpus} \\
        ${first} ${second}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    def number = shard ? shard.toString().replace('/', '_of_') : ''
    def out = shard ? "${prefix}.${number}.screen" : "${prefix}.${format}"
    def summary = shard ? "${prefix}.${number}.summary.json" : "${prefix}.summary.json"
    """
    echo "${args}"
    touch ${out}
    echo '{}' > ${summary}
    if [[ "${args}" == *"--on-error skip"* ]]; then
        printf 'file\\tline\\trecord\\tid\\treason\\n' > ${out}.failures.tsv
    fi
    """
}

process PLIANT_PREDICT {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(input, stageAs: 'input/*')
    path(head, stageAs: 'head/*')
    path(model, stageAs: 'model/*')
    path(sequences, stageAs: 'sequences/*')
    val format

    output:
    tuple val(meta), path("${prefix}.${format}"), emit: predictions
    tuple val(meta), path("${prefix}.${format}.failures.tsv"), emit: failures, optional: true
    tuple val(meta), path("${prefix}.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def encoder = model ? '--model model' : ''
    // A head that was trained is a folder, as is one with an ONNX file; one that is a plugin is its manifest.
    def manifest = [head].flatten().find { file -> file.name.endsWith('.toml') && !file.name.endsWith('.onnx.toml') }
    def asked = manifest ?: 'head'
    def named = sequences ? "--sequences '${sequences}'" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant predict \\
        ${args} \\
        --head '${asked}' \\
        ${encoder} \\
        ${named} \\
        --out ${prefix}.${format} \\
        --summary ${prefix}.summary.json \\
        --device ${device} \\
        --threads ${task.cpus} \\
        ${input}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    touch ${prefix}.${format}
    echo '{}' > ${prefix}.summary.json
    if [[ "${args}" == *"--on-error skip"* ]]; then
        printf 'file\\tline\\trecord\\tid\\treason\\n' > ${prefix}.${format}.failures.tsv
    fi
    """
}

process PLIANT_EVALUATE {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "ghcr.io/pliant/pliant:0.1.0"

    input:
    tuple val(meta), path(proteins)
    path(model, stageAs: 'model/*')
    path(head, stageAs: 'head/*')
    path(sequences, stageAs: 'sequences/*')
    path(metric, stageAs: 'metric/*')
    val what
    val format
    val curve

    output:
    tuple val(meta), path("${prefix}.${what}.${format}"), emit: evaluation
    tuple val(meta), path("${prefix}.calibration.json"), emit: calibration, optional: true
    tuple val(meta), path("${prefix}.${what}.${format}.failures.tsv"), emit: failures, optional: true
    tuple val(meta), path("${prefix}.summary.json"), emit: summary
    tuple val("${task.process}"), val('pliant'), eval("pliant --version | sed 's/^pliant //'"), emit: versions_pliant, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def manifest = [metric].flatten().find { file -> file.name.endsWith('.toml') }
    // A head that was trained is a folder, as is one with an ONNX file; one that is a plugin is its manifest.
    def plugin = [head].flatten().find { file -> file.name.endsWith('.toml') && !file.name.endsWith('.onnx.toml') }
    def asked = [
        model ? '--model model' : '',
        head ? "--head '${plugin ?: 'head'}'" : '',
        sequences ? "--sequences '${sequences}'" : '',
        manifest ? "--metric '${manifest}'" : '',
        curve ? "--calibration ${task.ext.prefix ?: meta.id}.calibration.json --curve ${curve}" : '',
    ].findAll().join(' ')
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pliant evaluate \\
        ${args} \\
        --task ${what} \\
        ${asked} \\
        --out ${prefix}.${what}.${format} \\
        --summary ${prefix}.summary.json \\
        --device ${device} \\
        --threads ${task.cpus} \\
        ${proteins}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "${args}"
    touch ${prefix}.${what}.${format}
    echo '{}' > ${prefix}.summary.json
    if [[ -n "${curve}" ]]; then
        echo '{}' > ${prefix}.calibration.json
    fi
    if [[ "${args}" == *"--on-error skip"* ]]; then
        printf 'file\\tline\\trecord\\tid\\treason\\n' > ${prefix}.${what}.${format}.failures.tsv
    fi
    """
}

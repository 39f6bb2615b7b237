# Two proteins, aligned softly by what the model says of their residues.
use rule embed as align with:
    input:
        unpack(aligned),
        model=model_files,
    output:
        table=report(
            "results/{pair}/alignment.tsv",
            category="Alignments",
            labels={"pair": "{pair}", "result": "alignment"},
        ),
        picture=(
            [f"results/{{pair}}/alignment.{config['align']['picture']}"]
            if config["align"]["picture"]
            else []
        ),
        summary="results/{pair}/alignment.summary.json",
    log:
        "logs/{pair}/align.log",
    params:
        command="align",
        proteins=lambda wildcards, input: [input.first, *input.get("second", [])],
        environment=[],
        further=lambda wildcards, output: [
            f"--picture={file}" for file in output.picture
        ],
        flags=ALIGN_FLAGS,

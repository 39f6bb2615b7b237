# How well the model tells masked residues of a sample, by the lengths of its proteins.
use rule embed as evaluate with:
    input:
        fasta=proteins,
        model=model_files,
    output:
        table=report(
            f"results/{{sample}}/evaluation.{config['evaluate']['format']}",
            category="Evaluation",
            labels={"sample": "{sample}", "result": "evaluation"},
        ),
        summary="results/{sample}/evaluation.summary.json",
    log:
        "logs/{sample}/evaluate.log",
    params:
        command="evaluate",
        environment=[],
        further=[],
        flags=EVALUATE_FLAGS,


# The same of a model that was trained here.
use rule evaluate as evaluate_run with:
    input:
        fasta=proteins,
        model=expand("results/{{run}}/model/{file}", file=MODEL_FILES),
    output:
        table=report(
            f"results/{{run}}/evaluation/{{sample}}.{config['evaluate']['format']}",
            category="Evaluation",
            labels={"sample": "{sample}", "result": "evaluation of {run}"},
        ),
        summary="results/{run}/evaluation/{sample}.summary.json",
    log:
        "logs/{run}/evaluate.{sample}.log",

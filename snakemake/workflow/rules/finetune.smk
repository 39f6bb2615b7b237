# A head that is trained on a model, and the model with it where its settings say so. As with `pretrain` the run with
# its checkpoints is no output, and the next attempt goes on from the last checkpoint there.
rule finetune:
    input:
        unpack(labels),
    output:
        # With the encoder in it where that was trained too; made anew every time, so that its date tells.
        head=directory("results/{head}/head"),
        settings=expand("results/{{head}}/{file}", file=["run.toml", "training.json"]),
        log="results/{head}/head.log.jsonl",
        summary="results/{head}/finetune.summary.json",
    log:
        "logs/{head}/finetune.log",
    retries: config["finetune"]["retries"]
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    threads: config["threads"]
    resources:
        mem_mb=growing(config["mem_mb"]),
        runtime=growing(config["runtime"]),
        gpu=config["gpu"],
    params:
        files=labels_flags,
        folder=lambda wildcards, output: Path(output.log).parent / "run",
        device=device,
        # Recorded, unlike `device`: a run does not go on with numbers of another device.
        gpu=config["gpu"],
        flags=head_flags,
    shell:
        "( pliant finetune {params.files:q} {params.flags:q} --device {params.device:q} --threads {threads} "
        "--out {params.folder:q} --resume --summary {output.summary:q} && mkdir {output.head:q} && "
        "cp {params.folder:q}/head.json {params.folder:q}/head.safetensors {output.head:q} && "
        "if [[ -d {params.folder:q}/encoder ]]; then cp -r {params.folder:q}/encoder {output.head:q}; fi && "
        "if [[ -d {params.folder:q}/adapter ]]; then cp -r {params.folder:q}/adapter {output.head:q}; fi && "
        "cp {params.folder:q}/run.toml {params.folder:q}/training.json results/{wildcards.head}/ && "
        "cp {params.folder:q}/log.jsonl {output.log:q} ) 2> {log:q}"


# What a head makes of a sample.
rule predict:
    input:
        unpack(asked_of_head),
        proteins=proteins,
    output:
        table=report(
            f"results/{{head}}/predictions/{{sample}}.{config['finetune']['predict_format']}",
            category="Predictions",
            labels={"sample": "{sample}", "result": "predictions of {head}"},
        ),
        summary="results/{head}/predictions/{sample}.summary.json",
    log:
        "logs/{head}/predict.{sample}.log",
    retries: config["retries"]
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    threads: config["threads"]
    resources:
        mem_mb=growing(config["mem_mb"]),
        runtime=growing(config["runtime"]),
        gpu=config["gpu"],
    params:
        command=["predict"],
        environment=cache_setting,
        model=encoder_flags,
        head=head_of,
        sequences=sequences_flags,
        metric=[],
        device=device,
        gpu=config["gpu"],
        flags=PREDICT_FLAGS,
    # The encoder that was trained with the head is in its folder.
    shell:
        "( model=({params.model:q}); [[ ! -d {params.head:q}/encoder ]] || model=(); "
        '{params.environment:q} pliant {params.command:q} {input.proteins:q} --head {params.head:q} "${{model[@]}}" '
        "{params.sequences:q} {params.metric:q} {params.flags:q} --device {params.device:q} --threads {threads} "
        "--out {output.table:q} --summary {output.summary:q} ) 2> {log:q}"


# How well a head does on labelled proteins that it has not seen.
use rule predict as evaluate_head with:
    input:
        unpack(asked_of_head),
        proteins=lambda wildcards: local(
            config["finetune"]["heads"][wildcards.head]["tests"][wildcards.test]
        ),
    output:
        table=report(
            f"results/{{head}}/tests/{{test}}.{config['finetune']['evaluate_format']}",
            category="Evaluation",
            labels={"sample": "{test}", "result": "metrics of {head}"},
        ),
        summary="results/{head}/tests/{test}.summary.json",
    log:
        "logs/{head}/evaluate.{test}.log",
    params:
        command=lambda wildcards: [
            "evaluate",
            f"--task={config['finetune']['heads'][wildcards.head]['task']}",
        ],
        environment=[],
        model=encoder_flags,
        head=head_of,
        sequences=sequences_flags,
        metric=metric_flags,
        device=device,
        gpu=config["gpu"],
        flags=HEAD_EVALUATE_FLAGS,


# What the scores of a head of pairs are worth, by labelled pairs that it was not taught.
use rule predict as calibrate with:
    input:
        unpack(asked_of_head),
        proteins=lambda wildcards: local(
            config["finetune"]["heads"][wildcards.head]["calibrate"]
        ),
    output:
        table=report(
            "results/{head}/calibration.measures.json",
            category="Evaluation",
            labels={"sample": "calibration", "result": "metrics of {head}"},
        ),
        calibration="results/{head}/calibration.json",
        summary="results/{head}/calibration.summary.json",
    log:
        "logs/{head}/calibrate.log",
    params:
        command=calibrating,
        environment=[],
        model=encoder_flags,
        head=head_of,
        sequences=sequences_flags,
        metric=[],
        device=device,
        gpu=config["gpu"],
        flags=HEAD_EVALUATE_FLAGS,

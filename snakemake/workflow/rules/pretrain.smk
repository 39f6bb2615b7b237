# A model that is trained. The run with its checkpoints, in the folder `run` beside the results, is no output: Snakemake
# removes the outputs of a job that fails, and the next attempt goes on from the last checkpoint there.
rule pretrain:
    input:
        unpack(training),
    output:
        model=expand("results/{{run}}/model/{file}", file=MODEL_FILES),
        settings=expand("results/{{run}}/{file}", file=["run.toml", "training.json"]),
        log="results/{run}/log.jsonl",
        summary="results/{run}/pretrain.summary.json",
    log:
        "logs/{run}/pretrain.log",
    # After exit codes 75, 137 and 143 an attempt goes on; after any other it fails again at once.
    retries: config["pretrain"]["retries"]
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
        files=training_flags,
        folder=lambda wildcards, output: Path(output.log).parent / "run",
        results=lambda wildcards, output: Path(output.log).parent,
        device=device,
        # Recorded, unlike `device`: a run does not go on with numbers of another device.
        gpu=config["gpu"],
        flags=PRETRAIN_FLAGS,
    shell:
        "( pliant pretrain {params.files:q} {params.flags:q} --device {params.device:q} --threads {threads} "
        "--out {params.folder:q} --resume --summary {output.summary:q} && "
        "cd {params.folder:q} && cp config.json model.safetensors vocab.txt ../model/ && "
        "cp run.toml training.json log.jsonl ../ ) 2> {log:q}"


# The losses of all runs in one picture.
rule plot:
    input:
        logs=expand("results/{run}/log.jsonl", run=config["pretrain"]["runs"]),
    output:
        report(
            f"results/losses.{config['pretrain']['picture']}",
            category="Training",
            labels={"result": "losses"},
        ),
    log:
        "logs/losses.log",
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        flags=PLOT_FLAGS,
    shell:
        "pliant plot {params.flags:q} --out {output:q} {input.logs:q} 2> {log:q}"

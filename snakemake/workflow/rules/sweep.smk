# A head for every combination of some settings, and a table of how well each does. The runs are no outputs: the next
# attempt goes on where the one before it was ended.
rule sweep:
    input:
        unpack(labels),
    output:
        table=report(
            "results/{head}/sweep.tsv",
            category="Evaluation",
            labels={"sample": "{head}", "result": "sweep"},
        ),
        json="results/{head}/sweep.json",
    log:
        "logs/{head}/sweep.log",
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
        folder=lambda wildcards, output: Path(output.table).parent / "sweep",
        device=device,
        # Recorded, unlike `device`: a run does not go on with numbers of another device.
        gpu=config["gpu"],
        flags=head_flags,
        grid=grid_flags,
    shell:
        "( pliant sweep {params.grid:q} {params.files:q} {params.flags:q} --device {params.device:q} "
        "--threads {threads} --out {params.folder:q} --resume && "
        "cp {params.folder:q}/sweep.tsv {output.table:q} && cp {params.folder:q}/sweep.json {output.json:q} ) 2> {log:q}"

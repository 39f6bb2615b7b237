# No `cache:` here. Snakemake's own cache between workflows takes its key from the shell command as it is written in the
# rule, not from what it becomes, and from the job that made an input, not from its bytes. All shards come from one
# `split`: they would have one key, and every part would silently be the first one. Pliant's cache knows the sequences.
rule embed:
    input:
        # The digest in the name of the part says what the shard holds; its time says only when `split` last ran.
        fasta=ancient("results/{sample}/shards/{shard}.fasta"),
        model=model_files,
    output:
        table=f"results/{{sample}}/parts/{{shard}}.{{digest}}.embeddings.{FORMAT}",
        residues=[
            f"results/{{sample}}/parts/{{shard}}.{{digest}}.{kind}.{FORMAT}"
            for kind in KINDS[1:]
        ],
        summary="results/{sample}/parts/{shard}.{digest}.summary.json",
    log:
        "logs/{sample}/embed/{shard}.{digest}.log",
    # For exit codes 75 (try again) and 137 (out of memory). Snakemake retries after any other too, which costs little:
    # records are checked before anything is computed.
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
        command="embed",
        proteins=lambda wildcards, input: [input.fasta],
        environment=cache_setting,
        model=lambda wildcards, input: Path(input.model[0]).parent,
        further=lambda wildcards, output: [
            f"--residues={file}" for file in output.residues
        ],
        device=device,
        # Recorded, unlike `device`: parts of a CPU and of a GPU differ in their last bits, and `gather` refuses a mixture.
        gpu=config["gpu"],
        flags=EMBED_FLAGS,
    # The rules of the other commands are this one with other parameters.
    shell:
        "{params.environment:q} pliant {params.command} {params.proteins:q} --model {params.model:q} {params.flags:q} "
        "--device {params.device:q} --threads {threads} "
        "--out {output.table:q} {params.further:q} --summary {output.summary:q} 2> {log:q}"

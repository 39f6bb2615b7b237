# Places parts by the hash of their records, and refuses a missing, foreign or stale one.
rule gather:
    input:
        split=split_table,
        parts=parts,
    output:
        report(
            f"results/{{sample}}/{{kind}}.{FORMAT}",
            caption="../report/result.rst",
            category="Embeddings",
            labels={"sample": "{sample}", "result": "{kind}"},
        ),
    log:
        "logs/{sample}/gather.{kind}.log",
    retries: config["retries"]
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        flags=GATHER_FLAGS,
    shell:
        "pliant gather --split {input.split:q} {input.parts:q} {params.flags:q} --out {output:q} 2> {log:q}"

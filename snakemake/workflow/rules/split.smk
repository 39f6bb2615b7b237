# A checkpoint, and not a plain rule or `scattergather`: with those all shards would run again after one changed record,
# because every shard then comes from a job that has run. The number of shards is fixed, so that names stay.
checkpoint split:
    input:
        proteins,
    output:
        shards=directory("results/{sample}/shards"),
    log:
        "logs/{sample}/split.log",
    retries: config["retries"]
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        flags=SPLIT_FLAGS,
    # The list of failed records would go with the folder, which Snakemake removes after a failure.
    shell:
        "pliant split {input:q} {params.flags:q} --out-dir {output.shards:q} 2> {log:q} || "
        "{{ code=$?; cat {output.shards:q}/split.failures.tsv >> {log:q} 2> /dev/null; exit $code; }}"

# Results that `gather` does not join: one folder with a file for each shard, `shard_0001` first. The folder is made
# anew every time, so that it holds nothing of an earlier input. Links take no room; where there are none, copies do.
rule collect:
    input:
        tables=tables,
        pictures=pictures,
    output:
        directory("results/{sample}/{task}"),
    log:
        "logs/{sample}/collect.{task}.log",
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    shell:
        "( mkdir -p {output:q}; for part in {input.tables:q} {input.pictures:q}; do "
        "name=${{part##*/}}; shard=${{name%%.*}}; place={output:q}/$shard.${{name##*.}}; "
        'cp -rl "$part" "$place" || {{ rm -rf "$place"; cp -r "$part" "$place"; }}; '
        'list=$part.failures.tsv; [[ ! -e $list ]] || cp "$list" "$place.failures.tsv"; done ) 2> {log:q}'

# Log-probabilities of every residue of a shard.
use rule embed as logits with:
    output:
        table=f"results/{{sample}}/parts/{{shard}}.{{digest}}.logits.{config['logits']['format']}",
        summary="results/{sample}/parts/{shard}.{digest}.logits.summary.json",
    log:
        "logs/{sample}/logits/{shard}.{digest}.log",
    params:
        command="logits",
        further=[],
        flags=LOGITS_FLAGS,


use rule gather as gather_logits with:
    input:
        split=split_table,
        parts=lambda wildcards: parts_of(
            wildcards.sample, f"logits.{config['logits']['format']}"
        ),
    output:
        report(
            f"results/{{sample}}/logits.{config['logits']['format']}",
            category="Log-probabilities",
            labels={"sample": "{sample}"},
        ),
    log:
        "logs/{sample}/gather.logits.log",
    params:
        flags=shlex.split(config["extra"]["gather"]),

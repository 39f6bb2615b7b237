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

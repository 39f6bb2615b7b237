# How well the model expects each protein of a shard.
use rule embed as perplexity with:
    output:
        table=f"results/{{sample}}/parts/{{shard}}.{{digest}}.perplexity.{config['perplexity']['format']}",
        summary="results/{sample}/parts/{shard}.{digest}.perplexity.summary.json",
    log:
        "logs/{sample}/perplexity/{shard}.{digest}.log",
    params:
        command="perplexity",
        further=[],
        flags=PERPLEXITY_FLAGS,

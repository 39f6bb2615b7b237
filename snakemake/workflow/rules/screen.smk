# Pairs of many proteins, scored part by part.
use rule embed as screen_part with:
    input:
        unpack(screened),
    output:
        table="results/{screen}/parts/{part}_of_{parts}.screen",
        summary="results/{screen}/parts/{part}_of_{parts}.summary.json",
    log:
        "logs/{screen}/screen/{part}_of_{parts}.log",
    params:
        command="screen",
        proteins=lambda wildcards, input: [input.first, *input.get("second", [])],
        environment=cache_setting,
        model=lambda wildcards, input: Path(input.model[0]).parent,
        further=lambda wildcards, input: [
            f"--head={Path(input.head[0]).parent}",
            f"--shard={wildcards.part}/{wildcards.parts}",
            *[f"--pairs={file}" for file in input.get("pairs", [])],
        ],
        device=device,
        gpu=config["gpu"],
        flags=SCREEN_FLAGS,


# Parts know each other, and a missing or a foreign one is refused.
rule screen:
    input:
        screen_parts,
    output:
        report(
            f"results/{{screen}}/pairs.{config['screen']['format']}",
            category="Screens",
            labels={"screen": "{screen}", "result": "pairs"},
        ),
    log:
        "logs/{screen}/gather.log",
    retries: config["retries"]
    conda:
        "../envs/pliant.yml"
    container:
        config["container"]
    resources:
        mem_mb=growing(config["mem_mb"]),
        runtime=growing(30),
    shell:
        "pliant gather {input:q} --out {output:q} 2> {log:q}"

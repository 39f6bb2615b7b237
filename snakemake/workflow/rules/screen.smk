# Pairs of many proteins, scored part by part, by a head that is there or that another step trains.
rule screen_part:
    input:
        unpack(screened),
    output:
        table="results/{screen}/parts/{part}_of_{parts}.screen",
        summary="results/{screen}/parts/{part}_of_{parts}.summary.json",
    log:
        "logs/{screen}/screen/{part}_of_{parts}.log",
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
        proteins=lambda wildcards, input: [input.first, *input.get("second", [])],
        environment=cache_setting,
        model=encoder_flags,
        head=head_of,
        further=lambda wildcards, input: [
            f"--shard={wildcards.part}/{wildcards.parts}",
            *[f"--pairs={file}" for file in input.get("pairs", [])],
            *[f"--calibration={file}" for file in input.get("calibration", [])],
        ],
        device=device,
        gpu=config["gpu"],
        flags=SCREEN_FLAGS,
    # The encoder that was trained with the head is in its folder.
    shell:
        "( model=({params.model:q}); [[ ! -d {params.head:q}/encoder ]] || model=(); "
        '{params.environment:q} pliant screen {params.proteins:q} --head {params.head:q} "${{model[@]}}" '
        "{params.flags:q} {params.further:q} --device {params.device:q} --threads {threads} "
        "--out {output.table:q} --summary {output.summary:q} ) 2> {log:q}"


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

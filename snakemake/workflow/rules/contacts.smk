# Which residues of each protein of a shard touch each other.
use rule embed as contacts with:
    output:
        table=f"results/{{sample}}/parts/{{shard}}.{{digest}}.contacts.{config['contacts']['format']}",
        pictures=(
            [directory("results/{sample}/parts/{shard}.{digest}.contacts.pictures")]
            if config["contacts"]["picture"]
            else []
        ),
        summary="results/{sample}/parts/{shard}.{digest}.contacts.summary.json",
    log:
        "logs/{sample}/contacts/{shard}.{digest}.log",
    params:
        command="contacts",
        further=lambda wildcards, output: [
            flag
            for folder in output.pictures
            for flag in [
                f"--picture={folder}",
                f"--picture-format={config['contacts']['picture']}",
            ]
        ],
        flags=CONTACTS_FLAGS,

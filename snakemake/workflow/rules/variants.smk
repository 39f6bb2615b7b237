# Scores of the variants in a table; their wild type is a FASTA, or a column of the table.
use rule embed as variants with:
    input:
        unpack(assay),
        model=model_files,
    output:
        table=report(
            f"results/{{assay}}/variants.{config['variants']['format']}",
            category="Variants",
            labels={"assay": "{assay}", "result": "variants"},
        ),
        summary="results/{assay}/variants.summary.json",
    log:
        "logs/{assay}/variants.log",
    params:
        command="variants",
        proteins=assay_flags,
        further=[],
        flags=VARIANTS_FLAGS,


# Scores of every single mutant of a wild type.
use rule embed as scan with:
    input:
        wild_type=lambda wildcards: assay(wildcards)["wild_type"],
        model=model_files,
    output:
        table=report(
            f"results/{{assay}}/scan.{config['variants']['format']}",
            category="Variants",
            labels={"assay": "{assay}", "result": "every single mutant"},
        ),
        picture=(
            [f"results/{{assay}}/scan.{config['variants']['picture']}"]
            if config["variants"]["picture"]
            else []
        ),
        summary="results/{assay}/scan.summary.json",
    log:
        "logs/{assay}/scan.log",
    params:
        command="variants",
        proteins=lambda wildcards, input: [
            "--scan",
            f"--wild-type={input.wild_type}",
        ],
        further=lambda wildcards, output: [
            f"--picture={file}" for file in output.picture
        ],
        flags=VARIANTS_FLAGS,

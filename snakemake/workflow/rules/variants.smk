# Scores of the variants of a protein: of those in a table, or of every single mutant.
use rule embed as variants with:
    input:
        unpack(assay),
        model=model_files,
    output:
        table=report(
            f"results/{{assay}}/variants.{config['variants']['format']}",
            category="Variants",
            labels={"assay": "{assay}"},
        ),
        picture=(
            [f"results/{{assay}}/variants.{config['variants']['picture']}"]
            if config["variants"]["picture"]
            else []
        ),
        summary="results/{assay}/variants.summary.json",
    log:
        "logs/{assay}/variants.log",
    params:
        command="variants",
        proteins=assay_flags,
        further=lambda wildcards, output: [
            f"--picture={file}" for file in output.picture
        ],
        flags=VARIANTS_FLAGS,

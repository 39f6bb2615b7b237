# Somebody else's workflow: makes the proteins, has Pliant's turn them into vectors, and goes on with those.
module pliant:
    snakefile:
        "SNAKEFILE"
    config:
        {
            "samples": {"mine": "made/proteins.fasta"},
            "model": "model",
            "shards": 3,
            "residues": True,
            "layers": [-1, 0],
            "perplexity": {"method": "one-pass"},
            "threads": 1,
            "mem_mb": 500,
        }
    prefix:
        "vectors"


use rule * from pliant as pliant_*


use rule embed from pliant as pliant_embed with:
    threads: 2


rule count:
    default_target: True
    input:
        vectors="vectors/results/mine/embeddings.npz",
        states="vectors/results/mine/residues.npz",
        # Not among `tasks`, but there to be asked for.
        scores="vectors/results/mine/perplexity",
    output:
        "bytes.txt",
    log:
        "logs/count.log",
    shell:
        "wc -c < {input.vectors} > {output} 2> {log}"


rule proteins:
    input:
        "source.fasta",
    output:
        "made/proteins.fasta",
    log:
        "logs/proteins.log",
    shell:
        "cp {input} {output} 2> {log}"

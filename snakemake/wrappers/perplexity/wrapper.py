"""Snakemake wrapper for `pliant perplexity`: how well the model expects each protein."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

model = snakemake.input.model
# The files of the model are the inputs, as Snakemake does not see what changes inside a folder.
model = Path(model if isinstance(model, str) else model[0]).parent
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
summary = snakemake.output.get("summary")
optional = [f"--summary={summary}"] if summary else []
perplexity = snakemake.output.get("perplexity", snakemake.output[0])

shell(
    "pliant perplexity {snakemake.input.fasta:q} --model {model:q} --device {device} "
    "--threads {snakemake.threads} {extra} --out {perplexity:q} {optional:q} {log}"
)

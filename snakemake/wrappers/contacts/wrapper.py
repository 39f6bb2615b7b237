"""Snakemake wrapper for `pliant contacts`: which residues touch each other."""

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
pictures = snakemake.output.get("pictures")
if pictures:
    picture_format = snakemake.params.get("picture_format", "png")
    optional += [f"--picture={pictures}", f"--picture-format={picture_format}"]
contacts = snakemake.output.get("contacts", snakemake.output[0])

shell(
    "pliant contacts {snakemake.input.fasta:q} --model {model:q} --device {device} "
    "--threads {snakemake.threads} {extra} --out {contacts:q} {optional:q} {log}"
)

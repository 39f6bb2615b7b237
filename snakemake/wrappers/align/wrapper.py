"""Snakemake wrapper for `pliant align`: two proteins aligned softly by a model."""

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
optional = [
    f"--{name}={snakemake.output.get(name)}"
    for name in ("picture", "summary")
    if snakemake.output.get(name)
]
table = snakemake.output.get("alignment", snakemake.output[0])

shell(
    "pliant align {snakemake.input.proteins:q} --model {model:q} --device {device} --threads {snakemake.threads} "
    "{extra} --out {table:q} {optional:q} {log}"
)

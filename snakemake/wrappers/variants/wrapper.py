"""Snakemake wrapper for `pliant variants`: scores variants of a protein."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

score = snakemake.params.get("score", "masked-marginals")
extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

model = snakemake.input.model
# The files of the model are the inputs, as Snakemake does not see what changes inside a folder.
model = Path(model if isinstance(model, str) else model[0]).parent
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
mutants = snakemake.input.get("mutants")
wild_type = snakemake.input.get("wild_type")
proteins = [
    f"--mutants={mutants}" if mutants else "--scan",
    *([f"--wild-type={wild_type}"] if wild_type else []),
]
optional = [
    f"--{name}={snakemake.output.get(name)}"
    for name in ("picture", "summary")
    if snakemake.output.get(name)
]
scores = snakemake.output.get("scores", snakemake.output[0])

shell(
    "pliant variants {proteins:q} --model {model:q} --score {score} --device {device} "
    "--threads {snakemake.threads} {extra} --out {scores:q} {optional:q} {log}"
)

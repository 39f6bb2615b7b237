"""Snakemake wrapper for `pliant sweep`: trains a head for every combination of some settings."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

task = snakemake.params.task
grid = snakemake.params.grid
extra = snakemake.params.get("extra", "")
# Not an output: Snakemake removes those of a job that fails, and the next attempt goes on from what is done there.
run = snakemake.params.run_dir
log = snakemake.log_fmt_shell(stdout=False, stderr=True)


def files(name):
    """The inputs of a name, of which there may be none."""
    found = snakemake.input.get(name, [])
    return [found] if isinstance(found, str) else list(found)


flags = [f"--grid={axis}" for axis in ([grid] if isinstance(grid, str) else grid)]
flags += [
    f"--{flag}={file}"
    for name, flag in (
        ("labels", "train"),
        ("valid", "valid"),
        ("settings", "config"),
        ("sequences", "sequences"),
    )
    for file in files(name)
]
# The files of the model are the inputs, as Snakemake does not see what changes inside a folder.
flags += [f"--model={Path(file).parent}" for file in files("model")[:1]]
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
places = [
    (Path(run, f"sweep.{name}"), snakemake.output.get(name)) for name in ("tsv", "json")
]
copies = "".join(f" && cp {source} {file}" for source, file in places if file)

shell(
    "( pliant sweep --task {task} {flags:q} --device {device} --threads {snakemake.threads} {extra} --out {run:q} "
    "--resume{copies} ) {log}"
)

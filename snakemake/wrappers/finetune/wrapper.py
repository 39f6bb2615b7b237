"""Snakemake wrapper for `pliant finetune`: trains a head for a task, and the model with it where that is asked for."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

task = snakemake.params.task
extra = snakemake.params.get("extra", "")
# Not an output: Snakemake removes those of a job that fails, and the next attempt goes on from the checkpoints there.
run = snakemake.params.run_dir
log = snakemake.log_fmt_shell(stdout=False, stderr=True)


def files(name):
    """The inputs of a name, of which there may be none."""
    found = snakemake.input.get(name, [])
    return [found] if isinstance(found, str) else list(found)


flags = [
    f"--{flag}={file}"
    for name, flag in (
        ("labels", "train"),
        ("valid", "valid"),
        ("settings", "config"),
        ("architecture", "model-config"),
        ("sequences", "sequences"),
    )
    for file in files(name)
]
# The files of the model are the inputs, as Snakemake does not see what changes inside a folder.
flags += [f"--model={Path(file).parent}" for file in files("model")[:1]]
flags += [f"--summary={file}" for file in [snakemake.output.get("summary")] if file]
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
# Files of the run by their names, wherever they are wanted.
wanted = [
    (name, file)
    for name, found in snakemake.output.items()
    if name != "summary"
    for file in ([found] if isinstance(found, str) else found)
]
places = [
    (Path(run, name if name in ("encoder", "adapter") else "", Path(file).name), file)
    for name, file in wanted
]
copies = " && ".join(f"cp {source} {file}" for source, file in places)

shell(
    "( pliant finetune --task {task} {flags:q} --device {device} --threads {snakemake.threads} {extra} --out {run:q} "
    "--resume && {copies} ) {log}"
)

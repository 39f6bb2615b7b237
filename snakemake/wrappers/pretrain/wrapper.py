"""Snakemake wrapper for `pliant pretrain`: trains a model to tell masked residues."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

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
        ("config", "config"),
        ("architecture", "model-config"),
        ("corpus", "train"),
        ("held_out", "held-out"),
        ("pairs", "pairs"),
        ("exclude", "exclude"),
    )
    for file in files(name)
]
flags += [f"--init={Path(file).parent}" for file in files("init")[:1]]
flags += [f"--summary={file}" for file in [snakemake.output.get("summary")] if file]
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
# Files of the run by their names, wherever they are wanted.
wanted = [file for name, file in snakemake.output.items() if name != "summary"]
wanted = [file for one in wanted for file in ([one] if isinstance(one, str) else one)]
copies = " && ".join(f"cp {Path(run, Path(file).name)} {file}" for file in wanted)

shell(
    "( pliant pretrain {flags:q} --device {device} --threads {snakemake.threads} {extra} --out {run:q} --resume && "
    "{copies} ) {log}"
)

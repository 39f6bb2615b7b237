"""Snakemake wrapper for `pliant evaluate`: says how well a model does a task."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

task = snakemake.params.get("task", "mlm")
extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)



def files(name):
    """The files of an input, one by one: Snakemake does not see what changes inside a folder."""
    found = snakemake.input.get(name, [])
    return [found] if isinstance(found, str) else list(found)


def place(name):
    """Their folder; an ONNX file by itself, and a head that is a plugin by its manifest."""
    found = files(name)
    onnx = [file for file in found if file.endswith(".onnx")]
    manifests = [file for file in found if name == "head" and file.endswith(".toml")]
    return onnx[:1] or manifests[:1] or [Path(file).parent for file in found[:1]]


asked = [f"--{name}={path}" for name in ("model", "head") for path in place(name)]
asked += [f"--metric={file}" for file in files("metric") if file.endswith(".toml")]
asked += [f"--sequences={file}" for file in files("sequences")]
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
optional = [
    f"--{name}={snakemake.output.get(name)}"
    for name in ("proteins", "summary", "calibration")
    if snakemake.output.get(name)
]
table = snakemake.output.get("evaluation", snakemake.output[0])

shell(
    "pliant evaluate {snakemake.input.fasta:q} --task {task} {asked:q} --device {device} "
    "--threads {snakemake.threads} {extra} --out {table:q} {optional:q} {log}"
)

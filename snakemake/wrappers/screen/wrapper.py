"""Snakemake wrapper for `pliant screen`: pairs of many proteins, scored by a head."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

extra = snakemake.params.get("extra", "--top-k 20")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)


def folder(name):
    """The folder of the files of an input, which are named one by one: Snakemake sees no change inside a folder."""
    found = snakemake.input.get(name, [])
    found = [found] if isinstance(found, str) else found
    # An ONNX file is named by itself, and a head that is a plugin by its manifest.
    onnx = [file for file in found if file.endswith(".onnx")]
    manifests = [file for file in found if name == "head" and file.endswith(".toml")]
    return onnx[:1] or manifests[:1] or [Path(file).parent for file in found[:1]]


flags = [f"--{name}={place}" for name in ("head", "model") for place in folder(name)]
flags += [f"--{name}={snakemake.input.get(name)}" for name in ("pairs", "calibration") if snakemake.input.get(name)]
flags += [f"--shard={shard}" for shard in [snakemake.params.get("shard")] if shard]
flags += [f"--summary={file}" for file in [snakemake.output.get("summary")] if file]
device = "cuda" if int(snakemake.resources.get("gpu", 0)) > 0 else "cpu"
pairs = snakemake.output.get("pairs", snakemake.output[0])

shell(
    "pliant screen {snakemake.input.proteins:q} {flags:q} --device {device} --threads {snakemake.threads} {extra} "
    "--out {pairs:q} {log}"
)

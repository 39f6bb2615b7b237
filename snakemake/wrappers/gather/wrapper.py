"""Snakemake wrapper for `pliant gather`: joins the results of shards into the bytes that one run writes."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

split = Path(snakemake.input.split)
if split.is_dir():
    split = split / "split.json"

shell(
    "pliant gather --split {split:q} {snakemake.input.parts:q} {extra} "
    "--out {snakemake.output[0]:q} {log}"
)

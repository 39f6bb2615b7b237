"""Snakemake wrapper for `pliant plot`: draws logs of training."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

shell("pliant plot {extra} --out {snakemake.output[0]:q} {snakemake.input:q} {log}")

"""Snakemake wrapper for `pliant split`: cuts FASTA files into shards of about as many residues each."""

__author__ = "The Pliant developers"
__license__ = "MIT OR Apache-2.0"

from pathlib import Path

from snakemake.shell import shell

shards = snakemake.params.get("shards", 4)
extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

# Either the whole folder is declared, as directory(), or files inside it.
folder = snakemake.output.get("shards")
if folder is None:
    folders = {Path(file).parent for file in snakemake.output}
    if len(folders) != 1:
        raise ValueError(f"outputs of split lie in one folder, found {sorted(map(str, folders))}")
    folder = folders.pop()

shell(
    "pliant split {snakemake.input:q} --shards {shards} {extra} --out-dir {folder:q} {log}"
)

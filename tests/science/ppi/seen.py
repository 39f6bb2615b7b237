#!/usr/bin/env python3
"""How many validation proteins of Bernett et al. the encoders were pretrained on, unlabelled, as JSON.

    tests/science/ppi/seen.py BERNETT CORPUS HELD_OUT BLOCKLIST OUT.json
"""

import csv
import gzip
import hashlib
import json
import os
import sys
from pathlib import Path


def opened(path):
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def fasta(path):
    """The first words of headers with their sequences."""
    name, parts = None, []
    with opened(path) as text:
        for line in text:
            if line.startswith(">"):
                if name is not None:
                    yield name, "".join(parts)
                name, parts = line[1:].split()[0], []
            else:
                parts.append(line.strip())
    yield name, "".join(parts)


def main():
    folder, corpus, held_out, blocklist, out = map(Path, sys.argv[1:])
    with opened(folder / "valid_pairs.tsv.gz") as text:
        asked = {row[key] for row in csv.DictReader(text, delimiter="\t") for key in ("id_a", "id_b")}
    asked = {sequence for name, sequence in fasta(folder / "proteins.fasta.gz") if name in asked}
    with opened(blocklist) as text:
        hashes = {line.strip() for line in text}
    apart = {sequence for _, sequence in fasta(held_out)}
    learnt = {sequence for _, sequence in fasta(corpus)} - apart
    learnt = {sequence for sequence in learnt & asked if hashlib.sha256(sequence.encode()).hexdigest() not in hashes}
    partial = out.with_name(out.name + ".partial")
    partial.write_text(json.dumps({"validation": len(asked), "pretrained": len(learnt)}) + "\n")
    os.replace(partial, out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the sequences of a FASTA that are held out of training: one in fifty by the SHA-256 of the sequence.

    tests/science/hold_out.py CORPUS.fasta EXCLUDED.sha256.gz OUT.fasta

Sequences whose hash is in the list of excluded ones are passed over, as they are in training, and those shorter than ten
residues too. The choice depends on nothing but the sequence. Held-out proteins may have relatives in the training set:
the loss on them tells two models apart, not how well either knows unknown families.
"""

import gzip
import hashlib
import os
import sys

ONE_IN = 50
LEAST_RESIDUES = 10


def records(path):
    name, parts = None, []
    with open(path, encoding="ascii") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith(">"):
                if name is not None:
                    yield name, "".join(parts)
                name, parts = line[1:], []
            else:
                parts.append(line)
    if name is not None:
        yield name, "".join(parts)


def main():
    corpus, excluded_path, out = sys.argv[1:]
    with gzip.open(excluded_path, "rt", encoding="ascii") as lines:
        excluded = {line.strip() for line in lines}
    count = residues = 0
    with open(out + ".partial", "w", encoding="ascii") as target:
        for name, sequence in records(corpus):
            digest = hashlib.sha256(sequence.upper().rstrip("*").encode()).hexdigest()
            chosen = int(digest[:8], 16) % ONE_IN == 0
            if chosen and digest not in excluded and len(sequence) >= LEAST_RESIDUES:
                target.write(f">{name}\n{sequence}\n")
                count, residues = count + 1, residues + len(sequence)
    os.replace(out + ".partial", out)
    print(f"{count} sequences of {residues} residues held out", file=sys.stderr)


if __name__ == "__main__":
    main()

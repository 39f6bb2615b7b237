#!/usr/bin/env python3
"""Divides labelled pairs of domains by fold, so that no fold, and with it no domain, stands on two sides.

    tests/science/tasks/homology.py DATA OUT

DATA holds `domains.tsv.gz` (id, sccs, sequence) and `pairs.tsv.gz` (id_a, id_b, level). Of the folds, those whose hash
ends in one of two of ten digits go to the test, one of ten to the validation, the others to the training; a pair whose
domains stand on different sides is left out. Written are OUT/train.tsv, valid.tsv and test.tsv; how many pairs of each
level those have is said on standard error.
"""

import csv
import gzip
import hashlib
import sys
from collections import Counter
from pathlib import Path

SIDES = ["test", "test", "valid"] + ["train"] * 7


def rows(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)


def side(sccs):
    """Where a fold, as a.1, stands."""
    fold = ".".join(sccs.split(".")[:2])
    return SIDES[int(hashlib.sha256(fold.encode()).hexdigest(), 16) % len(SIDES)]


def main():
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    sides = {row["id"]: side(row["sccs"]) for row in rows(data / "domains.tsv.gz")}
    pairs = {"train": [], "valid": [], "test": []}
    for row in rows(data / "pairs.tsv.gz"):
        if sides[row["id_a"]] == sides[row["id_b"]]:
            pairs[sides[row["id_a"]]].append((row["id_a"], row["id_b"], row["level"]))
    out.mkdir(parents=True, exist_ok=True)
    for name, found in pairs.items():
        partial = out / f"{name}.tsv.partial"
        with open(partial, "w", encoding="utf-8") as text:
            text.writelines("\t".join(row) + "\n" for row in [("id_a", "id_b", "level"), *found])
        partial.replace(out / f"{name}.tsv")
        levels = Counter(level for _, _, level in found)
        print(f"{name}: {len(found)} pairs, by level {dict(sorted(levels.items()))}", file=sys.stderr)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Gathers every protein sequence of a folder of data sets into one FASTA, each once, for `pliant pretrain`.

    PLIANT_TEST_DATA=DIR tests/science/collect.py OUT.fasta

Read are all FASTA files and, of all TSV and CSV files with a header, the columns whose name ends in `sequence`; plain or
gzip. Nothing is left out but repetitions: sequences are compared in upper case and without a stop at the end. Sequences
that resemble test sets are in it too; leave them out with `pliant pretrain --exclude`. Which and how many those are is
said on standard error, with an account of every file. The same folder gives the same bytes.

Two kinds of folders hold no data sets and are passed over: `weights_*` and `golden_*`, models with the proteins that
prove them, which nobody compared with the test sets. Tables of mutations, pairs or labels hold no sequences of their own;
variants of one protein are not spelled out, as thousands of near copies would drown the rest and none of them would
carry the hash under which their wild type is excluded.
"""

import csv
import gzip
import hashlib
import os
import sys
from pathlib import Path

FASTA = (".fasta", ".fa", ".faa")
TABLES = {".tsv": "\t", ".csv": ","}
NO_DATA_SETS = ("weights_", "golden_")

csv.field_size_limit(1 << 30)


def kind(path):
    """The ending of a file without `.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix


def opened(path):
    text = gzip.open if path.suffix == ".gz" else open
    return text(path, "rt", encoding="utf-8", newline="")


def fasta(text):
    """The sequences of a FASTA."""
    parts = None
    for line in text:
        line = line.strip()
        if line.startswith(">"):
            if parts is not None:
                yield "".join(parts)
            parts = []
        elif line and not line.startswith(";"):
            if parts is None:
                raise ValueError(f"found {line[:20]!r} before the first header")
            parts.append(line)
    if parts is not None:
        yield "".join(parts)


def table(text, separator):
    """The sequences of a table, row by row; none where no column holds any."""
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    rows = csv.reader(text, delimiter=separator, quoting=quoting)
    header = next(rows, [])
    columns = [number for number, name in enumerate(header) if name.lower().endswith("sequence")]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} columns, wanted {len(header)}")
        yield from (row[column] for column in columns)


def sequences(path):
    """The sequences of a file as they stand there."""
    with opened(path) as text:
        try:
            yield from table(text, TABLES[kind(path)]) if kind(path) in TABLES else fasta(text)
        except ValueError as error:
            raise SystemExit(f"{path}: {error}") from error


def files(folder):
    """Files of all data sets with sequences, and the names of all others, sorted."""
    chosen, others = [], []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not inside.parts[0].startswith(NO_DATA_SETS):
            (chosen if kind(path) in FASTA or kind(path) in TABLES else others).append(path)
    return chosen, others


def say(*columns):
    """One line of the account: four numbers and what they belong to."""
    print("".join(f"{column:>12}" for column in columns[:4]), columns[4], sep="  ", file=sys.stderr)


def gather(folder, out):
    """Writes every sequence once and returns them with their hashes."""
    seen = {}
    say("sequences", "residues", "new", "residues", "file")
    for path in files(folder)[0]:
        name = path.relative_to(folder)
        stem = name.as_posix().removesuffix(".gz").removesuffix(kind(path))
        found = residues = new = new_residues = 0
        for number, spelled in enumerate(sequences(path), 1):
            sequence = "".join(spelled.split()).upper().removesuffix("*")
            found, residues = found + 1, residues + len(sequence)
            digest = hashlib.sha256(sequence.encode()).hexdigest()
            if sequence and digest not in seen:
                seen[digest] = len(sequence)
                new, new_residues = new + 1, new_residues + len(sequence)
                out.write(f">{stem}:{number}\n{sequence}\n")
        say(found, residues, new, new_residues, name)
    return seen


def account(folder, seen):
    """Says how much there is, and how much exclude lists would leave."""
    say(len(seen), sum(seen.values()), "", "", "all, each once")
    for path in files(folder)[1]:
        if path.name.removesuffix(".gz").endswith(".sha256"):
            with opened(path) as text:
                hashes = {line.strip().lower() for line in text}
            left = [length for digest, length in seen.items() if digest not in hashes]
            say(len(left), sum(left), "", "", f"without {path.relative_to(folder)} ({len(hashes)} hashes)")
        elif path.name != "README.md":
            say("", "", "", "", f"{path.relative_to(folder)} was not read: neither FASTA nor a table")


def main():
    folder = os.environ.get("PLIANT_TEST_DATA")
    if len(sys.argv) != 2 or not folder:
        raise SystemExit("usage: PLIANT_TEST_DATA=DIR collect.py OUT.fasta")
    folder, target = Path(folder), Path(sys.argv[1])
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8") as out:
            seen = gather(folder, out)
        if not seen:
            raise SystemExit(f"{folder}: holds no sequences")
        account(folder, seen)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()

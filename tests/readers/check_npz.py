"""Opens the program's npz files as their users do, with numpy alone and without pickle.

usage: check_npz.py FASTA POOLED.npz RESIDUES.npz   (mean-pooled, both of one run over FASTA)
"""

import json
import sys

import numpy


def expected(path):
    """Ids and lengths of a plain FASTA file."""
    with open(path, encoding="ascii") as lines:
        records = lines.read().split(">")[1:]
    split = [record.splitlines() for record in records]
    return [record[0].split()[0] for record in split], [sum(map(len, record[1:])) for record in split]


def sorted_pairs(pairs):
    """The object, once its keys are seen to be sorted."""
    keys = [key for key, _ in pairs]
    assert keys == sorted(keys, key=str.encode), keys
    return dict(pairs)


def check_metadata(file):
    """`pliant_meta` is one JSON object with sorted keys."""
    assert file["pliant_meta"].shape == ()
    assert isinstance(json.loads(str(file["pliant_meta"]), object_pairs_hook=sorted_pairs), dict)


def main():
    fasta, pooled_path, residues_path = sys.argv[1:]
    ids, lengths = expected(fasta)
    with numpy.load(pooled_path, allow_pickle=False) as pooled, numpy.load(residues_path, allow_pickle=False) as residues:
        assert set(pooled.files) == {"ids", "embeddings", "pliant_meta"}, pooled.files
        assert set(residues.files) == {"ids", "embeddings", "offsets", "pliant_meta"}, residues.files
        for file in (pooled, residues):
            assert file["ids"].tolist() == ids, "ids differ from the input"
            assert file["embeddings"].dtype == numpy.float32 and numpy.isfinite(file["embeddings"]).all()
            check_metadata(file)
        offsets = residues["offsets"]
        assert numpy.diff(offsets).tolist() == lengths and offsets[0] == 0, "offsets do not fit the input"
        assert pooled["embeddings"].shape == (len(ids), residues["embeddings"].shape[1])
        for row, start, end in zip(pooled["embeddings"], offsets[:-1], offsets[1:], strict=True):
            mean = residues["embeddings"][start:end].astype(numpy.float64).mean(axis=0)
            numpy.testing.assert_allclose(row, mean, rtol=1e-5, atol=1e-5)
    print(f"numpy {numpy.__version__}: {len(ids)} records, {offsets[-1]} residues read as expected")


if __name__ == "__main__":
    main()

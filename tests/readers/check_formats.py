"""Opens result files of every format with the readers that their users have, and compares them with the npz.

usage: check_formats.py FOLDER

FOLDER holds, of one run each over the same input, `pooled_<type>.<suffix>` and `residues_<type>.<suffix>` for the
types f32 and f16 and every suffix, and `bio_<type>.h5` in the layout of bio_embeddings. Numbers must be equal bit for
bit. A missing file is an error.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy
import pandas
import polars
import pyarrow
import pyarrow.parquet
import safetensors

TYPES = {"f32": numpy.float32, "f16": numpy.float16}


class Expected:
    """What the npz files of one number type hold."""

    def __init__(self, folder, name):
        self.dtype = TYPES[name]
        with numpy.load(folder / f"pooled_{name}.npz", allow_pickle=False) as file:
            self.ids, self.pooled = file["ids"].tolist(), file["embeddings"]
            self.pooled_meta = json.loads(str(file["pliant_meta"]))
        with numpy.load(folder / f"residues_{name}.npz", allow_pickle=False) as file:
            self.states, self.offsets = file["embeddings"], file["offsets"]
            self.residues_meta = json.loads(str(file["pliant_meta"]))
        self.lengths = numpy.diff(self.offsets).tolist()
        assert self.pooled.dtype == self.states.dtype == self.dtype

    def rows(self, record):
        return self.states[self.offsets[record] : self.offsets[record + 1]]


def same(found, wanted):
    """Equal in type, shape and every bit."""
    found = numpy.asarray(found)
    assert found.dtype == wanted.dtype, (found.dtype, wanted.dtype)
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert found.tobytes() == wanted.tobytes(), "numbers differ"


def check_h5(path, expected, wanted, meta, name_of):
    with h5py.File(path, "r") as file:
        assert sorted(file) == sorted(map(name_of, range(len(expected.ids)))), list(file)
        assert json.loads(file.attrs["pliant_meta"]) == meta
        for record, identifier in enumerate(expected.ids):
            dataset = file[name_of(record)]
            assert dataset.attrs["original_id"] == identifier
            same(dataset[()], wanted(record))


def check_h5_files(folder, name, expected):
    escaped = [identifier.replace("%", "%25").replace("/", "%2F") for identifier in expected.ids]
    pooled, rows = expected.pooled.__getitem__, expected.rows
    check_h5(folder / f"pooled_{name}.h5", expected, pooled, expected.pooled_meta, escaped.__getitem__)
    check_h5(folder / f"residues_{name}.h5", expected, rows, expected.residues_meta, escaped.__getitem__)
    check_h5(folder / f"bio_{name}.h5", expected, pooled, expected.pooled_meta, str)
    with h5py.File(folder / f"residues_{name}.h5", "r") as file:
        order = sorted(file, key=lambda dataset: file[dataset].attrs["index"])
        assert [file[dataset].attrs["original_id"] for dataset in order] == expected.ids


def check_parquet(folder, name, expected):
    pooled, residues = folder / f"pooled_{name}.parquet", folder / f"residues_{name}.parquet"
    for path, meta in (pooled, expected.pooled_meta), (residues, expected.residues_meta):
        file = pyarrow.parquet.ParquetFile(path)
        assert json.loads(file.metadata.metadata[b"pliant_meta"]) == meta
        groups = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        assert all(rows == 4096 for rows in groups[:-1]) and groups[-1] <= 4096, groups
        assert not any(field.nullable for field in file.schema_arrow)
    positions = [place for length in expected.lengths for place in range(1, length + 1)]
    owners = [i for i, n in zip(expected.ids, expected.lengths, strict=True) for _ in range(n)]
    frame = pandas.read_parquet(pooled)
    assert frame["id"].tolist() == expected.ids and frame["length"].tolist() == expected.lengths
    same(numpy.stack(frame["embedding"].to_list()), expected.pooled)
    frame = pandas.read_parquet(residues)
    assert frame["id"].tolist() == owners and frame["position"].tolist() == positions
    same(numpy.stack(frame["embedding"].to_list()), expected.states)
    for path, wanted, ids in (pooled, expected.pooled, expected.ids), (residues, expected.states, owners):
        frame = polars.read_parquet(path)
        assert frame["id"].to_list() == ids
        lists = frame["embedding"].to_list()
        same(numpy.array(lists, dtype=numpy.float64).astype(expected.dtype), wanted)


def check_safetensors(folder, name, expected):
    for path, wanted, meta in (
        (folder / f"pooled_{name}.safetensors", expected.pooled, expected.pooled_meta),
        (folder / f"residues_{name}.safetensors", expected.states, expected.residues_meta),
    ):
        with safetensors.safe_open(path, "numpy") as file:
            same(file.get_tensor("embeddings"), wanted)
            if wanted is expected.states:
                same(file.get_tensor("offsets"), expected.offsets)
            metadata = file.metadata()
        assert list(metadata) == ["pliant_meta"]
        found = json.loads(metadata["pliant_meta"])
        assert found.pop("ids") == expected.ids and found == meta


def check_tsv(folder, name, expected):
    path = folder / f"pooled_{name}.tsv"
    frame = pandas.read_csv(path, sep="\t", skiprows=1, dtype={"id": str})
    assert frame["id"].tolist() == expected.ids
    same(frame.drop(columns="id").to_numpy().astype(expected.dtype), expected.pooled)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first.removeprefix("# pliant_meta ")) == expected.pooled_meta


def main():
    (folder,) = map(Path, sys.argv[1:])
    for name in TYPES:
        expected = Expected(folder, name)
        for check in check_h5_files, check_parquet, check_safetensors, check_tsv:
            check(folder, name, expected)
    versions = [f"{package.__name__} {package.__version__}" for package in (h5py, pandas, polars, pyarrow, safetensors)]
    print(f"{', '.join(versions)}: {len(expected.ids)} records of every format read as expected")


if __name__ == "__main__":
    main()

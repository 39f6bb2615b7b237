"""Exports a head as ONNX and compares ONNX Runtime's numbers with those of the head's folder.

    python tests/peers/check_onnx.py --pliant target/ci/pliant --head head --embeddings vectors.npz

Needs numpy, onnx and onnxruntime. The head is one of `pliant finetune` that reads pooled vectors, the vectors those that
`pliant embed` wrote with its encoder. Probabilities of classes must agree, or the numbers of a regression.
"""

import argparse
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy
import onnx
import onnxruntime

# How far two programs in 32 bits may be apart.
ABSOLUTE, RELATIVE = 1e-5, 1e-4


def meant(numbers: numpy.ndarray, labels: dict) -> numpy.ndarray:
    """What the numbers of a head mean."""
    match labels["kind"]:
        case "class":
            powers = numpy.exp(numbers - numbers.max(1, keepdims=True))
            return powers / powers.sum(1, keepdims=True)
        case "classes":
            return 1 / (1 + numpy.exp(-numbers))
        case "number":
            return numbers * labels["deviation"] + labels["mean"]
        case other:
            raise SystemExit(f"the head tells {other}, wanted class, classes or number")


def told(pliant: str, head: str, embeddings: Path, folder: Path) -> numpy.ndarray:
    """The same as `pliant predict` tells it."""
    out = folder / "labels.jsonl"
    subprocess.run([pliant, "predict", "--embeddings", embeddings, "--head", head, "--out", out, "--quiet"], check=True)
    lines = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    values = [list(line["probabilities"].values()) if "probabilities" in line else [line["value"]] for line in lines]
    return numpy.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", required=True)
    parser.add_argument("--head", required=True)
    parser.add_argument("--embeddings", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "onnx"
        subprocess.run([given.pliant, "model", "export", given.head, "--onnx", "--out", out], check=True)
        onnx.checker.check_model(out / "head.onnx", full_check=True)
        labels = tomllib.loads((out / "head.onnx.toml").read_text())["labels"]
        session = onnxruntime.InferenceSession(out / "head.onnx", providers=["CPUExecutionProvider"])
        vectors = numpy.load(given.embeddings)["embeddings"].astype(numpy.float32)
        (numbers,) = session.run(["y"], {"x": vectors})
        wanted = told(given.pliant, given.head, given.embeddings, Path(scratch))
        apart = numpy.abs(meant(numbers, labels) - wanted) / (ABSOLUTE + RELATIVE * numpy.abs(wanted))
        print(f"{len(vectors)} vectors, {numbers.shape[1]} numbers each: at most {apart.max():.3f} of the tolerance apart")
        assert apart.max() < 1


main()

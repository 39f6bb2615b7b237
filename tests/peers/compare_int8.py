"""Speed of 8-bit products: Pliant's int8 next to its bf16, and to esm-cpp's int8, in one run.

    python tests/peers/compare_int8.py --pliant target/release/pliant --fasta proteome.fasta.gz --limit 200

Both models have random weights: one of the 8M shape, which esm-cpp reads too, and two layers of the 650M shape. All
take turns, so that a busy neighbour or a change of clock hits all; medians count. esm-cpp is calibrated on some of
the proteins, as its manual says, stays loaded and is given the batch size that is best for it; loading counts for
nobody. What the rounding loses is told beside it: cosines of Pliant's mean-pooled vectors with those of f32, for the
model that `--model` names, where one is named. Needs numpy and, for the peer, esm-cpp (PyPI, 0.2.1).
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
from compare_embed import ESM2, SHAPE_650M, agreement, pliant, read_fasta, sample, write_fasta

try:
    import esm_cpp
except ImportError:
    esm_cpp = None

SHAPE_8M = {"hidden_size": 320, "num_attention_heads": 20, "intermediate_size": 1280, "num_hidden_layers": 6}
CALIBRATION = 20


def new_model(arguments, shape, folder):
    """A folder of random weights as transformers loads it."""
    config = folder.with_suffix(".json")
    config.write_text(json.dumps({**ESM2, **shape}))
    made = folder.with_suffix(".pliant")
    new = [arguments.pliant, "model", "new", "--config", str(config), "--seed", "1", "--out", str(made)]
    export = [arguments.pliant, "model", "export", str(made), "--hf", "--out", str(folder)]
    for command in (new, export):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


class Peer:
    """esm-cpp with quantised weights."""

    def __init__(self, model, sequences):
        self.model = esm_cpp.Model.load_from_safetensors(str(model / "model.safetensors"))
        tokenizer = esm_cpp.Tokenizer()
        self.ids = sorted((tokenizer.encode(sequence) for sequence in sequences), key=len)
        observer = esm_cpp.ActivationObserver()
        for ids in self.ids[:: max(1, len(self.ids) // CALIBRATION)]:
            ids = numpy.asarray(ids, dtype=numpy.int32)
            self.model.forward_with_observer(ids, numpy.ones_like(ids), observer)
        self.model.apply_smoothquant(observer.percentile(99.9), 0.5)
        self.model.quantize_weights()
        self.tokens = min([512, 1024, 2048, 4096, 8192], key=self.seconds)

    def seconds(self, tokens=None):
        start, batch, count = time.perf_counter(), [], 0
        for ids in self.ids:
            if batch and count + len(ids) > (tokens or self.tokens):
                self.model.forward_scheduled(batch)
                batch, count = [], 0
            batch.append(ids)
            count += len(ids)
        self.model.forward_scheduled(batch)
        return time.perf_counter() - start


def rounds(arguments, model, fasta, folder, peer):
    """Residues per second of each side, turn by turn."""
    found = {"int8": [], "bf16": [], "esm-cpp int8": []}
    for _ in range(arguments.repeats):
        for precision in ("int8", "bf16"):
            run = pliant(arguments, model, fasta, precision, folder)
            found[precision].append(run["residues_per_second"])
        if peer:
            found["esm-cpp int8"].append(run["residues"] / peer.seconds())
    return {side: statistics.median(values) for side, values in found.items() if values}


def losses(arguments, fasta, folder):
    """Cosines of mean-pooled vectors with those of f32."""
    vectors = {}
    for precision in ("f32", "bf16", "int8"):
        pliant(arguments, arguments.model, fasta, precision, folder)
        vectors[precision] = numpy.load(folder / "pliant.npz")["embeddings"]
    for precision in ("bf16", "int8"):
        ours, exact = vectors[precision].astype(float), vectors["f32"].astype(float)
        norms = numpy.linalg.norm(ours, axis=1) * numpy.linalg.norm(exact, axis=1)
        cosines = (ours * exact).sum(axis=1) / norms
        told = agreement(ours, exact)
        print(f"{precision} against f32, {len(ours)} proteins: cosine least {cosines.min():.6f}, "
              f"median {numpy.median(cosines):.6f}; largest difference {told['largest_difference']:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", required=True, help="the program")
    parser.add_argument("--fasta", type=Path, required=True, help="proteins, plain or .gz")
    parser.add_argument("--limit", type=int, default=200, help="take that many proteins, spread over all lengths")
    parser.add_argument("--model", type=Path, help="model folder whose loss of precision is told")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    records = sample(read_fasta(arguments.fasta), arguments.limit)
    residues = sum(len(sequence) for _, sequence in records)
    print(f"{len(records)} proteins, {residues} residues, {arguments.threads} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta = write_fasta(folder / "all.fasta", records)
        for title, shape in (("8M", SHAPE_8M), ("650M, two layers", SHAPE_650M)):
            model = new_model(arguments, shape, folder / title.split(",")[0])
            peer = Peer(model, [sequence for _, sequence in records]) if esm_cpp and title == "8M" else None
            found = rounds(arguments, model, fasta, folder, peer)
            told = ", ".join(f"{side} {value:,.0f}" for side, value in found.items())
            ratios = ", ".join(f"{found['int8'] / value:.2f} x {side}" for side, value in found.items() if side != "int8")
            print(f"{title}: {told} residues/s; int8 is {ratios}")
        if esm_cpp is None:
            print("SKIPPED: esm-cpp is not installed")
        if arguments.model:
            losses(arguments, fasta, folder)


if __name__ == "__main__":
    main()

"""Embeds the same proteins with Pliant and with Hugging Face transformers on the CPU, in one run.

    python tests/peers/compare_embed.py --pliant target/release/pliant --model DIR --fasta proteome.fasta.gz
    python tests/peers/compare_embed.py --pliant target/release/pliant --random-650m --fasta proteome.fasta.gz --limit 200

The two sides take turns, so that a busy neighbour or a change of clock hits both; medians count. PyTorch stays
loaded and warm; the time of its best batch size counts, found on a part of the proteins. Times leave out the
loading of weights on both sides; Pliant's include reading, writing and hashing (its own `compute_seconds`), and
its whole process is timed as well. Needs the packages of requirements.txt.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

WORKER = Path(__file__).with_name("hugging_face.py")
SHAPE_650M = {"hidden_size": 1280, "num_attention_heads": 20, "intermediate_size": 5120, "num_hidden_layers": 2}
ESM2 = {
    "model_type": "esm",
    "vocab_size": 33,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 1026,
    "position_embedding_type": "rotary",
    "emb_layer_norm_before": False,
    "token_dropout": True,
    "mask_token_id": 32,
    "pad_token_id": 1,
    "initializer_range": 0.02,
}


def read_fasta(path):
    """(header, sequence) of each record of a plain or gzip file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="ascii") as lines:
        parts = lines.read().split(">")[1:]
    return [(part.split("\n", 1)[0], "".join(part.splitlines()[1:])) for part in parts]


def sample(records, count, seed=1):
    """One record of each of `count` equal slices of the records sorted by length, in input order."""
    order = sorted(range(len(records)), key=lambda index: len(records[index][1]))
    edges = [len(order) * place // count for place in range(count + 1)]
    draw = random.Random(seed)
    chosen = {order[draw.randrange(low, high)] for low, high in zip(edges, edges[1:], strict=False) if high > low}
    return [record for index, record in enumerate(records) if index in chosen]


def write_fasta(path, records):
    path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records), encoding="ascii")
    return path


class Torch:
    """A warm worker process that embeds one FASTA file as often as it is asked."""

    def __init__(self, arguments, model, fasta, precision):
        command = [sys.executable, str(WORKER), "--model", str(model), "--fasta", str(fasta)]
        command += ["--precision", precision, "--threads", str(arguments.threads)]
        command += ["--compile"] if arguments.compile else []
        environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        report = json.loads(self.process.stdout.readline())
        self.process.wait()
        return report


def pliant(arguments, model, fasta, precision, folder):
    """One run of the program: its summary, with the wall time of the whole process."""
    out, summary = folder / "pliant.npz", folder / "summary.json"
    command = [arguments.pliant, "embed", str(fasta), "--model", str(model), "--out", str(out), "--quiet"]
    command += ["--precision", precision, "--threads", str(arguments.threads), "--summary", str(summary)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    return {**json.loads(summary.read_text()), "process_seconds": wall}


def best_budget(arguments, model, records, precision, folder):
    """The batch size with which PyTorch is fastest on a part of the proteins."""
    part = write_fasta(folder / "part.fasta", sample(records, arguments.tune))
    worker = Torch(arguments, model, part, precision)
    worker.ask(tokens=arguments.batch_tokens[0])
    seconds = {tokens: min(worker.ask(tokens=tokens)["seconds"] for _ in range(2)) for tokens in arguments.batch_tokens}
    worker.close()
    told = ", ".join(f"{tokens}: {value:.2f} s" for tokens, value in seconds.items())
    print(f"  PyTorch {precision} by batch tokens on {arguments.tune} proteins: {told}")
    return min(seconds, key=seconds.get)


def agreement(ours, theirs):
    """Largest difference and smallest cosine over the proteins."""
    ours, theirs = ours.astype(numpy.float64), theirs.astype(numpy.float64)
    norms = numpy.linalg.norm(ours, axis=1) * numpy.linalg.norm(theirs, axis=1)
    return {
        "largest_difference": float(numpy.abs(ours - theirs).max()),
        "smallest_cosine": float(((ours * theirs).sum(axis=1) / norms).min()),
    }


def compare(arguments, model, records, precision, folder):
    """Pairs of runs in turn, and the figures that follow from them."""
    budget = best_budget(arguments, model, records, precision, folder)
    fasta = write_fasta(folder / "all.fasta", records)
    residues = sum(len(sequence) for _, sequence in records)
    worker, theirs = Torch(arguments, model, fasta, precision), folder / f"torch-{precision}.npy"
    worker.ask(tokens=budget, out=str(theirs))
    pairs = []
    for turn in range(arguments.repeats):
        torch = residues / worker.ask(tokens=budget)["seconds"]
        run = pliant(arguments, model, fasta, precision, folder)
        pairs.append((run["residues"] / run["compute_seconds"], torch, run["residues"] / run["process_seconds"]))
        print(f"  {precision} pair {turn + 1}: Pliant {pairs[-1][0]:,.0f}, PyTorch {torch:,.0f} residues/s", flush=True)
    report = worker.close()
    reference = folder / "torch-f32.npy"
    found = {"agreement_is_with": "PyTorch f32" if reference.exists() else f"PyTorch {precision}"}
    reference = numpy.load(reference if reference.exists() else theirs)
    with numpy.load(folder / "pliant.npz") as result:
        found["pliant"] = agreement(result["embeddings"], reference)
    found["torch"] = agreement(numpy.load(theirs), reference)
    ours, torch, process = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "precision": precision,
        "pliant_residues_per_second": ours,
        "pliant_process_residues_per_second": process,
        "torch_residues_per_second": torch,
        "ratio_of_medians": ours / torch,
        "torch_batch_tokens": budget,
        "pliant_peak_mib": run["peak_memory_bytes"] / 2**20,
        "torch_peak_mib": report["peak_bytes"] / 2**20,
        "torch_version": report["torch"],
        "numerics": run["numerics"],
        **found,
    }


def first_result(arguments, model, folder):
    """Median time from the start of the process to its end with one short protein, in milliseconds."""
    fasta = write_fasta(folder / "one.fasta", [("one", "MKRISTTITTTITITTGNGAG")])
    runs = [pliant(arguments, model, fasta, "f32", folder)["process_seconds"] for _ in range(9)]
    return 1e3 * statistics.median(runs)


def model_folder(arguments, folder):
    """The model of both sides: as given, linked under the name that both look for, or made with random weights."""
    if arguments.random_650m:
        config = folder / "config.json"
        config.write_text(json.dumps({**ESM2, **SHAPE_650M}))
        made = folder / "model"
        command = [arguments.pliant, "model", "new", "--config", str(config), "--seed", "1", "--out", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return made
    if arguments.weights is None:
        return arguments.model
    linked = folder / "model"
    linked.mkdir()
    shutil.copy(arguments.model / "config.json", linked)
    (linked / "model.safetensors").symlink_to((arguments.model / arguments.weights).resolve())
    return linked


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", required=True, help="the program")
    parser.add_argument("--fasta", type=Path, required=True, help="proteins, plain or .gz")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=Path, help="model folder with config.json and model.safetensors")
    model.add_argument("--random-650m", action="store_true", help="two random layers of the 650M shape")
    parser.add_argument("--weights", help="name of the weights in the model folder where it is another one")
    parser.add_argument("--limit", type=int, help="take that many proteins, spread over all lengths")
    parser.add_argument("--tune", type=int, default=100, help="proteins on which the batch size is chosen")
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"],
                        help="f32 first makes its PyTorch numbers the reference of the others")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="let PyTorch compile the model")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main():
    arguments = parse()
    records = read_fasta(arguments.fasta)
    if arguments.limit is not None and arguments.limit < len(records):
        records = sample(records, arguments.limit)
    arguments.tune = min(arguments.tune, len(records))
    residues = sum(len(sequence) for _, sequence in records)
    print(f"{len(records)} proteins, {residues} residues, {arguments.threads} threads, load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = model_folder(arguments, folder)
        results = [compare(arguments, model, records, precision, folder) for precision in arguments.precision]
        start = first_result(arguments, model, folder)
    for result in results:
        print(json.dumps(result, indent=2))
    print(f"process start to result with one protein of 21 residues: {start:.0f} ms (median of 9)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"residues": residues, "start_ms": start, "results": results}, indent=2))


if __name__ == "__main__":
    main()

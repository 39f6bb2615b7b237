"""Screens of random vectors by `pliant screen` beside a vectorised PyTorch, in one run.

    python tests/peers/compare_screen.py --pliant target/release/pliant --proteins 20000 --width 320

Both score every pair of two different proteins with the published head of interactions (mean of two vectors, 128 units,
tanh, one number) and keep the best partners of every protein. PyTorch takes the head in its cheapest exact form: every
protein goes through the hidden layer once, and `tanh(u_i + v_j) @ w` is computed for as many pairs at once as are fastest
(the best of several sizes counts); it scores a part of the pairs, and its speed is that of this part. Prints pairs per
second of both, their ratio, and how far the logits of the pairs that Pliant kept are from those of the plain head in 64 bits.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import blake3
import numpy as np
import torch
from safetensors.numpy import save_file

UNITS = 128


def head_folder(folder, width, rng):
    weights = {
        "hidden.weight": rng.normal(0, width**-0.5, (UNITS, width)),
        "hidden.bias": rng.normal(0, 0.1, UNITS),
        "output.weight": rng.normal(0, UNITS**-0.5, (1, UNITS)),
        "output.bias": rng.normal(0, 0.1, 1),
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    save_file(weights, folder / "head.safetensors")
    card = {
        "format": "pliant-head-1",
        "task": "ppi",
        "labels": {"kind": "class", "classes": ["0", "1"], "prior": [0.5, 0.5]},
        "head": {
            "kind": "average", "inputs": width, "outputs": 1, "pooling": "mean", "hidden": UNITS,
            "activation": "tanh", "dropout": 0.0,
        },
        "encoder": {
            "identity": "0" * 64, "family": "none", "vocabulary": "none", "layer": 1, "long": "whole", "inside": False,
        },
        "reader": {},
        "weights": blake3.blake3((folder / "head.safetensors").read_bytes()).hexdigest(),
        "training": None,
    }
    (folder / "head.json").write_text(json.dumps(card))
    return weights


def of_torch(vectors, weights, top_k, seconds):
    """Pairs a second of the best size of blocks: logits of a block, then the best of every row."""
    w = {name: torch.from_numpy(value) for name, value in weights.items()}
    u = torch.nn.functional.linear(torch.from_numpy(vectors), w["hidden.weight"], w["hidden.bias"]) / 2
    out, bias = w["output.weight"][0], w["output.bias"]
    best = 0.0
    for rows, columns in [(8, 256), (16, 512), (32, 1024), (64, 2048), (128, 4096)]:
        if rows > len(u) or columns > len(u):
            continue
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            at = done // columns % max(len(u) - rows, 1)
            logits = torch.tanh(u[at : at + rows, None] + u[None, :columns]) @ out + bias
            torch.topk(logits, min(top_k, columns), dim=1)
            done += rows * columns
        best = max(best, done / (time.perf_counter() - start))
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pliant", required=True)
    parser.add_argument("--proteins", type=int, default=20_001)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of PyTorch for every size of blocks")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        weights = head_folder(folder, args.width, rng)
        vectors = rng.normal(0, 1, (args.proteins, args.width)).astype(np.float32)
        np.savez(folder / "v.npz", ids=np.array([f"p{i}" for i in range(args.proteins)]), embeddings=vectors)
        times = []
        for _ in range(args.repeats):
            command = [
                args.pliant, "screen", "--embeddings", "v.npz", "--head", ".", "--top-k", str(args.top_k),
                "--out", "out.tsv", "--summary", "s.json", "--threads", str(args.threads), "--quiet",
            ]
            subprocess.run(command, cwd=folder, check=True)
            summary = json.loads((folder / "s.json").read_text())
            times.append((summary["scoring_seconds"], summary["wall_seconds"]))
        pairs = summary["pairs_scored"]
        seconds, wall = sorted(times)[len(times) // 2]
        lines = [line.split("\t") for line in (folder / "out.tsv").read_text().splitlines()[2:]]
    chosen = lines[:: max(1, len(lines) // 20_000)]
    both = np.array([[int(cells[0][1:]), int(cells[1][1:])] for cells in chosen])
    mean = (vectors[both[:, 0]].astype(np.float64) + vectors[both[:, 1]]) / 2
    hidden = np.tanh(mean @ weights["hidden.weight"].T.astype(np.float64) + weights["hidden.bias"])
    plain = hidden @ weights["output.weight"][0].astype(np.float64) + weights["output.bias"][0]
    off = np.abs(np.array([float(cells[2]) for cells in chosen]) - plain).max()
    total = np.abs(weights["output.weight"].astype(np.float64)).sum()
    torch_speed = of_torch(vectors, weights, args.top_k, args.seconds)
    print(f"pairs {pairs}, kept {len(lines)}, threads {args.threads}")
    print(f"pliant   {pairs / seconds:.3g} pairs/s, {seconds:.3f} s to score (median of {args.repeats}), {wall:.2f} s in all")
    print(f"pytorch  {torch_speed:.3g} pairs/s, {pairs / torch_speed:.1f} s for all of them")
    print(f"ratio    {pairs / seconds / torch_speed:.1f}")
    print(f"largest |Δlogit| {off:.2e}, of max(1, Σ|w|) = {max(1, total):.2f}: {off / max(1, total):.1e}")


if __name__ == "__main__":
    main()

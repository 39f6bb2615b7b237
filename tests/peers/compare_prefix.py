"""Epochs of an adapter in the top layers with the states below them kept, beside epochs that compute them each time.

    python tests/peers/compare_prefix.py --pliant target/release/pliant --fasta proteome.fasta.gz [--shape 35M]

Both trainings are Pliant's own, of one model of random weights and the same examples, with labels that mean nothing; the
backward of both ends at the lowest adapter. They take turns; the adapters that they end with must have equal bytes. Seconds
of an epoch are those of the log, from its beginning to the end of its steps; what filling the states takes at first is told
beside them.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from compare_embed import ESM2, read_fasta

SHAPES = {
    "8M": {"hidden_size": 320, "num_attention_heads": 20, "intermediate_size": 1280, "num_hidden_layers": 6},
    "35M": {"hidden_size": 480, "num_attention_heads": 20, "intermediate_size": 1920, "num_hidden_layers": 12},
    "150M": {"hidden_size": 640, "num_attention_heads": 20, "intermediate_size": 2560, "num_hidden_layers": 30},
}


def train(arguments, folder, name, layers, kept):
    """Seconds of every epoch, and those of the whole program."""
    command = [arguments.pliant, "finetune", "--task", "classification", "--train", folder / "t.tsv", "--quiet"]
    command += ["--model", folder / "model", "--tune", "lora", "--lora-layers", ",".join(str(layer) for layer in layers)]
    command += ["--out", folder / name, "--threads", str(arguments.threads)]
    for setting in (
        f"run.epochs={arguments.epochs}", "run.batch=16", f"run.precision={arguments.precision}", "run.budget_tokens=8192",
        f"tuning.prefix_gigabytes={100 if kept else 0}",
    ):
        command += ["--set", setting]
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True)
    whole = time.perf_counter() - start
    lines = [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
    ends = [line["seconds"] for line in lines if line["kind"] == "train"]
    return [end - before for end, before in zip(ends, [0.0, *ends], strict=False)], whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", type=Path, required=True)
    parser.add_argument("--fasta", type=Path, required=True, help="proteins, plain or .gz")
    parser.add_argument("--shape", choices=SHAPES, default="35M")
    parser.add_argument("--proteins", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    count = SHAPES[arguments.shape]["num_hidden_layers"]
    layers = range(count - max(1, count // 4) + 1, count + 1)
    seconds, whole = {True: [], False: []}, {True: [], False: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(ESM2 | SHAPES[arguments.shape]))
        made = ["model", "new", "--config", folder / "config.json", "--seed", "1", "--out", folder / "model"]
        subprocess.run([str(word) for word in [arguments.pliant, *made]], check=True, stdout=subprocess.DEVNULL)
        proteins = [sequence for _, sequence in read_fasta(arguments.fasta)][: arguments.proteins]
        rows = [f"p{number}\t{sequence}\t{number % 2}" for number, sequence in enumerate(proteins)]
        (folder / "t.tsv").write_text("\n".join(["id\tsequence\tlabel", *rows]) + "\n")
        for turn in range(arguments.repeats):
            for kept in (True, False):
                epochs, all_of_it = train(arguments, folder, f"{turn}_{kept}", layers, kept)
                seconds[kept] += epochs
                whole[kept].append(all_of_it)
            ends = [(folder / f"{turn}_{kept}/adapter/adapter_model.safetensors").read_bytes() for kept in (True, False)]
            assert ends[0] == ends[1], "kept states changed the adapter"
    kept, anew = (statistics.median(seconds[which]) for which in (True, False))
    print(json.dumps({
        "shape": arguments.shape, "adapted_layers": len(layers), "layers": count, "precision": arguments.precision,
        "residues": sum(map(len, proteins)), "epoch_seconds_kept": kept, "epoch_seconds_anew": anew, "ratio": anew / kept,
        "program_seconds_kept": statistics.median(whole[True]), "program_seconds_anew": statistics.median(whole[False]),
        "load": os.getloadavg()[0],
    }, indent=2))


if __name__ == "__main__":
    main()

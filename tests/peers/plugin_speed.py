"""What a head costs as a plugin, beside the same head built in, on 10,000 stored vectors of 1280 numbers.

    python tests/peers/plugin_speed.py --pliant target/release/pliant

Needs Python alone. A model of random weights with one layer encodes short peptides, a linear head of three classes is taught
on it, and the linear head of `plugins/` is given its weights. `pliant predict --embeddings` with either is timed end to end,
one after the other in turns. It fails where the labels differ, where the plugin takes more than 1.5 times as long, or where
it adds more than 4 microseconds a vector.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent.parent.parent / "plugins" / "linear_head"
WIDTH, VECTORS, CLASSES = 1280, 10_000, ["x", "y", "z"]
MOST_TIMES, MOST_MICROSECONDS = 1.5, 4.0
LETTERS = "ACDEFGHIKLMNPQRSTVWY"

CONFIG = {
    "architectures": ["EsmForMaskedLM"], "model_type": "esm", "vocab_size": 33, "hidden_size": WIDTH,
    "num_hidden_layers": 1, "num_attention_heads": 20, "intermediate_size": 64, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 1026, "position_embedding_type": "rotary", "emb_layer_norm_before": False,
    "token_dropout": True, "mask_token_id": 32, "pad_token_id": 1, "initializer_range": 0.02,
}


def peptide(number: int) -> str:
    """A peptide of its own for every number below 160,000."""
    return "".join(LETTERS[number // 20**place % 20] for place in range(4))


def weights(head: Path) -> bytes:
    """The weights of a head that was taught, as the plugin reads them."""
    data = (head / "head.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    about = json.loads(data[8 : 8 + size])

    def numbers(name: str) -> bytes:
        first, last = about[name]["data_offsets"]
        return data[8 + size + first : 8 + size + last]

    return struct.pack("<II", WIDTH, len(CLASSES)) + numbers("output.bias") + numbers("output.weight")


def rows(path: Path) -> list[list[str]]:
    """The cells of a table."""
    return [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]


def same(taught: Path, brought: Path) -> None:
    """Stops where the two heads do not tell the same."""
    left, right = rows(taught), rows(brought)
    assert left[0] == right[0] and len(left) == len(right) == VECTORS + 1, (left[0], right[0], len(left), len(right))
    for one, other in zip(left[1:], right[1:]):
        apart = max(abs(float(a) - float(b)) for a, b in zip(one[2:], other[2:]))
        # Sums of 1280 products in 32 bits, in another order.
        assert one[:2] == other[:2] or apart < 1e-5, (one, other)
        assert apart < 1e-5, (one, other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    pliant = str(Path(options.pliant).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PLIANT_")}
        environment["XDG_CACHE_HOME"] = str(folder / "cache")

        def run(*words) -> float:
            start = time.perf_counter()
            subprocess.run([pliant, *map(str, words)], check=True, cwd=folder, env=environment)
            return time.perf_counter() - start

        (folder / "model.json").write_text(json.dumps(CONFIG))
        (folder / "all.fasta").write_text("".join(f">p{row}\n{peptide(row)}\n" for row in range(VECTORS)))
        examples = "".join(f"{peptide(row)}\t{CLASSES[row % 3]}\n" for row in range(60))
        (folder / "train.tsv").write_text(f"sequence\tlabel\n{examples}")
        run("model", "new", "--config", "model.json", "--seed", 1, "--out", "model", "--quiet")
        run("finetune", "--task", "classification", "--train", "train.tsv", "--model", "model", "--out", "head",
            "--set", "run.epochs=2", "--quiet")
        run("embed", "all.fasta", "--model", "model", "--out", "vectors.safetensors", "--quiet")
        shutil.copytree(PLUGIN, folder / "plugin", ignore=shutil.ignore_patterns("src"))
        manifest = folder / "plugin" / "plugin.toml"
        manifest.write_text(manifest.read_text().replace('["H", "E", "C"]', json.dumps(CLASSES)))
        (folder / "plugin" / "weights.bin").write_bytes(weights(folder / "head"))
        run("plugin", "check", "plugin/plugin.toml", "--seal", "--quiet")
        times = {"head": [], "plugin/plugin.toml": []}
        for _ in range(options.rounds + 1):
            for head, taken in times.items():
                taken.append(run("predict", "--embeddings", "vectors.safetensors", "--head", head, "--out",
                                 f"{head.split('/')[0]}.tsv", "--threads", 1, "--quiet"))
        same(folder / "head.tsv", folder / "plugin.tsv")
    # The first of each warms up what is read.
    built_in, plugin = (sorted(taken[1:])[len(taken) // 2 - 1] for taken in times.values())
    ratio, added = plugin / built_in, (plugin - built_in) * 1e6 / VECTORS
    print(f"built in {built_in:.3f} s, plugin {plugin:.3f} s: {ratio:.2f} times, {added:+.2f} microseconds a vector "
          f"(middle of {options.rounds}, {VECTORS} vectors of {WIDTH})")
    if ratio > MOST_TIMES or added > MOST_MICROSECONDS:
        raise SystemExit(f"wanted at most {MOST_TIMES} times and {MOST_MICROSECONDS} microseconds a vector")


if __name__ == "__main__":
    main()

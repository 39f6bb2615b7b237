"""Trains the same model on the same packs and masks with Pliant and with PyTorch on the CPU, in one run.

    cargo bench -p pliant-tests --bench train --no-run      # prints the path of the program below
    python tests/peers/compare_train.py --bench target/release/deps/train-... --fasta proteome.fasta.gz

Both sides begin with the same random weights, of the 35M shape of ESM-2 or another one, and see the same updates of
AdamW: proteins in random order, cropped at random, packed up to a budget of tokens, 15 % of their residues chosen.
Pliant takes a pack as it is; PyTorch takes it in padded batches sorted by length, of the size with which it is fastest
here. The two take turns, so that a busy neighbour or a change of clock hits both; medians count, and the losses of the
first pass must agree. Loading stands outside the measured time. Needs the packages of requirements.txt.

Shapes named `mamba-` are BiMamba-S (LC-PLM), beside transformers' mixers on the path that needs no CUDA. Those cannot
be padded: all crops have one length, shorter proteins are left out.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from safetensors.numpy import save_file

from compare_embed import ESM2, read_fasta
from hugging_face import CLS, EOS, LETTERS

WORKER = Path(__file__).with_name("hugging_face_train.py")
SHAPES = {
    "8M": {"hidden_size": 320, "num_attention_heads": 20, "intermediate_size": 1280, "num_hidden_layers": 6},
    "35M": {"hidden_size": 480, "num_attention_heads": 20, "intermediate_size": 1920, "num_hidden_layers": 12},
    "150M": {"hidden_size": 640, "num_attention_heads": 20, "intermediate_size": 2560, "num_hidden_layers": 30},
    "mamba-7M": {"d_model": 320, "n_layer": 8},
    "mamba-96M": {"d_model": 768, "n_layer": 24},
}
LC_PLM = {
    "model_type": "lc_plm",
    "d_intermediate": 0,
    "vocab_size": 33,
    "pad_vocab_size_multiple": 1,
    "ssm_cfg": {"layer": "Mamba1"},
    "rms_norm": True,
    "norm_epsilon": 1e-05,
    "residual_in_fp32": True,
    "bidirectional": True,
    "bidirectional_strategy": "add",
    "bidirectional_weight_tie": True,
    "tie_embeddings": False,
}
MASK = 32
STANDARD = [LETTERS[letter] for letter in "ACDEFGHIKLMNPQRSTVWY"]
CHOSEN = 0.15
# How far losses may be apart: rounding alone, which the steps between them let grow.
TOLERANCE = {"f32": 1e-3, "bf16": 2e-2}


def masked(draw, residues):
    """Ids of a crop with its masks, the places chosen in it, and what stood there."""
    places = sorted(draw.sample(range(len(residues)), max(1, round(CHOSEN * len(residues)))))
    ids, targets = list(residues), [residues[place] for place in places]
    for place in places:
        fate = draw.random()
        if fate < 0.8:
            ids[place] = MASK
        elif fate < 0.9:
            ids[place] = draw.choice(STANDARD)
    return [CLS, *ids, EOS], [place + 1 for place in places], targets


def packs(proteins, arguments):
    """As many packs as asked for: lists of ids, offsets, places and targets."""
    draw = random.Random(arguments.seed)
    order = draw.sample(proteins, len(proteins))
    made, pack = [], None
    for sequence in order:
        if arguments.family == "lc_plm" and len(sequence) < arguments.crop:
            continue
        start = draw.randrange(max(1, len(sequence) - arguments.crop + 1))
        residues = [LETTERS[letter] for letter in sequence[start : start + arguments.crop] if letter in LETTERS]
        ids, places, targets = masked(draw, residues)
        if pack is None or len(pack["ids"]) + len(ids) > arguments.budget:
            if len(made) == arguments.packs:
                return made
            pack = {"ids": [], "offsets": [0], "places": [], "targets": []}
            made.append(pack)
        pack["places"] += [len(pack["ids"]) + place for place in places]
        pack["targets"] += targets
        pack["ids"] += ids
        pack["offsets"].append(len(pack["ids"]))
    return made


class Side:
    """A warm process that trains on the packs as often as it is asked."""

    def __init__(self, command, threads):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([str(part) for part in command], text=True, env=environment, **pipes)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        report = json.loads(self.process.stdout.readline())
        self.process.wait()
        return report


def torch_side(arguments, files, precision):
    command = [sys.executable, WORKER, "--family", arguments.family, "--model", files["model"]]
    command += ["--packs", files["packs"], "--precision", precision, "--threads", arguments.threads]
    command += ["--adapter", files["adapter"]] if arguments.lora else []
    return Side(command + (["--compile"] if arguments.compile else []), arguments.threads)


def ask(arguments, side, tokens):
    """One pass; Pliant takes packs as they are, whatever the size of a batch."""
    return side.ask(tokens=tokens, forward=arguments.forward)


def best_budget(arguments, files, precision):
    """The size of batch with which PyTorch is fastest."""
    if len(arguments.batch_tokens) == 1:
        return arguments.batch_tokens[0]
    side = torch_side(arguments, files, precision)
    ask(arguments, side, arguments.batch_tokens[0])
    seconds = {tokens: min(ask(arguments, side, tokens)["seconds"] for _ in range(2)) for tokens in arguments.batch_tokens}
    side.close()
    told = ", ".join(f"{tokens}: {value:.2f} s" for tokens, value in seconds.items())
    print(f"  PyTorch {precision} by batch tokens: {told}", flush=True)
    return min(seconds, key=seconds.get)


def compare(arguments, files, residues, precision):
    """Pairs of passes in turn, and the figures that follow from them."""
    budget = best_budget(arguments, files, precision)
    torch = torch_side(arguments, files, precision)
    command = [arguments.bench, files["model"], files["packs"], precision, arguments.threads]
    pliant = Side(command + ([files["adapter"]] if arguments.lora else []), arguments.threads)
    losses = ask(arguments, pliant, 0)["losses"], ask(arguments, torch, budget)["losses"]
    apart = max(abs(ours - theirs) for ours, theirs in zip(*losses, strict=True))
    print(f"  {precision} losses of Pliant {losses[0]}, of PyTorch {losses[1]}", flush=True)
    if apart > TOLERANCE[precision]:
        sys.exit(f"losses are {apart} apart, wanted at most {TOLERANCE[precision]}: the two do not train alike")
    pairs = []
    for turn in range(arguments.repeats):
        seconds = ask(arguments, pliant, 0)["seconds"], ask(arguments, torch, budget)["seconds"]
        pairs.append((residues / seconds[0], residues / seconds[1]))
        ours, theirs = pairs[-1]
        print(f"  {precision} pair {turn + 1}: Pliant {ours:,.0f}, PyTorch {theirs:,.0f} residues/s", flush=True)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    reports = pliant.close(), torch.close()
    return {
        "precision": precision,
        "pliant_residues_per_second": ours,
        "torch_residues_per_second": theirs,
        "ratio_of_medians": ours / theirs,
        "median_of_ratios": statistics.median(one / other for one, other in pairs),
        "largest_difference_of_losses": apart,
        "pliant_peak_mib": reports[0]["peak_bytes"] / 2**20,
        "torch_peak_mib": reports[1]["peak_bytes"] / 2**20,
        "torch_batch_tokens": budget,
        "torch_version": reports[1]["torch"],
    }


def make_model(arguments, folder):
    """A folder with random weights, as PyTorch begins."""
    config = {"esm2": ESM2, "lc_plm": LC_PLM}[arguments.family] | SHAPES[arguments.shape]
    command = [sys.executable, str(WORKER), "--family", arguments.family, "--model", str(folder / "model")]
    command += ["--make", json.dumps(config)]
    if arguments.lora:
        lora = {"r": arguments.rank, "lora_alpha": 2 * arguments.rank, "target_modules": arguments.lora}
        command += ["--adapter", str(folder / "adapter"), "--lora", json.dumps(lora)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "model"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="the program of `cargo bench --bench train`")
    parser.add_argument("--fasta", type=Path, required=True, help="proteins, plain or .gz")
    parser.add_argument("--shape", choices=SHAPES, default="35M")
    parser.add_argument("--forward", action="store_true", help="compare passes without gradients and steps")
    parser.add_argument("--lora", nargs="+", metavar="MODULE", help="train an adapter beside these alone, as key value")
    parser.add_argument("--rank", type=int, default=8, help="of the adapter")
    parser.add_argument("--packs", type=int, default=3, help="updates of one pass")
    parser.add_argument("--budget", type=int, default=8192, help="tokens of an update")
    parser.add_argument("--crop", type=int, default=1022, help="residues of the longest crop")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="let PyTorch compile the model")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    arguments.family = "lc_plm" if "d_model" in SHAPES[arguments.shape] else "esm2"
    return arguments


def main():
    arguments = parse()
    made = packs([sequence for _, sequence in read_fasta(arguments.fasta)], arguments)
    residues = sum(len(pack["ids"]) - 2 * (len(pack["offsets"]) - 1) for pack in made)
    print(f"{len(made)} updates, {residues} residues, {arguments.threads} threads, load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"packs": folder / "packs.safetensors", "model": make_model(arguments, folder)}
        files["adapter"] = folder / "adapter"
        lists = {f"{number}.{key}": values for number, pack in enumerate(made) for key, values in pack.items()}
        save_file({key: numpy.array(values, dtype=numpy.int32) for key, values in lists.items()}, files["packs"])
        results = [compare(arguments, files, residues, precision) for precision in arguments.precision]
    for result in results:
        print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps({"residues": residues, "results": results}, indent=2))


if __name__ == "__main__":
    main()

"""Runs and trains the same bidirectional LSTM with Pliant and with PyTorch on the CPU, in one run.

    cargo bench -p pliant-tests --bench lstm --no-run       # prints the path of the program below
    python tests/peers/compare_lstm.py --bench target/release/deps/lstm-... --fasta proteome.fasta.gz

The network is that of PLUS-RNN large: 21 inputs, three layers of 1024 units a direction, a decoder to 21 classes, as
PyTorch begins it. Proteins are drawn from the proteome, cut at --crop residues and sorted by length. Pliant takes packs
of --chains of them; PyTorch pads batches, packs them with pack_padded_sequence as the authors of PLUS do, and gets the
size of batch with which it is fastest here. Both begin cold where one size is given. The two take turns, so that a busy neighbour or a change of clock hits both;
medians count, and losses of a forward pass must agree. Needs the packages of requirements.txt.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence

from compare_embed import read_fasta

INPUTS, CLASSES = 21, 21
# How far mean losses may be apart: rounding alone.
TOLERANCE = {"f32": 1e-4, "bf16": 5e-3}


class Network(nn.Module):
    def __init__(self, hidden, layers):
        super().__init__()
        self.rnn = nn.LSTM(INPUTS, hidden, layers, batch_first=True, bidirectional=True)
        self.decoder = nn.Linear(2 * hidden, CLASSES)


class Torch:
    """PyTorch's side: batches of padded sequences."""

    def __init__(self, network, sequences, precision):
        self.type = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.network, self.sequences = network.to(self.type), sequences
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.0)

    def batches(self, count):
        for first in range(0, len(self.sequences), count):
            rows = self.sequences[first : first + count]
            x = nn.utils.rnn.pad_sequence([row[0] for row in rows], batch_first=True).to(self.type)
            targets = nn.utils.rnn.pad_sequence([row[1] for row in rows], batch_first=True, padding_value=-1)
            yield x, targets, [len(row[0]) for row in rows]

    def ask(self, count, forward):
        made, losses = list(self.batches(count)), []
        start = time.perf_counter()
        for x, targets, lengths in made:
            with torch.set_grad_enabled(not forward):
                h, _ = self.network.rnn(pack_padded_sequence(x, lengths, batch_first=True))
                order = pack_padded_sequence(targets[..., None], lengths, batch_first=True).data[:, 0]
                loss = cross_entropy(self.network.decoder(h.data).float(), order)
            if not forward:
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
            losses.append(loss.item())
        return {"seconds": time.perf_counter() - start, "losses": losses}


class Pliant:
    """A warm process that runs as often as it is asked."""

    def __init__(self, arguments, file, precision):
        command = [arguments.bench.resolve(), file, arguments.hidden, arguments.layers, precision, arguments.threads]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([str(part) for part in command], text=True, **pipes)

    def ask(self, count, forward):
        self.process.stdin.write(json.dumps({"count": count, "forward": forward}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def mean(answer, sizes):
    """Mean loss over residues, whatever the batches are."""
    return sum(loss * size for loss, size in zip(answer["losses"], sizes, strict=True)) / sum(sizes)


def sizes(sequences, count):
    return [sum(len(row[0]) for row in sequences[first : first + count]) for first in range(0, len(sequences), count)]


def compare(arguments, file, network, sequences, forward):
    residues = sum(len(row[0]) for row in sequences)
    what = "forward" if forward else "training"
    sides = {f"PyTorch {name}": Torch(Network.clone(network), sequences, name) for name in arguments.peers}
    sides |= {f"Pliant {name}": Pliant(arguments, file, name) for name in arguments.precision}
    counts = {}
    for name, side in sides.items():
        tried = arguments.batch if name.startswith("PyTorch") else [arguments.chains]
        if len(tried) == 1:
            counts[name] = tried[0]
            continue
        took = {count: side.ask(count, forward)["seconds"] for count in tried}
        counts[name] = min(took, key=took.get)
        told = ", ".join(f"{count}: {residues / value:,.0f}" for count, value in took.items())
        print(f"  {what} {name} by sequences together: {told} residues/s", flush=True)
    speeds = {name: [] for name in sides}
    for _ in range(arguments.repeats):
        losses = {}
        for name, side in sides.items():
            answer = side.ask(counts[name], forward)
            speeds[name].append(residues / answer["seconds"])
            losses[name] = mean(answer, sizes(sequences, counts[name]))
        if forward:
            apart = {name: abs(loss - losses["PyTorch f32"]) for name, loss in losses.items()}
            for name, value in apart.items():
                limit = TOLERANCE[name.split()[1]]
                assert value <= limit, f"the loss of {name} is {value} from PyTorch's in f32, wanted at most {limit}"
    result = {name: statistics.median(values) for name, values in speeds.items()}
    for name in result:
        if name.startswith("Pliant"):
            ratio = statistics.median(a / b for a, b in zip(speeds[name], speeds["PyTorch f32"], strict=True))
            print(f"  {what} {name}: {result[name]:,.0f} residues/s, {ratio:.2f} of PyTorch f32", flush=True)
    return result | {"batch": counts}


def clone(network):
    other = Network(network.rnn.hidden_size, network.rnn.num_layers)
    other.load_state_dict(network.state_dict())
    return other


Network.clone = staticmethod(clone)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="the program of `cargo bench --bench lstm`")
    parser.add_argument("--fasta", type=Path, required=True, help="proteins, plain or .gz")
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--proteins", type=int, default=64)
    parser.add_argument("--crop", type=int, default=1022)
    parser.add_argument("--chains", type=int, default=64, help="sequences of a pack of Pliant's")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32, 64], help="sizes of batch that PyTorch tries")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--peers", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--only", choices=["forward", "training"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    records = random.Random(1).sample(read_fasta(arguments.fasta), arguments.proteins)
    lengths = sorted((min(len(sequence), arguments.crop) for _, sequence in records), reverse=True)
    rows = [(torch.randn(length, INPUTS), torch.randint(CLASSES, (length,))) for length in lengths]
    network = Network(arguments.hidden, arguments.layers)
    print(f"{sum(lengths)} residues of {len(lengths)} proteins, {arguments.threads} threads, torch {torch.__version__}")
    results = {}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "network.safetensors"
        tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
        tensors["x"] = torch.cat([row[0] for row in rows])
        tensors["targets"] = torch.cat([row[1] for row in rows]).to(torch.int32)
        tensors["offsets"] = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
        save_file(tensors, file)
        for what in ["forward", "training"]:
            if arguments.only in (None, what):
                results[what] = compare(arguments, file, network, rows, what == "forward")
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

"""Embeds proteins with Hugging Face transformers on the CPU; driven line by line by compare_embed.py.

Reads one JSON request per line, answers with one JSON line:
  {"tokens": 4096}                  -> {"seconds": ..., "residues": ...}   one pass over all proteins
  {"tokens": 4096, "out": "x.npy"}  -> the same, and the mean-pooled vectors in input order
End of input ends the program, which then reports its peak memory.

Loading the model, reading the file and turning letters into numbers stand outside the measured time, which
favours this side. A pass is length-sorted, cut by a budget of padded tokens, scaled-dot-product attention.
"""

import argparse
import json
import resource
import sys
import time

import numpy
import torch
from transformers import EsmModel

CLS, PAD, EOS, UNKNOWN = 0, 1, 2, 3
LETTERS = {letter: index + 4 for index, letter in enumerate("LAGVSERTIDPKQNFYMHWCXBUZO.-")}


def read_fasta(path):
    """The sequences of a plain FASTA file as token ids, `<cls>` and `<eos>` included."""
    with open(path, encoding="ascii") as lines:
        parts = lines.read().split(">")[1:]
    sequences = ("".join(part.splitlines()[1:]).upper() for part in parts)
    return [[CLS, *(LETTERS.get(letter, UNKNOWN) for letter in sequence), EOS] for sequence in sequences]


def batches(proteins, budget):
    """Indices of proteins, longest first, cut so that count x longest stays within the budget."""
    order = sorted(range(len(proteins)), key=lambda index: -len(proteins[index]))
    batch = []
    for index in order:
        if batch and (len(batch) + 1) * len(proteins[batch[0]]) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pooled(model, rows):
    """Mean over the residues of each row's last hidden state."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    ids = torch.full((len(rows), width), PAD)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    places = torch.arange(width)
    mask = places < lengths[:, None]
    padded = bool((lengths != width).any())
    hidden = model(input_ids=ids, attention_mask=mask.long() if padded else None).last_hidden_state
    residues = (mask & (places > 0) & (places < lengths[:, None] - 1)).to(hidden.dtype)
    sums = torch.bmm(residues[:, None, :], hidden)[:, 0].float()
    return sums / (lengths[:, None] - 2)


def embed(model, proteins, budget):
    """One pass: vectors in input order and the seconds it took."""
    results = [None] * len(proteins)
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in batches(proteins, budget):
            vectors = pooled(model, [proteins[index] for index in batch]).numpy()
            for index, vector in zip(batch, vectors, strict=True):
                results[index] = vector
    return numpy.stack(results), time.perf_counter() - start


def load(arguments):
    """The encoder without its pooler, as strong as its options make it."""
    model = EsmModel.from_pretrained(
        arguments.model,
        add_pooling_layer=False,
        attn_implementation="sdpa",
        dtype={"f32": torch.float32, "bf16": torch.bfloat16}[arguments.precision],
    ).eval()
    return torch.compile(model, dynamic=True) if arguments.compile else model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true", help="torch.compile with dynamic shapes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, proteins = load(arguments), read_fasta(arguments.fasta)
    residues = sum(len(protein) - 2 for protein in proteins)
    for line in sys.stdin:
        request = json.loads(line)
        vectors, seconds = embed(model, proteins, request["tokens"])
        if "out" in request:
            numpy.save(request["out"], vectors)
        print(json.dumps({"seconds": seconds, "residues": residues}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak_bytes": peak, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()

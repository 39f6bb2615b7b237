"""Trains a masked language model of Hugging Face transformers on the CPU; driven line by line by compare_train.py.

    hugging_face_train.py --model DIR --packs packs.safetensors --precision f32|bf16 --threads N

Reads one JSON request per line, answers with one JSON line:
  {"tokens": 4096}  -> {"seconds": ..., "losses": [...]}   one pass over the packs, an AdamW step after each
End of input ends the program, which then reports its peak memory.

A pack is one update. Its proteins are sorted by length and cut into batches of at most so many padded tokens, whose
gradients add up: the loss is the mean over the chosen tokens of the pack, whatever the batches are. In this program's
favour the head runs on the chosen tokens only, AdamW is the fused one, and turning lists into tensors is not timed.
"""

import argparse
import json
import resource
import sys
import time

import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import EsmForMaskedLM

PAD = 1


class Update:
    """One pack: its proteins, the tokens asked for in each, and the right answers."""

    def __init__(self, lists):
        ids, offsets, places, targets = (lists[name].long() for name in ("ids", "offsets", "places", "targets"))
        self.chosen, borders, self.rows = len(places), offsets.tolist(), []
        for start, end in zip(borders, borders[1:], strict=False):
            inside = (places >= start) & (places < end)
            self.rows.append((ids[start:end], places[inside] - start, targets[inside]))
        self.rows.sort(key=lambda row: -len(row[0]))
        self.cuts = {}

    def batches(self, budget):
        """Padded batches, longest proteins first, cut so that count x longest stays within the budget."""
        if budget not in self.cuts:
            batches, batch = [], []
            for row in self.rows:
                if batch and (len(batch) + 1) * len(batch[0][0]) > budget:
                    batches.append(padded(batch))
                    batch = []
                batch.append(row)
            self.cuts[budget] = [*batches, padded(batch)]
        return self.cuts[budget]


def padded(rows):
    """Ids and mask (none where nothing is padded) of a batch, chosen places in it flat, and their targets."""
    width = len(rows[0][0])
    ids = torch.full((len(rows), width), PAD)
    for index, (row, _, _) in enumerate(rows):
        ids[index, : len(row)] = row
    mask = (torch.arange(width) < torch.tensor([len(row) for row, _, _ in rows])[:, None]).long()
    places = torch.cat([index * width + places for index, (_, places, _) in enumerate(rows)])
    return ids, None if bool(mask.all()) else mask, places, torch.cat([targets for _, _, targets in rows])


def esm2(arguments):
    """The model, and a function from a batch to the logits of its chosen tokens."""
    model = EsmForMaskedLM.from_pretrained(arguments.model, attn_implementation="sdpa", dtype=torch.float32).train()
    body = torch.compile(model.esm, dynamic=True) if arguments.compile else model.esm

    def logits(ids, mask, places):
        states = body(input_ids=ids, attention_mask=mask).last_hidden_state
        return model.lm_head(states.flatten(0, 1)[places])

    return model, logits


FAMILIES = {"esm2": esm2}


def optimiser(model, arguments):
    """AdamW; vectors do not decay."""
    matrices = [value for value in model.parameters() if value.requires_grad and value.dim() > 1]
    vectors = [value for value in model.parameters() if value.requires_grad and value.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": arguments.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98), eps=1e-8, fused=True)


def train(updates, budget, logits, optimiser, half):
    """Losses of one pass over all updates and the seconds it took."""
    batches = [update.batches(budget) for update in updates]
    losses, start = [], time.perf_counter()
    for update, cut in zip(updates, batches, strict=True):
        total = 0.0
        for ids, mask, places, targets in cut:
            if not len(places):
                continue
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                scores = logits(ids, mask, places)
            loss = cross_entropy(scores.float(), targets, reduction="sum") / update.chosen
            loss.backward()
            total += loss.item()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(total)
    return losses, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="esm2")
    parser.add_argument("--model", required=True)
    parser.add_argument("--packs", required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--compile", action="store_true", help="torch.compile with dynamic shapes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    model, logits = FAMILIES[arguments.family](arguments)
    step, lists = optimiser(model, arguments), load_file(arguments.packs)
    names, count = ("ids", "offsets", "places", "targets"), len(lists) // 4
    updates = [Update({name: lists[f"{pack}.{name}"] for name in names}) for pack in range(count)]
    for line in sys.stdin:
        losses, seconds = train(updates, json.loads(line)["tokens"], logits, step, arguments.precision == "bf16")
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak_bytes": peak, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()

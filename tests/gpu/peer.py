"""Tokens per second of PyTorch on this GPU with an ESM-2 of random weights: padded with sdpa, and packed with varlen attention.

Prints one JSON object, {"padded": ..., "varlen": ...}; null where a way is not there.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, cos, sin, attend):
        q, k, v = self.qkv(self.first(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        q, k = turned(q, cos, sin), turned(k, cos, sin)
        x = x + self.out(attend(q, k, v).flatten(-2))
        return x + self.down(functional.gelu(self.up(self.second(x))))


def turned(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Model(nn.Module):
    def __init__(self, layers, width, heads):
        super().__init__()
        self.embedding = nn.Embedding(33, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        half = width // heads // 2
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(half) / half), persistent=False)

    def forward(self, ids, places, attend):
        angles = places[..., None].float() * self.frequencies.float()
        cos, sin = (f(angles)[..., None, :].to(self.embedding.weight.dtype) for f in (torch.cos, torch.sin))
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, cos, sin, attend)
        return self.norm(x)


def padded(model, lengths, budget):
    """Batches sorted by length, each as many as fill the budget with padding; means over the true tokens."""
    lengths, batches, batch = sorted(lengths), [], []
    for length in lengths:
        if batch and (len(batch) + 1) * length > budget:
            batches.append(batch)
            batch = []
        batch.append(length)
    batches.append(batch)

    def run():
        for batch in batches:
            longest = batch[-1]
            ids = torch.randint(4, 24, (len(batch), longest), device="cuda")
            places = torch.arange(longest, device="cuda").expand(len(batch), -1)
            real = places < torch.tensor(batch, device="cuda")[:, None]
            mask = real[:, None, None, :]

            def attend(q, k, v):
                q, k, v = (x.transpose(1, 2) for x in (q, k, v))
                return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

            states = model(ids, places, attend)
            ((states * real[..., None]).sum(1) / real.sum(1, keepdim=True)).float().cpu()

    return timed(run, sum(lengths))


def varlen_attention():
    try:
        from torch.nn.attention.varlen import varlen_attn
        return lambda q, k, v, borders, longest: varlen_attn(q, k, v, borders, borders, longest, longest)
    except ImportError:
        pass
    try:
        from flash_attn import flash_attn_varlen_func
        return lambda q, k, v, borders, longest: flash_attn_varlen_func(q, k, v, borders, borders, longest, longest)
    except ImportError:
        return None


def packed(model, lengths, budget):
    """Packs without padding."""
    attention = varlen_attention()
    if attention is None:
        return None
    packs, pack = [], []
    for length in sorted(lengths):
        if pack and sum(pack) + length > budget:
            packs.append(pack)
            pack = []
        pack.append(length)
    packs.append(pack)

    def run():
        for pack in packs:
            counts = torch.tensor(pack, device="cuda", dtype=torch.int32)
            borders = functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))
            ids = torch.randint(4, 24, (sum(pack),), device="cuda")
            owners = torch.repeat_interleave(torch.arange(len(pack), device="cuda"), counts)
            places = torch.arange(sum(pack), device="cuda") - borders[:-1].long()[owners]
            attend = lambda q, k, v: attention(q, k, v, borders, pack[-1])
            states = model(ids, places, attend)
            sums = torch.zeros(len(pack), states.shape[1], device="cuda").index_add_(0, owners, states.float())
            (sums / counts[:, None]).cpu()

    return timed(run, sum(lengths))


def timed(run, tokens):
    with torch.inference_mode():
        run()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        torch.cuda.synchronize()
        return tokens / (time.perf_counter() - begin)


def best(way, model, lengths):
    found = []
    for budget in (16_384, 65_536):
        try:
            found.append(way(model, lengths, budget))
        except (RuntimeError, TypeError, ValueError) as error:  # a way that this version or this GPU has not
            print(f"{way.__name__}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
    found = [value for value in found if value]
    return max(found) if found else None


def main():
    parser = argparse.ArgumentParser()
    for name in ("layers", "width", "heads", "tokens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--fasta", required=True)
    arguments = parser.parse_args()
    lengths, total = [], 0
    for line in open(arguments.fasta):
        if not line.startswith(">") and total < arguments.tokens:
            lengths.append(len(line.strip()) + 2)
            total += lengths[-1]
    torch.manual_seed(1)
    with torch.device("cuda"):
        model = Model(arguments.layers, arguments.width, arguments.heads).to(torch.bfloat16).eval()
    print(json.dumps({"padded": best(padded, model, lengths), "varlen": best(packed, model, lengths)}))


if __name__ == "__main__":
    main()

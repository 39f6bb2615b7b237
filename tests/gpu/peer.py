"""Tokens per second of PyTorch with an ESM-2 of random weights: padded with sdpa, and packed with varlen attention.

Prints one JSON object: for each way the best of the budgets, null where it is not there; how far apart the pooled states of
both are; and the speed of a large product. `--device cpu` is there to try this text; its speeds mean nothing.
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


def ids_of(places):
    """Letters that depend on nothing but the place, so that both ways compute the same proteins."""
    return places * 7 % 20 + 4


def cut(lengths, budget, full):
    """Lists of ascending lengths, begun anew where one more would be too many."""
    lists, held = [], []
    for length in sorted(lengths):
        if held and full(held, length) > budget:
            lists.append(held)
            held = []
        held.append(length)
    return [*lists, held]


def padded(model, lengths, budget, device):
    """Batches sorted by length, each as many as fill the budget with padding; means over the true tokens."""
    batches = cut(lengths, budget, lambda batch, length: (len(batch) + 1) * length)

    def run():
        means = []
        for batch in batches:
            places = torch.arange(batch[-1], device=device).expand(len(batch), -1)
            real = places < torch.tensor(batch, device=device)[:, None]
            mask = real[:, None, None, :]

            def attend(q, k, v):
                q, k, v = (x.transpose(1, 2) for x in (q, k, v))
                return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

            states = model(ids_of(places), places, attend)
            means.append(((states * real[..., None]).sum(1) / real.sum(1, keepdim=True)).float().cpu())
        return torch.cat(means)

    return timed(run, sum(lengths), device)


def one_by_one(q, k, v, borders, longest):
    """What varlen attention computes, for a processor."""
    parts = []
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist()):
        one = (x[start:end].transpose(0, 1) for x in (q, k, v))
        parts.append(functional.scaled_dot_product_attention(*one).transpose(0, 1))
    return torch.cat(parts)


def varlen_attention(device):
    if device == "cpu":
        return one_by_one
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


def packed(model, lengths, budget, device):
    """Packs without padding."""
    attention = varlen_attention(device)
    if attention is None:
        raise RuntimeError("neither torch.nn.attention.varlen nor flash_attn is here")
    packs = cut(lengths, budget, lambda pack, length: sum(pack) + length)

    def run():
        means = []
        for pack in packs:
            counts = torch.tensor(pack, device=device, dtype=torch.int32)
            borders = functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))
            owners = torch.repeat_interleave(torch.arange(len(pack), device=device), counts)
            places = torch.arange(sum(pack), device=device) - borders[:-1].long()[owners]
            attend = lambda q, k, v: attention(q, k, v, borders, pack[-1])
            states = model(ids_of(places), places, attend)
            sums = torch.zeros(len(pack), states.shape[1], device=device).index_add_(0, owners, states.float())
            means.append((sums / counts[:, None]).cpu())
        return torch.cat(means)

    return timed(run, sum(lengths), device)


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def timed(run, tokens, device):
    """Tokens a second of the second run, and its result."""
    with torch.inference_mode():
        run()
        wait(device)
        begin = time.perf_counter()
        result = run()
        wait(device)
        return tokens / (time.perf_counter() - begin), result


def best(way, model, lengths, budgets, device):
    """The fastest budget, and the result."""
    found, result = None, None
    for budget in budgets:
        try:
            speed, result = way(model, lengths, budget, device)
            if found is None or speed > found["tokens_per_second"]:
                found = {"tokens_per_second": speed, "budget": budget}
        except (RuntimeError, TypeError, ValueError) as error:  # a way that this version or this GPU has not
            print(f"{way.__name__}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
    return found, result


def peak(device, width):
    """TFLOP/s of a wide product."""
    a, b = (torch.randn(width, width, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    wait(device)
    begin = time.perf_counter()
    for _ in range(10):
        a @ b
    wait(device)
    return 10 * 2 * width**3 / (time.perf_counter() - begin) / 1e12


def main():
    parser = argparse.ArgumentParser()
    for name in ("layers", "width", "heads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--budgets", default="16384,65536")
    arguments = parser.parse_args()
    device, budgets = arguments.device, [int(budget) for budget in arguments.budgets.split(",")]
    with open(arguments.fasta) as file:
        lengths = [len(line.strip()) + 2 for line in file if not line.startswith(">")]
    torch.manual_seed(1)
    with torch.device(device):
        model = Model(arguments.layers, arguments.width, arguments.heads).to(torch.bfloat16).eval()
    (first, one), (second, other) = (best(way, model, lengths, budgets, device) for way in (padded, packed))
    apart = float((one - other).abs().max()) if one is not None and other is not None else None
    width = 8192 if device == "cuda" else 256
    print(json.dumps({"version": torch.__version__, "padded": first, "varlen": second, "apart": apart, "peak_width": width,
                      "peak_tflops": peak(device, width)}))


if __name__ == "__main__":
    main()

"""Trains a masked language model with PyTorch on the CPU; driven line by line by compare_train.py.

    hugging_face_train.py --family esm2 --model DIR --make '{"hidden_size": 480, ...}'
    hugging_face_train.py --family esm2 --model DIR --packs packs.safetensors --precision f32|bf16 --threads N [--adapter DIR]

The first makes a model folder with random weights, with --lora '{"r": 8, ...}' an adapter for it in the folder --adapter
too; with that, the second trains the adapter alone, by peft. The second reads one JSON request per line and answers with one JSON
line:
  {"tokens": 4096}                   -> {"seconds": ..., "losses": [...]}   one pass, an AdamW step after each pack
  {"tokens": 4096, "forward": true}  -> the same without gradients and steps
End of input ends the program, which then reports its peak memory.

`esm2` is the model of Hugging Face transformers; `lc_plm` is BiMamba-S of transformers' Mamba mixers on the path that
needs no CUDA: two mixers a block that share their projections, one of which walks the sequence from its end.

A pack is one update. Its proteins are sorted by length and cut into batches of at most so many padded tokens, whose
gradients add up: the loss is the mean over the chosen tokens of the pack, whatever the batches are. In this program's
favour the head runs on the chosen tokens only, AdamW is the fused one, and turning lists into tensors is not timed.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import EsmConfig, EsmForMaskedLM, MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

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


class Esm2(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    @classmethod
    def make(cls, config, folder):
        EsmForMaskedLM(EsmConfig(**config)).save_pretrained(folder)

    @classmethod
    def load(cls, folder):
        return cls(EsmForMaskedLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32))

    def forward(self, ids, mask, places):
        states = self.model.esm(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.lm_head(states.flatten(0, 1)[places])


class LcPlm(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, layers, rows = config["d_model"], config["n_layer"], config["vocab_size"]
        mamba = MambaConfig(hidden_size=width, num_hidden_layers=layers, use_bias=False)
        norm = lambda: nn.RMSNorm(width, eps=config["norm_epsilon"])
        self.embedding, self.head = nn.Embedding(rows, width), nn.Linear(width, rows, bias=False)
        self.norms, self.norm_f = nn.ModuleList(norm() for _ in range(layers)), norm()
        self.fwd, self.rev = (nn.ModuleList(MambaMixer(mamba, layer) for layer in range(layers)) for _ in range(2))
        nn.init.normal_(self.embedding.weight, std=0.02)
        for one, other in zip(self.fwd, self.rev, strict=True):
            other.in_proj, other.out_proj = one.in_proj, one.out_proj

    def published(self):
        """Parameters by the names of the published file."""
        yield "bimamba.backbone.embedding.weight", self.embedding.weight
        yield "bimamba.backbone.norm_f.weight", self.norm_f.weight
        yield "lm_head.weight", self.head.weight
        for layer, norm in enumerate(self.norms):
            block = f"bimamba.backbone.layers.{layer}"
            yield f"{block}.norm.weight", norm.weight
            for name, value in self.fwd[layer].named_parameters():
                yield f"{block}.mixer.mamba_fwd.{name}", value
            for name, value in self.rev[layer].named_parameters():
                if "in_proj" not in name and "out_proj" not in name:
                    yield f"{block}.mixer.mamba_rev.{name}", value

    @classmethod
    def make(cls, config, folder):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        values = {name: value.detach().contiguous() for name, value in cls(config).published()}
        save_file(values, folder / "model.safetensors", metadata={"format": "pt"})

    @classmethod
    def load(cls, folder):
        model, values = cls(json.loads((folder / "config.json").read_text())), load_file(folder / "model.safetensors")
        with torch.no_grad():
            for name, value in model.published():
                value.copy_(values.pop(name))
        assert not values, values
        return model

    def forward(self, ids, mask, places):
        assert mask is None, "the walk from the end would begin in the padding"
        stream = self.embedding(ids)
        for norm, one, other in zip(self.norms, self.fwd, self.rev, strict=True):
            normed = norm(stream)
            stream = stream + one(normed) + other(normed.flip(1)).flip(1)
        return self.head(self.norm_f(stream).flatten(0, 1)[places])


FAMILIES = {"esm2": Esm2, "lc_plm": LcPlm}


def make_adapter(model, arguments):
    """A new adapter, as peft begins it and saves it."""
    from peft import LoraConfig, get_peft_model

    get_peft_model(model, LoraConfig(**arguments.lora)).save_pretrained(arguments.adapter)


def optimiser(model, arguments):
    """AdamW; vectors and rates of decay do not decay."""
    values = [
        (value, value.dim() > 1 and "A_log" not in name)
        for name, value in model.named_parameters()
        if value.requires_grad
    ]
    matrices, vectors = ([value for value, decays in values if decays == wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": arguments.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98), eps=1e-8, fused=True)


def run(updates, budget, model, step, half):
    """Losses of one pass over all updates, with a step after each where there is one, and the seconds it took."""
    batches = [update.batches(budget) for update in updates]
    losses, start = [], time.perf_counter()
    for update, cut in zip(updates, batches, strict=True):
        total = 0.0
        for ids, mask, places, targets in cut:
            if not len(places):
                continue
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                scores = model(ids, mask, places)
            loss = cross_entropy(scores.float(), targets, reduction="sum") / update.chosen
            total += loss.item()
            if step is not None:
                loss.backward()
        if step is not None:
            step.step()
            step.zero_grad()
        losses.append(total)
    return losses, time.perf_counter() - start


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="esm2")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--make", type=json.loads, metavar="CONFIG", help="make the model and end")
    parser.add_argument("--adapter", type=Path, help="the folder of an adapter that alone is trained")
    parser.add_argument("--lora", type=json.loads, metavar="CONFIG", help="make the adapter too")
    parser.add_argument("--packs", type=Path)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--compile", action="store_true", help="torch.compile with dynamic shapes")
    return parser.parse_args()


def main():
    arguments = parse()
    family = FAMILIES[arguments.family]
    torch.manual_seed(1)
    if arguments.make is not None:
        family.make(arguments.make, arguments.model)
        if arguments.lora is not None:
            make_adapter(family.load(arguments.model).model, arguments)
        return None
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    model, lists = family.load(arguments.model).train(), load_file(arguments.packs)
    if arguments.adapter:
        from peft import PeftModel

        # It puts its layers into the model itself.
        PeftModel.from_pretrained(model.model, arguments.adapter, is_trainable=True)
    step, half = optimiser(model, arguments), arguments.precision == "bf16"
    body = torch.compile(model, dynamic=True) if arguments.compile else model
    names, count = ("ids", "offsets", "places", "targets"), len(lists) // 4
    updates = [Update({name: lists[f"{pack}.{name}"] for name in names}) for pack in range(count)]
    for line in sys.stdin:
        request = json.loads(line)
        forward = request.get("forward", False)
        with torch.inference_mode(forward):
            losses, seconds = run(updates, request["tokens"], body, None if forward else step, half)
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak_bytes": peak, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()

"""Adapters both ways between Pliant and Hugging Face PEFT: each loads what the other wrote and computes the same.

    python tests/peers/check_adapter.py --pliant target/ci/pliant

Needs what `requirements.txt` names, and peft. A small ESM-2 of random weights gets adapters of peft beside several choices
of matrices, ranks and scales, whose states `pliant embed --adapter` must give; then `pliant finetune --tune lora` makes
adapters beside the same choices, which peft must load without a missing or a foreign name and give the states of.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy
import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import EsmConfig, EsmForMaskedLM, EsmModel

from hugging_face import CLS, EOS, LETTERS

SEQUENCES = {"a": "MKTAYIAKQRQISFVKSHFSRQ", "b": "GLVWAGKLMNPQRST", "c": "MA", "d": "WWHHKLFDEAYAC"}

# How far two programs in 32 bits may be apart.
ABSOLUTE, RELATIVE = 1e-4, 1e-5

CONFIG = {
    "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 3, "vocab_size": 33,
    "mask_token_id": 32, "pad_token_id": 1, "position_embedding_type": "rotary", "token_dropout": True,
    "emb_layer_norm_before": False, "max_position_embeddings": 1026, "layer_norm_eps": 1e-5,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2,
}

# What peft is asked for, and the same in the words of `pliant finetune`.
CHOICES = [
    ({"r": 8, "lora_alpha": 16, "target_modules": ["key", "value"]}, ["--lora-targets", "key,value"]),
    (
        {"r": 2, "lora_alpha": 3, "target_modules": ["query", "key", "value"], "layers_to_transform": [1, 2]},
        ["--lora-targets", "query,key,value", "--lora-layers", "2,3", "--lora-rank", "2", "--lora-alpha", "3"],
    ),
    (
        {"r": 4, "lora_alpha": 4, "target_modules": r".*layer\.\d+\.(intermediate|output)\.dense"},
        ["--lora-targets", "fc1,fc2", "--lora-rank", "4", "--lora-alpha", "4"],
    ),
    (
        {"r": 4, "lora_alpha": 8, "target_modules": ["attention.output.dense", "query"], "use_rslora": True,
         "rank_pattern": {"query": 2}, "alpha_pattern": {"layer.1.attention.self.query": 5}},
        ["--lora-targets", "output", "--lora-layers", "-1"],
    ),
]


def apart(found, wanted):
    """Largest distance in units of the tolerance."""
    return ((found - wanted).abs() / (ABSOLUTE + RELATIVE * wanted.abs())).max().item()


def states_of_pliant(given, folder, model, adapter):
    """The states of the last layer, residue by residue."""
    (folder / "in.fasta").write_text("".join(f">{name}\n{residues}\n" for name, residues in SEQUENCES.items()))
    words = ["embed", folder / "in.fasta", "--model", model, "--quiet", "--adapter", adapter]
    words += ["--out", folder / "pooled.npz", "--residues", folder / "states.npz"]
    subprocess.run([given.pliant, *words], check=True)
    file = numpy.load(folder / "states.npz")
    offsets = file["offsets"]
    return {
        str(name): torch.from_numpy(file["embeddings"][offsets[at] : offsets[at + 1]])
        for at, name in enumerate(file["ids"])
    }


def farthest(model, found):
    """Distance of the states of a model of transformers from those found."""
    body = model.esm if hasattr(model, "esm") else model
    worst = 0.0
    for name, residues in SEQUENCES.items():
        ids = torch.tensor([[CLS, *(LETTERS[letter] for letter in residues), EOS]])
        with torch.no_grad():
            states = body(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 1:-1]
        worst = max(worst, apart(found[name], states))
    return worst


def ours_from_theirs(given, folder, model, number, choice):
    """An adapter of peft, with numbers that change something, in Pliant."""
    wrapped = get_peft_model(EsmForMaskedLM.from_pretrained(model), LoraConfig(**choice))
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.3)
    saved = folder / f"theirs_{number}"
    wrapped.eval().save_pretrained(saved)
    found = states_of_pliant(given, folder, model, saved)
    plain = farthest(EsmForMaskedLM.from_pretrained(model).eval(), found)
    assert plain > 100, f"the adapter changes next to nothing: {plain} tolerances"
    return farthest(wrapped.base_model.model, found)


def theirs_from_ours(given, folder, model, number, words):
    """An adapter that Pliant trained, in peft: beside the model with a head, and beside the bare one."""
    table = folder / "train.tsv"
    rows = [f"{name}\t{residues}\t{at % 2}" for at, (name, residues) in enumerate(SEQUENCES.items())]
    table.write_text("\n".join(["id\tsequence\tlabel", *rows]) + "\n")
    out = folder / f"ours_{number}"
    command = ["finetune", "--task", "classification", "--train", table, "--model", model, "--tune", "lora", *words]
    command += ["--out", out, "--set", "run.epochs=8", "--set", "optimizer.learning_rate=0.05", "--quiet"]
    subprocess.run([given.pliant, *command], check=True)
    found = states_of_pliant(given, folder, model, out / "adapter")
    with warnings.catch_warnings():
        # A missing or a foreign name is a warning of peft.
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FutureWarning)
        loaded = PeftModel.from_pretrained(EsmForMaskedLM.from_pretrained(model), out / "adapter").eval()
    inside = {name for name, _ in loaded.named_parameters() if ".lora_" in name}
    written = json.loads((out / "adapter/adapter_config.json").read_text())
    assert inside, written
    plain = farthest(EsmForMaskedLM.from_pretrained(model).eval(), found)
    assert plain > 10, f"the adapter learnt next to nothing: {plain} tolerances"
    return farthest(loaded.base_model.model, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", required=True)
    given = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(1)
    distances = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = folder / "model"
        EsmForMaskedLM(EsmConfig(**CONFIG)).save_pretrained(model)
        for number, (choice, words) in enumerate(CHOICES):
            distances["ours"].append(ours_from_theirs(given, folder, model, number, choice))
            distances["theirs"].append(theirs_from_ours(given, folder, model, number, words))
        bare = folder / "bare"
        EsmModel(EsmConfig(**CONFIG), add_pooling_layer=False).save_pretrained(bare)
        wrapped = get_peft_model(EsmModel.from_pretrained(bare, add_pooling_layer=False), LoraConfig(**CHOICES[0][0]))
        with torch.no_grad():
            for name, value in wrapped.named_parameters():
                if "lora_B" in name:
                    value.normal_(std=0.3)
        wrapped.eval().save_pretrained(folder / "of_bare")
        distances["ours"].append(farthest(wrapped.base_model.model, states_of_pliant(given, folder, bare, folder / "of_bare")))
    print(f"peft {peft.__version__}, transformers {transformers.__version__}; distances in tolerances {distances}")
    if not all(one <= 1.0 for values in distances.values() for one in values):
        sys.exit("an adapter is not the same on both sides")


if __name__ == "__main__":
    main()

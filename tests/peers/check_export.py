"""Exports a model for Hugging Face transformers, loads it there and compares the numbers with Pliant's own.

    python tests/peers/check_export.py --pliant target/ci/pliant --model tests/fixtures/imports/fair_esm/esm2_t2_tiny.pt \\
        --expected tests/fixtures/imports/expected.safetensors

Needs what `requirements.txt` names. Nothing may be missing, unexpected or made up when transformers loads the folder; the
states of the last layer must be those of `pliant embed`, and the logits those of fair-esm where `--expected` has them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

SEQUENCES = {"a": "MKTAYIAKQRQISFVKSHFSRQ", "b": "GEXLVWABZUO", "c": "M"}

# How far two programs in 32 bits may be apart.
ABSOLUTE, RELATIVE = 1e-4, 1e-5


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest distance in units of the tolerance."""
    return ((found - wanted).abs() / (ABSOLUTE + RELATIVE * wanted.abs())).max().item()


def states_of_pliant(pliant: str, model: str, folder: Path) -> dict[str, torch.Tensor]:
    """The states of the last layer, residue by residue."""
    (folder / "in.fasta").write_text("".join(f">{name}\n{residues}\n" for name, residues in SEQUENCES.items()))
    words = ["embed", folder / "in.fasta", "--model", model, "--quiet",
             "--out", folder / "pooled.npz", "--residues", folder / "states.npz"]
    subprocess.run([pliant, *words], check=True)
    file = numpy.load(folder / "states.npz")
    offsets = file["offsets"]
    return {
        str(name): torch.from_numpy(file["embeddings"][offsets[at] : offsets[at + 1]])
        for at, name in enumerate(file["ids"])
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pliant", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--expected", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        out = folder / "exported"
        subprocess.run([given.pliant, "model", "export", given.model, "--hf", "--out", out], check=True)
        wanted = states_of_pliant(given.pliant, given.model, folder)
        tokenizer = AutoTokenizer.from_pretrained(out)
        kind = AutoConfig.from_pretrained(out).architectures[0]
        more = {"add_pooling_layer": False} if kind == "EsmModel" else {}
        model, told = getattr(transformers, kind).from_pretrained(
            out, output_loading_info=True, dtype=torch.float32, attn_implementation="eager", **more
        )
        model.eval()
        wrong = {key: [str(name) for name in names] for key, names in told.items() if names}
        # A checkpoint without a contact head gets a random one there; it changes neither states nor logits.
        missing = [name for name in wrong.pop("missing_keys", []) if "contact_head" not in name]
        distances = {"states": [], "logits": [], "contacts": []}
        for name, residues in SEQUENCES.items():
            tokens = tokenizer(residues, return_tensors="pt")
            with torch.no_grad():
                states = model(**tokens, output_hidden_states=True).hidden_states[-1][0, 1:-1]
            distances["states"].append(apart(states, wanted[name]))
        expected = load_file(given.expected) if given.expected else {}
        for at in range(sum(name.startswith("tokens.") for name in expected)):
            ids = expected[f"tokens.{at}"][None]
            with torch.no_grad():
                logits = model(ids, attention_mask=torch.ones_like(ids)).logits[0]
                contacts = model.predict_contacts(ids, torch.ones_like(ids))[0]
            distances["logits"].append(apart(logits, expected[f"logits.{at}"]))
            distances["contacts"].append(apart(contacts, expected[f"contacts.{at}"]))
    print(f"transformers {transformers.__version__}, {kind}: missing {missing}, otherwise wrong {wrong}; distances in "
          f"tolerances {distances}")
    if missing or wrong or not all(one <= 1.0 for values in distances.values() for one in values):
        sys.exit("the export is not the model")


if __name__ == "__main__":
    main()

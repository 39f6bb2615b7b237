#!/usr/bin/env python3
"""Writes RESULTS.md from what the steps of run.sh have left.

    tests/science/report.py RUNS RESULTS.md
"""

import csv
import math
import os
import statistics
import sys
from pathlib import Path

from marks import measured, read, table
from ppi.interactions import interactions

MODELS = {"bimamba": "BiMamba-S", "esm2": "ESM-2's form"}


def with_interval(line, name, digits=3):
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    return f"{line[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def training_rows(runs):
    for key, name in MODELS.items():
        account = read(runs / key / "training.json")
        evaluation = read(runs / f"{key}.evaluation.json")
        if account is None:
            continue
        speeds = [read(path)["tokens_per_second"] for path in sorted(runs.glob(f"{key}.speed.*.json"))]
        speed = f"{sorted(speeds)[len(speeds) // 2]:,.0f}" if speeds else "not measured"
        held_out = with_interval(evaluation["all"], "masked_loss") if evaluation else "not evaluated"
        accuracy = with_interval(evaluation["all"], "accuracy") if evaluation else "not evaluated"
        yield [
            name,
            f"{account['model']['parameters']:,}",
            f"{account['steps']:,}",
            f"{account['tokens']:,}",
            f"{account['loss']:.3f}",
            held_out,
            accuracy,
            speed,
        ]


def length_rows(runs):
    found = {key: read(runs / f"{key}.evaluation.json") for key in MODELS}
    if None in found.values():
        return
    for bins in zip(*(found[key]["bins"] for key in MODELS)):
        if bins[0]["masked"]:
            losses = [with_interval(line, "masked_loss") for line in bins]
            yield [bins[0]["bin"], f"{bins[0]['proteins']:,}", *losses, f"{bins[0]['unigram_entropy']:.3f}"]


def perplexities(path):
    """Of each protein, residues and the natural logarithm of its probability."""
    with path.open(newline="") as text:
        rows = csv.DictReader((line for line in text if not line.startswith("#")), delimiter="\t")
        return {row["id"]: (int(row["length"]), float(row["log_likelihood"])) for row in rows}


def drift(runs):
    """What number types do to pseudo-perplexity; nothing where it was not measured."""
    found = {name: runs / f"perplexity.{name}.tsv" for name in ("f32", "bf16", "int8")}
    if not all(path.exists() for path in found.values()):
        return ""
    found = {name: perplexities(path) for name, path in found.items()}
    residues = sum(length for length, _ in found["f32"].values())
    rows = []
    for name, proteins in found.items():
        mean = -sum(value for _, value in proteins.values()) / residues
        # Nats for each residue of a protein, beside those in f32.
        apart = [(found["f32"][key][1] - value) / length for key, (length, value) in proteins.items()]
        typical, most = statistics.median(map(abs, apart)), max(apart, key=abs)
        rows.append([name, f"{math.exp(mean):.4f}", f"{mean:.5f}", f"{typical:.5f}", f"{most:+.5f}"])
    head = ["operands", "pseudo-perplexity", "nats a residue", "median drift of a protein", "largest"]
    return f"""
## What number types do to probabilities

Pseudo-perplexity (each residue masked in turn) of the model of ESM-2's form on {len(found["f32"])} held-out proteins of
{residues:,} residues. Drift: nats a residue more than in f32.

{table(head, rows)}
"""


# Of each task what it is examined with, two measures, and what was published for the same examples.
TASKS = {
    "homology": ("pairs of folds of their own, SCOPe 2.08", ("accuracy", "aupr_3"), None),
    "solubility": ("validation split of DeepSol", ("mcc", "auroc"), None),
    "localization": ("partition 3 of DeepLoc 2, many labels", ("macro_f1", "auroc"), None),
    "stability": ("validation part of rounds 1 to 4", ("spearman", "mse"), None),
    "fluorescence": (
        "half of the mutants with more than 3 changes",
        ("spearman", "mse"),
        "spearman of all such mutants (TAPE): LSTM 0.67, one-hot 0.14",
    ),
    "secstr": ("CB513, 3 classes", ("accuracy", "macro_f1"), "accuracy on CB513 (TAPE): LSTM 0.75, one-hot 0.69"),
    "transmembrane": ("fold 3 of TMbed", ("membrane_proteins_right", "balanced_accuracy"), None),
}
BEGINNINGS = {"pretrained": "pretrained", "random": "random weights", "composition": "composition"}


def task_rows(runs):
    for task, (examined, measures, published) in TASKS.items():
        found = {key: read(runs / "tasks" / f"{task}.{key}.scores.json") for key in BEGINNINGS}
        some = next((scores for scores in found.values() if scores), None)
        if some is None:
            continue
        for measure in measures:
            baseline = some["measures"][measure]["baseline"]
            yield [
                f"{task}: {examined} ({some['examples']:,})",
                measure,
                *(measured(scores["measures"][measure]) if scores else "not run" for scores in found.values()),
                "none" if baseline is None else f"{baseline:.3f}",
                published if published and measure in published else "",
            ]


def seven_tasks(runs):
    """What a small PLUS-RNN learns with and without pretraining; nothing where no task was run."""
    rows = list(task_rows(runs))
    if not rows:
        return ""
    head = ["task and what it is examined with (examples)", "measure", *BEGINNINGS.values(), "trivial", "published"]
    frozen = read(runs / "tasks" / "fluorescence.random_frozen.scores.json")
    frozen = measured(frozen["measures"]["spearman"]) if frozen else "not run"
    return f"""
## The seven tasks of PLUS

A PLUS-RNN of 3 layers and width 256, pretrained on hidden residues of the allowed sequences and then with pairs of
families (`plus/`), its twin that begins each task with random weights, and a head on the composition of proteins. All
training examples, the encoder learns too, 3 epochs or until one is no better (`tasks/`), of localization in smaller batches.
The encoder learns at a tenth of the head's rate in localization, where the pretrained one was seen to forget at the whole of
it, and in fluorescence, where vectors are standardized too, as nothing was learnt of them as they are. What ended a training
or chose a setting was never what it is examined with, but some had been examined once before: localization at the whole rate
(AUROC 0.591 pretrained, 0.525 with random weights), which is why another was looked for, and in fluorescence composition
without standardized vectors (Spearman 0.290). In brackets 95 % intervals; a star says that the interval leaves out the
trivial answer: the commonest class or the mean of the training examples, or no correlation.

{table(head, rows)}

Composition tells the trivial answer for membranes, as it knows of a residue its letter and the length of the protein alone: of
every letter at least 0.81 of the residues that are learnt from are inside. With random weights an encoder that learns tells one
number of all mutants: at first they differ by 0.0001, and when the training ends, what their vectors have in common has moved
by 66 times that (median of 512 numbers and 200 mutants), so that each of the 256 hidden units of the head is below zero for
every mutant. As long as nothing moves them, the same vectors do tell mutants apart: with a head on an encoder of random weights
that never learns, Spearman's correlation is {frozen}.
"""


def main():
    runs, out = Path(sys.argv[1]), Path(sys.argv[2])
    training = table(
        ["model", "parameters", "steps", "tokens", "last training loss", "held-out loss", "held-out accuracy", "tokens a second"],
        list(training_rows(runs)),
    )
    evaluation = read(runs / f"{next(iter(MODELS))}.evaluation.json")
    entropy = f"{evaluation['all']['unigram_entropy']:.3f}" if evaluation else "unknown"
    lengths = table(
        ["residues", "proteins", *(f"loss of {name}" for name in MODELS.values()), "unigram entropy"],
        list(length_rows(runs)),
    )
    text = f"""# Trainings on real proteins

Written by `tests/science/run.sh report`; the configurations stand in `pretrain/`. Losses are in nats for each hidden
residue, in brackets 95 % intervals over proteins; those on held-out proteins are of the residues behind mask tokens
alone, as one in ten of the chosen ones is shown as it is.

## BiMamba-S and ESM-2's form, with equal training compute

Both learn from the same packs with the same masks, step by step: all sequences of the data sets without those that
resemble their test sets (`leakage_blocklists/benchmark_like`), one in fifty held out, crops of 512 residues, bf16. Both
have 4.8 million parameters, which makes 9.5 million operations for a token in the products of a forward, and as many
steps. Relatives of held-out proteins are learnt from, so their losses compare these two models with each other and with
the entropy of single residues ({entropy}), and with no published one.

{training}

![Losses over tokens](pretrain.svg)

Held-out losses by length; whole proteins, though no longer stretch than 512 residues was learnt from:

{lengths}
{drift(runs)}{seven_tasks(runs)}{interactions(runs / "ppi")}"""
    partial = out.with_name(out.name + ".partial")
    partial.write_text(text)
    os.replace(partial, out)


if __name__ == "__main__":
    main()

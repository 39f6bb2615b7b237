"""The section of RESULTS.md on interactions, from what the steps of steps.sh have left."""

import statistics

from marks import measured, read, table

ENCODERS = {
    "reference": "ESM-2 8M, published and tuned on peptides (reference)",
    "esm2": "ESM-2's form, 4.8M, ours",
    "bimamba": "BiMamba-S, 4.8M, ours",
    "random-reference": "ESM-2 8M, random weights",
    "random-esm2": "ESM-2's form, 4.8M, random weights",
    "random-bimamba": "BiMamba-S, 4.8M, random weights",
    "composition": "composition and length",
}
WAYS = {
    "frozen": "the published head",
    "pairs": "a head of distances and products",
    "few": "the same of few pairs",
    "lora": "an adapter and that head, of few pairs",
    "top": "the last layer and that head, of few pairs",
}
MEASURES = ("aupr", "auroc")

# What was published for the validation pairs, all with ESM-2 650M: the highest AUPR of 40 epochs, chosen by those very pairs.
PUBLISHED = [
    ("an adapter (key and value, rank 8) and the published head", "0.640"),
    ("an adapter (key and value, rank 4) and the published head", "0.644"),
    ("an adapter (query and value) in the last 5 layers and the published head", "0.625"),
    ("the last 4 layers and the published head", "0.599"),
]

# And for the test pairs, which are not here, with early stopping.
TESTED = "Topsy-Turvy 0.622, D-SCRIPT 0.578, PIPR 0.534, DeepFE 0.533, Richoux-FC 0.514, degrees alone 0.500"


def seconds(path):
    """What all processes of a training computed, in seconds of a core."""
    lines = path.read_text().split() if path.exists() else []
    return f"{sum(map(float, lines)):,.0f}" if lines else "unknown"


def over_seeds(found, measure):
    """The first seed with its interval, and what other seeds make of it."""
    values = [scores["measures"][measure]["value"] for scores in found]
    text = measured(found[0]["measures"][measure])
    if len(values) > 1:
        text += f"; {statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
    return text


def row(runs, encoder, way):
    """A row of the table; nothing where it was not examined."""
    out = runs / f"{encoder}.{way}"
    heads = sorted(out.glob("seed_*.scores.json")) or [runs / f"{encoder}.{way}.scores.json"]
    found = [scores for scores in map(read, heads) if scores]
    summary = read(runs / f"{encoder}.{way}.summary.json")
    if not found or summary is None:
        return None
    first = summary["trainings"][0]
    memory = max(training["peak_memory_bytes"] for training in summary["trainings"]) / 2**20
    return [
        ENCODERS[encoder],
        WAYS[way],
        f"{first['trainable_parameters']:,}",
        *(over_seeds(found, measure) for measure in MEASURES),
        seconds(runs / f"{encoder}.{way}.seconds"),
        f"{memory:,.0f}",
    ]


def additive(runs):
    controls = read(runs / "additive" / "controls" / "controls.json")
    if controls is None:
        return []
    best = controls["best"]["additive"]
    known = best["known_proteins"]
    name = f"a number for each training protein, of which the validation has {known:,}"
    return [["none", name, "", *(f"{best[measure]:.3f}" for measure in MEASURES), "", ""]]


def shared(runs):
    """What the validation shares with the training."""
    report, seen = read(runs / "leakage.json"), read(runs / "seen.json")
    if report is None:
        return ""
    proteins, classes = report["proteins"], report["classes"]
    text = (
        f"\nOf {report['test']['proteins']:,} validation proteins {proteins['shared']:,} stand in the training, and of "
        f"{report['test']['examples']:,} pairs {classes['C1']['examples']:,} are of class C1, "
        f"{classes['C2']['examples']:,} of C2 and {classes['C3']['examples']:,} of C3 (`pliant leakage`). The nearest training "
        f"protein has by words of {proteins['kmer']} residues an identity of {proteins['identity']['median']:.2f} in the median "
        f"and {proteins['identity']['most']:.2f} at most; {proteins['similar']:,} proteins have one of at least "
        f"{proteins['from_identity']}."
    )
    if seen is not None:
        text += (
            f" Our encoders were pretrained on {seen['pretrained']:,} of the {seen['validation']:,} validation proteins, without "
            "labels."
        )
    return text + "\n"


def interactions(runs):
    """The whole section; nothing where nothing was examined."""
    rows = [found for name in ENCODERS for way in WAYS if (found := row(runs, name, way))]
    if not rows:
        return ""
    head = ["encoder", "what learns", "parameters that learn", "AUPR", "AUROC", "seconds of a core", "MiB"]
    published = [["ESM-2 650M, published", what, "", aupr, "", "", ""] for what, aupr in PUBLISHED]
    return f"""
## Human interactions, Bernett training to validation

Heads on encoders that read the first 512 residues, learnt from training pairs and examined with all validation pairs
(`ppi/`). The published head (mean of both proteins' mean states, 128 tanh, one logit) has its published schedule: 20 epochs
of 16,384 pairs in steps of 64; the head of distances and products 20 of 65,536; few pairs are 5 epochs of 4,096. Heads alone
have five seeds, adapter and last layer one. The second head was taken because the published one stayed at chance, in its
training losses and in its first validation scores, which were seen; its settings were found with training proteins kept
apart, lengths were settled before, and the last step counts. In brackets 95 % intervals by draws of proteins, of the first
seed; a star says that the interval leaves out the trivial answer; then mean ± deviation over seeds. Seconds are those that
the training's processes computed on one thread of a shared machine, with the encoding where no row above had done it; memory is the peak of one.
{shared(runs)}
{table(head, rows + additive(runs) + published)}

Published are the highest AUPR of 40 epochs on the same validation pairs, by which the epoch was chosen (figures and notebooks
of the code of Sledzieski et al. 2024, doi:10.1073/pnas.2405840121). On the test pairs, which nobody has looked at here, the
authors of the pairs have found these AUPR: {TESTED} (results beside the code of Bernett et al.).
"""

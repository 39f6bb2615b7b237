import json
import re
import shlex
from pathlib import Path

TASKS = config["tasks"]
# Their results stay as many files as there are shards, in one folder.
SHARDED = [task for task in TASKS if task in ("contacts", "perplexity")]
FORMAT = config["format"]
KINDS = ["embeddings", "residues"] if config["residues"] else ["embeddings"]
LAYOUT = ["--h5-layout", config["h5_layout"]] if FORMAT == "h5" else []
# The records of a shard carry the ids that `split` chose; both read headers in the same way.
READING = ["--id", config["id"], "--on-error", config["on_error"]]

SPLIT_FLAGS = [
    *["--shards", config["shards"]],
    *READING,
    *shlex.split(config["extra"]["split"]),
]
COMPUTING = ["--precision", config["precision"], "--long", config["long"]]
EMBED_FLAGS = [
    f"--layer={','.join(map(str, config['layers']))}",
    *["--pool", config["pool"]],
    *["--out-dtype", config["out_dtype"]],
    *LAYOUT,
    *COMPUTING,
    *READING,
    *shlex.split(config["extra"]["embed"]),
]
LOGITS_FLAGS = [
    *(["--masked"] if config["logits"]["masked"] else []),
    *COMPUTING,
    *READING,
    *shlex.split(config["extra"]["logits"]),
]
CONTACTS_FLAGS = [
    *["--out-dtype", config["out_dtype"]],
    *COMPUTING,
    *READING,
    *shlex.split(config["extra"]["contacts"]),
]
PERPLEXITY_FLAGS = [
    *["--method", config["perplexity"]["method"]],
    *COMPUTING,
    *READING,
    *shlex.split(config["extra"]["perplexity"]),
]
VARIANTS_FLAGS = [
    *["--score", config["variants"]["score"]],
    f"--offset={config['variants']['offset']}",
    *COMPUTING,
    *shlex.split(config["extra"]["variants"]),
]
EVALUATE_FLAGS = [
    *["--task", "mlm"],
    *["--bins", ",".join(map(str, config["evaluate"]["bins"]))],
    *["--seed", config["evaluate"]["seed"]],
    *COMPUTING,
    *READING,
    *shlex.split(config["extra"]["evaluate"]),
]
ALIGN_FLAGS = [
    *["--precision", config["precision"]],
    *shlex.split(config["extra"]["align"]),
]
SCREEN_FLAGS = [*COMPUTING, *READING, *shlex.split(config["extra"]["screen"])]
HEAD_EVALUATE_FLAGS = [*COMPUTING, *READING]
PREDICT_FLAGS = [*COMPUTING, *READING, *shlex.split(config["extra"]["predict"])]
PRETRAIN_FLAGS = shlex.split(config["extra"]["pretrain"])
PLOT_FLAGS = shlex.split(config["extra"]["plot"])
# What a training makes and what reads a model wants.
MODEL_FILES = ["config.json", "model.safetensors", "vocab.txt"]
GATHER_FLAGS = [*LAYOUT, *shlex.split(config["extra"]["gather"])]


def results():
    """What the workflow is run for."""
    wanted = [f"{kind}.{FORMAT}" for kind in KINDS] if "embed" in TASKS else []
    if "logits" in TASKS:
        wanted.append(f"logits.{config['logits']['format']}")
    evaluation = config["evaluate"]["format"]
    if "evaluate" in TASKS and "model" in config:
        wanted.append(f"evaluation.{evaluation}")
    of_samples = expand(
        "results/{sample}/{file}",
        sample=config.get("samples", []),
        file=wanted + SHARDED,
    )
    assays = config["variants"]["assays"] if "variants" in TASKS else {}
    of_assays = [
        f"results/{name}/{'variants' if 'mutants' in files else 'scan'}.{config['variants']['format']}"
        for name, files in assays.items()
    ]
    runs = config["pretrain"]["runs"] if "pretrain" in TASKS else {}
    of_runs = expand("results/{run}/model/{file}", run=runs, file=MODEL_FILES)
    if runs:
        of_runs.append(f"results/losses.{config['pretrain']['picture']}")
    if "evaluate" in TASKS:
        of_runs += expand(
            f"results/{{run}}/evaluation/{{sample}}.{evaluation}",
            run=runs,
            sample=config.get("samples", []),
        )
    of_pairs = []
    if "align" in TASKS:
        suffixes = ["tsv", *filter(None, [config["align"]["picture"]])]
        of_pairs = expand(
            "results/{pair}/alignment.{suffix}",
            pair=config["align"]["pairs"],
            suffix=suffixes,
        )
    of_screens = expand(
        f"results/{{screen}}/pairs.{config['screen']['format']}",
        screen=config["screen"]["runs"] if "screen" in TASKS else {},
    )
    return of_samples + of_assays + of_runs + of_pairs + of_screens + results_of_heads()


def results_of_heads():
    """Heads, their metrics on what is labelled, and their predictions for the samples that they are to be asked of."""
    heads = config["finetune"]["heads"] if "finetune" in TASKS else {}
    options = config["finetune"]
    wanted = [
        f"results/{head}/head" for head, told in heads.items() if "labels" in told
    ]
    wanted += [f"results/{head}/sweep.tsv" for head in heads if "grid" in heads[head]]
    wanted += [calibration_of(head) for head in heads if "calibrate" in heads[head]]
    for head, told in heads.items():
        wanted += expand(
            f"results/{head}/tests/{{test}}.{options['evaluate_format']}",
            test=told.get("tests", {}),
        )
        wanted += expand(
            f"results/{head}/predictions/{{sample}}.{options['predict_format']}",
            sample=told.get("predict", []),
        )
    return wanted


def proteins(wildcards):
    """The FASTA files of a sample. `local` keeps the prefix of a module off the user's own paths."""
    return local(config["samples"][wildcards.sample])


def model_files(wildcards):
    """The files of the model."""
    return files_of_model(config["model"])


def files_of_model(folder):
    """The files of a model: Snakemake sees the time and the bytes of a file, but not what changes inside a folder."""
    folder = Path(folder)
    found = folder.iterdir() if folder.is_dir() else []
    files = sorted(
        str(path) for path in found if path.is_file() and path.name[0] != "."
    )
    # A model that another step makes is not there yet; where nothing makes it, Snakemake names these as missing.
    runs = config["pretrain"]["runs"]
    made = str(folder) in expand("results/{run}/model", run=runs)
    awaited = MODEL_FILES if made else MODEL_FILES[:2]
    return local(files or [str(folder / name) for name in awaited])


def split_table(wildcards):
    """What a sample was cut into; a function, because only the folder around it is declared."""
    checkpoints.split.get(sample=wildcards.sample)
    return f"results/{wildcards.sample}/shards/split.json"


def parts_of(sample, suffix):
    """The parts of a result in the order of the input. A name holds the digest of its shard's records: where they
    have not changed the part is there already, however often `split` has run."""
    # Read where it is; what is returned gets the prefix of a module only afterwards.
    folder = checkpoints.split.get(sample=sample).output.shards
    shards = json.loads(Path(folder, "split.json").read_text())["shards"]
    return [
        f"results/{sample}/parts/{Path(shard['file']).stem}.{shard['input'][:16]}.{suffix}"
        for shard in shards
    ]


def parts(wildcards):
    """What `gather` joins."""
    return parts_of(wildcards.sample, f"{wildcards.kind}.{FORMAT}")


def tables(wildcards):
    """What `collect` puts into one folder."""
    task = wildcards.task
    return parts_of(wildcards.sample, f"{task}.{config[task]['format']}")


def pictures(wildcards):
    """The folders of pictures beside the tables, where there are any."""
    wanted = wildcards.task == "contacts" and config["contacts"]["picture"]
    return parts_of(wildcards.sample, "contacts.pictures") if wanted else []


def assay(wildcards):
    """The files of an assay: the table of its mutants, the FASTA of its wild type, or both."""
    told = config["variants"]["assays"][wildcards.assay]
    return {
        name: local(told[name]) for name in ("mutants", "wild_type") if name in told
    }


def assay_flags(wildcards, input):
    """The table of an assay, and where its wild type is."""
    column = config["variants"]["assays"][wildcards.assay].get("sequence_column")
    wild_type = (
        f"--sequence-column={column}" if column else f"--wild-type={input.wild_type}"
    )
    return [f"--mutants={input.mutants}", wild_type]


def training(wildcards):
    """The files of a training, by what they are in it."""
    told = config["pretrain"]["runs"][wildcards.run]
    files = {name: local(told[name]) for name in told if name != "init"}
    return files | ({"init": files_of_model(told["init"])} if "init" in told else {})


def training_flags(wildcards, input):
    """The same as flags of the command."""
    flags = [f"--config={input.config}"]
    if "init" in input.keys():
        flags.append(f"--init={Path(input.init[0]).parent}")
    for name, flag in (
        ("architecture", "model-config"),
        ("corpus", "train"),
        ("held_out", "held-out"),
        ("pairs", "pairs"),
        ("exclude", "exclude"),
    ):
        files = input.get(name, [])
        files = [files] if isinstance(files, str) else files
        flags += [f"--{flag}={file}" for file in files]
    return flags


def labels(wildcards):
    """The files that a head is trained with, by what they are."""
    told = config["finetune"]["heads"][wildcards.head]
    names = ("labels", "valid", "settings", "architecture", "sequences")
    files = {name: local(told[name]) for name in names if name in told}
    return files | encoder(told)


def encoder(told):
    """The files of the model of a head, where it has one."""
    return {"model": files_of_model(told["model"])} if "model" in told else {}


def labels_flags(wildcards, input):
    """The same as flags of the command."""
    flags = encoder_flags(wildcards, input)
    for name, flag in (
        ("labels", "train"),
        ("valid", "valid"),
        ("settings", "config"),
        ("architecture", "model-config"),
        ("sequences", "sequences"),
    ):
        flags += [f"--{flag}={input.get(name)}"] if name in input.keys() else []
    return flags


def encoder_flags(wildcards, input):
    """Where the model of a head is."""
    return [f"--model={Path(input.model[0]).parent}"] if "model" in input.keys() else []


def sequences_flags(wildcards, input):
    """Where the sequences are that pairs name."""
    return [f"--sequences={input.sequences}"] if "sequences" in input.keys() else []


def head_flags(wildcards):
    """The task of a head, and what else it is told."""
    told = config["finetune"]["heads"][wildcards.head]
    return [f"--task={told['task']}", *shlex.split(told.get("extra", ""))]


def grid_flags(wildcards):
    """The keys of a sweep, each with its values."""
    told = config["finetune"]["heads"][wildcards.head]
    return [f"--grid={axis}" for axis in told["grid"]]


def asked_of_head(wildcards):
    """A head, and what it is asked with."""
    told = config["finetune"]["heads"][wildcards.head]
    head = (
        files_of_head(told["plugin"])
        if "plugin" in told
        else f"results/{wildcards.head}/head"
    )
    files = {"head": head} | encoder(told)
    if "metric" in told:
        files["metric"] = plugin_files(told["metric"])
    return files | (
        {"sequences": local(told["sequences"])} if "sequences" in told else {}
    )


def calibration_of(head):
    """What another step finds the scores of a head to be worth."""
    return f"results/{head}/calibration.json"


def calibrating(wildcards, output):
    """The command that finds it."""
    told = config["finetune"]["heads"][wildcards.head]
    return [
        "evaluate",
        f"--task={told.get('task', 'ppi')}",
        f"--calibration={output.calibration}",
        f"--curve={told.get('curve', 'platt')}",
    ]


def plugin_files(manifest):
    """The manifest of a plugin with the files that it names: a change in any of them is one of the input."""
    named = []
    if Path(manifest).is_file():
        named = re.findall(
            r'^\s*file\s*=\s*"([^"]+)"', Path(manifest).read_text(), re.MULTILINE
        )
    return local([manifest, *(str(Path(manifest).parent / name) for name in named)])


def files_of_head(named, screens=False):
    """The files of a head: of a folder, of the manifest of a plugin, or of an ONNX file, whose sidecar begins with its
    name."""
    place = Path(named)
    if place.suffix == ".onnx":
        found = sorted(str(file) for file in place.parent.glob(f"{place.name}*"))
        return local(found or [named, f"{named}.toml"])
    if place.suffix != ".toml":
        return local(head_files(place))
    # What a screen tells probabilities by need not be there.
    beside = place.parent / "calibration.json"
    told = local([str(beside)]) if screens and beside.exists() else []
    return plugin_files(named) + told


def head_of(wildcards, input):
    """The folder of a head that was trained, the manifest of a plugin, or an ONNX file."""
    if isinstance(input.head, str):
        return input.head
    first = Path(input.head[0])
    return first.parent if first.name == "head.json" else first


def metric_flags(wildcards, input):
    """The plugin that measures."""
    return [f"--metric={input.metric[0]}"] if "metric" in input.keys() else []


def aligned(wildcards):
    """Two proteins, in a file each or in one."""
    told = config["align"]["pairs"][wildcards.pair]
    told = [told] if isinstance(told, str) else told
    return {"first": local(told[0])} | (
        {"second": [local(told[1])]} if told[1:] else {}
    )


def screened(wildcards):
    """The proteins of a screen, its head, and which pairs are scored."""
    told = config["screen"]["runs"][wildcards.screen]
    inputs = {"first": local(told["first"])}
    taught = {
        f"results/{name}/head": head
        for name, head in config["finetune"].get("heads", {}).items()
        if "labels" in head
    }
    if told["head"] in taught:
        # Another step trains it, with its own model.
        inputs |= {"head": told["head"]} | encoder(taught[told["head"]])
    else:
        inputs |= {"head": files_of_head(told["head"], screens=True)} | encoder(config)
    inputs |= {
        name: [local(told[name])] for name in ("second", "pairs") if name in told
    }
    return inputs | worth(told)


def worth(told):
    """What the scores of a screen are worth: a file, or what another step makes of its head."""
    heads = config["finetune"].get("heads", {})
    made = {
        f"results/{head}/head": calibration_of(head)
        for head in heads
        if "calibrate" in heads[head]
    }
    named = told.get("calibration", made.get(told["head"]))
    if named is None:
        return {}
    return {"calibration": [named if named in made.values() else local(named)]}


def head_files(folder):
    """The files of a head that is there; what it learnt with and what its probabilities are told by need not be."""
    further = [
        "calibration.json",
        *[f"adapter/adapter_{name}" for name in ("config.json", "model.safetensors")],
        *[f"encoder/{name}" for name in MODEL_FILES],
    ]
    found = [name for name in further if (folder / name).exists()]
    return [str(folder / name) for name in ["head.json", "head.safetensors", *found]]


def screen_parts(wildcards):
    """The parts of a screen."""
    parts = config["screen"]["runs"][wildcards.screen].get("parts", 1)
    return [
        f"results/{wildcards.screen}/parts/{part}_of_{parts}.screen"
        for part in range(1, parts + 1)
    ]


def growing(amount):
    """A resource that grows with every attempt."""
    return lambda wildcards, attempt: amount * attempt


def cache_setting(wildcards, output):
    """Names Pliant's own cache to it. It cannot change a result, so it is no input, and it is a function of the output,
    as Snakemake does not record such parameters: another cache reruns nothing."""
    return ["env", f"PLIANT_CACHE={config['cache']}"] if config["cache"] else []


def device(wildcards, resources):
    """Where to compute, after the `gpu` that the job was given, which a profile may set."""
    return "cuda" if int(resources.get("gpu", 0)) > 0 else "cpu"

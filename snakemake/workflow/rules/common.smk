import json
import shlex
from pathlib import Path

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
EMBED_FLAGS = [
    f"--layer={','.join(map(str, config['layers']))}",
    *["--pool", config["pool"]],
    *["--precision", config["precision"]],
    *["--out-dtype", config["out_dtype"]],
    *["--long", config["long"]],
    *LAYOUT,
    *READING,
    *shlex.split(config["extra"]["embed"]),
]
GATHER_FLAGS = [*LAYOUT, *shlex.split(config["extra"]["gather"])]


def results():
    """The tables that the workflow is run for."""
    return expand(
        "results/{sample}/{kind}.{format}",
        sample=config["samples"],
        kind=KINDS,
        format=FORMAT,
    )


def proteins(wildcards):
    """The FASTA files of a sample. `local` keeps the prefix of a module off the user's own paths."""
    return local(config["samples"][wildcards.sample])


def model_files(wildcards):
    """The files of the model: Snakemake sees the time and the bytes of a file, but not what changes inside a folder."""
    folder = Path(config["model"])
    found = folder.iterdir() if folder.is_dir() else []
    files = sorted(
        str(path) for path in found if path.is_file() and path.name[0] != "."
    )
    # A model that another step makes is not there yet; where nothing makes it, Snakemake names these as missing.
    return local(
        files or [str(folder / "config.json"), str(folder / "model.safetensors")]
    )


def split_table(wildcards):
    """What a sample was cut into; a function, because only the folder around it is declared."""
    checkpoints.split.get(sample=wildcards.sample)
    return f"results/{wildcards.sample}/shards/split.json"


def parts(wildcards):
    """The parts of a result in the order of the input. A name holds the digest of its shard's records: where they
    have not changed the part is there already, however often `split` has run."""
    # Read where it is; what is returned gets the prefix of a module only afterwards.
    folder = checkpoints.split.get(sample=wildcards.sample).output.shards
    shards = json.loads(Path(folder, "split.json").read_text())["shards"]
    return [
        f"results/{wildcards.sample}/parts/{Path(shard['file']).stem}.{shard['input'][:16]}"
        f".{wildcards.kind}.{FORMAT}"
        for shard in shards
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

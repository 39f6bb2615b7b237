"""Checks what Snakemake itself does not: the configuration's schema, descriptions of wrappers, versions.

Usage: check_snakemake_files.py FOLDER, the folder `snakemake/`.
"""

import copy
import sys
import tomllib
from pathlib import Path

import yaml
from snakemake.utils import validate

SCHEMA = "workflow/schemas/config.schema.yaml"

SMALLEST = {"samples": {"a": "a.fasta"}, "model": "model"}

# What is wrong, by name.
WRONG = {
    "no samples": {"samples": {}},
    "a sample without files": {"samples": {"a": []}},
    "a sample whose name is a path": {"samples": {"a/b": "a.fasta"}},
    "an unknown key": {"shrads": 4},
    "an unknown key of extra": {"extra": {"embde": ""}},
    "an unknown format": {"format": "csv"},
    "no shards": {"shards": 0},
    "more shards than a command can name": {"shards": 1001},
    "half a shard": {"shards": 1.5},
    "a flag in words": {"residues": "yes"},
    "residues as tsv": {"residues": True, "format": "tsv"},
    "several layers as h5": {"layers": [0, -1], "format": "h5"},
    "no layers": {"layers": []},
    "two GPUs": {"gpu": 2},
    "a cache that is no path": {"cache": True},
    "no task": {"tasks": []},
    "an unknown task": {"tasks": ["train"]},
    "log-probabilities as tsv": {"logits": {"format": "tsv"}},
    "an unknown key of contacts": {"contacts": {"pictures": "png"}},
    "no model": {"model": None},
    "a training without runs": {"tasks": ["pretrain"]},
    "a training without a corpus": {"tasks": ["pretrain"], "pretrain": {"runs": {"a": {"config": "a.toml"}}}},
    "a training that begins with two models": {
        "pretrain": {"runs": {"a": {"config": "a", "corpus": "a", "init": "a", "architecture": "a"}}}
    },
    "bins in words": {"evaluate": {"bins": "0,128"}},
    "a head without labels": {"finetune": {"heads": {"a": {"task": "solubility"}}}},
    "a head on two models": {
        "finetune": {"heads": {"a": {"task": "a", "labels": "a", "model": "a", "architecture": "a"}}}
    },
    "a curve of another kind": {"finetune": {"heads": {"a": {"task": "ppi", "labels": "a", "curve": "straight"}}}},
    "variants without assays": {"tasks": ["variants"]},
    "an assay without a wild type": {"variants": {"assays": {"a": {"mutants": "a.csv"}}}},
    "an assay with a column of nothing": {"variants": {"assays": {"a": {"sequence_column": "sequence"}}}},
    "an assay whose name is a path": {"variants": {"assays": {"a/b": {"wild_type": "a.fasta"}}}},
}

RIGHT = {
    "only what is required": {},
    "several files": {"samples": {"a": ["a.fasta", "b.fasta.gz"]}},
    "residues as h5": {"residues": True, "format": "h5"},
    "several layers as npz": {"layers": [0, -1], "format": "npz"},
    "several tasks": {"tasks": ["embed", "logits", "perplexity"], "perplexity": {"method": "one-pass"}},
    "an evaluation": {"tasks": ["evaluate"], "evaluate": {"format": "tsv", "bins": [0, 100]}},
    "a training": {"tasks": ["pretrain"], "pretrain": {"runs": {"a": {"config": "a.toml", "corpus": ["a.fasta"]}}}},
    "a head": {"tasks": ["finetune"], "finetune": {"heads": {"a": {"task": "solubility", "labels": "a.tsv"}}}},
    "a screen": {
        "tasks": ["screen"],
        "model": "model",
        "screen": {"runs": {"a": {"first": "a.fasta", "head": "head", "calibration": "c.json", "parts": 3}}},
    },
    "a calibrated head": {
        "tasks": ["finetune"],
        "finetune": {"heads": {"a": {"task": "ppi", "labels": "a", "calibrate": "b", "curve": "isotonic"}}},
    },
    "a sweep": {
        "tasks": ["finetune"],
        "finetune": {"heads": {"a": {"task": "ppi", "labels": "a.tsv", "grid": ["head.hidden=2,4"]}}},
    },
    "a wild type alone": {"tasks": ["variants"], "variants": {"assays": {"a": {"wild_type": "a.fasta"}}}},
}


def refused(schema: Path, changes: dict) -> bool:
    """Whether the smallest configuration with these changes is refused."""
    config = copy.deepcopy(SMALLEST) | copy.deepcopy(changes)
    try:
        validate(config, schema)
    except Exception as error:
        assert "alidat" in str(error), error
        return True
    return False


def check_schema(folder: Path) -> list[str]:
    """Faults of the schema."""
    schema = folder / SCHEMA
    faults = [f"taken: {name}" for name, changes in WRONG.items() if not refused(schema, changes)]
    faults += [f"refused: {name}" for name, changes in RIGHT.items() if refused(schema, changes)]
    config = copy.deepcopy(SMALLEST)
    validate(config, schema)
    if config["shards"] != 4 or config["extra"]["embed"] != "" or config["perplexity"]["format"] != "tsv":
        faults.append(f"defaults are not filled in: {config}")
    page = (folder / "config/README.md").read_text()
    keys = yaml.safe_load(schema.read_text())["properties"]
    faults += [f"config/README.md does not tell `{key}`" for key in keys if f"| `{key}` |" not in page]
    alone = {"tasks": ["pretrain"], "pretrain": {"runs": {"a": {"config": "a.toml", "corpus": "a.fasta"}}}}
    validate(alone, schema)
    del config["samples"]
    config |= {"tasks": ["variants"], "variants": {"assays": {"a": {"mutants": "a.csv", "sequence_column": "b"}}}}
    validate(config, schema)
    return faults


def check_wrappers(folder: Path) -> list[str]:
    """Faults of the wrappers' descriptions."""
    faults = []
    for wrapper in sorted((folder / "wrappers").iterdir()):
        about = yaml.safe_load((wrapper / "meta.yaml").read_text())
        wanted = ["name", "url", "description", "authors", "input", "output", "params", "notes"]
        faults += [f"{wrapper.name}: meta.yaml has no {key}" for key in wanted if not about.get(key)]
        for file in ("wrapper.py", "environment.yaml", "test/Snakefile"):
            if not (wrapper / file).is_file():
                faults.append(f"{wrapper.name} has no {file}")
        compile((wrapper / "wrapper.py").read_text(), "wrapper.py", "exec")
    return faults


def check_versions(folder: Path) -> list[str]:
    """Environments, and the image, that are of another version than the program or differ from each other."""
    manifest = tomllib.loads((folder.parent / "Cargo.toml").read_text())
    version = manifest["workspace"]["package"]["version"]
    wanted = {
        "channels": ["conda-forge", "bioconda", "nodefaults"],
        "dependencies": [f"bioconda::pliant ={version}"],
    }
    files = [folder / "workflow/envs/pliant.yml", *sorted((folder / "wrappers").glob("*/environment.yaml"))]
    faults = [f"{file} is not {wanted}" for file in files if yaml.safe_load(file.read_text()) != wanted]
    schema = yaml.safe_load((folder / SCHEMA).read_text())
    image = schema["properties"]["container"]["default"]
    if image != f"docker://ghcr.io/pliant/pliant:{version}":
        faults.append(f"{SCHEMA}: the image is {image}, the program has version {version}")
    return faults


def main() -> None:
    folder = Path(sys.argv[1])
    faults = check_schema(folder) + check_wrappers(folder) + check_versions(folder)
    if faults:
        sys.exit("\n".join(faults))


main()

"""Compares what the workflow says of itself with schemas and with its own scripts.

Usage: check_schemas.py NEXTFLOW_FOLDER CONFIG_JSON, the second as `nextflow config -o json` writes it.
Prints every problem on a line of its own and exits with 1 where there is one.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml

SCHEMAS = Path(__file__).parent / "schemas"

VERSION = re.search(
    r'^version = "(.+)"$', (Path(__file__).parents[3] / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE
)[1]


def schema(path: Path) -> jsonschema.Draft202012Validator:
    """A schema of draft 2020-12, itself checked."""
    loaded = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(loaded)
    return jsonschema.Draft202012Validator(loaded)


def against(path: Path, validator) -> list[str]:
    """What is wrong with a YAML file by a schema."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [f"{path}: {'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]


def block(script: str, name: str, after: str) -> str:
    """The text of a section such as `output:` up to the next one."""
    found = re.search(rf"^    {name}:\n(.*?)^    (?:{after}):", script, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def agrees(name: str, found, wanted) -> list[str]:
    """One line where two things differ."""
    return [] if found == wanted else [f"{name}: found {found}, wanted {wanted}"]


def module(folder: Path) -> list[str]:
    """A module's description, environment and script."""
    script = (folder / "main.nf").read_text(encoding="utf-8")
    meta = yaml.safe_load((folder / "meta.yml").read_text(encoding="utf-8"))
    problems = against(folder / "meta.yml", schema(SCHEMAS / "module.json"))
    problems += against(folder / "environment.yml", schema(SCHEMAS / "environment.json"))

    name = f"pliant_{folder.name}"
    problems += agrees(f"{folder}: name", meta["name"], name)
    problems += agrees(f"{folder}: process", re.findall(r"^process (\w+)", script, re.MULTILINE), [name.upper()])

    head = script[: script.index("    input:")]
    directives = re.findall(r"^    (\w+) ", head, re.MULTILINE)
    problems += agrees(f"{folder}: directives", directives, ["tag", "label", "conda", "container"])
    image = re.findall(r'container "(.+)"', head)
    problems += agrees(f"{folder}: container", image, [f"ghcr.io/pliant/pliant:{VERSION}"])
    environment = yaml.safe_load((folder / "environment.yml").read_text(encoding="utf-8"))
    problems += agrees(f"{folder}: environment", environment["dependencies"], [f"bioconda::pliant={VERSION}"])

    inputs = [line for line in block(script, "input", "output").splitlines() if line.strip()]
    problems += agrees(f"{folder}: number of inputs", len(meta["input"]), len(inputs))
    for line, described in zip(inputs, meta["input"]):
        described = described if isinstance(described, list) else [described]
        names = [key for element in described for key in element]
        problems += agrees(f"{folder}: input", re.findall(r"(?:val|path)[ (](\w+)", line), names)

    outputs = block(script, "output", "when")
    for line in filter(str.strip, outputs.splitlines()):
        emit = re.search(r"emit: (\w+)", line)[1]
        names = [key for element in meta["output"].get(emit, [[]])[0] for key in element]
        parts = re.findall(r"(?:val|path|eval)\((?:\"(.*?)\"|'(.*?)'|(\w+))[,)]", line)
        problems += agrees(f"{folder}: output {emit}", ["".join(part) for part in parts], names)
    problems += agrees(f"{folder}: outputs", re.findall(r"emit: (\w+)", outputs), list(meta["output"]))
    for needed in ["README.md", "tests/main.nf.test", "tests/nextflow.config"]:
        if not (folder / needed).is_file():
            problems.append(f"{folder}: {needed} is not there")
    return problems


def included(script: str) -> list[str]:
    """The modules that a script includes, as a meta.yml names them."""
    return sorted(set(re.findall(r"from '\S+/modules/(\S+)/main'", script)))


def subworkflow(folder: Path) -> list[str]:
    """A subworkflow's description and script."""
    script = (folder / "main.nf").read_text(encoding="utf-8")
    meta = yaml.safe_load((folder / "meta.yml").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(json.loads((SCHEMAS / "subworkflow.json").read_text(encoding="utf-8")))
    problems = against(folder / "meta.yml", validator)
    problems += agrees(f"{folder}: name", meta["name"], folder.name)
    problems += agrees(f"{folder}: components", sorted(meta["components"]), included(script))
    takes = re.findall(r"^    (\w+) +//", block(script, "take", "main"), re.MULTILINE)
    problems += agrees(f"{folder}: inputs", [key for entry in meta["input"] for key in entry], takes)
    emits = re.findall(r"^    (\w+) +//", script[script.index("    emit:") :], re.MULTILINE)
    problems += agrees(f"{folder}: outputs", [key for entry in meta["output"] for key in entry], emits)
    if "topics" in meta:
        problems.append(f"{folder}: meta.yml has topics, which belong to modules")
    return problems


def parameters(root: Path, settings: dict) -> list[str]:
    """nextflow_schema.json against the parameters that Nextflow itself reads."""
    path = root / "nextflow_schema.json"
    validator = schema(path)
    told = json.loads(path.read_text(encoding="utf-8"))
    groups = told["$defs"]
    referred = [entry["$ref"] for entry in told["allOf"] if "$ref" in entry]
    problems = agrees(f"{path}: allOf", referred, [f"#/$defs/{name}" for name in groups])
    described = {name: entry for group in groups.values() for name, entry in group["properties"].items()}
    problems += agrees(f"{path}: parameters", sorted(described), sorted(settings))
    for name, entry in described.items():
        problems += agrees(f"{path}: default of {name}", entry.get("default"), settings.get(name))
        if not entry.get("description"):
            problems.append(f"{path}: {name} has no description")
    readme = (root / "README.md").read_text(encoding="utf-8")
    problems += [f"README.md: --{name} is not described" for name in described if f"`--{name}`" not in readme]

    fine = {name: value for name, value in settings.items() if value is not None}
    fine |= {"input": "proteins.fasta", "model": "model", "outdir": "results"}
    problems += [f"{path}: refuses the defaults: {error.message}" for error in validator.iter_errors(fine)]
    for wrong in [
        {"shards": 0},
        {"format": "text"},
        {"curve": "straight"},
        {"cache": "cache.db"},
        {"layers": "last"},
        {"pool": None},
        {"task": "train"},
        {"task": "pretrain", "corpus": "proteins.fasta"},
        {"run_dir": "runs"},
        {"task": "variants", "mutants": "mutants.csv"},
    ]:
        if validator.is_valid(fine | wrong):
            problems.append(f"{path}: takes {wrong}")
    return problems


def sheet(root: Path) -> list[str]:
    """The schema of sample sheets."""
    validator = schema(root / "assets" / "schema_input.json")
    cases = [
        ([{"sample": "a", "fasta": "a.fasta.gz"}], True),
        ([{"sample": "a b", "fasta": "a.fasta"}], False),
        ([{"sample": "a", "fasta": "a.csv"}], False),
        ([{"fasta": "a.fasta"}], False),
    ]
    return [f"schema_input.json: {rows} is {not fine}" for rows, fine in cases if validator.is_valid(rows) != fine]


def main() -> int:
    root = Path(sys.argv[1])
    # Nextflow writes its warnings above the settings.
    written = Path(sys.argv[2]).read_text(encoding="utf-8")
    settings = json.loads(written[written.index("{") :])
    folders = sorted(path.parent for path in root.glob("modules/*/*/main.nf"))
    names = sorted(str(folder.relative_to(root / "modules")) for folder in folders)
    problems = [problem for folder in folders for problem in module(folder)]
    scripts = sorted(root.glob("subworkflows/*/main.nf"))
    for script in scripts:
        problems += subworkflow(script.parent)
    used = {name for script in [root / "main.nf", *scripts] for name in included(script.read_text(encoding="utf-8"))}
    problems += agrees("modules in use", sorted(used), names)
    problems += parameters(root, settings["params"])
    problems += sheet(root)
    problems += agrees("manifest.version", settings["manifest"]["version"], VERSION)
    for problem in problems:
        print(problem)
    print(f"descriptions: {len(folders)} modules, {len(settings['params'])} parameters, {len(problems)} problems")
    return 1 if problems or not folders else 0


if __name__ == "__main__":
    sys.exit(main())

"""Reads the conda recipe as conda-build would, lints it, then builds, installs and tests its package.

conda-build and its channels are not needed: rattler-build makes the package from the same fields, with this
machine's cargo and C compiler in place of those that the recipe asks for, and with an empty channel.

    python conda.py CHECKOUT SCRATCH
"""

import os
import re
import shlex
import sys
import tarfile
import warnings
from pathlib import Path

import jinja2
import rattler_build
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

RECIPE = "host/packaging/conda"
PLATFORM = {"linux": True, "osx": False, "win": False, "unix": True}
LINTS = "{extends: default, rules: {document-start: disable, line-length: {max: 120}, comments: {min-spaces-from-content: 1}}}"


def rendered(text):
    """The recipe as YAML: selectors applied, then templates."""
    kept = []
    for line in text.splitlines():
        selector = re.search(r"#\s*\[(.+)\]\s*$", line)
        if selector is None or eval(selector[1], {"__builtins__": {}}, PLATFORM):
            kept.append(line)
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return template.from_string("\n".join(kept) + "\n").render(
        compiler=lambda language: f"{language}_compiler_stub",
        stdlib=lambda language: f"{language}_stdlib_stub",
        pin_subpackage=lambda name, max_pin: f"{name} {max_pin}",
    )


def faults(text, recipe):
    """What Bioconda's own lints would refuse in every recipe, and what yamllint finds."""
    body = text[text.index("package:") :]
    found = [f"yamllint: line {fault.line}: {fault.desc}" for fault in linter.run(body, YamlLintConfig(LINTS))]
    build, about = recipe.get("build", {}), recipe.get("about", {})
    needs = recipe.get("requirements", {}).get("build", [])
    wanted = {
        "missing_build_number": isinstance(build.get("number"), int),
        "missing_run_exports": bool(build.get("run_exports")),
        "missing_summary": bool(about.get("summary")),
        "missing_license": bool(about.get("license")),
        "missing_license_file": bool(about.get("license_file")),
        "missing_tests": bool(recipe.get("test", {}).get("commands")),
        "compiler_needs_stdlib_c": "c_stdlib_stub" in needs and "c_compiler_stub" in needs,
        "missing_rust_compiler": "rust_compiler_stub" in needs,
        "missing_aarch64": "linux-aarch64" in recipe.get("extra", {}).get("additional-platforms", []),
        "skipped_on_linux": not build.get("skip"),
    }
    return found + [name for name, holds in wanted.items() if not holds]


def translated(recipe, checkout):
    """The fields that rattler-build reads, without the compilers' packages. It builds in the checkout itself, with the
    environment of everything else here, so that the build outputs are warm and stay so: another CFLAGS would have
    cargo compile every C source again, now and in the next ordinary build."""
    carried = ["HOME", "PATH", "PROFILE", "RUSTFLAGS"]
    carried += ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
    known = [f"{name}={shlex.quote(os.environ[name])}" for name in carried if os.environ.get(name)]
    script = [
        f"cd {shlex.quote(str(checkout))}",
        f'env -i {" ".join(known)} PREFIX="$PREFIX" bash {RECIPE}/build.sh',
    ]
    return {
        "package": {"name": recipe["package"]["name"], "version": str(recipe["package"]["version"])},
        "source": {"path": str(checkout)},
        "build": {"number": recipe["build"]["number"], "script": script},
        "tests": [{"script": recipe["test"]["commands"], "files": {"source": recipe["test"]["source_files"]}}],
        "about": {key: recipe["about"][key] for key in ("summary", "license", "license_file")},
    }


def build(recipe, scratch):
    """Builds the package, installs it into a fresh environment and runs its tests there; returns its file."""
    channel = scratch / "channel"
    for folder in ("noarch", "linux-64", "linux-aarch64"):
        (channel / folder).mkdir(parents=True)
        (channel / folder / "repodata.json").write_text(
            f'{{"info": {{"subdir": "{folder}"}}, "packages": {{}}, "packages.conda": {{}}, "repodata_version": 1}}'
        )
    (scratch / "recipe").mkdir()
    (scratch / "recipe" / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    with warnings.catch_warnings():
        # Its successor cannot be given the channel of a test yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        rattler_build.build_recipes(
            [scratch / "recipe" / "recipe.yaml"],
            channel=[channel.as_uri()],
            output_dir=scratch / "out",
            package_format="tar-bz2:1",
            test="native",
        )
    packages = list((scratch / "out").glob("linux-*/*.tar.bz2"))
    assert len(packages) == 1, f"found packages {packages}, wanted one"
    return packages[0]


def main():
    checkout, scratch = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    text = rendered((checkout / RECIPE / "meta.yaml").read_text())
    recipe = yaml.safe_load(text)
    broken = text.replace("    - c_stdlib_stub\n", "").replace("  number: 0\n", "")
    assert len(faults(broken, yaml.safe_load(broken))) == 2, "the lints do not bite"
    found = faults(text, recipe)
    if found:
        sys.exit(f"{RECIPE}/meta.yaml: " + "; ".join(found))
    package = build(translated(recipe, checkout), scratch)
    with tarfile.open(package) as archive:
        names = archive.getnames()
    places = ("bin/pliant", "share/licenses/pliant/", "info/", "etc/conda/test-files/")
    outside = [name for name in names if not name.startswith(places)]
    assert not outside, f"files outside their places: {outside}"
    for name in ("bin/pliant", "share/licenses/pliant/crates.tsv", "info/licenses/LICENSE-MIT"):
        assert name in names, f"{name} is not in the package"
    print(f"built, installed and tested {package.name}: {package.stat().st_size >> 10} KiB, {len(names)} files")


if __name__ == "__main__":
    main()

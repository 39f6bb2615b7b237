"""Proof and speed on a GPU, part by part; see run.sh."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import prove
import speed
from program import Failed, Pliant
from report import Report, say
from shapes import ROOT, SHAPES, TINY, nominal_of

PARTS = ["doctor", "check", "families", "speed", "times", "cold", "peers", "profile"]

# Seconds without which a part is not begun.
LEAST = {"check": 20, "families": 60, "times": 20, "cold": 25, "peers": 40, "profile": 40, "sanitize": 60}


def device_words():
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def doctor(pliant, report):
    """What there is; ends the call where no GPU can be used."""
    found = json.loads(pliant.run("doctor", "--json").stdout)
    cuda = found["cuda"]
    say(json.dumps(cuda, indent=1))
    test = cuda.get("self_test") or {}
    report.fact(f"pliant {found['version']}, driver of CUDA {cuda.get('version')}, {test.get('compiler')}, {test.get('products')}")
    if not test:
        raise Failed(f"no GPU can be used: {cuda.get('reason')}")
    report.fact(f"self-test of `pliant doctor`: {test['seconds']:.2f} s for {test['compared']} results, kernels compiled and "
                f"loaded in {test['seconds_to_open']:.1f} s")
    report.check("doctor: the GPU computes what the processor does", cuda["usable"], str(test["disagree"] or ""))


def guarded(report, pliant, name, work):
    """Runs a part, or a piece of one; what it cannot do is told, and the next may begin."""
    if pliant.left() < LEAST.get(name.split()[0], 0):
        report.fact(f"left out for lack of time: {name}")
        return False
    begin = time.time()
    try:
        work()
    except (Failed, ImportError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        report.check(f"{name}:", False, f"{type(error).__name__}: {error}")
        return False
    say(f"-- {name}: {time.time() - begin:.1f} s, {pliant.left():.0f} s left")
    return True


def all_parts(arguments, pliant, report, nominal):
    shapes = TINY if arguments.dry_run else SHAPES
    names, parts = arguments.shapes.split(","), arguments.parts.split(",")
    models = speed.Models(pliant, shapes, [name for name in shapes if name in names or name == "8M"])
    for part in parts:
        if part in ("check", "families", "sanitize"):
            work = getattr(prove, part)
            done = guarded(report, pliant, part, lambda: work(pliant, report))
        elif part == "speed":
            done = all([one_shape(report, pliant, models, name, shapes[name], nominal) for name in names])
        elif part == "peers":
            done = all([guarded(report, pliant, f"peers {name}",
                                lambda: speed.peers(pliant, report, name, shapes[name], arguments.dry_run))
                        for name in names if shapes[name].is_esm2])
        elif part == "times":
            tokens = 1_000 if arguments.dry_run else 250_000
            done = guarded(report, pliant, part,
                           lambda: speed.times(pliant, report, models, names[0], shapes[names[0]], tokens))
        elif part == "cold":
            done = guarded(report, pliant, part, lambda: speed.cold(pliant, report, models))
        elif part == "profile":
            keep, tokens = report.path and report.path.with_suffix(".profile.csv"), 1_000 if arguments.dry_run else 30_000
            done = guarded(report, pliant, part, lambda: speed.profile(pliant, report, models, names[0], tokens, keep))
        else:
            done = True
        if done:
            report.part(part)


def one_shape(report, pliant, models, name, shape, nominal):
    if pliant.left() < shape.seconds:
        report.fact(f"left out for lack of time: {name}")
        return False
    return guarded(report, pliant, f"speed {name}", lambda: speed.speed(pliant, report, models, name, shape, nominal))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pliant")
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    end, found = time.time() + 60 * arguments.minutes, device_words()
    report = Report(found or "a stand-in, or an unknown GPU")
    if arguments.results or (found and not arguments.dry_run):
        report.write_to(arguments.results or ROOT / "kernels" / "RESULTS.md")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pliant = Pliant(arguments.pliant, pathlib.Path(folder), end)
        if not guarded(report, pliant, "doctor", lambda: doctor(pliant, report)):
            sys.exit("no GPU can be used here, see above")
        all_parts(arguments, pliant, report, nominal_of(found or ""))
    say("\n" + report.text())
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()

"""How fast a GPU is, and PyTorch on the same one; see run.sh."""

import csv
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

from program import Failed, array, least_cosine
from shapes import LETTERS, proteins

HERE = pathlib.Path(__file__).resolve().parent


class Models:
    """Models of random weights, made on the processor while the GPU is at other work: some 20 million weights a second each.
    The last, which is the largest, is made after the others, so that it cannot take their disk."""

    def __init__(self, pliant, shapes, names):
        self.pliant, self.made, self.failed = pliant, {name: threading.Event() for name in names}, {}
        for name in names:
            before = [self.made[other] for other in names[:-1] if name == names[-1]]
            threading.Thread(target=self.make, args=(name, shapes[name].config, before), daemon=True).start()

    def make(self, name, config, before):
        for other in before:
            other.wait()
        try:
            self.pliant.file(f"{name}.json").write_text(json.dumps(config))
            self.pliant.run("model", "new", "--config", f"{name}.json", "--seed", "1", "--out", f"model_{name}", seconds=600)
        except (Failed, OSError) as error:
            self.failed[name] = error
        self.made[name].set()

    def folder(self, name):
        """The folder of a model, once it is there."""
        if not self.made[name].wait(timeout=max(1, self.pliant.left())):
            raise Failed(f"the model {name} is not made yet")
        if name in self.failed:
            raise Failed(f"the model {name}: {self.failed[name]}")
        return self.pliant.file(f"model_{name}")


def speed(pliant, report, models, name, shape, nominal):
    """Rows of one shape."""
    folder, work = models.folder(name), pliant.work
    tokens = proteins(work / "many.fasta", shape.tokens)
    on = ["--model", folder, "--device", "cuda", "--precision", "bf16"]
    flops = json.loads(pliant.run("embed", "many.fasta", *on, "--out", "many.npz", "--dry-run").stdout)["estimated_flops"]
    attentions = ["tensor-cores", "plain"] if shape.is_esm2 else ["plain"]
    if shape.compared:
        compare(pliant, report, name, shape, [*on, "--gpu-attention", attentions[0]])
    for attention in attentions:
        part = 1.0
        if attention == "plain" and shape.is_esm2:
            if not shape.plain or pliant.left() < 60:
                continue
            part = 0.25
            whole, tokens = tokens, proteins(work / "many.fasta", int(shape.tokens * part))
            part = tokens / whole
        done = pliant.run("embed", "many.fasta", *on, "--gpu-attention", attention, "--out", "many.npz", "--summary",
                          "summary.json")
        summary = json.loads((work / "summary.json").read_text())
        seconds = summary["compute_seconds"]
        loading = summary["wall_seconds"] - seconds
        note = f"packs of {summary['max_batch_tokens']:,} tokens; {loading:.1f} s before and after; {summary['numerics']}"
        slow = [line for line in done.stderr.splitlines() if "no algorithm" in line]
        note += "".join(f"; **{line.strip()}**" for line in slow)
        report.row(f"{name}, attention {attention}", tokens / seconds, flops * part / seconds / 1e12, nominal, note)
        report.fastest[name] = max(report.fastest.get(name, 0), tokens / seconds)


def compare(pliant, report, name, shape, words):
    """A few proteins on the processor in f32, and on the GPU in packs of two sizes."""
    proteins(pliant.work / "few.fasta", shape.compared, seed=8)
    written = []
    for budget in ["1500", "65536"]:
        pliant.run("embed", "few.fasta", *words, "--max-batch-tokens", budget, "--out", "few.npz")
        written.append(pliant.file("few.npz").read_bytes())
    report.check(f"{name} bf16: the same bytes for every pack", len(set(written)) == 1)
    folder = words[words.index("--model") + 1]
    pliant.run("embed", "few.fasta", "--model", folder, "--device", "cpu", "--out", "cpu.npz")
    cosine = least_cosine(*(array(pliant.file(file), "embeddings") for file in ["few.npz", "cpu.npz"]))
    report.check(f"{name} bf16 against the processor's f32: least cosine", cosine >= 0.9999, f"{cosine:.7f}")


def times(pliant, report, models, which, shape, tokens):
    """What each kernel and product takes in a few packs, by events around every launch; the first, which may wait for code to be
    loaded, counts as the mean of the others. Products are told with their rate."""
    tokens = proteins(pliant.work / "packs.fasta", tokens, seed=9)
    pliant.run("embed", "packs.fasta", "--model", models.folder(which), "--device", "cuda", "--precision", "bf16",
               "--gpu-attention", "tensor-cores" if shape.is_esm2 else "plain", "--out", "packs.npz", "--summary",
               "times.json", env={"PLIANT_GPU_TIMES": "1"})
    told = json.loads((pliant.work / "times.json").read_text())["gpu_kernels"]
    for one in told:
        if one["calls"] > 1:
            one["milliseconds"] = (one["milliseconds"] - one["first_milliseconds"]) * one["calls"] / (one["calls"] - 1)
    told.sort(key=lambda one: -one["milliseconds"])
    total = sum(one["milliseconds"] for one in told)
    layers = shape.config.get("num_hidden_layers") or shape.config["n_layer"]
    lines = [f"{tokens:,} tokens, {layers} layers; all kernels took {total:.1f} ms, {total * 1e6 / tokens:.0f} ns a token: "
             f"{tokens / total * 1e3:,.0f} tokens a second if nothing else took time.", "",
             "| kernel | calls | ms | share | ns a token and layer | TFLOP/s |", "|---|---|---|---|---|---|"]
    width = shape.config.get("hidden_size")
    for one in told[:24]:
        name, milliseconds = one["name"], one["milliseconds"]
        product = re.match(r"product (\d+) x (\d+) ", name) if shape.is_esm2 else None
        sizes = [int(size) for size in product.groups()] if product else [0, 0]
        # Queries, keys and values are products of one shape; every other one is a layer's only one.
        turns = 3 if sizes == [width, width] and "residual" not in name else 1
        flops = 2 * sizes[0] * sizes[1] * turns * layers * tokens
        rate = f"{flops / milliseconds / 1e9:.0f}" if flops and milliseconds else ""
        lines.append(f"| `{name}` | {one['calls']} | {milliseconds:.2f} | {milliseconds / total:.1%} | "
                     f"{milliseconds * 1e6 / tokens / layers:.2f} | {rate} |")
    report.detail(f"Time of kernels by events, {which}", "\n".join(lines))


def cold(pliant, report, models):
    """Seconds from nothing to the first embedding of a model of 8M: without and with kernels compiled before."""
    folder = models.folder("8M")
    pliant.file("one.fasta").write_text(">one\n" + LETTERS * 15 + "\n")
    found = []
    for _ in range(3):
        begin = time.time()
        pliant.run("embed", "one.fasta", "--model", folder, "--device", "cuda", "--precision", "bf16", "--out", "one.npz",
                   env={"PLIANT_KERNELS": str(pliant.file("cold_kernels"))})
        found.append(time.time() - begin)
    report.fact(f"start to the first embedding of 8M: {found[0]:.2f} s without compiled kernels, {min(found[1:]):.2f} s with")


def peer(pliant, name, shape, dry):
    """What peer.py says of a shape."""
    tokens = min(shape.tokens, 300_000)
    proteins(pliant.work / "peer.fasta", tokens)
    config = shape.config
    words = [sys.executable, str(HERE / "peer.py"), "--fasta", str(pliant.file("peer.fasta"))]
    for option, key in [("layers", "num_hidden_layers"), ("width", "hidden_size"), ("heads", "num_attention_heads")]:
        words += [f"--{option}", str(config[key])]
    words += ["--device", "cpu", "--budgets", "100,200"] if dry else []
    limit = max(5, min(150, pliant.left()))
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout.strip().splitlines()[-1]), done.stderr
    except subprocess.TimeoutExpired as error:
        raise Failed(f"PyTorch with {name} did not end within {limit:.0f} s") from error
    except (IndexError, ValueError) as error:
        raise Failed(f"PyTorch with {name}: {done.stderr[-600:]}") from error


def peers(pliant, report, name, shape, dry):
    """PyTorch's rows of one shape."""
    found, told = peer(pliant, name, shape, dry)
    for way in ["padded", "varlen"]:
        result = found[way]
        note = f"PyTorch {found['version']}" + (f", budget {result['budget']:,} tokens" if result else f": {told.strip()[-200:]}")
        report.row(f"{name}, PyTorch {way}", result["tokens_per_second"] if result else None, None, None,
                   note.replace("\n", " ").replace("|", "/"))
    if found["apart"] is not None:
        report.check(f"{name}, PyTorch: padded and varlen agree, largest distance", found["apart"] <= 0.1, f"{found['apart']:.1e}")
    best = max((found[way]["tokens_per_second"] for way in ["padded", "varlen"] if found[way]), default=None)
    known = best and name in report.fastest
    ratio = f"{name}: {report.fastest[name] / best:.2f} of PyTorch's best" if known else f"{name}: no ratio"
    report.fact(f"{ratio}; a {found['peak_width']}-wide product of PyTorch in bf16 ran at {found['peak_tflops']:.0f} TFLOP/s")


def profile(pliant, report, models, name, tokens, keep):
    """Time of each kernel in one pack, by ncu, which runs kernels one by one: shares, and no speed."""
    tool = shutil.which("ncu") or shutil.which("ncu", path="/usr/local/cuda/bin")
    if not tool:
        return report.fact("ncu is not here: no kernel was timed")
    proteins(pliant.work / "pack.fasta", tokens, seed=9)
    before = [tool, "--csv", "--clock-control", "none", "--print-units", "base", "--metrics", "gpu__time_duration.sum"]
    done = pliant.run("embed", "pack.fasta", "--model", models.folder(name), "--device", "cuda", "--precision", "bf16",
                      "--gpu-attention", "tensor-cores", "--out", "pack.npz", before=before, fails=True)
    if keep:
        keep.write_text(done.stdout)
    times = kernel_times(done.stdout)
    if not times:
        raise Failed(f"ncu told no times, code {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
    total = sum(sum(values) for values in times.values())
    lines = ["| kernel | calls | ms | share |", "|---|---|---|---|"]
    for kernel, values in sorted(times.items(), key=lambda item: -sum(item[1]))[:20]:
        shown = kernel.replace("|", "/")[:90]
        lines.append(f"| `{shown}` | {len(values)} | {sum(values) / 1e6:.2f} | {sum(values) / total:.1%} |")
    return report.detail(f"Time of kernels, one pack of {name}", "\n".join(lines))


def kernel_times(text):
    """Nanoseconds of every call by kernel, from the table of ncu, whose head is the first line with `Kernel Name`."""
    lines = text.splitlines()
    head = next((place for place, line in enumerate(lines) if "Kernel Name" in line), None)
    times = {}
    for row in csv.DictReader(lines[head:]) if head is not None else []:
        value = row.get("Metric Value") or row.get("gpu__time_duration.sum") or ""
        try:
            times.setdefault(row["Kernel Name"], []).append(float(value.replace(",", "")))
        except ValueError:  # the line of units
            continue
    return times

"""Proof and speed on a GPU; see run.sh."""

import argparse
import datetime
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
LETTERS = "ACDEFGHIKLMNPQRSTVWY"

ESM2 = {
    "architectures": ["EsmForMaskedLM"], "model_type": "esm", "vocab_size": 33, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 1026, "position_embedding_type": "rotary", "emb_layer_norm_before": False,
    "token_dropout": True, "mask_token_id": 32, "pad_token_id": 1, "initializer_range": 0.02,
}
LC_PLM = {
    **json.loads((FIXTURES / "models" / "lc_plm_tiny_random.config.json").read_text()),
    "d_model": 1536, "n_layer": 48,
    "ssm_cfg": {"layer": "Mamba1", "d_state": 16, "d_conv": 4, "expand": 2, "dt_rank": "auto"},
}


def esm2(layers, width, heads):
    return {**ESM2, "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads,
            "intermediate_size": 4 * width}


# Configuration, tokens to compute, seconds that making, loading and measuring take at most.
SHAPES = {
    "tiny": (esm2(2, 32, 2), 2_000, 20),
    "8M": (esm2(6, 320, 20), 6_000_000, 45),
    "150M": (esm2(30, 640, 20), 3_000_000, 60),
    "650M": (esm2(33, 1280, 20), 1_500_000, 100),
    "lc_plm": (LC_PLM, 1_000_000, 110),
    "3B": (esm2(36, 2560, 40), 500_000, 240),
}

# bf16 with 32-bit sums, dense, TFLOP/s by the maker's data sheets.
NOMINAL = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "A10G": 70, "L4": 121, "RTX 4090": 165}

# What makes products and attention.
WAYS = [("plain", "plain"), ("auto", "plain"), ("auto", "tensor-cores")]

FAILURES = []


def say(text):
    print(text, flush=True)


def check(what, holds, detail=""):
    say(f"{'ok  ' if holds else 'FAIL'} {what} {detail}".rstrip())
    if not holds:
        FAILURES.append(f"{what} {detail}".strip())


def libraries():
    """Folders of NVIDIA's wheels beside PyTorch, for LD_LIBRARY_PATH."""
    try:
        import nvidia
    except ImportError:
        return []
    roots = [pathlib.Path(path) for path in nvidia.__path__]
    return [str(lib) for root in roots for lib in sorted(root.glob("*/lib"))]


class Pliant:
    def __init__(self, program, work):
        self.program = str(pathlib.Path(program).resolve())
        self.work = work
        found = libraries()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PLIANT_")}
        self.environment.update({k: v for k, v in os.environ.items() if k.startswith("PLIANT_STANDIN")})
        own = self.environment.get("LD_LIBRARY_PATH", "")
        self.environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [own, *found]))
        self.environment["PLIANT_KERNELS"] = str(work / "kernels")

    def run(self, *words, fails=False, env=None):
        words = [str(word) for word in words]
        done = subprocess.run([self.program, *words], cwd=self.work, env={**self.environment, **(env or {})},
                              capture_output=True, text=True)
        if done.returncode and not fails:
            say(done.stdout[-3000:] + done.stderr[-3000:])
            raise SystemExit(f"pliant {' '.join(words)} ended with {done.returncode}")
        return done


def array(path, name):
    import numpy
    with numpy.load(path) as file:
        return file[name].astype("f8")


def least_cosine(one, other):
    import numpy
    norms = numpy.linalg.norm(one, axis=1) * numpy.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / norms).min())


def proteins(path, tokens, seed=7):
    """Random proteins with the lengths of a proteome: log-normal with the median 340, up to 1022."""
    draw, left, lengths = random.Random(seed), tokens, []
    with open(path, "w") as file:
        while left > 0:
            length = min(1022, max(30, int(draw.lognormvariate(5.83, 0.6))))
            file.write(f">p{len(lengths)}\n{''.join(draw.choices(LETTERS, k=length))}\n")
            lengths.append(length + 2)
            left -= length + 2
    return lengths


def prove(pliant):
    """Every operation, the families, results that do not depend on the pack."""
    for products, attention in WAYS:
        done = pliant.run("kernels", "check", "--gpu-products", products, "--gpu-attention", attention, fails=True)
        last = done.stdout.strip().splitlines()
        check(f"operations against the processor, products {products}, attention {attention}:", done.returncode == 0,
              last[-1] if last else "")
        if done.returncode:
            say(done.stdout[-6000:] + done.stderr[-2000:])
    work = pliant.work
    ecoli = FIXTURES / "fasta" / "ecoli20.fasta"
    for family in ["esm2_tiny_random", "lc_plm_tiny_random", "plus_rnn_tiny_random"]:
        embed = ["embed", ecoli, "--model", FIXTURES / "models" / family, "--out"]
        pliant.run(*embed, "cpu.npz", "--device", "cpu")
        wanted = array(work / "cpu.npz", "embeddings")
        for products, attention in WAYS:
            on = ["--device", "cuda", "--gpu-products", products, "--gpu-attention", attention]
            way, by_tensors = f"products {products}, attention {attention}", attention == "tensor-cores"
            if by_tensors and not family.startswith("esm2"):
                continue
            if not by_tensors:
                pliant.run(*embed, "f32.npz", *on)
                far = abs(array(work / "f32.npz", "embeddings") - wanted).max()
                check(f"{family} f32 {way}: largest distance", far <= 1e-4, f"{far:.2e}")
            pliant.run(*embed, "bf16.npz", *on, "--precision", "bf16")
            cosine = least_cosine(array(work / "bf16.npz", "embeddings"), wanted)
            check(f"{family} bf16 {way}: least cosine", cosine >= 0.9999, f"{cosine:.7f}")
            for precision in ["bf16"] if by_tensors else ["f32", "bf16"]:
                written = []
                for budget in ["1", "777", "65536"]:
                    pliant.run(*embed, "pack.npz", *on, "--precision", precision, "--max-batch-tokens", budget)
                    written.append((work / "pack.npz").read_bytes())
                check(f"{family} {precision} {way}: the same bytes for every pack", len(set(written)) == 1)
    twin = FIXTURES / "imports" / "twin"
    for command, name in [("contacts", "contacts"), ("logits", "logprobs")]:
        for device in ["cpu", "cuda"]:
            pliant.run(command, ecoli, "--model", twin, "--device", device, "--long", "truncate", "--out", f"{device}.npz")
        far = abs(array(work / "cuda.npz", name) - array(work / "cpu.npz", name)).max()
        check(f"{command}: largest distance", far <= 1e-3, f"{far:.2e}")


def measured_peak():
    """TFLOP/s of an 8192-wide product of PyTorch, or None."""
    try:
        import torch
        if not torch.cuda.is_available():
            return None
    except ImportError:
        return None
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    return 10 * 2 * 8192**3 / (time.perf_counter() - begin) / 1e12


def speed(pliant, shape, config, tokens, peers, nominal):
    """Rows of the table: pliant's own speed with each attention, and PyTorch's beside the first."""
    work = pliant.work
    (work / "config.json").write_text(json.dumps(config))
    folder = work / f"model_{shape}"
    begin = time.time()
    pliant.run("model", "new", "--config", "config.json", "--seed", "1", "--out", folder)
    made = time.time() - begin
    proteins(work / "few.fasta", 20_000, seed=8)
    lengths = proteins(work / "many.fasta", tokens)
    small = shape in ("tiny", "8M")
    if small:
        pliant.run("embed", "few.fasta", "--model", folder, "--device", "cpu", "--out", "cpu.npz")
    rows = []
    for attention in ["plain"] if shape == "lc_plm" else ["plain", "tensor-cores"]:
        on = ["--model", folder, "--device", "cuda", "--precision", "bf16", "--gpu-attention", attention]
        pliant.run("embed", "few.fasta", *on, "--out", "few.npz")
        if small:
            cosine = least_cosine(array(work / "few.npz", "embeddings"), array(work / "cpu.npz", "embeddings"))
            check(f"{shape} bf16, attention {attention}, against the processor's f32: least cosine", cosine >= 0.9999,
                  f"{cosine:.7f}")
        begin = time.time()
        pliant.run("embed", "many.fasta", *on, "--out", "many.npz", "--summary", "summary.json")
        wall = time.time() - begin
        summary = json.loads((work / "summary.json").read_text())
        estimate = json.loads(pliant.run("embed", "many.fasta", *on, "--out", "many.npz", "--dry-run").stdout)
        seconds = summary["compute_seconds"]
        row = {
            "shape": f"{shape}, attention {attention}", "tokens_per_second": sum(lengths) / seconds,
            "tflops": estimate["estimated_flops"] / seconds / 1e12, "wall_seconds": wall,
            "budget": summary["max_batch_tokens"], "numerics": summary["numerics"], "model_seconds": made,
        }
        row["share"] = row["tflops"] / nominal if nominal else None
        rows.append(row)
    shutil.rmtree(folder)
    if peers and shape != "lc_plm":
        found = subprocess.run([sys.executable, str(HERE / "peer.py"), "--layers", str(config["num_hidden_layers"]),
                                "--width", str(config["hidden_size"]), "--heads", str(config["num_attention_heads"]),
                                "--fasta", str(work / "many.fasta"), "--tokens", str(min(tokens, 1_000_000))],
                               capture_output=True, text=True)
        try:
            rows[0]["peers"] = json.loads(found.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            rows[0]["peers"] = {"failed": found.stderr[-300:]}
    for row in rows:
        say(json.dumps(row))
    return rows


def cold_start(pliant):
    """Seconds from nothing to the first embedding of a model of 8M: without and with kernels compiled before."""
    work = pliant.work
    (work / "config.json").write_text(json.dumps(SHAPES["8M"][0]))
    pliant.run("model", "new", "--config", "config.json", "--seed", "1", "--out", "cold")
    (work / "one.fasta").write_text(">one\n" + LETTERS * 15 + "\n")
    found = []
    for kernels in ["cold_kernels", "cold_kernels", "cold_kernels"]:
        begin = time.time()
        pliant.run("embed", "one.fasta", "--model", "cold", "--device", "cuda", "--precision", "bf16", "--out", "one.npz",
                   env={"PLIANT_KERNELS": str(work / kernels)})
        found.append(time.time() - begin)
    return found[0], min(found[1:])


def device_words():
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "no nvidia-smi: a stand-in, or an unknown GPU"


def report(pliant, doctor, rows, cold, peak, nominal, device):
    number = lambda value, form: "–" if value is None else format(value, form)
    test = doctor["cuda"].get("self_test", {})
    lines = [
        f"## {datetime.date.today().isoformat()}: {device}", "",
        f"- pliant {doctor['version']}, driver of CUDA {doctor['cuda'].get('version')}, {test.get('compiler')}, "
        f"{test.get('products')}",
        f"- disagreements: {'none' if not FAILURES else '; '.join(FAILURES)}",
        f"- self-test of `pliant doctor`: {test.get('seconds', 0):.2f} s for {test.get('compared')} results",
    ]
    if cold:
        lines.append(f"- cold start to the first embedding of 8M: {cold[0]:.2f} s without compiled kernels, {cold[1]:.2f} s with")
    lines += [f"- peak of bf16: {number(nominal, '.0f')} TFLOP/s nominal, {number(peak, '.0f')} measured by an 8192-wide product of PyTorch",
              "", "| shape, bf16, random proteins of a proteome's lengths | tokens/s | TFLOP/s | share of nominal peak | tokens of a pack "
              "| PyTorch padded sdpa, tokens/s | PyTorch varlen, tokens/s |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        peers = row.get("peers") or {}
        lines.append(f"| {row['shape']} | {row['tokens_per_second']:,.0f} | {row['tflops']:.1f} | {number(row['share'], '.1%')} "
                     f"| {row['budget']} | {number(peers.get('padded'), ',.0f')} | {number(peers.get('varlen'), ',.0f')} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pliant")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "kernels" / "RESULTS.md")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--shapes", default="8M,150M,650M,lc_plm,3B")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    end = time.time() + 60 * arguments.minutes
    device = device_words()
    names = [name for name in NOMINAL if name in device]
    nominal = NOMINAL[max(names, key=len)] if names else None
    with tempfile.TemporaryDirectory() as folder:
        pliant = Pliant(arguments.pliant, pathlib.Path(folder))
        doctor = json.loads(pliant.run("doctor", "--json").stdout)
        say(json.dumps(doctor["cuda"], indent=1))
        if not doctor["cuda"]["usable"]:
            raise SystemExit("no GPU can be used here, see above")
        prove(pliant)
        cold = cold_start(pliant)
        peak = measured_peak()
        rows = []
        for shape in arguments.shapes.split(","):
            config, tokens, seconds = SHAPES[shape]
            if time.time() + seconds > end:
                say(f"left out for lack of time: {shape}")
                continue
            rows += speed(pliant, shape, config, tokens, not arguments.no_peers, nominal)
        text = report(pliant, doctor, rows, cold, peak, nominal, device)
    say("\n" + text)
    with open(arguments.results, "a") as file:
        file.write("\n" + text)
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()

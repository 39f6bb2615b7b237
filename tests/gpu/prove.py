"""Whether a GPU computes what the processor does, and the same whatever else it computes; see run.sh."""

import json
import shutil

from program import array, least_cosine
from report import say
from shapes import FIXTURES, SMALL, WAYS

FAMILIES = ["esm2_tiny_random", "lc_plm_tiny_random", "plus_rnn_tiny_random"]


def check(pliant, report):
    """Every operation by each way."""
    for products, attention in WAYS:
        done = pliant.run("kernels", "check", "--gpu-products", products, "--gpu-attention", attention, fails=True)
        lines = done.stdout.strip().splitlines()
        last = lines[-1] if lines else f"nothing but the code {done.returncode}"
        report.check(f"operations against the processor, products {products}, attention {attention}:",
                     done.returncode == 0, last)
        refused = [line.partition(": ")[2] for line in lines if line.startswith("plain product")]
        if refused:
            report.fact(f"attention {attention}: cuBLASLt has no algorithm for {len(refused)} small products, as {refused[0]}")
        if done.returncode:
            told = "\n".join(lines[:60]) + "\n" + done.stderr[-2000:]
            report.detail(f"What disagrees, products {products}, attention {attention}", f"```\n{told}\n```")


def families(pliant, report):
    """Small models of all families."""
    ecoli = FIXTURES / "fasta" / "ecoli20.fasta"
    models = {family: FIXTURES / "models" / family for family in FAMILIES} | made(pliant)
    for family, model in models.items():
        embed = ["embed", ecoli, "--model", model, "--out"]
        pliant.run(*embed, "cpu.npz", "--device", "cpu")
        wanted = array(pliant.file("cpu.npz"), "embeddings")
        for products, attention in WAYS:
            is_esm2 = family.startswith("esm2")
            if not is_esm2 and (products, attention) != ("auto", "plain"):
                continue
            on = ["--device", "cuda", "--gpu-products", products, "--gpu-attention", attention]
            way = f"{family}, products {products}, attention {attention}"
            for precision in ["bf16"] if attention == "tensor-cores" else ["f32", "bf16"]:
                one_way(pliant, report, f"{way}, {precision}", [*embed, "pack.npz", *on, "--precision", precision], wanted)
    twin = FIXTURES / "imports" / "twin"
    for command, name in [("contacts", "contacts"), ("logits", "logprobs")]:
        for device in ["cpu", "cuda"]:
            pliant.run(command, ecoli, "--model", twin, "--device", device, "--long", "truncate", "--out", f"{device}.npz")
        far = abs(array(pliant.file("cuda.npz"), name) - array(pliant.file("cpu.npz"), name)).max()
        report.check(f"{command}: largest distance", far <= 1e-3, f"{far:.2e}")


def made(pliant):
    """Folders of models made here."""
    for name, config in SMALL.items():
        file = pliant.file(f"{name}.json")
        file.write_text(json.dumps(config))
        pliant.run("model", "new", "--config", file, "--seed", "7", "--out", pliant.file(name))
    return {name: pliant.file(name) for name in SMALL}


def one_way(pliant, report, way, words, wanted):
    """Numbers against the processor's in f32, bytes against those of other packs."""
    written = []
    for budget in [[], ["--max-batch-tokens", "1"], ["--max-batch-tokens", "777"]]:
        pliant.run(*words, *budget)
        written.append(pliant.file("pack.npz").read_bytes())
    report.check(f"{way}: the same bytes for every pack", len(set(written)) == 1)
    found = array(pliant.file("pack.npz"), "embeddings")
    if way.endswith("f32"):
        far = abs(found - wanted).max()
        report.check(f"{way}: largest distance", far <= 1e-4, f"{far:.2e}")
    else:
        cosine = least_cosine(found, wanted)
        report.check(f"{way}: least cosine", cosine >= 0.9999, f"{cosine:.7f}")


def sanitize(pliant, report):
    """The operations again, watched by NVIDIA's checkers of memory and of races."""
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if not tool:
        return report.fact("compute-sanitizer is not here: nothing was watched")
    for kind in ["memcheck", "racecheck", "synccheck"]:
        words = ["kernels", "check", "--gpu-products", "plain", "--gpu-attention", "tensor-cores"]
        done = pliant.run(*words, before=[tool, "--tool", kind, "--error-exitcode", "99"], fails=True, seconds=400)
        said = (done.stdout + done.stderr).splitlines()
        summary = [line for line in said if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line]
        report.check(f"compute-sanitizer {kind}:", done.returncode == 0, summary[-1] if summary else f"code {done.returncode}")
        if done.returncode:
            say(done.stdout[-4000:] + done.stderr[-2000:])
            report.detail(f"compute-sanitizer {kind}", f"```\n{(done.stdout + done.stderr)[:3000]}\n```")
    return None

"""What NVRTC makes of attention by tensor cores, run by machine.py and compared with the definition in 64 bits.

    check_attention.py LIBNVRTC[:LIBNVRTC...]

The shim of tests/cuda runs the kernel's text; this runs the compiler's: copies that nobody waits for, loads of matrices,
exchanges, and the operands of the instructions of tensor cores are those that a device gets.
"""

import ctypes
import pathlib
import re
import sys

import numpy

from machine import Block, Program, brain, of_brain

KERNELS = pathlib.Path(__file__).resolve().parent.parent.parent.parent / "kernels" / "src"
THREADS, BLOCKS = 128, 2

# Width of the kernel, type of its result, heads, head width, lengths: every kernel, every head width that models have, and
# lengths around a warp's 16 or 32 queries, a block's 64 or 128, and over several turns of 32 or 64 keys.
CASES = [
    (16, "f32", 2, 16, [3, 33]), (16, "bf16", 3, 8, [15, 64]), (32, "f32", 2, 24, [1, 66]), (32, "bf16", 1, 32, [65]),
    (64, "bf16", 2, 64, [130, 2]), (64, "f32", 1, 40, [70]), (128, "f32", 2, 128, [40, 65]), (128, "bf16", 1, 128, [33]),
]


def queries_of(width):
    """Queries of a block."""
    return 128 if width <= 64 else 64


# Exponentials and results are rounded to bf16, as the contract says in kernels/src/ops/attention/mod.rs: twice its tolerance,
# and a unit of bf16 where the result is one.
TOLERANCE, LARGEST_LSE = 8e-3, 2e-6


def ptx(library, architecture):
    """The text that NVRTC makes of the source, with the options of src/cuda/compile.rs."""
    path = pathlib.Path(library)
    for beside in sorted(path.parent.glob("libnvrtc-builtins.so*")):
        ctypes.CDLL(str(beside), ctypes.RTLD_GLOBAL)
    nvrtc, program, size = ctypes.CDLL(str(path)), ctypes.c_void_p(), ctypes.c_size_t()
    texts = lambda *values: (ctypes.c_char_p * len(values))(*values)
    source, header = ((KERNELS / name).read_bytes() for name in ["ops/attention/attention.cu", "cuda/common.cuh"])
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"attention.cu", 1, texts(header), texts(b"common.cuh")) == 0
    options = texts(f"--gpu-architecture={architecture}".encode(), b"--std=c++17", b"--fmad=false", b"--ftz=true")
    assert nvrtc.nvrtcCompileProgram(program, len(options), options) == 0, "it does not compile"
    assert nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetPTX(program, text) == 0
    return text.value.decode()


def tasks_of(lengths, queries):
    """First query, first token, end of every stretch of queries."""
    tasks, start = [], 0
    for length in lengths:
        for first in range(start, start + length, queries):
            tasks += [first, start, start + length]
        start += length
    return numpy.array(tasks, numpy.uint32)


def defined(q, k, v, lengths, heads):
    """Attention and its log-sum-exp in 64 bits."""
    width, start = q.shape[1] // heads, 0
    out, lse = numpy.zeros(q.shape), numpy.zeros((len(q), heads))
    for length in lengths:
        rows = slice(start, start + length)
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            scores = q[rows, columns] @ k[rows, columns].T
            lse[rows, head] = numpy.log(numpy.exp(scores).sum(1))
            out[rows, columns] = numpy.exp(scores - lse[rows, head, None]) @ v[rows, columns]
        start += length
    return out, lse


def check(text, case):
    """Runs one case; returns what it said, and whether it agrees."""
    width, kind, heads, head_width, lengths = case
    draw, tokens, columns = numpy.random.default_rng(1), sum(lengths), heads * head_width
    drawn = [draw.normal(0, scale, (tokens, columns)).astype("f4") for scale in [head_width**-0.5, 1.0, 1.0]]
    halves = [brain(values.view("u4")).astype("u2") for values in drawn]
    out, lse = (numpy.full(count, 0xFF, numpy.uint8) for count in
                [tokens * columns * (2 if kind == "bf16" else 4), tokens * heads * 4])
    tasks = tasks_of(lengths, queries_of(width))
    buffers = [tasks.view("u1"), *(half.reshape(-1).view("u1") for half in halves), out, lse]
    memory, arguments, place = [], [], 1 << 20
    for number, buffer in enumerate(buffers):
        memory.append((place, buffer, number >= 4))
        arguments.append(place)
        place += (len(buffer) + 255) // 256 * 256 + 256
    arguments += [len(tasks) // 3, heads, head_width]
    program = Program(text, f"attention_tensor_{width}_to_{kind}")
    issued = sum(Block(program, arguments, memory, THREADS, block, BLOCKS).run() for block in range(BLOCKS))
    found = of_brain(out.view("u2")) if kind == "bf16" else out.view("f4").astype("f8")
    wanted, wanted_lse = defined(*(of_brain(half) for half in halves), lengths, heads)
    far = (abs(found.reshape(wanted.shape) - wanted) / (1 + abs(wanted))).max()
    far_lse = abs(lse.view("f4").reshape(wanted_lse.shape) - wanted_lse).max()
    agrees = far <= TOLERANCE and far_lse <= LARGEST_LSE
    said = f"{case}: {issued} instructions, result off by {far:.1e} of {TOLERANCE}, log-sum-exp by {far_lse:.1e} of {LARGEST_LSE}"
    return said, agrees


def main():
    numpy.seterr(all="ignore")
    failed = 0
    for library in sys.argv[1].split(":"):
        text = ptx(library, "sm_90")
        for case in CASES:
            said, agrees = check(text, case)
            failed += not agrees
            print(f"{'ok  ' if agrees else 'FAIL'} {pathlib.Path(library).name} {said}", flush=True)
        # The comparison bites: weights exchanged, as if the instruction named the lower half first.
        turned = re.sub(r"(cvt\.rn\.bf16x2\.f32\s+%\w+), (%\w+), (%\w+);", r"\1, \3, \2;", text)
        if check(turned, CASES[0])[1]:
            failed += 1
            print("FAIL weights exchanged were not noticed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

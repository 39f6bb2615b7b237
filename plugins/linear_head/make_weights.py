"""Writes weights of the linear head from numpy arrays.

    python make_weights.py weights.npz weights.bin

The archive holds `weight [K, C]` and `bias [K]`: `coef_` and `intercept_` of a LogisticRegression of scikit-learn with
three classes or more, `weight` and `bias` of a torch.nn.Linear. Without an archive it writes the small ones of the example,
for vectors of 8 numbers and the classes H, E, C.
"""

import struct
import sys

import numpy


def write(path, weight, bias):
    weight, bias = numpy.asarray(weight, "<f4"), numpy.asarray(bias, "<f4")
    outputs, columns = weight.shape
    if bias.shape != (outputs,):
        raise SystemExit(f"found {bias.shape} biases for {outputs} rows of weights")
    with open(path, "wb") as file:
        file.write(struct.pack("<II", columns, outputs) + bias.tobytes() + weight.tobytes())


if __name__ == "__main__":
    if len(sys.argv) == 3:
        arrays = numpy.load(sys.argv[1])
        write(sys.argv[2], arrays["weight"], arrays["bias"])
    else:
        steps = numpy.arange(24, dtype=numpy.float32).reshape(3, 8)
        write("weights.bin", numpy.sin(steps), [0.5, -0.25, 0.0])

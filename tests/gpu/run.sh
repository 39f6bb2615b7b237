#!/usr/bin/env bash
# What can be proved on a GPU alone, in one call of less than eight minutes: every operation and family against the
# processor, rows and proteins blind to their neighbours, speed beside PyTorch on the same GPU. Needs the driver, a
# python3 with PyTorch (whose wheels bring NVRTC and cuBLASLt) and numpy, a release binary, and this repository's fixtures.
#
#   tests/gpu/run.sh PLIANT [--results FILE] [--minutes N] [--shapes 8M,150M,650M,3B,lc_plm] [--no-peers]
#
# The table goes to standard output and, with date, GPU and driver, to the end of kernels/RESULTS.md (or FILE). It ends
# with 1 where anything disagrees, whatever the speed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${PYTHON:-python3}" "$here/run.py" "$@"

#!/usr/bin/env bash
# What can be proved on a GPU alone, in one call of less than eight minutes: every operation and family against the
# processor, rows and proteins blind to their neighbours, speed beside PyTorch on the same GPU. Needs the driver, a
# python3 with PyTorch (whose wheels bring NVRTC and cuBLASLt) and numpy, a release binary, and this repository's fixtures.
#
#   tests/gpu/run.sh PLIANT [--results FILE] [--minutes N] [--parts LIST] [--shapes LIST] [--dry-run]
#
# PLIANT is the program, or the program packed by gzip where what can be carried is limited. The parts, in this order:
#
#   doctor     the libraries that are found, kernels compiled, one result of every operation
#   check      every operation against the processor and against itself, by each way of products and attention
#   families   a small model of every family, f32 and bf16: numbers against the processor, bytes against other packs
#   speed      each shape: against the processor, against other packs, tokens a second; 650M first
#   times      time of each kernel and product in a few packs of 650M, by events around them, beside what arithmetic says
#              (kernels/README.md)
#   cold       seconds to the first embedding without and with compiled kernels
#   peers      PyTorch with the same shapes, lengths and GPU
#   profile    time of each kernel in one pack of 650M, by `ncu`
#   sanitize   `kernels check` under compute-sanitizer: memory, and races for shared memory. Minutes more, hence only when named
#
# Whatever is known is written to FILE at once, so that a call that is cut off leaves what it found; a part that fails is told
# and the next one begins. Without --results it is kernels/RESULTS.md, to whose end a section is added, and for a stand-in
# of the driver nothing. The call ends with 1 where anything disagrees or fails, whatever the speed.
#
# --dry-run takes tiny models and inputs and PyTorch's processor in the place of its GPU, to see that every part runs; with the
# stand-ins of tests/src/standin.rs in LD_LIBRARY_PATH it goes all the way where there is no GPU (`gpu_dry_run` in .ci/run).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${PYTHON:-python3}" "$here/run.py" "$@"

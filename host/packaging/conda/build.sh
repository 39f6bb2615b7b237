#!/usr/bin/env bash
# conda-build runs this at the root of the source.
set -euo pipefail
bash host/packaging/install.sh "$PREFIX"

#!/usr/bin/env bash
# Builds the example plugins anew, into their folders or into the folder that is named. It needs the target
# wasm32-unknown-unknown of rustup, and clang with lld; CARGO_FLAGS and CLANG take other ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=${1:-}

read -ra flags <<<"${CARGO_FLAGS:-}"
# No path of the machine that builds goes into the files.
remap="--remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$(rustc --print sysroot)=rust"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128 $remap ${WASM_RUSTFLAGS:-}"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --target wasm32-unknown-unknown "${flags[@]}"
for name in linear_head sov_metric; do
  cp "$target/wasm32-unknown-unknown/release/$name.wasm" "${out:-$name}/$name.wasm"
done

"${CLANG:-clang}" --target=wasm32 -O3 -msimd128 -mbulk-memory -nostdlib -Wall -Wextra -I c \
  -Wl,--no-entry -Wl,--strip-all -o "${out:-cosine_head}/cosine_head.wasm" cosine_head/head.c

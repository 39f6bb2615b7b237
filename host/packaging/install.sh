#!/usr/bin/env bash
# Builds the program and puts it, with the licences of all that is linked into it, below a folder:
#
#   host/packaging/install.sh PREFIX    writes PREFIX/bin/pliant and PREFIX/share/licenses/pliant/
#
# Both packages are built by this. Needs cargo and a C compiler. PROFILE names another profile than `release`.
set -euo pipefail
prefix=${1:?wanted: the folder to install into}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# A package runs on other machines than the one that builds it; `pliant` picks vector instructions as it starts.
case "${RUSTFLAGS-} ${CARGO_BUILD_RUSTFLAGS-} ${CARGO_ENCODED_RUSTFLAGS-}" in
  *target-cpu*)
    echo 'install.sh: RUSTFLAGS asks for one kind of processor (target-cpu), wanted none: unset it' >&2
    exit 2
    ;;
esac

mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
cargo install --locked --no-track --force --path host --root "$prefix" --profile "${PROFILE:-release}"

licences=$prefix/share/licenses/pliant
rm -rf "$licences"
mkdir -p "$licences"
cp LICENSE-MIT LICENSE-APACHE "$licences/"
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
cargo tree --locked --package pliant --edges normal --prefix none --no-dedupe --format '{p}|{l}' |
  sed -n 's/^\([^ ]*\) v\([^ |]*\)[^|]*|\(.*\)$/\1 \2 \3/p' | LC_ALL=C sort -u |
  while read -r name version terms; do
    printf '%s\t%s\t%s\n' "$name" "$version" "$terms" >>"$licences/crates.tsv"
    for source in "$registry"/*/"$name-$version"; do
      [[ -d $source ]] || continue
      mkdir -p "$licences/$name-$version"
      # Sources in C that a crate brings along have their licence one folder deeper.
      (cd "$source" && find . -maxdepth 2 -type f \
        \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'unlicense*' \) \
        -exec cp --parents -t "$licences/$name-$version" {} +)
    done
  done

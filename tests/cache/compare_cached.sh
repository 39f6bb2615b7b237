#!/usr/bin/env bash
# Embeds a FASTA file three times, without a cache, filling one and from it, and prints the times and their ratio.
# The results must have the same bytes.
#
#   tests/cache/compare_cached.sh PLIANT MODEL FASTA [more words for pliant embed]
set -euo pipefail

if (($# < 3)); then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
pliant=$1 model=$2 fasta=$3
shift 3

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Wall seconds of one run; its result goes to $1.npz and its summary to $1.json.
run() {
  local name=$1
  shift
  "$pliant" embed "$fasta" --model "$model" --out "$scratch/$name.npz" --summary "$scratch/$name.json" --quiet "$@"
  sed -n 's/^ *"wall_seconds": \([0-9.]*\).*/\1/p' "$scratch/$name.json"
}

plain=$(run plain "$@")
first=$(run first --cache "$scratch/cache.sqlite" "$@")
second=$(run second --cache "$scratch/cache.sqlite" "$@")
cmp "$scratch/plain.npz" "$scratch/first.npz"
cmp "$scratch/plain.npz" "$scratch/second.npz"

printf 'without a cache  %8.2f s\nfilling a cache  %8.2f s\nfully cached     %8.2f s\n' "$plain" "$first" "$second"
awk -v first="$first" -v second="$second" 'BEGIN { printf "ratio            %8.1f\n", first / second }'
sed -n '/"cache": {/,/}/p' "$scratch/second.json"
"$pliant" cache stats --cache "$scratch/cache.sqlite"

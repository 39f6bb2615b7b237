#!/usr/bin/env bash
# Uses the `pliant` on PATH as a package's user would; run where `tests/fixtures` is. Writes nothing but a
# scratch folder that goes away.
set -euo pipefail
wanted=${1-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

version=$(pliant --version)
printf '%s\n' "$version"
if [[ -n $wanted && $version != "pliant $wanted" ]]; then
  echo "check.sh: found '$version', wanted 'pliant $wanted'" >&2
  exit 1
fi
pliant doctor >/dev/null
pliant embed tests/fixtures/fasta/ecoli20.fasta --model tests/fixtures/models/esm2_tiny_random \
  --out "$scratch/ecoli20.npz" --residues "$scratch/residues.npz" --quiet
[[ -s $scratch/ecoli20.npz && -s $scratch/residues.npz ]]
pliant embed tests/fixtures/fasta/ecoli20.fasta --model tests/fixtures/models/esm2_tiny_random \
  --out "$scratch/ecoli20.tsv" --quiet
# Numbers with a point or an exponent, in every line that is neither a comment nor the heading.
rows=$(grep -v '^#' "$scratch/ecoli20.tsv" | awk -F '\t' 'NF > 2 && $NF ~ /^-?[0-9.]+(e-?[0-9]+)?$/' | wc -l)
if [[ $rows -ne 20 ]]; then
  echo "check.sh: found $rows rows of numbers in the table, wanted 20" >&2
  exit 1
fi
echo 'embedded 20 proteins'

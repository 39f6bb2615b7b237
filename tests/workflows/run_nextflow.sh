#!/usr/bin/env bash
# Runs the Nextflow workflow for real with the `pliant` on PATH: 200 proteins, a model of random weights, four shards.
# Takes about two minutes on two cores. The argument, if any, is the folder that keeps what is fetched. Skips, and says so, where Nextflow can neither be found nor fetched.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$root/tests/workflows/nextflow
PATH=$tools:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/launch" "$scratch/logs"
cd "$scratch/launch"

say() { printf -- '-- nextflow: %s\n' "$*"; }

fail() {
  printf 'FAILED: nextflow: %s\n' "$*" >&2
  exit 1
}

# Flags that users may have set for themselves.
for name in "${!PLIANT_@}"; do
  [[ $name == PLIANT_TEST_DATA || $name == PLIANT_NEXTFLOW_* ]] || unset "$name"
done

# What is fetched is kept.
kept=${1:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/pliant}
if ! { mkdir -p "$kept" && [[ -w "$kept" ]]; } 2>/dev/null; then kept=$scratch/kept; fi
export PLIANT_NEXTFLOW_HOME=${PLIANT_NEXTFLOW_HOME:-$kept/nextflow-25.04.4}

command -v pliant >/dev/null || fail 'there is no pliant on PATH'
if ! nextflow available; then
  echo 'SKIPPED: the Nextflow workflow did not run (nextflow 25.04 or newer, or Java 17 and Maven, is needed)' >&2
  exit 0
fi

# --- what the runs start from -------------------------------------------------------------------------------------

# The first 200 proteins of E. coli where there is outside data, else 200 made up ones, always the same.
proteins() {
  local proteome=${PLIANT_TEST_DATA:-}/proteome_ecoli_k12/UP000000625_83333.fasta.gz
  if [[ -r "$proteome" ]]; then
    gzip -dc "$proteome" | awk '/^>/ { number++ } number <= 200'
    return
  fi
  echo 'NOTE: PLIANT_TEST_DATA names no E. coli proteome; made up proteins are used' >&2
  awk 'function draw(n) { state = (state * 16807) % 2147483647; return state % n }
    BEGIN {
      state = 1
      for (number = 1; number <= 200; number++) {
        printf ">made_up_%03d\n", number
        for (left = 30 + draw(500); left > 0; left--) printf "%s", substr("ACDEFGHIKLMNPQRSTVWY", 1 + draw(20), 1)
        print ""
      }
    }'
}

# One record of $2 residues with the id $1.
protein() { awk -v id="$1" -v left="$2" 'BEGIN { print ">" id; while (left-- > 0) printf "%s", substr("MKTAYIAKQR", 1 + left % 10, 1); print "" }'; }

# Changes the fifth residue of record 100.
substitute() { awk '/^>/ { number++ } number == 100 && !/^>/ && !done { done = 1; $0 = substr($0, 1, 4) (substr($0, 5, 1) == "A" ? "G" : "A") substr($0, 6) } { print }' "$1"; }

fasta=$scratch/proteins.fasta
proteins >"$fasta"
[[ $(grep -c '^>' "$fasta") == 200 ]] || fail "found $(grep -c '^>' "$fasta") proteins, wanted 200"
model=$scratch/model
cp -r "$root/tests/fixtures/models/esm2_tiny_random" "$model"

# --- how runs are made and looked at ------------------------------------------------------------------------------

# Four tasks at once, also where there are fewer cores: they are small.
settings() {
  cat <<'CONFIG'
executor { cpus = 4; memory = '4.GB' }
process { resourceLimits = [cpus: 1, memory: '512.MB', time: '10.min'] }
trace { fields = 'process,tag,status,exit,complete' }
CONFIG
}
settings >"$scratch/small.config"

# A run named $1, with whatever else is said, by the repository's root. Its words go to logs/$1.
attempt() {
  local name=$1
  shift
  nextflow run "$root" -c "$scratch/${config:-small.config}" -with-trace "$scratch/logs/$name.trace" \
    --input "$fasta" --model "$model" --outdir "$scratch/$name" "$@" >"$scratch/logs/$name" 2>&1
}

run() {
  say "$1"
  attempt "$@" || { grep -v 'Unrecognized config option' "$scratch/logs/$1" >&2 && fail "the run '$1' failed"; }
}

# How many tasks of process $3 ended as $2 (CACHED, COMPLETED, FAILED) in run $1.
tasks() { awk -F '\t' -v status="$2" -v process=":PLIANT_$3\$" 'NR > 1 && $3 == status && $1 ~ process' "$scratch/logs/$1.trace" | wc -l; }

# Tasks of run $1 that ended as $2 must be $3: split, embed, gather.
expect() {
  local found
  found="$(tasks "$1" "$2" SPLIT) $(tasks "$1" "$2" EMBED) $(tasks "$1" "$2" 'GATHER.*')"
  [[ "$found" == "$3" ]] || fail "run '$1': found $found tasks $2 (split, embed, gather), wanted $3"
}

# One run of pliant over everything, to $1, as the rest says.
whole() {
  local out=$1
  shift
  pliant embed "$fasta" --model "$model" --out "$out" --quiet --device cpu "$@"
}

same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# --- the runs -------------------------------------------------------------------------------------------------------

say 'strict syntax'
nextflow strict-lint "$root/nextflow" "$root/nextflow.config"
echo 'process X { script: "x" ' >"$scratch/wrong.nf"
if nextflow strict-lint "$scratch/wrong.nf" >/dev/null 2>&1; then fail 'strict-lint takes a wrong script'; fi

say 'descriptions against schemas'
python=$kept/nextflow-python/bin/python
[[ -x "$python" ]] || python3 -m venv "${python%/bin/python}" || true
if "$python" -m pip install --quiet --disable-pip-version-check --requirement "$tools/requirements.txt"; then
  nextflow config -o json "$root/nextflow" >"$scratch/settings.json"
  "$python" "$tools/check_schemas.py" "$root/nextflow" "$scratch/settings.json"
else
  echo 'SKIPPED: meta.yml and parameters were not compared with their schemas (python3 with venv and pip is needed)' >&2
fi

run scatter --residues npz
expect scatter COMPLETED '1 4 2'
whole "$scratch/whole.npz" --residues "$scratch/whole.residues.npz"
same "$scratch/scatter/embeddings/proteins.npz" "$scratch/whole.npz"
same "$scratch/scatter/embeddings/proteins.residues.npz" "$scratch/whole.residues.npz"
grep -q "pliant: $(pliant --version | sed 's/^pliant //')" "$scratch/scatter/pipeline_info/versions.yml" || fail 'versions.yml lacks pliant'

# Dates alone are no change.
touch "$fasta" "$model"/*
run resumed --residues npz -resume
expect resumed COMPLETED '0 0 0'
expect resumed CACHED '1 4 2'
same "$scratch/resumed/embeddings/proteins.npz" "$scratch/whole.npz"

substitute "$fasta" >"$scratch/next.fasta"
mv "$scratch/next.fasta" "$fasta"
whole "$scratch/substituted.npz"
cmp -s "$scratch/substituted.npz" "$scratch/whole.npz" && fail 'the substituted residue changes no result'
run substituted --residues npz -resume
expect substituted COMPLETED '1 1 2'
expect substituted CACHED '0 3 0'
same "$scratch/substituted/embeddings/proteins.npz" "$scratch/substituted.npz"

# Boundaries of shards move, and a cache knows all sequences but the new one.
cache=()
if pliant embed --help | grep -q -- --cache; then
  cache=(--cache "$scratch/cache.db")
  whole "$scratch/cached.npz" --residues "$scratch/cached.residues.npz" "${cache[@]}"
fi
{ protein inserted 2000 && cat "$fasta"; } >"$scratch/next.fasta"
mv "$scratch/next.fasta" "$fasta"
whole "$scratch/inserted.npz"
run inserted --residues npz "${cache[@]}" -resume
same "$scratch/inserted/embeddings/proteins.npz" "$scratch/inserted.npz"
again=$(tasks inserted COMPLETED EMBED)
[[ $again -ge 2 ]] || fail "the inserted record moved no boundary: found $again shards computed anew, wanted 2 or more"
if [[ ${#cache[@]} -gt 0 ]]; then
  misses=$(awk -F '\t' 'NR > 1 && $3 == "COMPLETED" && $1 ~ /:PLIANT_EMBED$/ { print $2 }' "$scratch/logs/inserted.trace" |
    while read -r shard; do grep -o '"misses": *[0-9]*' "$scratch/inserted/summaries/$shard.summary.json"; done |
    awk '{ sum += $2 } END { print sum + 0 }')
  [[ "$misses" == 1 ]] || fail "with a cache $misses sequences were computed, wanted 1: only the inserted one is new"
  # A cache elsewhere changes no result, so nothing runs again because of it.
  run uncached --residues npz -resume
  expect uncached COMPLETED '0 0 0'
else
  echo 'NOTE: this pliant embed has no --cache yet; what it saves was not checked' >&2
fi

# Other weights at the same place, of the same size and date.
pliant model new --config "$root/tests/fixtures/models/esm2_tiny_random.config.json" --seed 7 --out "$scratch/other" >/dev/null
[[ $(wc -c <"$scratch/other/model.safetensors") == $(wc -c <"$model/model.safetensors") ]] || fail 'other weights have another size'
cp -p "$model/model.safetensors" "$scratch/old.safetensors"
cat "$scratch/other/model.safetensors" >"$model/model.safetensors"
touch -r "$scratch/old.safetensors" "$model/model.safetensors"
whole "$scratch/weights.npz"
cmp -s "$scratch/weights.npz" "$scratch/inserted.npz" && fail 'other weights change no result'
run weights --residues npz -resume
expect weights COMPLETED '0 4 2'
same "$scratch/weights/embeddings/proteins.npz" "$scratch/weights.npz"

# Shards end in the reverse of their order, one of them is told once to try again, and long records are left out:
# one of the whole input, and one that a shard finds too long.
protein too_long 1100 >>"$fasta"
{
  settings
  echo "process { withName: PLIANT_EMBED { beforeScript = { \"sleep \${2 * (4 - task.index)}; PATH='$scratch/short':\\\$PATH\" } } }"
} >"$scratch/shuffled.config"
mkdir "$scratch/short"
cat >"$scratch/short/pliant" <<SHORT
#!/usr/bin/env bash
if [[ \$1 == embed ]] && mkdir '$scratch/short/once' 2>/dev/null; then exit 75; fi
exec '$(command -v pliant)' "\$@"
SHORT
chmod +x "$scratch/short/pliant"
odd=(--layer=-1,0 --pool max --precision bf16 --out-dtype f16 --on-error skip --max-residues 1900 --long skip)
config=shuffled.config run shuffled -work-dir "$scratch/shuffled.work" --residues npz --format tsv \
  --layers=-1,0 --pool max --precision bf16 --out_dtype f16 --on_error skip --max_residues 1900 --long_policy skip
expect shuffled COMPLETED '1 4 2'
expect shuffled FAILED '0 1 0'
awk -F '\t' '$3 == "FAILED"' "$scratch/logs/shuffled.trace" | cut -f 4 | grep -qx 75 || fail 'the task that was tried again had not ended with 75'
arrived=$(awk -F '\t' 'NR > 1 && $3 == "COMPLETED" && $1 ~ /:PLIANT_EMBED$/ { print $5 "\t" $2 }' "$scratch/logs/shuffled.trace" | sort | cut -f 2)
[[ "$arrived" != "$(sort <<<"$arrived")" ]] || fail 'the shards arrived in their order'
whole "$scratch/odd.tsv" "${odd[@]}" --residues "$scratch/odd.residues.npz"
for layer in 0 2; do same "$scratch/shuffled/embeddings/proteins.layer$layer.tsv" "$scratch/odd.layer$layer.tsv"; done
same "$scratch/shuffled/embeddings/proteins.residues.npz" "$scratch/odd.residues.npz"
# Files and lines of the lists are those of the shards; which records failed and why is the same.
for list in "$scratch/shuffled/embeddings/proteins.tsv" "$scratch/odd.tsv"; do
  cut -f 4- "$list.failures.tsv" | sort >"$list.reasons"
done
same "$scratch/shuffled/embeddings/proteins.tsv.reasons" "$scratch/odd.tsv.reasons"
for id in inserted too_long; do grep -q "^$id" "$scratch/odd.tsv.reasons" || fail "$id is in no list of failures"; done

# A record that one shard cannot compute.
say 'failing'
{ cat "$root/tests/fixtures/fasta/ecoli20.fasta" && protein too_long 1100; } >"$fasta"
if attempt failing --long_policy error; then fail 'a run with a record that cannot be computed passed'; fi
expect failing FAILED '0 1 0'
expect failing COMPLETED '1 3 0'
grep -q 'too_long' "$scratch/logs/failing" || fail "the failing run does not name the record: $(tail -n 30 "$scratch/logs/failing")"

say 'profile test, and its stub run'
nextflow run "$root" -profile test --format parquet --residues h5 --outdir "$scratch/test" >"$scratch/logs/test" 2>&1 || { cat "$scratch/logs/test" >&2 && fail 'profile test'; }
pliant embed "$root/tests/fixtures/fasta/ecoli20.fasta" --model "$root/tests/fixtures/models/esm2_tiny_random" --quiet \
  --out "$scratch/ecoli20.parquet" --residues "$scratch/ecoli20.residues.h5"
same "$scratch/test/embeddings/ecoli20.parquet" "$scratch/ecoli20.parquet"
same "$scratch/test/embeddings/ecoli20.residues.h5" "$scratch/ecoli20.residues.h5"
nextflow run "$root" -profile test -stub-run --residues npz --on_error skip --outdir "$scratch/stub" >"$scratch/logs/stub" 2>&1 ||
  { cat "$scratch/logs/stub" >&2 && fail 'the stub run'; }
for file in ecoli20.npz ecoli20.residues.npz ecoli20.npz.failures.tsv; do
  [[ -e "$scratch/stub/embeddings/$file" ]] || fail "the stub run made no $file"
done

if command -v nf-test >/dev/null; then
  say 'tests of the modules'
  (cd "$root/nextflow" && nf-test test)
else
  echo 'SKIPPED: tests/main.nf.test of the modules did not run (nf-test is not installed)' >&2
fi
say 'all passed'

#!/usr/bin/env bash
# Runs the Snakemake workflow, its import as a module and its wrappers with the `pliant` that is on PATH.
# Usage: run_snakemake.sh [FOLDER]: the folder keeps the Python environment between runs.
# Needs python3 (3.11 or newer) with venv and pip; says that it skips where Snakemake cannot be had.
set -euo pipefail
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$tests/../.." && pwd)
workflow=$root/snakemake
tiny=$root/tests/fixtures/models/esm2_tiny_random
# Smaller still, but with a contact head.
heads=$root/tests/fixtures/imports/twin
exec </dev/null
# shellcheck source=tests/workflows/proteins.sh
source "$tests/proteins.sh"

# Nothing of the user's own settings.
for name in "${!PLIANT_@}" "${!SNAKEMAKE_@}"; do
  [[ $name == PLIANT_TEST_DATA ]] || unset "$name"
done

skip() {
  printf 'SKIPPED: the Snakemake workflow was not run: %s\n' "$*" >&2
  exit 0
}

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

for task in split gather logits contacts perplexity variants evaluate pretrain plot finetune sweep predict align screen; do
  pliant "$task" --help >/dev/null || fail "'pliant $task' is wanted on PATH"
done

# The environment of Snakemake; its name holds what is in it, so that other versions of this file keep theirs.
make_environment() {
  local wanted=$tests/requirements-snakemake.txt lock
  command -v python3 >/dev/null || skip 'there is no python3'
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip 'python3 is older than 3.11'
  local folder=$1
  if ! { mkdir -p "$folder" && [[ -w $folder ]]; } 2>/dev/null; then folder=$scratch; fi
  environment=$(cd "$folder" && pwd)/snakemake-$({ python3 -VV; cat "$wanted"; } | cksum | tr ' ' '-')
  # Two runs at once would write into each other's environment.
  exec {lock}>"$environment.lock"
  if command -v flock >/dev/null; then flock "$lock"; fi
  if ! { [[ -e "$environment/complete" ]] && "$environment/bin/python" -c 'import snakemake, snakefmt'; } 2>/dev/null; then
    rm -rf "$environment"
    python3 -m venv "$environment" || skip 'python3 -m venv failed'
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 --timeout 20 \
      --requirement "$wanted" || skip 'pip could not install it (is there a network?)'
    : >"$environment/complete"
  fi
  exec {lock}>&-
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
make_environment "${1:-${XDG_CACHE_HOME:-${HOME:-$scratch}/.cache}/pliant}"
make_tracing_program "$scratch/bin"
export PATH=$scratch/bin:$PATH XDG_CACHE_HOME=$scratch/cache
export CALLS=$scratch/calls

# Runs snakemake in a folder; what it says is in the folder's run.log.
snake() {
  : >"$CALLS"
  rm -f "$CALLS.tried"
  (cd "$1" && "$environment/bin/python" -m snakemake --cores 2 "${@:2}" >run.log 2>&1)
}

# The same, which must succeed, with the workflow itself.
workflow() {
  snake "$1" --snakefile "$workflow/workflow/Snakefile" "${@:2}" && return 0
  cat "$1/run.log" >&2
  fail "snakemake ${*:2}"
}

# What the last run called: how often split, embed and gather.
called() {
  local task counts=()
  for task in split embed gather; do counts+=("$(grep -c "^$task " "$CALLS" || true)"); done
  [[ "${counts[*]}" == "$1" ]] && return 0
  cat "$CALLS" >&2
  fail "$2: split, embed and gather ran ${counts[*]} times, wanted $1"
}

# The result of a folder's workflow is that of one run, byte for byte.
same_as_one_run() {
  pliant embed "$1/proteins.fasta" --model "$1/model" --out "$scratch/one.npz" --quiet "${@:3}"
  cmp "$scratch/one.npz" "$1/results/all/embeddings.npz" || fail "$2: other bytes than those of one run"
}

same() {
  cmp "$1" "$2" || fail "$1 and $2 differ"
}

# A folder to run in, with proteins and a model of its own.
make_folder() {
  mkdir -p "$1/config"
  make_proteins "$1/proteins.fasta"
  cp -r "$tiny" "$1/model"
  cat >"$1/config/config.yaml" <<END
samples: {all: proteins.fasta}
model: model
shards: 4
threads: 1
mem_mb: 510
END
}

say() {
  printf -- '-- %s\n' "$*"
}

form_and_lint() {
  say 'form, lint, configuration'
  "$environment/bin/python" -m snakefmt --check "$workflow/workflow" "$workflow/wrappers" "$tests/module.Snakefile" \
    >"$scratch/snakefmt.log" 2>&1 || fail "run snakefmt: $(cat "$scratch/snakefmt.log")"
  mkdir -p "$scratch/demo/config"
  sed "s|\.\./\.\.|$root|" "$workflow/.test/config/config.yaml" >"$scratch/demo/config/config.yaml"
  workflow "$scratch/demo" --lint
  "$environment/bin/python" "$tests/check_snakemake_files.py" "$workflow" || fail 'files of snakemake/'
  if snake "$scratch/demo" --snakefile "$workflow/workflow/Snakefile" --dry-run --config shrads=4; then
    fail 'an unknown key of the configuration was taken'
  fi
  grep -q shrads "$scratch/demo/run.log" || fail 'the refusal does not name the unknown key'
}

profiles() {
  say 'profiles'
  workflow "$scratch/demo" --workflow-profile "$workflow/profiles/local"
  called '1 4 1' 'profile local'
  # Numbers of another device are others: every shard would run again, on the GPU.
  workflow "$scratch/demo" --profile "$workflow/profiles/slurm" --dry-run --printshellcmds --config gpu=1
  [[ $(grep -c -e '--device cuda ' "$scratch/demo/run.log") -eq 4 ]] || fail 'profile slurm: wanted four shards on a GPU'
}

scatter_and_gather() {
  local folder=$scratch/run part reversed=()
  say 'four shards give the bytes of one run'
  make_folder "$folder"
  TRY_AGAIN=shard_0003 workflow "$folder"
  called '1 5 1' 'first run, one of whose shards must be tried again'
  grep -q 'mem_mb=1020,' "$folder/run.log" || fail 'the second attempt got no more memory'
  same_as_one_run "$folder" 'first run'
  for part in "$folder"/results/all/parts/*.npz; do reversed=("$part" "${reversed[@]}"); done
  pliant gather --split "$folder/results/all/shards/split.json" "${reversed[@]}" --out "$folder/reversed.npz" --quiet
  cmp "$folder/reversed.npz" "$folder/results/all/embeddings.npz" || fail 'the order of parts changes the result'

  say 'nothing changed: nothing runs'
  workflow "$folder"
  called '0 0 0' 'second run'

  say 'one substituted residue: one shard runs'
  substitute_residue "$folder/proteins.fasta" 100
  # As for shards that are too large for Snakemake's own checksums.
  workflow "$folder" --max-checksum-file-size 1
  called '1 1 1' 'after one substitution'
  same_as_one_run "$folder" 'after one substitution'

  say 'other weights at the same place: every shard runs'
  pliant model new --config "$tiny.config.json" --seed 99 --out "$scratch/other" --quiet >/dev/null
  cat "$scratch/other/model.safetensors" >"$folder/model/model.safetensors"
  workflow "$folder"
  called '0 4 1' 'after a change of the weights'
  same_as_one_run "$folder" 'after a change of the weights'
}

# Hits and misses of the cache in the summaries of the parts that make up the result.
hits_and_misses() {
  "$environment/bin/python" - "$1/results/all" <<'END'
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
shards = json.loads((folder / "shards/split.json").read_text())["shards"]
names = [f"{pathlib.Path(shard['file']).stem}.{shard['input'][:16]}.summary.json" for shard in shards]
caches = [json.loads((folder / "parts" / name).read_text())["cache"] for name in names]
print(sum(cache["hits"] for cache in caches), sum(cache["misses"] for cache in caches))
END
}

cached() {
  local folder=$scratch/cached found records
  say 'moved boundaries with a cache: only the new sequence is computed'
  make_folder "$folder"
  records=$(grep -c '^>' "$folder/proteins.fasta")
  workflow "$folder" --config cache=cache.sqlite
  found=$(hits_and_misses "$folder")
  # One record is repeated.
  [[ $found == "0 $((records - 1))" ]] || fail "first run with a cache: hits and misses are $found, records $records"
  insert_record "$folder/proteins.fasta"
  workflow "$folder" --config cache=cache.sqlite
  called '1 4 1' 'after an insertion'
  found=$(hits_and_misses "$folder")
  [[ $found == "$((records - 1)) 1" ]] || fail "after an insertion: hits and misses are $found, records $((records + 1))"
  same_as_one_run "$folder" 'after an insertion'
  say 'another cache, or none: nothing runs'
  workflow "$folder"
  called '0 0 0' 'without the cache'
}

failing_shard() {
  local folder=$scratch/failing id
  say 'a failing shard fails the run and names the record'
  make_folder "$folder"
  append_long_record "$folder/proteins.fasta"
  if snake "$folder" --snakefile "$workflow/workflow/Snakefile" --keep-going --config long=error retries=0; then
    fail 'the run succeeded with a record that cannot be computed'
  fi
  called '1 4 0' 'with a failing shard'
  grep -q too_long "$folder"/logs/all/embed/shard_0004.*.log || fail 'the log of the shard does not name the record'
  [[ ! -e $folder/results/all/embeddings.npz ]] || fail 'a result was written although a shard failed'
  append_bad_records "$folder/proteins.fasta"
  if snake "$folder" --snakefile "$workflow/workflow/Snakefile" --config retries=0; then
    fail 'the run succeeded with records that are no proteins'
  fi
  called '1 0 0' 'with bad records'
  grep -q 'bad_12\b' "$folder/logs/all/split.log" || fail 'the log of split does not name every bad record'
  workflow "$folder" --config long=error on_error=skip
  same_as_one_run "$folder" 'without the records that cannot be computed' --long error --on-error skip
  for id in bad_12 too_long; do
    grep -q "$id" "$folder/results/all/embeddings.npz.failures.tsv" || fail "$id is not in the list of failures"
  done
}

# Every other task on a few short proteins.
other_tasks() {
  local folder=$scratch/tasks results shard part words
  say 'other tasks give the bytes of their commands'
  make_folder "$folder"
  cp "$heads"/* "$folder/model/"
  awk '/^>/ { record++ } record > 5 { exit } { print substr($0, 1, 40) }' "$folder/proteins.fasta" >"$folder/few.fasta"
  printf '>wild_type\nMKTAYIAKQRQISF\n' >"$folder/wild.fasta"
  printf 'mutant,measured\nK12R,0.5\nA14G:K18E,-1.25\n' >"$folder/mutants.csv"
  printf 'sequence\tmutant\nMKTAYIAKQR\tK12R\nMSTAYIAKQR\tS12T\n' >"$folder/many.tsv"
  cat >"$folder/config/config.yaml" <<'END'
tasks: [logits, contacts, perplexity, variants]
samples: {few: few.fasta}
model: model
shards: 2
threads: 1
mem_mb: 510
on_error: skip
logits: {masked: true, format: h5}
contacts: {picture: svg}
variants:
  offset: 11
  picture: png
  assays:
    table: {mutants: mutants.csv, wild_type: wild.fasta}
    column: {mutants: many.tsv, sequence_column: sequence}
    scan: {wild_type: wild.fasta}
END
  workflow "$folder"
  results=$folder/results
  pliant logits "$folder/few.fasta" --model "$folder/model" --quiet --masked --out "$scratch/logits.h5"
  same "$results/few/logits.h5" "$scratch/logits.h5"
  for shard in shard_0001 shard_0002; do
    words=("$results/few/shards/$shard.fasta" --model "$folder/model" --quiet --out)
    pliant perplexity "${words[@]}" "$scratch/$shard.tsv"
    same "$results/few/perplexity/$shard.tsv" "$scratch/$shard.tsv"
    pliant contacts "${words[@]}" "$scratch/$shard.npz" --picture "$scratch/drawn" --picture-format svg
    same "$results/few/contacts/$shard.npz" "$scratch/$shard.npz"
    diff -r --exclude .snakemake_timestamp "$results/few/contacts/$shard.pictures" "$scratch/drawn" ||
      fail 'other pictures of contacts'
    rm -r "$scratch/drawn"
  done
  words=(--model "$folder/model" --offset 11 --quiet --out)
  pliant variants --mutants "$folder/mutants.csv" --wild-type "$folder/wild.fasta" "${words[@]}" "$scratch/table.csv"
  same "$results/table/variants.csv" "$scratch/table.csv"
  pliant variants --mutants "$folder/many.tsv" --sequence-column sequence "${words[@]}" "$scratch/column.csv"
  same "$results/column/variants.csv" "$scratch/column.csv"
  # The picture says which file it is of, as it was named.
  (cd "$folder" && pliant variants --scan --wild-type wild.fasta "${words[@]}" "$scratch/scan.csv" \
    --picture "$scratch/scan.png")
  same "$results/scan/scan.csv" "$scratch/scan.csv"
  same "$results/scan/scan.png" "$scratch/scan.png"

  say 'fewer shards leave no file of an earlier one'
  workflow "$folder" --config shards=1 tasks='[perplexity]'
  part=$(cd "$results/few/perplexity" && echo shard_????.tsv)
  [[ $part == shard_0001.tsv ]] || fail "of one shard the results are $part"
  pliant perplexity "$folder/few.fasta" --model "$folder/model" --quiet --out "$scratch/whole.tsv"
  same "$results/few/perplexity/shard_0001.tsv" "$scratch/whole.tsv"
}

training() {
  local folder=$scratch/training file
  say 'a training that is killed goes on, and gives the bytes of one that was never stopped'
  make_folder "$folder"
  awk '/^>/ { record++ } record > 5 { exit } { print substr($0, 1, 40) }' "$folder/proteins.fasta" >"$folder/few.fasta"
  make_training "$folder/small.toml"
  cat >"$folder/config/config.yaml" <<END
tasks: [pretrain, evaluate]
samples: {few: few.fasta}
threads: 1
mem_mb: 510
evaluate: {format: tsv}
pretrain:
  runs:
    small: {config: small.toml, architecture: $tiny.config.json, corpus: proteins.fasta}
END
  pliant pretrain --config "$folder/small.toml" --model-config "$tiny.config.json" --train "$folder/proteins.fasta" \
    --out "$scratch/straight" --quiet
  make_killing_program "$scratch/killing"
  PATH=$scratch/killing:$PATH KILLED=$scratch/killed workflow "$folder"
  [[ $(cat "$scratch/killed") -eq 137 ]] || fail "the training ended with $(cat "$scratch/killed") before it was killed"
  grep -q '"steps_before": [1-9]' "$folder/results/small/pretrain.summary.json" || fail 'the training began anew'
  for file in config.json model.safetensors vocab.txt; do
    same "$folder/results/small/model/$file" "$scratch/straight/$file"
  done
  same "$folder/results/small/training.json" "$scratch/straight/training.json"
  pliant evaluate --task mlm "$folder/few.fasta" --model "$scratch/straight" --quiet --out "$scratch/mlm.tsv"
  same "$folder/results/small/evaluation/few.tsv" "$scratch/mlm.tsv"
  pliant plot "$folder/results/small/log.jsonl" --out "$scratch/losses.svg"
  same "$folder/results/losses.svg" "$scratch/losses.svg"
  workflow "$folder"
  [[ ! -s $CALLS ]] || fail "nothing changed, and yet there ran $(cat "$CALLS")"

  say 'a trained model is one like any other'
  workflow "$folder" --config model=results/small/model tasks='[evaluate]'
  same "$folder/results/few/evaluation.tsv" "$scratch/mlm.tsv"
}

# From proteins without labels to a model, from labelled ones to a head, and to its predictions.
heads() {
  local folder=$scratch/heads flags=(--label-column kind --set run.epochs=3 --set run.batch=8) results
  say 'one run pretrains, trains a head, evaluates it, predicts and aligns'
  make_folder "$folder"
  awk '/^>/ { record++ } record > 5 { exit } { print substr($0, 1, 40) }' "$folder/proteins.fasta" >"$folder/few.fasta"
  head -n 4 "$folder/few.fasta" >"$folder/two.fasta"
  make_training "$folder/small.toml"
  make_labels "$folder/proteins.fasta" "$folder"
  cat >"$folder/config/config.yaml" <<END
tasks: [pretrain, finetune]
samples: {few: few.fasta}
threads: 1
mem_mb: 510
pretrain:
  runs:
    small: {config: small.toml, architecture: $tiny.config.json, corpus: proteins.fasta}
finetune:
  evaluate_format: tsv
  heads:
    basic:
      task: classification
      labels: train.tsv
      valid: valid.tsv
      model: results/small/model
      tests: {apart: test.tsv}
      predict: [few]
      extra: "${flags[*]}"
      grid: ["head.hidden=2,4"]
END
  workflow "$folder"
  results=$folder/results
  pliant finetune --task classification --train "$folder/train.tsv" --valid "$folder/valid.tsv" "${flags[@]}" \
    --model "$results/small/model" --out "$scratch/head" --quiet
  same "$results/basic/head/head.json" "$scratch/head/head.json"
  same "$results/basic/head/head.safetensors" "$scratch/head/head.safetensors"
  [[ $(wc -l <"$results/basic/sweep.tsv") -eq 3 ]] || fail 'the sweep has other rows than combinations'
  pliant finetune --task classification --train "$folder/train.tsv" --valid "$folder/valid.tsv" "${flags[@]}" \
    --set head.hidden=4 --model "$results/small/model" --out "$scratch/cell" --quiet
  same "$(echo "$results"/basic/sweep/hidden=4_*/head.safetensors)" "$scratch/cell/head.safetensors"
  pliant evaluate --task classification "$folder/test.tsv" --head "$scratch/head" --model "$results/small/model" --quiet \
    --out "$scratch/judged.tsv"
  same "$results/basic/tests/apart.tsv" "$scratch/judged.tsv"
  pliant predict "$folder/few.fasta" --head "$scratch/head" --model "$results/small/model" --quiet --out "$scratch/told.tsv"
  same "$results/basic/predictions/few.tsv" "$scratch/told.tsv"
  workflow "$folder"
  [[ ! -s $CALLS ]] || fail "nothing changed, and yet there ran $(cat "$CALLS")"

  say 'plugins predict and measure'
  cp -r "$root/plugins/cosine_head" "$root/plugins/sov_metric" "$folder/"
  sed -i.before 's/"H", "E", "C"/"basic", "other"/' "$folder/sov_metric/plugin.toml"
  awk '/^>/ { sub(">", "", $1); ids[++count] = $1 } END { print "id_a\tid_b\n" ids[1] "\t" ids[2] "\n" ids[3] "\t" ids[1] }' \
    "$folder/few.fasta" >"$folder/pairs.tsv"
  cat >"$folder/config/config.yaml" <<END
tasks: [finetune]
samples: {couples: pairs.tsv}
threads: 1
mem_mb: 510
pretrain:
  runs:
    small: {config: small.toml, architecture: $tiny.config.json, corpus: proteins.fasta}
finetune:
  evaluate_format: tsv
  heads:
    basic:
      task: classification
      labels: train.tsv
      valid: valid.tsv
      model: results/small/model
      tests: {measured: test.tsv}
      metric: sov_metric/plugin.toml
      extra: "${flags[*]}"
    cosine:
      plugin: cosine_head/plugin.toml
      model: results/small/model
      sequences: few.fasta
      predict: [couples]
END
  workflow "$folder"
  words=(--model "$results/small/model" --quiet --out)
  pliant predict "$folder/pairs.tsv" --sequences "$folder/few.fasta" --head "$folder/cosine_head/plugin.toml" \
    "${words[@]}" "$scratch/cosines.tsv"
  same "$results/cosine/predictions/couples.tsv" "$scratch/cosines.tsv"
  pliant evaluate --task classification "$folder/test.tsv" --head "$scratch/head" \
    --metric "$folder/sov_metric/plugin.toml" "${words[@]}" "$scratch/measured.tsv"
  same "$results/basic/tests/measured.tsv" "$scratch/measured.tsv"
  grep -q '^sov-metric.sov' "$scratch/measured.tsv" || fail 'the evaluation lacks the measure of the plugin'
  workflow "$folder"
  [[ ! -s $CALLS ]] || fail "nothing changed, and yet there ran $(cat "$CALLS")"
  printf '\0\003\001xy' >>"$folder/cosine_head/cosine_head.wasm"
  pliant plugin check "$folder/cosine_head/plugin.toml" --seal --quiet >/dev/null
  workflow "$folder"
  grep -q predict "$CALLS" || fail 'another plugin was not asked'

  say 'ONNX files encode and predict'
  mkdir "$folder/onnx"
  cp "$root"/tests/fixtures/onnx/esm2.onnx{,.toml} "$folder/onnx/"
  pliant finetune --task classification --train "$folder/train.tsv" --valid "$folder/valid.tsv" "${flags[@]}" \
    --model "$folder/onnx" --out "$scratch/onnx_head" --quiet
  pliant model export "$scratch/onnx_head" --onnx --out "$folder/head_onnx" >/dev/null
  cat >"$folder/config/config.yaml" <<'END'
tasks: [embed, finetune]
samples: {few: few.fasta}
model: onnx
shards: 2
threads: 1
mem_mb: 510
finetune:
  heads:
    brought: {plugin: head_onnx/head.onnx, model: onnx, predict: [few]}
END
  workflow "$folder"
  pliant embed "$folder/few.fasta" --model "$folder/onnx/esm2.onnx" --quiet --out "$scratch/onnx.npz"
  same "$results/few/embeddings.npz" "$scratch/onnx.npz"
  pliant predict "$folder/few.fasta" --head "$folder/head_onnx/head.onnx" --model "$folder/onnx" --quiet \
    --out "$scratch/onnx.tsv"
  same "$results/brought/predictions/few.tsv" "$scratch/onnx.tsv"
  workflow "$folder"
  [[ ! -s $CALLS ]] || fail "nothing changed, and yet there ran $(cat "$CALLS")"
  echo '# another sidecar' >>"$folder/head_onnx/head.onnx.toml"
  workflow "$folder"
  grep -q predict "$CALLS" || fail 'another ONNX head was not asked'

  say 'two proteins are aligned'
  cat >"$folder/config/config.yaml" <<'END'
tasks: [align]
model: model
threads: 1
mem_mb: 510
align: {pairs: {both: two.fasta}, picture: svg}
END
  workflow "$folder"
  pliant align "$folder/two.fasta" --model "$folder/model" --quiet --out "$scratch/two.tsv"
  same "$results/both/alignment.tsv" "$scratch/two.tsv"
  [[ -s $results/both/alignment.svg ]] || fail 'the alignment has no picture'

  say 'a screen in parts gives the bytes of one in a piece'
  make_pairs "$folder/few.fasta" >"$folder/pairs.tsv"
  pliant finetune --task ppi --train "$folder/pairs.tsv" --valid "$folder/pairs.tsv" --sequences "$folder/few.fasta" \
    --model "$folder/model" --set head.pairs=average --set head.activation=tanh --set head.hidden=8 \
    --set run.epochs=1 --out "$folder/pair_head" --quiet
  cat >"$folder/config/config.yaml" <<'END'
tasks: [screen]
model: model
threads: 1
mem_mb: 510
screen: {runs: {few: {first: few.fasta, head: pair_head, parts: 3}}}
extra: {screen: --top-k 2}
END
  workflow "$folder"
  pliant screen "$folder/few.fasta" --head "$folder/pair_head" --model "$folder/model" --top-k 2 --quiet \
    --out "$scratch/screen.tsv"
  same "$results/few/pairs.tsv" "$scratch/screen.tsv"

  say 'plugins and ONNX files screen'
  pliant model export "$folder/pair_head" --onnx --out "$folder/pair_onnx" >/dev/null
  cat >"$folder/config/config.yaml" <<'END'
tasks: [screen]
model: model
threads: 1
mem_mb: 510
screen:
  runs:
    alike: {first: few.fasta, head: cosine_head/plugin.toml, parts: 2}
    brought: {first: few.fasta, head: pair_onnx/head.onnx, parts: 2}
extra: {screen: --top-k 2}
END
  workflow "$folder"
  for head in alike=cosine_head/plugin.toml brought=pair_onnx/head.onnx; do
    pliant screen "$folder/few.fasta" --head "$folder/${head#*=}" --model "$folder/model" --top-k 2 --quiet \
      --out "$scratch/brought.tsv"
    same "$results/${head%%=*}/pairs.tsv" "$scratch/brought.tsv"
  done

  say 'labelled pairs and proteins: one run trains an adapter with its head, calibrates it, and screens with all'
  awk '/^>/ { record++ } record > 14 { exit } { print substr($0, 1, 40) }' "$folder/proteins.fasta" >"$folder/some.fasta"
  make_pairs "$folder/some.fasta" >"$folder/known.tsv"
  flags=(--tune lora --lora-rank 2 --set head.pairs=average --set head.activation=tanh --set head.hidden=8 --set run.epochs=1)
  cat >"$folder/config/config.yaml" <<END
tasks: [finetune, screen]
threads: 1
mem_mb: 510
finetune:
  heads:
    adapted:
      {task: ppi, labels: pairs.tsv, sequences: some.fasta, calibrate: known.tsv, curve: isotonic, model: model,
      extra: "${flags[*]}"}
screen: {runs: {taught: {first: few.fasta, head: results/adapted/head, parts: 2}}}
extra: {screen: "--top-k 2 --prevalence 1:3"}
END
  workflow "$folder"
  pliant finetune --task ppi --train "$folder/pairs.tsv" --sequences "$folder/few.fasta" --model "$folder/model" \
    "${flags[@]}" --out "$folder/adapted" --quiet
  flags=(--head "$folder/adapted" --model "$folder/model" --quiet)
  pliant evaluate --task ppi "$folder/known.tsv" --sequences "$folder/some.fasta" --curve isotonic "${flags[@]}" \
    --out "$scratch/known.json" --calibration "$scratch/known.calibration.json"
  same "$results/adapted/calibration.json" "$scratch/known.calibration.json"
  pliant screen "$folder/few.fasta" "${flags[@]}" --calibration "$scratch/known.calibration.json" --top-k 2 \
    --prevalence 1:3 --out "$scratch/adapted.tsv"
  grep -q -P '^protein1\tprotein2\tlogit\tprobability' "$scratch/adapted.tsv" || fail 'the screen has no probabilities'
  same "$results/taught/pairs.tsv" "$scratch/adapted.tsv"
  pliant screen "$folder/few.fasta" "${flags[@]}" --top-k 2 --out "$scratch/adapted.tsv"
  if cmp -s "$scratch/adapted.tsv" "$scratch/screen.tsv"; then fail 'the adapter changes nothing'; fi
  workflow "$folder"
  [[ ! -s $CALLS ]] || fail "nothing changed, and yet there ran $(cat "$CALLS")"
}

module_import() {
  local folder=$scratch/module
  say 'the workflow as a module'
  mkdir -p "$folder"
  make_proteins "$folder/source.fasta"
  cp -r "$tiny" "$folder/model"
  sed "s|SNAKEFILE|$workflow/workflow/Snakefile|" "$tests/module.Snakefile" >"$folder/Snakefile"
  if ! snake "$folder"; then
    cat "$folder/run.log" >&2
    fail 'the import as a module'
  fi
  called '1 3 2' 'as a module'
  pliant embed "$folder/source.fasta" --model "$folder/model" --quiet --layer=-1,0 \
    --out "$folder/one.npz" --residues "$folder/states.npz"
  cmp "$folder/one.npz" "$folder/vectors/results/mine/embeddings.npz" || fail 'vectors of the module'
  cmp "$folder/states.npz" "$folder/vectors/results/mine/residues.npz" || fail 'residues of the module'
  pliant perplexity "$folder/vectors/results/mine/shards/shard_0002.fasta" --model "$folder/model" --quiet \
    --method one-pass --out "$folder/one.tsv"
  same "$folder/one.tsv" "$folder/vectors/results/mine/perplexity/shard_0002.tsv"
  [[ $(cat "$folder/bytes.txt") -eq $(wc -c <"$folder/one.npz") ]] || fail 'what the importing workflow made of it'
}

wrappers() {
  local task folder
  say 'wrappers'
  mkdir -p "$scratch/wrappers/master/bio"
  cp -r "$workflow/wrappers" "$scratch/wrappers/master/bio/pliant"
  for task in logits perplexity contacts variants evaluate pretrain plot align finetune sweep predict screen split embed gather; do
    folder=$scratch/wrappers/master/bio/pliant/$task/test
    if ! snake "$folder" --wrapper-prefix "file://$scratch/wrappers/"; then
      cat "$folder/run.log" "$folder"/logs/* >&2
      fail "wrapper $task"
    fi
  done
  cmp "$scratch/wrappers/master/bio/pliant/embed/test/embeddings.npz" "$folder/embeddings.npz" ||
    fail 'the wrappers together give other bytes than the wrapper embed'
  # As users name them before they are in the collection.
  sed "s|master/bio/pliant|file://$workflow/wrappers|" "$folder/Snakefile" >"$folder/by_path.Snakefile"
  rm -r "$folder/embeddings.npz" "$folder/parts" "$folder/shards"
  snake "$folder" --snakefile by_path.Snakefile || fail 'wrappers by their paths'
}

started=$SECONDS
form_and_lint
profiles
scatter_and_gather
cached
failing_shard
other_tasks
training
heads
module_import
wrappers
say "Snakemake: all passed in $((SECONDS - started)) s"

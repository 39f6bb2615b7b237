#!/usr/bin/env bash
# Runs the Nextflow workflow by the repository's root with the `pliant` that is on PATH.
# Usage: run_nextflow.sh [FOLDER]: the folder keeps what is fetched between runs.
# Needs nextflow 25.04 or newer, or Java 17 and Maven; says that it skips where Nextflow cannot be had.
set -euo pipefail
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$tests/../.." && pwd)
tools=$tests/nextflow
tiny=$root/tests/fixtures/models/esm2_tiny_random
exec </dev/null
# shellcheck source=tests/workflows/proteins.sh
source "$tests/proteins.sh"

# Nothing of the user's own settings.
for name in "${!PLIANT_@}"; do
  [[ $name == PLIANT_TEST_DATA || $name == PLIANT_NEXTFLOW_HOME ]] || unset "$name"
done

fail() {
  printf 'FAILED: the Nextflow workflow: %s\n' "$*" >&2
  exit 1
}

say() {
  printf -- '-- %s\n' "$*"
}

for task in split gather logits contacts perplexity variants evaluate pretrain plot; do
  pliant "$task" --help >/dev/null || fail "'pliant $task' is wanted on PATH"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
kept=${1:-${XDG_CACHE_HOME:-${HOME:-$scratch}/.cache}/pliant}
if ! { mkdir -p "$kept" && [[ -w $kept ]]; } 2>/dev/null; then kept=$scratch/kept; fi
mkdir -p "$kept" "$scratch/launch" "$scratch/logs"
kept=$(cd "$kept" && pwd)
export PLIANT_NEXTFLOW_HOME=${PLIANT_NEXTFLOW_HOME:-$kept/nextflow-25.04.4}
export PATH=$tools:$PATH
nextflow available || {
  echo 'SKIPPED: the Nextflow workflow was not run' >&2
  exit 0
}
cd "$scratch/launch"

fasta=$scratch/proteins.fasta
model=$scratch/model
make_proteins "$fasta"
cp -r "$tiny" "$model"
# As of a model that was pulled: its lock names a file that no task needs.
echo page >"$model/README.md"
{
  printf '{"format": "pliant-lock-1", "endpoint": "https://example.org", "licence": null, "repo": "some/model",'
  printf ' "revision": "%040d", "files": {' 0
  separator=
  for file in "$model"/*; do
    printf '%s"%s": {"sha256": "%064d", "size": %d}' "$separator" "${file##*/}" 0 "$(wc -c <"$file")"
    separator=', '
  done
  printf '}}\n'
} >"$scratch/lock"
mv "$scratch/lock" "$model/pliant.lock.json"
cat >"$scratch/small.config" <<'END'
// Four tasks at once, also where there are fewer cores: they are small.
executor { cpus = 4; memory = '4.GB' }
process { resourceLimits = [cpus: 1, memory: '512.MB', time: '10.min'] }
trace { fields = 'process,tag,status,exit,complete' }
END

# What Nextflow says, without the settings that release 25.04 knows and yet warns of.
log_of() {
  grep -v 'Unrecognized config option' "$scratch/logs/$1"
}

# A run of this name with these flags; its words go to logs/NAME, its tasks to logs/NAME.trace.
attempt() {
  nextflow run "$root" -c "$scratch/${settings:-small}.config" -with-trace "$scratch/logs/$1.trace" \
    --input "$fasta" --model "$model" --outdir "$scratch/$1" "${@:2}" >"$scratch/logs/$1" 2>&1
}

# The same, which must succeed.
run() {
  attempt "$@" && return 0
  log_of "$1" >&2
  fail "the run '$1' failed"
}

# Tags of the embedding tasks of a run that ended so, in the order of their ends.
embedded() {
  awk -F '\t' -v status="$2" '$3 == status && $1 ~ /:PLIANT_EMBED$/ { print $5 "\t" $2 }' "$scratch/logs/$1.trace" |
    sort | cut -f 2
}

# How many tasks of split, embed and gather ended so.
ended() {
  local found
  found=$(awk -F '\t' -v status="$2" '
    $3 == status && $1 ~ /:PLIANT_SPLIT$/ { split_++ }
    $3 == status && $1 ~ /:PLIANT_EMBED$/ { embed++ }
    $3 == status && $1 ~ /:PLIANT_GATHER/ { gather++ }
    END { print split_ + 0, embed + 0, gather + 0 }' "$scratch/logs/$1.trace")
  [[ $found == "$3" ]] && return 0
  cat "$scratch/logs/$1.trace" >&2
  fail "$1: of split, embed and gather $found tasks are $2, wanted $3"
}

# One run of pliant over all proteins.
one_run() {
  pliant embed "$fasta" --model "$model" --quiet "$@"
}

same() {
  cmp "$1" "$2" || fail "$1 and $2 differ"
}

syntax() {
  say 'strict syntax'
  nextflow strict-lint "$root/nextflow" "$root/nextflow.config"
  echo 'process X { script: "x" ' >"$scratch/wrong.nf"
  if nextflow strict-lint "$scratch/wrong.nf" >/dev/null 2>&1; then fail 'strict-lint takes a wrong script'; fi
}

# Makes the Python environment of check_schemas.py; fails where that cannot be done.
python_environment() {
  local lock
  exec {lock}>"$1.lock"
  if command -v flock >/dev/null; then flock "$lock"; fi
  [[ -x "$1/bin/python" ]] && cmp -s "$tools/requirements.txt" "$1/requirements.txt" && return 0
  rm -rf "$1"
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 --timeout 20 \
    --requirement "$tools/requirements.txt" && cp "$tools/requirements.txt" "$1/"
}

descriptions() {
  say 'descriptions against schemas and scripts'
  if python_environment "$kept/nextflow-python"; then
    nextflow config -o json "$root/nextflow" >"$scratch/settings.json"
    "$kept/nextflow-python/bin/python" "$tools/check_schemas.py" "$root/nextflow" "$scratch/settings.json"
  else
    echo 'SKIPPED: meta.yml and parameters were not compared with schemas (python3 with venv and pip is needed)' >&2
  fi
}

scatter_and_gather() {
  local part reversed=() split=$scratch/scatter/split/proteins/split.json
  say 'four shards give the bytes of one run'
  run scatter --residues npz
  ended scatter COMPLETED '1 4 2'
  one_run --out "$scratch/whole.npz" --residues "$scratch/states.npz"
  same "$scratch/scatter/embeddings/proteins.npz" "$scratch/whole.npz"
  same "$scratch/scatter/embeddings/proteins.residues.npz" "$scratch/states.npz"
  grep -q "pliant: $(pliant --version | cut -d ' ' -f 2)$" "$scratch/scatter/pipeline_info/versions.yml" ||
    fail 'versions.yml lacks the version of pliant'
  # Other names and another order than those of the workflow.
  while read -r part; do
    cp "$part" "$scratch/part_$((9 - ${#reversed[@]})).npz"
    reversed=("$scratch/part_$((9 - ${#reversed[@]})).npz" "${reversed[@]}")
  done < <(find work -name 'proteins.shard_*.npz' -type f ! -name '*.residues.npz' | sort)
  [[ ${#reversed[@]} -eq 4 ]] || fail "found ${#reversed[@]} parts, wanted 4"
  pliant gather --split "$split" --out "$scratch/reversed.npz" --quiet "${reversed[@]}"
  same "$scratch/reversed.npz" "$scratch/whole.npz"
}

resume() {
  say 'a resumed run runs nothing'
  # Dates alone are no change.
  touch "$fasta" "$model"/*
  run resumed --residues npz -resume
  ended resumed COMPLETED '0 0 0'
  ended resumed CACHED '1 4 2'
  same "$scratch/resumed/embeddings/proteins.npz" "$scratch/whole.npz"

  say 'another flag runs every task again'
  run flagged --residues npz --pool max -resume
  ended flagged COMPLETED '1 4 2'
  one_run --out "$scratch/flagged.npz" --pool max
  same "$scratch/flagged/embeddings/proteins.npz" "$scratch/flagged.npz"

  say 'a substituted residue runs its shard'
  substitute_residue "$fasta" 100
  one_run --out "$scratch/whole.npz"
  run substituted --residues npz -resume
  ended substituted COMPLETED '1 1 2'
  ended substituted CACHED '0 3 0'
  same "$scratch/substituted/embeddings/proteins.npz" "$scratch/whole.npz"
}

# A record before all others: what moves to another shard is computed once more, unless there is a cache.
insert() {
  local cache=() moved misses
  say 'an inserted record moves boundaries'
  if pliant embed --help | grep -q -- --cache; then
    cache=(--cache "$scratch/cache/embeddings.db")
    mkdir "$scratch/cache"
    one_run --out "$scratch/cached.npz" --residues "$scratch/cached.states.npz" "${cache[@]}"
  else
    echo 'NOTE: this pliant has no --cache; what it saves was not checked' >&2
  fi
  insert_record "$fasta"
  one_run --out "$scratch/whole.npz"
  run inserted --residues npz "${cache[@]}" -resume
  same "$scratch/inserted/embeddings/proteins.npz" "$scratch/whole.npz"
  moved=$(embedded inserted COMPLETED | wc -l)
  [[ $moved -ge 2 ]] || fail "the inserted record changed $moved shards, wanted 2 or more"
  [[ ${#cache[@]} -gt 0 ]] || return 0
  misses=$(embedded inserted COMPLETED |
    while read -r shard; do grep -o '"misses": *[0-9]*' "$scratch/inserted/summaries/$shard.summary.json"; done |
    awk '{ sum += $2 } END { print sum + 0 }')
  [[ $misses -eq 1 ]] || fail "with a cache $misses sequences were computed, wanted the inserted one alone"
  # A cache changes no result, so nothing runs again because it goes.
  run uncached --residues npz -resume
  ended uncached COMPLETED '0 0 0'
}

weights() {
  say 'weights changed in place, size and date as before, run every shard'
  pliant model new --config "$tiny.config.json" --seed 7 --out "$scratch/other" --quiet >/dev/null
  [[ $(wc -c <"$scratch/other/model.safetensors") -eq $(wc -c <"$model/model.safetensors") ]] ||
    fail 'the other weights have another size'
  touch -r "$model/model.safetensors" "$scratch/date"
  cat "$scratch/other/model.safetensors" >"$model/model.safetensors"
  touch -r "$scratch/date" "$model/model.safetensors"
  cp "$scratch/whole.npz" "$scratch/before.npz"
  one_run --out "$scratch/whole.npz"
  if cmp -s "$scratch/whole.npz" "$scratch/before.npz"; then fail 'the other weights give the same bytes'; fi
  run weights --residues npz -resume
  ended weights COMPLETED '0 4 2'
  same "$scratch/weights/embeddings/proteins.npz" "$scratch/whole.npz"
}

failing_shard() {
  say 'a shard that fails fails the run and names the record'
  append_long_record "$fasta"
  if attempt failing --long_policy error; then fail 'a run passed with a record that cannot be computed'; fi
  ended failing FAILED '0 1 0'
  ended failing COMPLETED '1 3 0'
  grep -q too_long "$scratch/logs/failing" || fail "the message does not name the record: $(log_of failing)"
}

# Also: one shard is told to try again, and records are left out, some by splitting and one by its shard.
shuffled() {
  local arrived layer list flags=(--pool max --precision bf16 '--layers=-1,0')
  say 'shards that end in reverse order change nothing'
  append_bad_records "$fasta"
  make_tracing_program "$scratch/bin"
  {
    cat "$scratch/small.config"
    echo "process { withName: PLIANT_EMBED { beforeScript = { \"sleep \${2 * (4 - task.index)}\" } } }"
  } >"$scratch/shuffled.config"
  PATH=$scratch/bin:$PATH CALLS=$scratch/calls TRY_AGAIN=shard_0003 settings=shuffled run shuffled \
    -work-dir "$scratch/shuffled.work" --format tsv --residues npz \
    "${flags[@]}" --out_dtype f16 --on_error skip --long_policy skip
  ended shuffled COMPLETED '1 4 2'
  ended shuffled FAILED '0 1 0'
  grep -q $'\tFAILED\t75\t' "$scratch/logs/shuffled.trace" || fail 'the shard that was tried again did not end with 75'
  arrived=$(embedded shuffled COMPLETED)
  [[ $arrived != "$(sort <<<"$arrived")" ]] || fail 'the shards arrived in their order'
  one_run --out "$scratch/odd.tsv" --residues "$scratch/odd.npz" "${flags[@]/layers/layer}" --out-dtype f16 \
    --on-error skip --long skip
  for layer in layer0 layer2; do
    same "$scratch/shuffled/embeddings/proteins.$layer.tsv" "$scratch/odd.$layer.tsv"
  done
  same "$scratch/shuffled/embeddings/proteins.residues.npz" "$scratch/odd.npz"
  # The lists name the files and lines that were read, which differ; what failed and why is the same.
  for list in "$scratch/shuffled/embeddings/proteins.tsv" "$scratch/odd.tsv"; do
    cut -f 4- "$list.failures.tsv" | sort >"$list.reasons"
  done
  same "$scratch/shuffled/embeddings/proteins.tsv.reasons" "$scratch/odd.tsv.reasons"
  [[ $(grep -c -e ^too_long -e ^bad_ "$scratch/odd.tsv.reasons") -eq 13 ]] || fail 'wanted 13 failed records'
}

demo() {
  local file
  say 'profile test, and its stubs'
  nextflow run "$root" -profile test --format parquet --residues h5 --outdir "$scratch/demo" \
    >"$scratch/logs/demo" 2>&1 || fail "profile test: $(log_of demo)"
  pliant embed "$root/tests/fixtures/fasta/ecoli20.fasta" --model "$tiny" --quiet \
    --out "$scratch/ecoli20.parquet" --residues "$scratch/ecoli20.residues.h5"
  for file in ecoli20.parquet ecoli20.residues.h5; do same "$scratch/demo/embeddings/$file" "$scratch/$file"; done
  nextflow run "$root" -profile test -stub-run --residues npz --on_error skip --outdir "$scratch/stub" \
    >"$scratch/logs/stub" 2>&1 || fail "stub run: $(log_of stub)"
  for file in ecoli20.npz ecoli20.residues.npz ecoli20.npz.failures.tsv; do
    [[ -e $scratch/stub/embeddings/$file ]] || fail "the stubs made no $file"
  done
}

# A run of another task than embed; its words go to logs/NAME. The log and the lock of a launch lie where it starts, so
# that several run at once.
task_run() {
  mkdir -p "$scratch/launch.$1"
  cd "$scratch/launch.$1"
  nextflow run "$root" -c "$scratch/small.config" --outdir "$scratch/tasks" "${@:2}" >"$scratch/logs/$1" 2>&1
}

# Every other task on a few short proteins.
tasks() {
  local shard words=() runs=() few=$scratch/few.fasta heads=$root/tests/fixtures/imports/twin
  say 'other tasks give the bytes of their commands'
  awk '/^>/ { record++ } record > 5 { exit } { print substr($0, 1, 40) }' "$fasta" >"$few"
  printf '>wild_type\nMKTAYIAKQRQISF\n' >"$scratch/wild.fasta"
  printf 'mutant,measured\nK12R,0.5\nA14G:K18E,-1.25\n' >"$scratch/mutants.csv"
  task_run logits --task logits --masked --format h5 --input "$few" --model "$heads" --shards 2 & runs+=($!)
  task_run perplexity --task perplexity --input "$few" --model "$heads" --shards 2 & runs+=($!)
  task_run contacts --task contacts --picture svg --input "$few" --model "$heads" --shards 2 & runs+=($!)
  wait_for logits perplexity contacts
  runs=()
  task_run variants --task variants --mutants "$scratch/mutants.csv" --wild_type "$scratch/wild.fasta" --offset 11 \
    --model "$heads" & runs+=($!)
  task_run scan --task variants --wild_type "$scratch/wild.fasta" --score wt-marginals --format tsv --picture png \
    --model "$heads" & runs+=($!)
  wait_for variants scan

  pliant logits "$few" --model "$heads" --quiet --masked --out "$scratch/direct.h5"
  same "$scratch/tasks/logits/few.h5" "$scratch/direct.h5"
  pliant split "$few" --shards 2 --out-dir "$scratch/shards" --quiet
  for shard in shard_0001 shard_0002; do
    words=("$scratch/shards/$shard.fasta" --model "$heads" --quiet --out)
    pliant perplexity "${words[@]}" "$scratch/direct.$shard.tsv"
    same "$scratch/tasks/perplexity/few.$shard.tsv" "$scratch/direct.$shard.tsv"
    pliant contacts "${words[@]}" "$scratch/direct.$shard.npz" --picture "$scratch/drawn" --picture-format svg
    same "$scratch/tasks/contacts/few.$shard.npz" "$scratch/direct.$shard.npz"
    diff -r "$scratch/tasks/contacts/few.$shard.pictures" "$scratch/drawn" || fail 'other pictures of contacts'
    rm -r "$scratch/drawn"
  done
  words=(--wild-type "$scratch/wild.fasta" --model "$heads" --quiet --out)
  pliant variants --mutants "$scratch/mutants.csv" --offset 11 "${words[@]}" "$scratch/direct.csv"
  same "$scratch/tasks/variants/mutants.variants.csv" "$scratch/direct.csv"
  # The picture says which file it is of, as it was named.
  mkdir "$scratch/wild_type"
  cp "$scratch/wild.fasta" "$scratch/wild_type/"
  (cd "$scratch" && pliant variants --scan --score wt-marginals --wild-type wild_type/wild.fasta \
    --model "$heads" --quiet --out direct.tsv --picture direct.png)
  same "$scratch/tasks/variants/wild.variants.tsv" "$scratch/direct.tsv"
  same "$scratch/tasks/variants/wild.variants.png" "$scratch/direct.png"
}

# The tasks of the last run of this name that ended so, by their processes.
processes() {
  awk -F '\t' -v status="$2" '$3 == status { print $1 }' "$scratch/logs/$1.trace" | sort | uniq -c |
    awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }'
}

# A training of this name with these further flags; its tasks go to logs/NAME.trace.
train() {
  mkdir -p "$scratch/launch.training"
  cd "$scratch/launch.training"
  nextflow run "$root" -c "$scratch/small.config" -with-trace "$scratch/logs/$1.trace" --outdir "$scratch/$1" \
    --task pretrain --training "$scratch/small.toml" --architecture "$tiny.config.json" --corpus "$scratch/corpus.fasta" \
    --input "$scratch/few.fasta" --format tsv --run_dir "$scratch/runs" "${@:2}" >"$scratch/logs/$1" 2>&1 ||
    fail "the training '$1': $(log_of "$1")"
}

training() {
  local file found
  say 'a training that is killed goes on, and gives the bytes of one that was never stopped'
  make_training "$scratch/small.toml"
  # Without the records that earlier steps have added.
  make_proteins "$scratch/corpus.fasta"
  make_killing_program "$scratch/killing"
  pliant pretrain --config "$scratch/small.toml" --model-config "$tiny.config.json" --train "$scratch/corpus.fasta" \
    --out "$scratch/straight" --quiet
  PATH=$scratch/killing:$PATH KILLED=$scratch/killed train training
  [[ $(cat "$scratch/killed") -eq 137 ]] || fail "the training ended with $(cat "$scratch/killed") before it was killed"
  found=$(processes training FAILED)
  [[ $found == '1 PLIANT_PRETRAIN' ]] || fail "wanted one failed training, found $found"
  grep -q '"steps_before": [1-9]' "$scratch/training/models/small.summary.json" || fail 'the training began anew'
  for file in config.json model.safetensors vocab.txt training.json; do
    same "$scratch/training/models/small/$file" "$scratch/straight/$file"
  done
  pliant evaluate --task mlm "$scratch/few.fasta" --model "$scratch/straight" --quiet --out "$scratch/mlm.tsv"
  same "$scratch/training/evaluate/small.few.mlm.tsv" "$scratch/mlm.tsv"
  pliant plot "$scratch/training/models/small.log.jsonl" --out "$scratch/losses.svg"
  same "$scratch/training/models/losses.svg" "$scratch/losses.svg"

  say 'a resumed training runs nothing; one of more steps goes on'
  train trained -resume
  found=$(processes trained CACHED)
  [[ $found == '1 PLIANT_EVALUATE, 1 PLIANT_PLOT, 1 PLIANT_PRETRAIN' ]] || fail "of a resumed training $found are kept"
  train longer --training_args '--set run.steps=44' -resume
  grep -q '"steps_before": 40' "$scratch/longer/models/small.summary.json" || fail 'the longer training did not go on'

  say 'an evaluation gives the bytes of its command'
  task_run evaluate --task evaluate --input "$scratch/few.fasta" --model "$scratch/straight" --task_args '--bins 0,30' ||
    fail "--task evaluate: $(log_of evaluate)"
  pliant evaluate --task mlm "$scratch/few.fasta" --model "$scratch/straight" --quiet --bins 0,30 --out "$scratch/mlm.json"
  same "$scratch/tasks/evaluate/few.mlm.json" "$scratch/mlm.json"
}

# From proteins without labels to a model, from labelled ones to a head, and to its predictions.
heads() {
  local words flags=(--label-column kind --set run.epochs=3 --set run.batch=8)
  say 'one run pretrains, trains a head, evaluates it and predicts'
  mkdir "$scratch/labels"
  make_labels "$scratch/corpus.fasta" "$scratch/labels"
  task_run heads --task finetune --learn classification --labels "$scratch/labels/train.tsv" \
    --valid_labels "$scratch/labels/valid.tsv" --test_labels "$scratch/labels/test.tsv" --training "$scratch/small.toml" \
    --architecture "$tiny.config.json" --corpus "$scratch/corpus.fasta" --input "$scratch/few.fasta" --format tsv \
    --finetune_args "${flags[*]}" --run_dir "$scratch/runs.heads" || fail "--task finetune: $(log_of heads)"
  pliant finetune --task classification --train "$scratch/labels/train.tsv" --valid "$scratch/labels/valid.tsv" \
    "${flags[@]}" --model "$scratch/straight" --out "$scratch/head" --quiet
  same "$scratch/tasks/heads/train/head.json" "$scratch/head/head.json"
  same "$scratch/tasks/heads/train/head.safetensors" "$scratch/head/head.safetensors"
  pliant evaluate --task classification "$scratch/labels/test.tsv" --head "$scratch/head" --model "$scratch/straight" \
    --quiet --out "$scratch/judged.tsv"
  same "$scratch/tasks/evaluate/test.classification.tsv" "$scratch/judged.tsv"
  pliant predict "$scratch/few.fasta" --head "$scratch/head" --model "$scratch/straight" --quiet --out "$scratch/told.tsv"
  same "$scratch/tasks/predict/few.tsv" "$scratch/told.tsv"

  say 'a sweep has a row for each combination, and heads of its own'
  task_run sweep --task sweep --learn classification --labels "$scratch/labels/train.tsv" \
    --valid_labels "$scratch/labels/valid.tsv" --model "$scratch/straight" --grid 'head.hidden=2,4; run.epochs=1,2' \
    --finetune_args '--label-column kind' --run_dir "$scratch/runs.sweep" || fail "--task sweep: $(log_of sweep)"
  [[ $(wc -l <"$scratch/tasks/sweeps/train.tsv") -eq 5 ]] || fail 'the sweep has other rows than combinations'
  pliant finetune --task classification --train "$scratch/labels/train.tsv" --valid "$scratch/labels/valid.tsv" \
    --label-column kind --set head.hidden=4 --set run.epochs=2 --model "$scratch/straight" --out "$scratch/cell" --quiet
  same "$(echo "$scratch"/runs.sweep/train/hidden=4_epochs=2_*/head.safetensors)" "$scratch/cell/head.safetensors"

  say 'a head that is there predicts, and proteins are aligned'
  task_run predict --task predict --input "$scratch/few.fasta" --head "$scratch/head" --model "$scratch/straight" \
    --format jsonl || fail "--task predict: $(log_of predict)"
  pliant predict "$scratch/few.fasta" --head "$scratch/head" --model "$scratch/straight" --quiet --out "$scratch/told.jsonl"
  same "$scratch/tasks/predict/few.jsonl" "$scratch/told.jsonl"

  say 'plugins predict and measure, and a change of one runs its task again'
  cp -r "$root/plugins/cosine_head" "$root/plugins/sov_metric" "$scratch/"
  sed -i.before 's/"H", "E", "C"/"basic", "other"/' "$scratch/sov_metric/plugin.toml"
  awk '/^>/ { sub(">", "", $1); ids[++count] = $1 } END { print "id_a\tid_b\n" ids[1] "\t" ids[2] "\n" ids[3] "\t" ids[1] }' \
    "$scratch/few.fasta" >"$scratch/pairs.tsv"
  mkdir "$scratch/launch.cosines"
  cosines() {
    cd "$scratch/launch.cosines"
    nextflow run "$root" -c "$scratch/small.config" -with-trace "$scratch/logs/$1.trace" --outdir "$scratch/tasks" \
      --task predict --input "$scratch/pairs.tsv" --sequences "$scratch/few.fasta" \
      --head "$scratch/cosine_head/plugin.toml" --model "$scratch/straight" -resume >"$scratch/logs/$1" 2>&1 ||
      fail "--task predict with a plugin: $(log_of "$1")"
  }
  cosines plugin
  pliant predict "$scratch/pairs.tsv" --sequences "$scratch/few.fasta" --head "$scratch/cosine_head/plugin.toml" \
    --model "$scratch/straight" --quiet --out "$scratch/cosines.tsv"
  same "$scratch/tasks/predict/pairs.tsv" "$scratch/cosines.tsv"
  cosines plugin_again
  [[ $(processes plugin_again CACHED) == '1 PLIANT_PREDICT' ]] || fail 'the same plugin was asked again'
  # A custom section in the guest changes what it is, and nothing of what it does.
  printf '\0\003\001xy' >>"$scratch/cosine_head/cosine_head.wasm"
  pliant plugin check "$scratch/cosine_head/plugin.toml" --seal --quiet >/dev/null
  cosines plugin_changed
  [[ $(processes plugin_changed COMPLETED) == '1 PLIANT_PREDICT' ]] || fail 'another plugin was not asked'
  task_run measured --task evaluate --input "$scratch/labels/test.tsv" --learn classification --head "$scratch/head" \
    --model "$scratch/straight" --metric "$scratch/sov_metric/plugin.toml" --format tsv ||
    fail "--task evaluate with a plugin: $(log_of measured)"
  pliant evaluate --task classification "$scratch/labels/test.tsv" --head "$scratch/head" --model "$scratch/straight" \
    --metric "$scratch/sov_metric/plugin.toml" --quiet --out "$scratch/measured.tsv"
  same "$scratch/tasks/evaluate/test.classification.tsv" "$scratch/measured.tsv"
  grep -q '^sov-metric.sov' "$scratch/measured.tsv" || fail 'the evaluation lacks the measure of the plugin'

  say 'ONNX files encode and predict, and a change of one runs its task again'
  mkdir "$scratch/onnx" "$scratch/launch.onnx"
  cp "$root"/tests/fixtures/onnx/esm2.onnx{,.toml} "$scratch/onnx/"
  pliant finetune --task classification --train "$scratch/labels/train.tsv" --valid "$scratch/labels/valid.tsv" \
    "${flags[@]}" --model "$scratch/onnx" --out "$scratch/onnx_head" --quiet
  pliant model export "$scratch/onnx_head" --onnx --out "$scratch/head_onnx" >/dev/null
  task_run onnx_embed --task embed --input "$scratch/few.fasta" --model "$scratch/onnx/esm2.onnx" --format tsv \
    --shards 2 || fail "--task embed with an ONNX file: $(log_of onnx_embed)"
  pliant embed "$scratch/few.fasta" --model "$scratch/onnx" --quiet --out "$scratch/onnx.tsv"
  same "$scratch/tasks/embeddings/few.tsv" "$scratch/onnx.tsv"
  of_onnx() {
    cd "$scratch/launch.onnx"
    nextflow run "$root" -c "$scratch/small.config" -with-trace "$scratch/logs/$1.trace" --outdir "$scratch/tasks" \
      --task predict --input "$scratch/few.fasta" --format parquet --head "$scratch/head_onnx/head.onnx" \
      --model "$scratch/onnx" -resume >"$scratch/logs/$1" 2>&1 || fail "--task predict with ONNX files: $(log_of "$1")"
  }
  of_onnx onnx
  pliant predict "$scratch/few.fasta" --head "$scratch/head_onnx" --model "$scratch/onnx" --quiet --out "$scratch/onnx.parquet"
  same "$scratch/tasks/predict/few.parquet" "$scratch/onnx.parquet"
  echo '# another sidecar' >>"$scratch/head_onnx/head.onnx.toml"
  of_onnx onnx_changed
  [[ $(processes onnx_changed COMPLETED) == '1 PLIANT_PREDICT' ]] || fail 'another ONNX head was not asked'

  head -n 4 "$scratch/few.fasta" >"$scratch/two.fasta"
  task_run align --task align --first "$scratch/two.fasta" --model "$scratch/straight" --picture svg ||
    fail "--task align: $(log_of align)"
  pliant align "$scratch/two.fasta" --model "$scratch/straight" --quiet --out "$scratch/two.tsv"
  same "$scratch/tasks/align/two.tsv" "$scratch/two.tsv"
  [[ -s $scratch/tasks/align/two.svg ]] || fail 'the alignment has no picture'

  say 'a screen in parts gives the bytes of one in a piece'
  make_pairs "$scratch/few.fasta" >"$scratch/pairs.tsv"
  pliant finetune --task ppi --train "$scratch/pairs.tsv" --valid "$scratch/pairs.tsv" --sequences "$scratch/few.fasta" \
    --model "$scratch/straight" --set head.pairs=average --set head.activation=tanh --set head.hidden=8 \
    --set run.epochs=1 --out "$scratch/pair_head" --quiet
  task_run screen --task screen --input "$scratch/few.fasta" --head "$scratch/pair_head" --model "$scratch/straight" \
    --shards 3 --screen_args '--top-k 2' || fail "--task screen: $(log_of screen)"
  pliant screen "$scratch/few.fasta" --head "$scratch/pair_head" --model "$scratch/straight" --top-k 2 --quiet \
    --out "$scratch/screen.tsv"
  same "$scratch/tasks/screen/few.tsv" "$scratch/screen.tsv"
  pliant model export "$scratch/pair_head" --onnx --out "$scratch/pair_onnx" >/dev/null
  for head in cosine_head/plugin.toml pair_onnx/head.onnx; do
    task_run screen_brought --task screen --input "$scratch/few.fasta" --head "$scratch/$head" --model "$scratch/straight" \
      --shards 2 --screen_args '--top-k 2' || fail "--task screen with $head: $(log_of screen_brought)"
    pliant screen "$scratch/few.fasta" --head "$scratch/$head" --model "$scratch/straight" --top-k 2 --quiet \
      --out "$scratch/brought.tsv"
    same "$scratch/tasks/screen/few.tsv" "$scratch/brought.tsv"
  done

  say 'a head with an adapter screens'
  flags=(--tune lora --lora-rank 2 --set head.pairs=average --set head.activation=tanh --set head.hidden=8 --set run.epochs=1)
  pliant finetune --task ppi --train "$scratch/pairs.tsv" --sequences "$scratch/few.fasta" --model "$scratch/straight" \
    "${flags[@]}" --out "$scratch/adapted" --quiet
  pliant screen "$scratch/few.fasta" --head "$scratch/adapted" --model "$scratch/straight" --top-k 2 --quiet \
    --out "$scratch/adapted.tsv"
  if cmp -s "$scratch/adapted.tsv" "$scratch/screen.tsv"; then fail 'the adapter changes nothing'; fi
  task_run adapted --task screen --input "$scratch/few.fasta" --head "$scratch/adapted" --model "$scratch/straight" \
    --shards 2 --screen_args '--top-k 2' || fail "--task screen with an adapter: $(log_of adapted)"
  same "$scratch/tasks/screen/few.tsv" "$scratch/adapted.tsv"

  say 'labelled pairs calibrate it, and the screen tells probabilities'
  awk '/^>/ { record++ } record > 14 { exit } { print substr($0, 1, 40) }' "$fasta" >"$scratch/some.fasta"
  make_pairs "$scratch/some.fasta" >"$scratch/known.tsv"
  task_run taught --task screen --input "$scratch/few.fasta" --labels "$scratch/pairs.tsv" --sequences "$scratch/some.fasta" \
    --model "$scratch/straight" --finetune_args "${flags[*]}" --run_dir "$scratch/runs.taught" --shards 2 \
    --calibration_labels "$scratch/known.tsv" --curve isotonic --screen_args '--top-k 2 --prevalence 1:3' ||
    fail "--task screen with labels: $(log_of taught)"
  words=(--head "$scratch/adapted" --model "$scratch/straight" --quiet)
  pliant evaluate --task ppi "$scratch/known.tsv" --sequences "$scratch/some.fasta" "${words[@]}" --curve isotonic \
    --out "$scratch/known.json" --calibration "$scratch/known.calibration.json"
  pliant screen "$scratch/few.fasta" "${words[@]}" --calibration "$scratch/known.calibration.json" --top-k 2 \
    --prevalence 1:3 --out "$scratch/calibrated.tsv"
  same "$scratch/tasks/evaluate/known.calibration.json" "$scratch/known.calibration.json"
  same "$scratch/tasks/evaluate/known.ppi.json" "$scratch/known.json"
  same "$scratch/tasks/screen/few.tsv" "$scratch/calibrated.tsv"
  grep -q -P '^protein1\tprotein2\tlogit\tprobability' "$scratch/calibrated.tsv" || fail 'the screen has no probabilities'
  same "$scratch/tasks/heads/pairs/adapter/adapter_model.safetensors" "$scratch/adapted/adapter/adapter_model.safetensors"
}

# Waits for the runs of these names, whose numbers are in `runs`, in this order.
wait_for() {
  local name
  for name in "$@"; do
    wait "${runs[0]}" || fail "--task: the run '$name': $(log_of "$name")"
    runs=("${runs[@]:1}")
  done
}

stubs() {
  say 'stubs of the other modules'
  nextflow run "$tools/stubs.nf" -stub-run >"$scratch/logs/stubs" 2>&1 || fail "stubs: $(log_of stubs)"
  for file in few.npz few.tsv few.pictures few.tsv.failures.tsv few.variants.csv few.variants.png few.log.jsonl few.svg \
    few.mlm.json few.calibration.json few.jsonl head.json few.json few.2_of_3.screen; do
    grep -q -F "/$file" "$scratch/logs/stubs" || fail "the stubs made no $file: $(log_of stubs)"
  done
}

module_tests() {
  if ! command -v nf-test >/dev/null; then
    echo 'SKIPPED: the tests of single modules did not run (nf-test is not installed)' >&2
    return 0
  fi
  say 'tests of single modules'
  # nf-test writes beside what it tests.
  mkdir -p "$scratch/copy/tests"
  cp -r "$root/nextflow" "$scratch/copy/"
  cp -r "$root/tests/fixtures" "$scratch/copy/tests/"
  (cd "$scratch/copy/nextflow" && nf-test test)
}

syntax
descriptions
scatter_and_gather
resume
insert
weights
failing_shard
shuffled
demo
tasks
training
heads
stubs
module_tests
say 'the Nextflow workflow passed'

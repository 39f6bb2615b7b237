#!/usr/bin/env bash
# Real training runs, whose figures stand in tests/science/RESULTS.md. Hours of work in steps that go on where they
# were stopped:
#
#   PLIANT_TEST_DATA=DIR tests/science/run.sh [STEP...]        all steps, or the named ones
#
#   corpus             all sequences of the data sets in DIR as one FASTA, and those of it that are held out
#   pretrain-bimamba   a BiMamba-S of 4.8 million parameters on them, without those that resemble test sets
#   pretrain-esm2      a model of ESM-2's form with as many parameters and steps on the same packs and masks
#   evaluate           their losses on the sequences held out, by length
#   pretrain-plus      a PLUS-RNN of width 256 on hidden residues of the same sequences, then on pairs of Pfam's families
#   tasks              the seven tasks of PLUS: that model, its twin with random weights, and the composition of proteins;
#                      one of them is named as task-stability
#   ppi                human interactions with a head, an adapter or the last layer on encoders of this project and on
#                      others; one of it is named as ppi-lora-esm2, and ppi/steps.sh says which there are and what they cost
#   precision          pseudo-perplexity of the model of ESM-2's form in f32, bf16 and int8
#   speed              tokens a second of both, in turns; run it on a quiet machine
#   report             RESULTS.md and the curves, from what the steps have left
#
# PLIANT_SCIENCE names the folder of the runs (default: ~/.cache/pliant/science), PLIANT the program (default: the one
# that cargo builds), PLIANT_THREADS its threads.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${PLIANT_SCIENCE:-${XDG_CACHE_HOME:-$HOME/.cache}/pliant/science}
data=${PLIANT_TEST_DATA:?name the folder of data sets in PLIANT_TEST_DATA}
blocklist=$data/leakage_blocklists/benchmark_like.sha256.gz
corpus=$work/corpus.fasta
held_out=$work/held_out.fasta
mkdir -p "$work"

if [[ -z ${PLIANT:-} ]]; then
    cargo build --quiet --release --package pliant --manifest-path "$here/../../Cargo.toml"
    PLIANT=${CARGO_TARGET_DIR:-$here/../../target}/release/pliant
fi

# shellcheck source=tests/science/tasks/steps.sh
source "$here/tasks/steps.sh"
# shellcheck source=tests/science/ppi/steps.sh
source "$here/ppi/steps.sh"

corpus() {
    if [[ ! -s $corpus ]]; then
        python3 "$here/collect.py" "$corpus"
    fi
    if [[ ! -s $held_out ]]; then
        python3 "$here/hold_out.py" "$corpus" "$blocklist" "$held_out"
    fi
}

# A run that is done says so by its model; one that was stopped goes on from its last checkpoint.
pretrain() {
    local name=$1
    corpus
    if [[ -s $work/$name/model.safetensors ]]; then
        return
    fi
    "$PLIANT" pretrain --config "$here/pretrain/$name.toml" --train "$corpus" --held-out "$held_out" \
        --exclude "$blocklist" --out "$work/$name" --resume
}

evaluate() {
    local name
    for name in bimamba esm2; do
        "$PLIANT" evaluate --task mlm "$held_out" --model "$work/$name" --out "$work/$name.evaluation.json"
    done
}

speed() {
    local name round scratch
    scratch=$(mktemp -d "$work/speed.XXXXXX")
    for round in 1 2 3; do
        for name in bimamba esm2; do
            "$PLIANT" pretrain --config "$here/pretrain/$name.toml" --train "$corpus" --held-out "$held_out" \
                --exclude "$blocklist" --out "$scratch/$name.$round" --set run.steps=20 --set schedule.warmup_steps=10 \
                --set log.evaluate_every_steps=1000 --set log.evaluate_sequences=10 --summary "$work/$name.speed.$round.json" --quiet
        done
    done
    rm -rf "$scratch"
}

# One of so many held-out sequences, of those of at most so many residues: a pass for each residue is dear.
some() {
    awk -v one_in="$1" -v residues="$2" '
        /^>/ { header = $0; next }
        length($0) <= residues && ++found % one_in == 0 { print header; print }
    ' "$held_out"
}

precision() {
    local type
    corpus
    some 15 250 >"$work/short.fasta"
    for type in f32 bf16 int8; do
        "$PLIANT" perplexity "$work/short.fasta" --model "$work/esm2" --method pseudo --precision "$type" \
            --out "$work/perplexity.$type.tsv"
    done
}

report() {
    "$PLIANT" plot "$work/bimamba" "$work/esm2" --x tokens --y loss,held_out_masked_loss --smooth 5 --out "$here/pretrain.svg"
    python3 "$here/report.py" "$work" "$here/RESULTS.md"
}

for step in "${@:-corpus pretrain-bimamba pretrain-esm2 pretrain-plus tasks ppi evaluate precision report}"; do
    for word in $step; do
        case $word in
            corpus) corpus ;;
            pretrain-plus) pretrain_plus ;;
            pretrain-*) pretrain "${word#pretrain-}" ;;
            task-*) compared "${word#task-}" ;;
            tasks) for name in "${tasks[@]}"; do compared "$name"; done ;;
            ppi-*) interaction "${word#ppi-}" ;;
            ppi) for name in "${interactions[@]}"; do interaction "$name"; done ;;
            evaluate) evaluate ;;
            precision) precision ;;
            speed) speed ;;
            report) report ;;
            *)
                echo "unknown step $word: see the head of ${BASH_SOURCE[0]}" >&2
                exit 2
                ;;
        esac
    done
done

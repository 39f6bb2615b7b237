//! PLUS-RNN against the published code, run in PyTorch with tiny weights.

use std::io::Write as _;
use std::path::PathBuf;

use pliant_kernels::Precision;
use pliant_models::heads::{Given, HeadConfig, LoadedHead};
use pliant_models::{Beside, Loaded, ModelError, Purpose, Transfer};
use pliant_seq::PLUS;
use pliant_tensor::ops::{
    IGNORE, SoftmaxKind, add, bce_with_logits, cross_entropy, gather_rows, pool, scale, softmax,
};
use pliant_tensor::ops::{Kind, ordinal_levels};
use pliant_tensor::{Ids, Tape, Tensor};
use tempfile::TempDir;

use crate::common::{Tensors, assert_close, device, loaded, new, pack, relative, states, write_tensors};
use crate::plus_common::{
    borders, chains, compare_gradients, counts, golden, model_of, number, residue_rows, unpadded,
};

/// The authors' form, as it is.
const MODEL: &str =
    r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 3, "hidden_dim": 24, "embedding_dim": 10}"#;

const HOMOLOGY: &str =
    r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 1, "hidden_dim": 8, "embedding_dim": 6}"#;

/// States of the last layer of one side of the pairs, and of its residues alone. The published numbers are of chains that
/// begin and end with X, where collated ones have 0.
fn side(loaded: &Loaded, tape: &Tape, golden: &Tensors, number: usize) -> (Tensor, Tensor, Vec<usize>) {
    let lengths = counts(golden, &format!("lengths{number}"));
    let (ids, offsets) = pack(tape.device(), &chains(golden, &format!("tokens{number}"), &lengths));
    let last = loaded.model.layers();
    let states = loaded.model.encode(tape, &ids, &offsets, &[last]).unwrap().remove(0);
    let residues = gather_rows(tape, &states, &residue_rows(&lengths)).unwrap();
    (states, residues, lengths)
}

fn inner(lengths: &[usize]) -> Vec<usize> {
    lengths.iter().map(|length| length - 2).collect()
}

#[test]
fn states_logits_losses_and_gradients_are_those_of_the_published_code() {
    let Some(golden) = golden("plus_rnn") else { return };
    let (device, folder) = (device(), model_of(&golden, MODEL));
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    let model = &loaded.model;
    assert_eq!((loaded.about.family, model.layers(), model.width()), ("plus_rnn", 3, 48));
    assert_eq!((model.first_layer(), model.projection()), (1, Some(10)));
    assert!(loaded.about.absent.is_empty());
    let tape = Tape::on(&device, Precision::F32);
    let off = Tape::off(&device, Precision::F32);
    let sides = [side(&loaded, &tape, &golden, 0), side(&loaded, &tape, &golden, 1)];
    for (number, (_, residues, lengths)) in sides.iter().enumerate() {
        let name = format!("h{number}");
        let far = assert_close(&name, &residues.to_vec_f32(), &unpadded(&golden, &name, &inner(lengths)));
        let name = format!("z{number}");
        let z = model.project(&off, &residues.detach()).unwrap();
        assert_close(&name, &z.to_vec_f32(), &unpadded(&golden, &name, &inner(lengths)));
        println!("h{number}: {far:.3} tolerances");
    }

    let (first, _, lengths) = &sides[0];
    let starts: Vec<usize> = lengths
        .iter()
        .scan(0, |end, length| {
            *end += length;
            Some(*end - length)
        })
        .collect();
    let weights = &golden["masked_weights0"];
    let asked = golden["masked_pos0"].integers().into_iter().zip(golden["masked_tokens0"].integers());
    let asked = asked.zip(&weights.bytes).enumerate().filter(|(_, (_, weight))| **weight == 1);
    let (rows, targets): (Vec<usize>, Vec<u32>) = asked
        .map(|(at, ((place, token), _))| (starts[at / weights.shape[1]] + 1 + place as usize, token as u32))
        .unzip();
    let logits = model.lm_logits(&tape, &gather_rows(&tape, first, &rows).unwrap()).unwrap();
    assert_eq!(logits.columns(), PLUS.told);
    let told = softmax(&off, &logits.detach(), SoftmaxKind::Logarithms).unwrap().to_vec_f32();
    let wanted = golden["lm_logprobs"].values();
    let wanted = wanted.chunks(21).zip(&weights.bytes).filter(|(_, weight)| **weight == 1);
    assert_close("log-probabilities", &told, &wanted.flat_map(|(row, _)| row.to_vec()).collect::<Vec<_>>());
    let mlm = cross_entropy(&tape, &logits, &Ids::new(&device, &targets)).unwrap();
    assert_close("mlm", &mlm.to_vec_f32(), &[number(&golden, "lm_loss")]);

    let [one, other] = sides.each_ref().map(|(_, residues, lengths)| (residues, borders(lengths)));
    model.check_pairs().unwrap();
    let pairs = model.pair_logits(&tape, (one.0, &one.1), (other.0, &other.1)).unwrap();
    assert_close("pairs", &pairs.to_vec_f32(), &golden["sfp_logits"].values());
    let sfp = bce_with_logits(&tape, &pairs, &golden["labels"].values(), None).unwrap();
    assert_close("sfp", &sfp.to_vec_f32(), &[number(&golden, "sfp_loss")]);
    let parts = [scale(&tape, &mlm, 0.7).unwrap(), scale(&tape, &sfp, 0.3).unwrap()];
    let loss = add(&tape, &parts[0], &parts[1]).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &[number(&golden, "loss")]);
    tape.backward(&loss).unwrap();
    assert_eq!(compare_gradients(&loaded, &golden, |name| format!("grad.{name}")), 31);
    let embedding = model.params()[0].grad();
    assert!(embedding[21 * 21..].iter().all(|slope| *slope == 0.0), "the row of the mask is never trained");
    assert!(embedding[..21 * 21].iter().any(|slope| *slope != 0.0));
}

#[test]
fn levels_of_homology_are_those_of_the_published_code() {
    let Some(golden) = golden("plus_rnn_homology_head") else { return };
    let (device, folder) = (device(), model_of(&golden, HOMOLOGY));
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    assert_eq!(loaded.model.layers(), 1);
    let tape = Tape::off(&device, Precision::F32);
    let sides = [side(&loaded, &tape, &golden, 0), side(&loaded, &tape, &golden, 1)];
    let [one, other] = sides.each_ref().map(|(_, residues, lengths)| (residues, borders(lengths)));
    let logits = loaded.model.pair_logits(&tape, (one.0, &one.1), (other.0, &other.1)).unwrap();
    assert_close("logits", &logits.to_vec_f32(), &golden["logits"].values());
    let levels = ordinal_levels(&tape, &logits).unwrap();
    assert_close("levels", &levels.to_vec_f32(), &golden["level_probs"].values());
    let loss = bce_with_logits(&tape, &logits, &golden["labels"].values(), None).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &[number(&golden, "loss")]);

    // The head of alignments that any encoder can have computes the same.
    let names = ["fc.weight", "fc.bias", "ordinal_weight", "ordinal_bias"];
    let own: Tensors =
        names.iter().map(|name| ((*name).to_owned(), golden[&format!("w.{name}")].clone())).collect();
    let path = folder.path().join("head.safetensors");
    write_tensors(&path, &own);
    let config: HeadConfig =
        serde_json::from_str(r#"{"kind": "alignment", "inputs": 16, "outputs": 4, "embedding": 6}"#).unwrap();
    let head = LoadedHead::load(&path, &config, (&device, Precision::F32), false).unwrap();
    let rows: Vec<f32> = sides.iter().flat_map(|(_, residues, _)| residues.to_vec_f32()).collect();
    let rows = Tensor::from_f32(&device, [rows.len() / 16, 16], &rows).unwrap();
    let mut end = 0;
    let spans: Vec<(usize, usize)> = sides
        .iter()
        .flat_map(|(_, _, lengths)| inner(lengths))
        .map(|length| {
            end += length;
            (end - length, end)
        })
        .collect();
    let found = head.forward(&tape, Given::States(&rows, &spans)).unwrap();
    assert_close("logits of the head", &found.to_vec_f32(), &golden["logits"].values());
}

fn small(seed: u64) -> TempDir {
    new(r#"{"rnn_type": "B", "num_layers": 2, "hidden_dim": 6, "embedding_dim": 4}"#, seed).unwrap()
}

fn proteins() -> Vec<Vec<u32>> {
    [&b"MKVLATG"[..], b"AX", b"WWYHKLMNPQRSTVWUOBZ", b"G"].iter().map(|text| PLUS.encode(text).ids).collect()
}

#[test]
fn a_chain_has_the_same_bits_in_any_company() {
    let (folder, device) = (small(4), device());
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let loaded = loaded(folder.path(), &device, precision, Purpose::Inference);
        let packed = states(&loaded.model, (&device, precision), &proteins(), &[1, 2]);
        let mut row = 0;
        for ids in &proteins() {
            let alone = states(&loaded.model, (&device, precision), std::slice::from_ref(ids), &[1, 2]);
            for (alone, packed) in alone.iter().zip(&packed) {
                assert_eq!(packed[12 * row..][..alone.len()], *alone, "{precision:?}");
            }
            row += ids.len();
        }
    }
}

#[test]
fn bf16_and_int8_stay_near() {
    let (folder, device) = (small(4), device());
    let run = |precision| {
        let loaded = loaded(folder.path(), &device, precision, Purpose::Inference);
        states(&loaded.model, (&device, precision), &proteins(), &[2]).remove(0)
    };
    let exact = run(Precision::F32);
    for precision in [Precision::Bf16, Precision::Int8] {
        // Operands of eight bits of mantissa are off by up to 2^-9, and steps carry that on.
        let far = relative(&run(precision), &exact);
        println!("{precision:?}: {far:.2e}");
        assert!(far > 0.0 && far < 2e-2, "{precision:?}: {far}");
    }
}

/// The embedding is narrower than the layers, and is no layer.
#[test]
fn layers_begin_with_the_first_of_the_network() {
    let (folder, device) = (small(4), device());
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    let tape = Tape::off(&device, Precision::F32);
    let (ids, offsets) = pack(&device, &proteins());
    for layer in [0, 3] {
        let error = loaded.model.encode(&tape, &ids, &offsets, &[layer]).unwrap_err();
        assert!(matches!(error, ModelError::Layer { first: 1, last: 2, .. }), "{error}");
        assert!(error.to_string().contains("layers 1 to 2"), "{error}");
    }
}

/// Blocks computed again for their gradients give the same ones.
#[test]
fn recomputing_changes_no_gradient() {
    let (folder, device) = (small(4), device());
    let gradients = |recompute: bool| {
        let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
        let tape = Tape::on(&device, Precision::F32).with_recompute(recompute);
        let (ids, offsets) = pack(&device, &proteins());
        let states = loaded.model.encode(&tape, &ids, &offsets, &[2]).unwrap().remove(0);
        let targets: Vec<u32> =
            proteins().concat().iter().map(|&id| if id == 21 { IGNORE } else { id }).collect();
        let logits = loaded.model.lm_logits(&tape, &states).unwrap();
        let loss = cross_entropy(&tape, &logits, &Ids::new(&device, &targets)).unwrap();
        tape.backward(&loss).unwrap();
        loaded.model.params().iter().map(|param| param.grad()).collect::<Vec<_>>()
    };
    assert_eq!(gradients(false), gradients(true));
}

/// Says loudly what did not run.
fn published_weights() -> Option<PathBuf> {
    let file = std::env::var_os("PLIANT_TEST_PLUS_RNN").map(PathBuf::from);
    if file.is_none() {
        let text =
            "SKIPPED published embeddings of PLUS-RNN: PLIANT_TEST_PLUS_RNN names no PLUS-RNN_BASE.pt\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    file
}

/// Numbers that bio_embeddings publishes for its copy of the authors' weights (`plus_rnn.npz` of its reference embeddings),
/// with the tolerance of its own test.
#[test]
fn published_weights_give_the_published_embeddings() {
    let Some(file) = published_weights() else { return };
    let scratch = TempDir::new().unwrap();
    let (config, out) = (scratch.path().join("plus-rnn_base.json"), scratch.path().join("model"));
    let text =
        r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 3, "hidden_dim": 512, "embedding_dim": 100}"#;
    std::fs::write(&config, text).unwrap();
    let beside = Beside { config: Some(&config), ..Beside::default() };
    let vocabulary = PLUS.text();
    let transfer = Transfer { source: &file, beside, vocabulary: &vocabulary, out: &out };
    pliant_models::import(&transfer).unwrap();
    let device = device();
    let loaded = loaded(&out, &device, Precision::F32, Purpose::Inference);
    let near = |what: &str, found: &[f32], wanted: &[f32]| {
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-5 + 1e-3 * wanted.abs(), "{what}: {found}, wanted {wanted}");
        }
    };
    let of = |text: &[u8]| {
        let tokens = PLUS.encode(text);
        let all = states(&loaded.model, (&device, Precision::F32), &[tokens.ids], &[3]).remove(0);
        all[tokens.residues.start * 1024..tokens.residues.end * 1024].to_vec()
    };
    let protein = of(b"PROTEIN");
    near("PROTEIN", &protein, &[0.004929, -0.000821, 0.072503, -0.002226, 0.002634, 0.000372]);
    near("PROTEIN, last", &protein[6 * 1024..], &[-0.013048, -0.000334, 0.032249, -0.000598]);
    near("SEQWENCE", &of(b"SEQWENCE"), &[-0.000821, -0.002315, 0.018650, -0.005520, 0.001945, -0.000045]);
    let tape = Tape::off(&device, Precision::F32);
    let column = Tensor::from_f32(&device, [protein.len(), 1], &protein).unwrap();
    let mean = pool(&tape, &column, Kind::Mean, &[(0, protein.len())]).unwrap().to_vec_f32()[0];
    assert!((mean - -0.000973).abs() < 1e-5, "mean {mean}");
    let (least, most) = protein.iter().fold((0f32, 0f32), |(a, b), &value| (a.min(value), b.max(value)));
    assert!((least - -0.85649).abs() < 1e-3 && (most - 0.76072).abs() < 1e-3, "{least} {most}");
}

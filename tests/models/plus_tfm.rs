//! PLUS-TFM against the published code, run in PyTorch with tiny weights.

use pliant_kernels::Precision;
use pliant_models::{ModelError, Purpose};
use pliant_tensor::ops::{SoftmaxKind, add, cross_entropy_over, gather_rows, scale, softmax};
use pliant_tensor::{Ids, Tape};

use crate::common::{Tensors, assert_close, chain, device, loaded, new, pack, states};
use crate::plus_common::{chains, compare_gradients, golden, model_of, number, unpadded};

/// The authors' form, as it is; nothing is dropped.
const MODEL: &str = r#"{"model_type": "TFM", "num_layers": 2, "hidden_dim": 16, "num_heads": 4, "feedforward_dim": 32,
    "pos_encode": true, "max_len": 64, "dropout": 0.0}"#;

/// Tokens of every chain, which PyTorch was told by a mask.
fn lengths(golden: &Tensors) -> Vec<usize> {
    let mask = &golden["input_mask"];
    let chains = mask.bytes.chunks(mask.shape[1]);
    chains.map(|chain| chain.iter().map(|&byte| usize::from(byte)).sum()).collect()
}

#[test]
fn states_logits_losses_and_gradients_are_those_of_the_published_code() {
    let Some(golden) = golden("plus_tfm") else { return };
    let (device, folder) = (device(), model_of(&golden, MODEL));
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    assert_eq!((loaded.about.family, loaded.about.longest), ("plus_tfm", Some(65)));
    let lengths = lengths(&golden);
    assert!(lengths.iter().any(|length| *length < 64), "a batch with padding");
    let tape = Tape::on(&device, Precision::F32);
    let (ids, offsets) = pack(&device, &chains(&golden, "tokens", &lengths));
    let hidden = loaded.model.encode(&tape, &ids, &offsets, &[2]).unwrap().remove(0);
    let far = assert_close("states", &hidden.to_vec_f32(), &unpadded(&golden, "hidden", &lengths));
    println!("states: {far:.3} tolerances");

    let places: Vec<i64> = golden["masked_pos"].integers();
    let per_chain = golden["masked_pos"].shape[1];
    let rows =
        places.iter().enumerate().map(|(at, place)| offsets.as_slice()[at / per_chain] + *place as usize);
    let rows: Vec<usize> = rows.collect();
    let logits = loaded.model.lm_logits(&tape, &gather_rows(&tape, &hidden, &rows).unwrap()).unwrap();
    let told =
        softmax(&Tape::off(&device, Precision::F32), &logits.detach(), SoftmaxKind::Logarithms).unwrap();
    assert_close("log-probabilities", &told.to_vec_f32(), &golden["lm_logprobs"].values());
    assert!(golden["masked_weights"].bytes.iter().all(|&weight| weight == 1));
    let targets: Vec<u32> = golden["masked_tokens"].integers().iter().map(|&id| id as u32).collect();
    let mlm = cross_entropy_over(&tape, &logits, &Ids::new(&device, &targets), targets.len()).unwrap();
    assert_close("mlm", &mlm.to_vec_f32(), &[number(&golden, "lm_loss")]);

    let firsts: Vec<usize> = (0..lengths.len()).map(|sequence| offsets.range(sequence).start).collect();
    assert!(loaded.model.pairs_in_one_chain());
    let pairs = loaded.model.chain_logits(&tape, &gather_rows(&tape, &hidden, &firsts).unwrap()).unwrap();
    assert_close("pairs", &pairs.to_vec_f32(), &golden["cls_logits"].values());
    let labels: Vec<u32> = golden["labels"].integers().iter().map(|&label| label as u32).collect();
    let sfp = cross_entropy_over(&tape, &pairs, &Ids::new(&device, &labels), labels.len()).unwrap();
    assert_close("sfp", &sfp.to_vec_f32(), &[number(&golden, "sfp_loss")]);

    let parts = [scale(&tape, &mlm, 0.7).unwrap(), scale(&tape, &sfp, 0.3).unwrap()];
    let loss = add(&tape, &parts[0], &parts[1]).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &[number(&golden, "loss")]);
    tape.backward(&loss).unwrap();
    assert_eq!(compare_gradients(&loaded, &golden, |name| format!("grad.{name}")), 43);
}

/// Heads of a width that attention takes as it is.
const WIDE: &str = r#"{"model_type": "TFM", "num_layers": 2, "hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32,
    "pos_encode": true, "max_len": 64, "dropout": 0.0}"#;

#[test]
fn a_chain_has_the_same_bits_in_any_company() {
    let device = device();
    for config in [MODEL, WIDE] {
        let folder = new(config, 3).unwrap();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let loaded = loaded(folder.path(), &device, precision, Purpose::Inference);
            let all = [vec![23, 1, 2, 24, 3, 24], vec![23, 5, 24], vec![23, 9, 8, 7, 21, 22, 24]];
            let packed = states(&loaded.model, (&device, precision), &all, &[0, 1, 2]);
            let mut row = 0;
            for ids in &all {
                let alone =
                    states(&loaded.model, (&device, precision), std::slice::from_ref(ids), &[0, 1, 2]);
                for (alone, packed) in alone.iter().zip(&packed) {
                    assert_eq!(packed[16 * row..][..alone.len()], *alone, "{precision:?}");
                }
                row += ids.len();
            }
        }
    }
}

#[test]
fn a_chain_longer_than_the_table_of_places_is_an_error_that_says_so() {
    let folder = new(MODEL, 3).unwrap();
    let device = device();
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    let tape = Tape::off(&device, Precision::F32);
    let encode = |residues: usize| {
        let ids = [vec![23], vec![1; residues], vec![24]].concat();
        let (ids, offsets) = pack(&device, &[ids]);
        loaded.model.encode(&tape, &ids, &offsets, &[2])
    };
    assert!(encode(65).is_ok());
    let error = encode(66).unwrap_err();
    assert!(matches!(error, ModelError::TooLong { found: 68, limit: 67 }));
    assert!(chain(&error).contains("proteins of at most 65 residues"), "{error}");
}

/// Heads that are not there are said to be missing, and the model does what is left.
#[test]
fn heads_are_optional() {
    let config = r#"{"family": "plus_tfm", "format": "pliant-model-1", "vocabulary": "plus-tfm-25/1", "num_layers": 1,
        "hidden_dim": 16, "num_heads": 2, "feedforward_dim": 8, "max_len": 6, "num_classes": 0, "lm_head": false,
        "pos_encode": false}"#;
    let folder = new(config, 3).unwrap();
    let device = device();
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    assert_eq!((loaded.about.absent.len(), loaded.about.longest), (2, Some(7)));
    assert!(!loaded.model.has_lm_head() && loaded.model.check_pairs().is_err());
    assert!(!states(&loaded.model, (&device, Precision::F32), &[vec![23, 4, 24]], &[1])[0].is_empty());
    assert_eq!(loaded.model.projection(), None);
}

//! The state of a first token that no other sees, against transformers as the published code of interactions calls it
//! (`tests/fixtures/first_token/make.py`).

use std::path::{Path, PathBuf};

use pliant_kernels::Precision;
use pliant_models::{Loaded, ModelError, Purpose};
use pliant_seq::ESM2;
use pliant_tensor::Tape;
use serde_json::Value;

use crate::common::{device, loaded, pack};

/// Of states in 32 bits from those in 64: roundings of two layers on numbers of size one.
const TOLERANCE: f64 = 1e-5;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn golden() -> Value {
    let text = std::fs::read_to_string(fixtures().join("first_token/first_token.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn chains(golden: &Value) -> Vec<Vec<u32>> {
    let proteins = golden["proteins"].as_array().unwrap().iter();
    proteins.map(|protein| ESM2.encode(protein.as_str().unwrap().as_bytes()).ids).collect()
}

fn model(precision: Precision) -> Loaded {
    loaded(&fixtures().join("models/esm2_tiny_random"), &device(), precision, Purpose::Inference)
}

/// States `[T,C]` of each layer asked for.
fn states(loaded: &Loaded, chains: &[Vec<u32>], precision: Precision, layers: &[usize]) -> Vec<Vec<f32>> {
    let device = device();
    let (ids, offsets) = pack(&device, chains);
    let states = loaded.model.encode_apart(&Tape::off(&device, precision), &ids, &offsets, layers).unwrap();
    states.iter().map(pliant_tensor::Tensor::to_vec_f32).collect()
}

fn farthest(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

#[test]
fn first_tokens_are_those_of_the_published_code() {
    let (golden, loaded) = (golden(), model(Precision::F32));
    let (chains, width) = (chains(&golden), loaded.model.width());
    let found = states(&loaded, &chains, Precision::F32, &[0, 1, 2]);
    for (layer, found) in found.iter().enumerate() {
        let mut first = 0;
        for (number, chain) in chains.iter().enumerate() {
            let wanted = numbers(&golden["first_tokens"][layer][number]);
            let off = farthest(&found[first * width..][..width], &wanted);
            assert!(off < TOLERANCE, "layer {layer}, protein {number}: {off}");
            if layer == 2 {
                // What every other use of the model has is far from it.
                let seen = farthest(&found[first * width..][..width], &numbers(&golden["seen"][number]));
                assert!(seen > 1e-2, "{seen}");
            }
            first += chain.len();
        }
    }
    let last = chains[0].len() - 2;
    let off = farthest(&found[2][last * width..][..width], &numbers(&golden["last_residue"]));
    assert!(off < TOLERANCE, "{off}");
}

#[test]
fn a_protein_has_the_same_bits_in_any_company() {
    let golden = golden();
    let chains = chains(&golden);
    for precision in [Precision::F32, Precision::Bf16] {
        let loaded = model(precision);
        let width = loaded.model.width();
        let together = &states(&loaded, &chains, precision, &[2])[0];
        let mut first = 0;
        for chain in &chains {
            let alone = &states(&loaded, std::slice::from_ref(chain), precision, &[2])[0];
            let own = &together[first * width..][..alone.len()];
            assert!(alone.iter().zip(own).all(|(a, b)| a.to_bits() == b.to_bits()), "{precision:?}");
            first += chain.len();
        }
    }
}

#[test]
fn other_families_are_refused() {
    let loaded =
        loaded(&fixtures().join("models/lc_plm_tiny_random"), &device(), Precision::F32, Purpose::Inference);
    assert!(matches!(loaded.model.check_apart(), Err(ModelError::NotApart)));
}

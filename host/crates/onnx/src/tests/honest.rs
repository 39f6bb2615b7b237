//! Files of PyTorch's exporter beside PyTorch's own numbers.
//!
//! Tolerance: 32-bit sums in another order and other approximations of erf, exp and tanh differ by some units in the last
//! place of terms that are up to 30 times as large as their sum here, through two layers: 2e-4 of the largest number of the
//! output. A wrong rotary table, mask, scale or token moves a number by more than a hundredth of that.

use safetensors::SafeTensors;

use super::fixture;
use crate::{BLOCK, Encoder, EncoderSidecar, Head, HeadSidecar, Limits, OnnxError, Wanted};

const TOLERANCE: f32 = 2e-4;

const PROTEINS: usize = 4;

struct Expected(Vec<u8>);

impl Expected {
    fn read() -> Self {
        Self(std::fs::read(fixture("expected.safetensors")).unwrap())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as u32).collect()
    }
}

fn encoder(name: &str, wanted: Wanted) -> Encoder {
    let path = fixture(name);
    Encoder::open(&path, &EncoderSidecar::read(&path).unwrap(), wanted, &Limits::default()).unwrap()
}

fn head(name: &str) -> Result<Head, OnnxError> {
    let path = fixture(name);
    Head::open(&path, &HeadSidecar::read(&path)?, &Limits::default())
}

/// The largest distance, as a part of the largest number.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    found.iter().zip(wanted).fold(0.0f32, |most, (found, wanted)| most.max((found - wanted).abs())) / largest
}

#[test]
fn encoders_agree_with_pytorch() {
    let expected = Expected::read();
    for (file, model, what, wanted) in [
        ("esm2.onnx", "esm2", "states", Wanted::States),
        ("esm2.onnx", "esm2", "logits", Wanted::Logits),
        ("esm2_traced.onnx", "esm2", "states", Wanted::States),
        ("bert.onnx", "bert", "states", Wanted::States),
    ] {
        let encoder = encoder(file, wanted);
        for protein in 0..PROTEINS {
            let ids = expected.ids(&format!("{model}.{protein}.ids"));
            let found = encoder.run(&[&ids], 2, 1).unwrap();
            let wanted = expected.floats(&format!("{model}.{protein}.{what}"));
            let apart = apart(&found[0], &wanted);
            assert!(apart < TOLERANCE, "{file} {what} of protein {protein}: {apart}");
        }
        // Another token moves the numbers by more than the tolerance.
        let mut ids = expected.ids(&format!("{model}.0.ids"));
        let wanted = encoder.run(&[&ids], 2, 1).unwrap();
        ids[3] = if ids[3] == 6 { 7 } else { 6 };
        let moved = apart(&encoder.run(&[&ids], 2, 1).unwrap()[0], &wanted[0]);
        assert!(moved > 100.0 * TOLERANCE, "{file}: {moved}");
    }
}

#[test]
fn the_bits_of_a_protein_do_not_depend_on_its_company() {
    let expected = Expected::read();
    let ids: Vec<Vec<u32>> =
        (0..PROTEINS).map(|protein| expected.ids(&format!("esm2.{protein}.ids"))).collect();
    let encoder = encoder("esm2.onnx", Wanted::States);
    let bits = |rows: &[f32]| rows.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let all: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let together = encoder.run(&all, 2, 3).unwrap();
    for (ids, rows) in ids.iter().zip(&together) {
        assert_eq!(bits(&encoder.run(&[ids], 2, 1).unwrap()[0]), bits(rows));
    }
}

#[test]
fn a_head_agrees_with_pytorch_in_any_batch() {
    let expected = Expected::read();
    let (rows, wanted) = (expected.floats("mlp.x"), expected.floats("mlp.y"));
    let head = head("mlp.onnx").unwrap();
    assert_eq!((head.inputs(), head.outputs()), (16, 3));
    let found = head.answer(&rows).unwrap();
    assert!(apart(&found, &wanted) < TOLERANCE);
    let bits = |numbers: &[f32]| numbers.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    // More than a block, so that rows change their places.
    assert!(rows.len() / 16 > BLOCK);
    for (row, numbers) in rows.chunks_exact(16).zip(found.chunks_exact(3)) {
        assert_eq!(bits(&head.answer(row).unwrap()), bits(numbers));
    }
    assert!(head.answer(&[]).unwrap().is_empty());
    assert!(matches!(head.answer(&rows[..17]), Err(OnnxError::Signature { .. })));
}

#[test]
fn a_head_that_mixes_rows_is_refused() {
    assert!(matches!(head("mixes.onnx"), Err(OnnxError::Mixes { .. })));
}

#[test]
fn the_identity_follows_from_file_and_sidecar() {
    let scratch = super::Scratch::graph(super::summed());
    let identity = || scratch.open(&Limits::default()).unwrap().identity().to_owned();
    let first = identity();
    assert_eq!((first.len(), identity()), (64, first.clone()));
    scratch.say("format = \"pliant-onnx-1\"\nkind = \"head\"\n[labels]\nkind = \"number\"\nmean = 2.0\n");
    assert_ne!(identity(), first);
}

//! P-ELMo's head for contact maps beside PyTorch's numbers.

use std::path::Path;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_models::heads::ContactMapHead;
use pliant_tensor::ops::{bce_with_logits, embedding};
use pliant_tensor::{Ids, Offsets, Param, ParamKind, Tape, Tensor};

use crate::common::{Tensors, assert_close, device, read_tensors, relative, write_tensors};

const LENGTH: usize = 9;
const WIDTH: usize = 5;

/// Distance of a gradient in parts of its norm: 32-bit sums over 81 pairs of residues and 49 places.
const GRADIENT_TOLERANCE: f64 = 5e-6;

fn fixture() -> Tensors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/contact_map/contact_map.safetensors");
    read_tensors(Path::new(path))
}

/// The head of the fixture, ready to learn; names begin as training on several GPUs has them.
fn head(golden: &Tensors) -> ContactMapHead {
    let own: Tensors = golden
        .iter()
        .filter_map(|(name, stored)| Some((format!("module.{}", name.strip_prefix("w.")?), stored.clone())))
        .collect();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("cm.safetensors");
    write_tensors(&path, &own);
    ContactMapHead::load(&path, WIDTH, (&device(), Precision::F32), true).unwrap()
}

#[test]
fn maps_and_gradients_are_those_of_pytorch() {
    let (golden, device) = (fixture(), device());
    let head = head(&golden);
    let tape = Tape::on(&device, Precision::F32);
    // Looked up in a table that is trained, z gets a gradient.
    let z = golden["z"].values();
    let table = Param::trainable(&device, Precision::F32, "z", &[LENGTH, WIDTH], &z, ParamKind::Table);
    let table = Arc::new(table.unwrap());
    let ids = Ids::new(&device, &(0..LENGTH as u32).collect::<Vec<_>>());
    let z = embedding(&tape, &ids, &Offsets::new(&[0, LENGTH]).unwrap(), &table, None).unwrap();
    let logits = head.forward(&tape, &z).unwrap();
    assert_close("logits", &logits.to_vec_f32(), &golden["logits"].values());
    let loss = bce_with_logits(&tape, &logits, &golden["labels"].values(), None).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &golden["loss"].values());
    drop((z, logits));
    tape.backward(&loss).unwrap();
    assert_eq!(head.params().len(), 4);
    for param in head.params().iter().chain([&table]) {
        let wanted = golden[&format!("grad.{}", param.name())].values();
        let apart = relative(&param.grad(), &wanted);
        assert!(apart <= GRADIENT_TOLERANCE, "{}: {apart:.1e} of its norm", param.name());
        let moved: Vec<f32> =
            wanted.iter().map(|value| value * (1.0 + 10.0 * GRADIENT_TOLERANCE as f32)).collect();
        assert!(relative(&param.grad(), &moved) > GRADIENT_TOLERANCE, "{}: does not bite", param.name());
    }
}

#[test]
fn symmetric_filters_give_symmetric_maps() {
    let (golden, device) = (fixture(), device());
    let tape = Tape::off(&device, Precision::F32);
    let z = Tensor::from_f32(&device, [LENGTH, WIDTH], &golden["z"].values()).unwrap();
    let published = head(&golden);
    published.make_symmetric().unwrap();
    let map = published.forward(&tape, &z).unwrap().to_vec_f32();
    assert_close("map", &map, &golden["symmetric"].values());
    // New ones begin so.
    let new = ContactMapHead::random(WIDTH, 3, (&device, Precision::F32)).unwrap();
    let map = new.forward(&tape, &z).unwrap().to_vec_f32();
    for (one, other) in (0..LENGTH).flat_map(|one| (0..one).map(move |other| (one, other))) {
        let (there, back) = (map[one * LENGTH + other], map[other * LENGTH + one]);
        // Sums of 2,450 products in two orders.
        assert!((there - back).abs() < 1e-5, "{one}, {other}: {there} {back}");
    }
    assert!(map.iter().any(|logit| (logit - map[0]).abs() > 1e-3), "{map:?}");
}

#[test]
fn files_of_other_heads_are_refused() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/plus/cm.pt");
    let device = device();
    let refused = |path: &str, width| {
        let head = ContactMapHead::load(Path::new(path), width, (&device, Precision::F32), false);
        head.unwrap_err().to_string()
    };
    // It has 5 numbers between its filters, where PLUS has 50.
    let wrong = refused(path, 5);
    assert!(wrong.contains("conv1.") && wrong.contains("cm.pt"), "{wrong}");
    let other = refused(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/plus/mlp.pt"), 100);
    assert!(other.contains("mlp.pt"), "{other}");
}

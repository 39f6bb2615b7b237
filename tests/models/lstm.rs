//! The bidirectional LSTM against PyTorch's on packed sequences, and trained ones against what was published with them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::{BiLstm, Checkpoint, Init, LayerNorm, Linear, Meaning, Take, Weights};
use pliant_tensor::ops::{Epilogue, embedding, multiply};
use pliant_tensor::{Dtype, Ids, Offsets, Param, ParamKind, Tape, Tensor};

use crate::common::{Tensors, assert_close, device, outside_data, read_tensors, relative};
use crate::mamba::sum;

/// Distance of a gradient in parts of its norm: 32-bit sums over 28 tokens and three layers on both sides.
const GRADIENT_TOLERANCE: f64 = 2e-5;

/// Parameters of a file whose names begin with `prefix`.
fn weights(path: &Path, prefix: &str, trainable: bool, how: (&Device, Precision)) -> Weights {
    let meanings = |names: &[&str]| {
        let meaning = |name: &&str| match name.strip_prefix(prefix) {
            Some(name) => Meaning::Parameter(name.to_owned()),
            None => Meaning::Extra,
        };
        names.iter().map(meaning).collect()
    };
    let checkpoint = Checkpoint::open_files(path, None).unwrap();
    Weights::stored(checkpoint, meanings, how).unwrap().take(Take::Values { trainable })
}

/// Rows of a padded batch `[B,S,C]` that are tokens.
fn packed(tensors: &Tensors, name: &str, lengths: &[i64]) -> Vec<f32> {
    let (stored, width) = (&tensors[name], tensors[name].shape[1] * tensors[name].shape[2]);
    let rows = stored.values();
    let sequences = rows.chunks_exact(width).zip(lengths);
    sequences.flat_map(|(rows, &length)| rows[..length as usize * stored.shape[2]].to_vec()).collect()
}

/// Loss, result, and the gradients of the input and of every parameter, by name.
type Trained = (f32, Vec<f32>, Vec<(String, Vec<f32>)>);

fn train(path: &Path, golden: &Tensors, checkpoint: bool) -> Trained {
    let (device, lengths) = (device(), golden["lengths"].integers());
    let weights = weights(path, "w.", true, (&device, Precision::F32));
    let lstm = Arc::new(BiLstm::new(&weights, 21, 16, 3).unwrap());
    let borders: Vec<usize> = std::iter::once(0)
        .chain(lengths.iter().scan(0, |sum, &length| {
            *sum += length as usize;
            Some(*sum)
        }))
        .collect();
    let (rows, offsets) = (borders[lengths.len()], Offsets::new(&borders).unwrap());
    // Looked up in a table that is trained, the input gets a gradient.
    let values = packed(golden, "x", &lengths);
    let x = Param::trainable(&device, Precision::F32, "x", &[rows, 21], &values, ParamKind::Table);
    let x = Arc::new(x.unwrap());
    let tape = Tape::on(&device, Precision::F32);
    let ids = Ids::new(&device, &(0..rows as u32).collect::<Vec<_>>());
    let input = embedding(&tape, &ids, &offsets, &x, None).unwrap();
    let y = if checkpoint {
        let (lstm, offsets) = (Arc::clone(&lstm), offsets.clone());
        tape.checkpoint(&[&input], move |tape, inputs| lstm.forward(tape, &inputs[0], &offsets)).unwrap()
    } else {
        lstm.forward(&tape, &input, &offsets).unwrap()
    };
    let weight = Tensor::from_f32(&device, [rows, 32], &packed(golden, "loss_weight", &lengths)).unwrap();
    let loss = sum(&tape, &multiply(&tape, &y, &weight).unwrap());
    let (told, result) = (loss.to_vec_f32()[0], y.to_vec_f32());
    drop((input, y));
    tape.backward(&loss).unwrap();
    let params = weights.params();
    let grads = params.iter().chain([&x]).map(|param| (param.name().to_owned(), param.grad()));
    (told, result, grads.collect())
}

#[test]
fn results_and_gradients_are_those_of_pytorch() {
    let Some(data) = outside_data("bidirectional LSTM on packed sequences") else { return };
    let path = data.join("golden_reference_numerics/bilstm_packed.safetensors");
    let golden = read_tensors(&path);
    let lengths = golden["lengths"].integers();
    let (loss, y, grads) = train(&path, &golden, false);
    assert_close("result", &y, &packed(&golden, "out", &lengths));
    assert_close("loss", &[loss], &golden["loss"].values());
    let mut left: Vec<&String> = golden.keys().filter(|name| name.starts_with("grad.")).collect();
    for (name, found) in &grads {
        let name = format!("grad.{name}");
        let wanted = if name == "grad.x" { packed(&golden, &name, &lengths) } else { golden[&name].values() };
        let apart = relative(found, &wanted);
        assert!(apart <= GRADIENT_TOLERANCE, "{name}: {apart:.1e} of its norm");
        let moved: Vec<f32> =
            wanted.iter().map(|value| value * (1.0 + 10.0 * GRADIENT_TOLERANCE as f32)).collect();
        assert!(relative(found, &moved) > GRADIENT_TOLERANCE, "{name}: does not bite");
        left.retain(|left| **left != name);
    }
    assert!(left.is_empty(), "no parameter for {left:?}");
}

#[test]
fn recomputed_layers_have_the_same_bits() {
    let Some(data) = outside_data("bidirectional LSTM recomputed") else { return };
    let path = data.join("golden_reference_numerics/bilstm_packed.safetensors");
    let golden = read_tensors(&path);
    assert_eq!(train(&path, &golden, true), train(&path, &golden, false));
}

/// Proteins and published scores of disorder, cut to between 0 and 1.
fn published(file: &Path) -> Vec<(String, Vec<f32>)> {
    let output = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let scores = cells[2].split(',').map(|score| score.parse().unwrap()).collect();
        (cells[1].to_owned(), scores)
    };
    text.lines().skip(1).map(row).collect()
}

/// Widths of units, layers, and the names of the head of each published network.
const NETWORKS: [(&str, usize, usize, &str); 3] =
    [("v1", 5, 1, "fc"), ("v2", 10, 2, "fc"), ("v3", 52, 2, "linear_layers.0")];

/// Scores of proteins by a published network.
fn scores(file: &Path, (hidden, layers, head): (usize, usize, &str), proteins: &[String]) -> Vec<Vec<f32>> {
    const LETTERS: &str = "ACDEFGHIKLMNPQRSTVWY";
    let device = device();
    let weights = weights(file, "", false, (&device, Precision::F32));
    let lstm = BiLstm::new(&weights.at("lstm"), 20, hidden, layers).unwrap();
    let head = Linear::new(&weights.at(head), 2 * hidden, 1, Init::Zeros).unwrap();
    let norm = weights
        .has("layer_norm.weight")
        .then(|| LayerNorm::new(&weights.at("layer_norm"), 2 * hidden, 1e-5).unwrap());
    let mut borders = vec![0];
    let mut x = Vec::new();
    for residue in proteins.iter().flat_map(|protein| protein.bytes()) {
        x.extend(LETTERS.bytes().map(|letter| f32::from(u8::from(letter == residue))));
    }
    proteins.iter().for_each(|protein| borders.push(borders[borders.len() - 1] + protein.len()));
    let (tape, offsets) = (Tape::off(&device, Precision::F32), Offsets::new(&borders).unwrap());
    let x = Tensor::from_f32(&device, [offsets.tokens(), 20], &x).unwrap();
    let mut h = lstm.forward(&tape, &x, &offsets).unwrap();
    if let Some(norm) = norm {
        h = norm.forward(&tape, &h, Dtype::F32).unwrap();
    }
    let raw = head.forward(&tape, &h, Epilogue::Store, Dtype::F32).unwrap().to_vec_f32();
    borders.windows(2).map(|pair| raw[pair[0]..pair[1]].to_vec()).collect()
}

#[test]
fn trained_networks_give_what_was_published_with_them() {
    let Some(data) = outside_data("trained bidirectional LSTMs") else { return };
    let folder = data.join("weights_metapredict_bilstm");
    for (name, hidden, layers, head) in NETWORKS {
        let proteins = published(&folder.join(format!("package_ground_truth_{name}.tsv.gz")));
        let sequences: Vec<String> = proteins.iter().take(60).map(|(sequence, _)| sequence.clone()).collect();
        let file = folder.join(format!("{name}.safetensors"));
        let found = scores(&file, (hidden, layers, head), &sequences);
        let golden = read_tensors(&folder.join(format!("golden_raw_{name}.safetensors")));
        for (protein, found) in found.iter().enumerate() {
            let what = format!("{name} protein {protein}");
            assert_close(&what, found, &golden[&format!("seq{protein}.raw")].values());
            let cut: Vec<f32> = found.iter().map(|score| score.clamp(0.0, 1.0)).collect();
            let apart = cut.iter().zip(&proteins[protein].1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= 1e-4, "{what}: {apart} from the published score");
        }
        // The same bits alone as among the others.
        assert_eq!(scores(&file, (hidden, layers, head), &sequences[3..4])[0], found[3], "{name}");
    }
}

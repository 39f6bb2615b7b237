//! One direction of the mixer against the mixer of transformers: forward, and the gradient of everything.

use std::path::{Path, PathBuf};

use pliant_kernels::{Device, Direction, Precision};
use pliant_nn::linear::together;
use pliant_nn::{Checkpoint, Init, Linear, Mamba, MambaSizes, Meaning, Take, Weights};
use pliant_tensor::ops::{Epilogue, Kind, LinearPart, embedding, gate, linear, multiply, pool};
use pliant_tensor::{Dtype, Ids, Offsets, Param, ParamKind, Tape, Tensor};
use std::sync::Arc;

use crate::common::{Tensors, assert_close, device, outside_data, read_tensors, relative};

/// As for the model; here no gradient is far smaller than the others.
const GRADIENT_TOLERANCE: f64 = 2e-5;

const SIZES: MambaSizes = MambaSizes { width: 12, inner: 24, states: 4, filter: 4, rank: 3 };

fn data(proof: &str) -> Option<PathBuf> {
    Some(outside_data(proof)?.join("golden_reference_numerics"))
}

/// The mixer: what the model shares between its directions, around one of them.
struct Mixer {
    in_proj: Linear,
    core: Mamba,
    out_proj: Linear,
    params: Vec<Arc<Param>>,
}

impl Mixer {
    fn open(path: &Path, device: &Device) -> Self {
        let meanings = |names: &[&str]| {
            let meaning = |name: &&str| match name.strip_prefix("w.") {
                Some(name) => Meaning::Parameter(name.to_owned()),
                None => Meaning::Extra,
            };
            names.iter().map(meaning).collect()
        };
        let checkpoint = Checkpoint::open_files(path, None).unwrap();
        let weights = Weights::stored(checkpoint, meanings, (device, Precision::F32)).unwrap();
        let weights = weights.take(Take::Values { trainable: true });
        let matrix = |name: &str, shape| {
            let weight = weights.at(name).matrix("weight", shape, Init::Zeros).unwrap();
            Linear { weight, bias: None }
        };
        Self {
            in_proj: matrix("in_proj", [48, 12]),
            out_proj: matrix("out_proj", [12, 24]),
            core: Mamba::new(&weights, SIZES).unwrap(),
            params: weights.params(),
        }
    }

    fn forward(&self, tape: &Tape, n: &Tensor, offsets: &Offsets) -> Tensor {
        let part = |rows| LinearPart { rows: Some(rows), ..self.in_proj.part(Epilogue::Store, Dtype::F32) };
        let [x, z] = together(tape, n, [part(0..24), part(24..48)]).unwrap();
        let y = self.core.forward(tape, &x, offsets, Direction::Forward).unwrap();
        let gated = gate(tape, &y, None, &z, Dtype::F32).unwrap();
        self.out_proj.forward(tape, &gated, Epilogue::Store, Dtype::F32).unwrap()
    }
}

fn tensor(device: &Device, tensors: &Tensors, name: &str) -> Tensor {
    let stored = &tensors[name];
    let rows = stored.shape[..2].iter().product();
    Tensor::from_f32(device, [rows, stored.shape[2]], &stored.values()).unwrap()
}

#[test]
fn results_and_gradients_are_those_of_transformers() {
    let Some(data) = data("mixer of one direction") else { return };
    let (device, path) = (device(), data.join("mamba1_mixer.safetensors"));
    let (golden, mixer) = (read_tensors(&path), Mixer::open(&path, &device));
    let tape = Tape::on(&device, Precision::F32);
    // Looked up in a table that is trained, the input gets a gradient.
    let (rows, offsets) =
        (golden["x"].shape[..2].iter().product::<usize>(), Offsets::new(&[0, 17, 34]).unwrap());
    let values = golden["x"].values();
    let x = Param::trainable(&device, Precision::F32, "x", &[rows, 12], &values, ParamKind::Table);
    let x = Arc::new(x.unwrap());
    let ids = Ids::new(&device, &(0..rows as u32).collect::<Vec<_>>());
    let n = embedding(&tape, &ids, &offsets, &x, None).unwrap();
    let y = mixer.forward(&tape, &n, &offsets);
    assert_close("y", &y.to_vec_f32(), &golden["y"].values());
    let loss = sum(&tape, &multiply(&tape, &y, &tensor(&device, &golden, "loss_weight")).unwrap());
    assert_close("loss", &loss.to_vec_f32(), &golden["loss"].values());
    drop((n, y));
    tape.backward(&loss).unwrap();
    let mut left: Vec<&String> = golden.keys().filter(|name| name.starts_with("grad.")).collect();
    let mut worst = 0.0f64;
    for param in mixer.params.iter().chain([&x]) {
        let name = format!("grad.{}", param.name());
        let (found, wanted) = (param.grad(), golden[&name].values());
        let apart = relative(&found, &wanted);
        assert!(apart <= GRADIENT_TOLERANCE, "{name}: {apart:.1e} of its norm");
        let moved: Vec<f32> =
            wanted.iter().map(|value| value * (1.0 + 10.0 * GRADIENT_TOLERANCE as f32)).collect();
        assert!(relative(&found, &moved) > GRADIENT_TOLERANCE, "{name}: does not bite");
        worst = worst.max(apart);
        left.retain(|left| **left != name);
    }
    assert!(left.is_empty(), "no parameter for {left:?}");
    println!("worst gradient {worst:.1e} of its norm");
}

/// The sum of all numbers `[1,1]`: their mean over the rows, and a product with as many times one.
pub(crate) fn sum(tape: &Tape, x: &Tensor) -> Tensor {
    let [rows, columns] = x.shape();
    let ones = vec![rows as f32; columns];
    let ones = Param::frozen(tape.device(), Precision::F32, "ones", &[1, columns], &ones, ParamKind::Matrix);
    let mean = pool(tape, x, Kind::Mean, &[(0, rows)]).unwrap();
    let part = LinearPart {
        weight: &Arc::new(ones.unwrap()),
        rows: None,
        bias: &[],
        epilogue: Epilogue::Store,
        out: Dtype::F32,
    };
    linear(tape, &mean, &[part]).unwrap().remove(0)
}

/// Over 2,048 tokens a state that drifts would be seen.
#[test]
fn a_long_sequence_is_that_of_transformers() {
    let Some(data) = data("mixer over 2,048 tokens") else { return };
    let device = device();
    let mixer = Mixer::open(&data.join("mamba1_mixer.safetensors"), &device);
    let golden = read_tensors(&data.join("mamba1_mixer_len2048.safetensors"));
    let tape = Tape::off(&device, Precision::F32);
    let y = mixer.forward(&tape, &tensor(&device, &golden, "x"), &Offsets::new(&[0, 2048]).unwrap());
    let far = assert_close("y", &y.to_vec_f32(), &golden["y"].values());
    println!("{far:.3} tolerances");
}

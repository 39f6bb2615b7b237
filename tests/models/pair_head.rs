//! The published heads of interactions and of symmetry beside PyTorch's numbers, and the pooler that never learns.

use std::path::Path;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_models::heads::{Activation, Given, Head, HeadConfig, HeadKind, LoadedHead, Pooling};
use pliant_tensor::ops::{bce_with_logits, embedding};
use pliant_tensor::{Ids, Offsets, Param, ParamKind, Tape, Tensor};

use crate::common::{Tensors, read_tensors, write_tensors};

/// Numbers of an answer and gradients are sums of at most 128 products of f32, of a size around one.
const TOLERANCE: f32 = 2e-6;

const WIDTH: usize = 20;

/// Rows of each protein in the fixture, the token before its residues first, and which of them are asked about.
const LENGTHS: [usize; 4] = [4, 9, 2, 6];
const PAIRS: [[usize; 2]; 4] = [[0, 1], [1, 2], [3, 0], [2, 2]];

fn device() -> Device {
    Device::cpu(2).unwrap()
}

fn fixture() -> Tensors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pair_head/pair_head.safetensors");
    read_tensors(Path::new(path))
}

fn published(kind: HeadKind, pooling: Pooling, outputs: usize) -> HeadConfig {
    HeadConfig {
        kind,
        inputs: WIDTH,
        outputs,
        pooling: Some(pooling),
        hidden: Some(128),
        embedding: None,
        activation: Activation::Tanh,
        dropout: 0.0,
        standardized: false,
    }
}

/// The head of the fixture whose output layer `output` names, ready to learn.
fn loaded(golden: &Tensors, config: &HeadConfig, output: &str) -> LoadedHead {
    let mut own = Tensors::new();
    for name in ["hidden.weight", "hidden.bias"] {
        own.insert(name.to_owned(), golden[name].clone());
    }
    for name in ["weight", "bias"] {
        own.insert(format!("output.{name}"), golden[&format!("{output}.{name}")].clone());
    }
    if config.pooling == Some(Pooling::Random) {
        for name in ["pooler.weight", "pooler.bias"] {
            own.insert(name.to_owned(), golden[name].clone());
        }
    }
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("head.safetensors");
    write_tensors(&path, &own);
    LoadedHead::load(&path, config, (&device(), Precision::F32), true).unwrap()
}

/// The rows of each protein that the head reads, in the order in which it wants them.
fn spans(config: &HeadConfig) -> Vec<(usize, usize)> {
    let starts: Vec<usize> = (0..LENGTHS.len()).map(|number| LENGTHS[..number].iter().sum()).collect();
    let span = |&number: &usize| match config.pooling {
        Some(Pooling::Random) => (starts[number], starts[number] + 1),
        _ => (starts[number] + 1, starts[number] + LENGTHS[number]),
    };
    let numbers: Vec<usize> = match config.kind {
        HeadKind::Sequence => (0..LENGTHS.len()).collect(),
        _ => PAIRS.iter().map(|pair| pair[0]).chain(PAIRS.iter().map(|pair| pair[1])).collect(),
    };
    numbers.iter().map(span).collect()
}

fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f32::max)
}

/// The largest distance of answers, loss and all gradients from PyTorch's.
fn distance(golden: &Tensors, name: &str, config: &HeadConfig, output: &str) -> f32 {
    let (device, head) = (device(), loaded(golden, config, output));
    let values = golden["states"].values();
    let rows = values.len() / WIDTH;
    let shape = [rows, WIDTH];
    let table =
        Param::trainable(&device, Precision::F32, "states", &shape, &values, ParamKind::Table).unwrap();
    let table = Arc::new(table);
    let tape = Tape::on(&device, Precision::F32);
    let ids = Ids::new(&device, &(0..u32::try_from(rows).unwrap()).collect::<Vec<_>>());
    let states = embedding(&tape, &ids, &Offsets::new(&[0, rows]).unwrap(), &table, None).unwrap();
    let logits = head.forward(&tape, Given::States(&states, &spans(config))).unwrap();
    let told = logits.to_vec_f32();
    let labels = if config.kind == HeadKind::Sequence { "classes" } else { "labels" };
    let loss = bce_with_logits(&tape, &logits, &golden[labels].values(), None).unwrap();
    let wanted = |what: &str| golden[&format!("{name}.{what}")].values();
    let mut most = apart(&told, &wanted("logits")).max(apart(&loss.to_vec_f32(), &wanted("loss")));
    tape.backward(&loss).unwrap();
    most = most.max(apart(&table.grad(), &wanted("dstates")));
    let mut learning = 0;
    for param in head.params().iter().filter(|param| param.is_trainable()) {
        most = most.max(apart(&param.grad(), &wanted(&format!("d{}", param.name()))));
        learning += 1;
    }
    assert_eq!(learning, 4, "hidden and output layers learn, and nothing else");
    most
}

#[test]
fn published_heads_give_the_numbers_and_gradients_of_pytorch() {
    let golden = fixture();
    for (name, kind, pooling, output, outputs) in [
        ("mean", HeadKind::Average, Pooling::Mean, "output", 1),
        ("random", HeadKind::Average, Pooling::Random, "output", 1),
        ("symmetry", HeadKind::Sequence, Pooling::Mean, "symmetry.output", 18),
    ] {
        let config = published(kind, pooling, outputs);
        let found = distance(&golden, name, &config, output);
        assert!(found <= TOLERANCE, "{name}: {found}");
        // What is not the published head lies far outside.
        let other = HeadConfig { activation: Activation::Relu, ..config.clone() };
        assert!(distance(&golden, name, &other, output) > 1000.0 * TOLERANCE, "{name}");
    }
    let sums = published(HeadKind::Average, Pooling::Sum, 1);
    assert!(distance(&golden, "mean", &sums, "output") > 1000.0 * TOLERANCE);
}

#[test]
fn the_random_pooler_is_a_function_of_the_seed_and_never_learns() {
    let (device, config) = (device(), published(HeadKind::Average, Pooling::Random, 1));
    let head = |seed| LoadedHead::random(&config, seed, (&device, Precision::F32)).unwrap();
    let pooler = |head: &LoadedHead| -> Vec<f32> {
        let own = head.params().iter().find(|param| param.name() == "pooler.weight").unwrap();
        assert!(!own.is_trainable());
        own.values().unwrap()
    };
    let (one, other) = (head(1), head(2));
    assert_eq!(pooler(&one), pooler(&head(1)));
    assert_ne!(pooler(&one), pooler(&other));
    let values = pooler(&one);
    let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    let deviation = (squares / values.len() as f64).sqrt();
    assert!((deviation - 0.02).abs() < 0.003, "{deviation}");
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("head.safetensors");
    one.save(&path).unwrap();
    let again = LoadedHead::load(&path, &config, (&device, Precision::F32), false).unwrap();
    assert_eq!(pooler(&one), pooler(&again));
    // A head with another pooler is another head.
    assert!(other.restore(&path).is_err());
}

/// The vectors of proteins are what the layers of the head read, and the layers are those that a screen computes with.
#[test]
fn vectors_and_layers_make_up_the_head() {
    let (device, golden) = (device(), fixture());
    let tape = Tape::off(&device, Precision::F32);
    let values = golden["states"].values();
    let states = Tensor::from_f32(&device, [values.len() / WIDTH, WIDTH], &values).unwrap();
    for pooling in [Pooling::Mean, Pooling::Random] {
        let config = published(HeadKind::Average, pooling, 1);
        let head = loaded(&golden, &config, "output");
        let told = head.forward(&tape, Given::States(&states, &spans(&config))).unwrap().to_vec_f32();
        let vectors = head.vectors(&tape, Given::States(&states, &spans(&config))).unwrap().to_vec_f32();
        let Head::Average(own) = &head.head else { panic!("{:?}", config.kind) };
        let (hidden, output) = (own.layers().0.unwrap(), own.layers().1);
        let numbers = |param: &Option<Arc<Param>>| param.as_ref().unwrap().values().unwrap();
        let (matrix, last) = (hidden.weight.values().unwrap(), output.weight.values().unwrap());
        let (bias, last_bias) = (numbers(&hidden.bias), numbers(&output.bias));
        let by_hand = |pair: usize| -> f32 {
            let [a, b] = [pair, pair + PAIRS.len()].map(|row| &vectors[row * WIDTH..(row + 1) * WIDTH]);
            let unit = |unit: usize| -> f64 {
                let row = &matrix[unit * WIDTH..(unit + 1) * WIDTH];
                let terms = row.iter().zip(a.iter().zip(b));
                let sum: f64 = terms.map(|(w, (a, b))| f64::from(*w) * f64::from(a + b) / 2.0).sum();
                f64::from(last[unit]) * (sum + f64::from(bias[unit])).tanh()
            };
            ((0..128).map(unit).sum::<f64>() + f64::from(last_bias[0])) as f32
        };
        let wanted: Vec<f32> = (0..PAIRS.len()).map(by_hand).collect();
        assert!(apart(&told, &wanted) <= TOLERANCE, "{told:?} {wanted:?}");
        assert_eq!(own.activation(), Activation::Tanh);
    }
}

//! Training steps on packs that another program made, at another program's request.
//!
//! `cargo bench -p pliant-tests --bench train -- MODEL PACKS f32|bf16 THREADS` loads a model folder for training and
//! answers every line of its input with one JSON line: one pass over the packs, an optimiser step after each. The
//! folder is read once; training goes on from one line to the next. At the end of its input it tells its peak memory.
//! `tests/peers/compare_train.py` lets it and PyTorch take turns.
//!
//! PACKS is a safetensors file with four lists of 32-bit integers for every pack, named by its number: `0.ids`,
//! `0.offsets`, `0.places` (tokens whose residue is asked for) and `0.targets` (the right answers).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to its user")]

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pliant_kernels::{Device, Precision};
use pliant_models::{Model, Purpose, load};
use pliant_tensor::ops::{IGNORE, cross_entropy};
use pliant_tensor::{Ids, Offsets, Param, Tape};
use safetensors::SafeTensors;

const LEARNING_RATE: f32 = 1e-4;
const WEIGHT_DECAY: f32 = 0.01;
const BETAS: (f32, f32) = (0.9, 0.98);
const EPSILON: f32 = 1e-8;

/// One update's tokens.
struct Batch {
    ids: Ids,
    offsets: Offsets,
    targets: Ids,
}

impl Batch {
    /// Every pack of a file, in the order of their numbers.
    fn read_all(device: &Device, path: &Path) -> Vec<Self> {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let list = |pack: usize, name: &str| -> Option<Vec<u32>> {
            let view = file.tensor(&format!("{pack}.{name}")).ok()?;
            Some(view.data().as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect())
        };
        let numbers = (0..).take_while(|&pack| list(pack, "ids").is_some());
        numbers.map(|pack| Self::new(device, |name| list(pack, name).unwrap())).collect()
    }

    fn new(device: &Device, list: impl Fn(&str) -> Vec<u32>) -> Self {
        let (ids, places, answers) = (list("ids"), list("places"), list("targets"));
        let offsets: Vec<usize> = list("offsets").into_iter().map(|offset| offset as usize).collect();
        let mut targets = vec![IGNORE; ids.len()];
        for (place, answer) in places.into_iter().zip(answers) {
            targets[place as usize] = answer;
        }
        Self {
            ids: Ids::new(device, &ids),
            offsets: Offsets::new(&offsets).unwrap(),
            targets: Ids::new(device, &targets),
        }
    }
}

/// AdamW in plain loops; stands for the optimiser until there is one.
struct Optimiser {
    steps: i32,
    moments: Vec<(Arc<Param>, Vec<f32>, Vec<f32>)>,
}

impl Optimiser {
    fn new(params: &[Arc<Param>]) -> Self {
        let trained = params.iter().filter(|param| param.is_trainable());
        let moments =
            trained.map(|param| (Arc::clone(param), vec![0.0; param.len()], vec![0.0; param.len()]));
        Self { steps: 0, moments: moments.collect() }
    }

    fn step(&mut self) {
        self.steps += 1;
        let correction = |beta: f32| 1.0 - beta.powi(self.steps);
        let (first, second) = (correction(BETAS.0), correction(BETAS.1).sqrt());
        for (param, m, v) in &mut self.moments {
            let keep = if param.decay() { 1.0 - LEARNING_RATE * WEIGHT_DECAY } else { 1.0 };
            let (mut values, grads) = (param.values().unwrap(), param.grad());
            for (((value, grad), m), v) in values.iter_mut().zip(&grads).zip(m).zip(v) {
                *m += (1.0 - BETAS.0) * (grad - *m);
                *v = BETAS.1 * *v + (1.0 - BETAS.1) * grad * grad;
                *value = *value * keep - LEARNING_RATE / first * *m / (v.sqrt() / second + EPSILON);
            }
            param.zero_grad();
            param.set_values(&values).unwrap();
        }
    }
}

/// Loss of one batch before the step that it makes.
fn step(
    device: &Device,
    precision: Precision,
    model: &Model,
    optimiser: &mut Optimiser,
    batch: &Batch,
) -> f32 {
    let tape = Tape::on(device, precision);
    let states = model.encode(&tape, &batch.ids, &batch.offsets, &[model.layers()]).unwrap();
    let logits = model.lm_logits(&tape, &states[0]).unwrap();
    let loss = cross_entropy(&tape, &logits, &batch.targets).unwrap();
    drop((states, logits));
    tape.backward(&loss).unwrap();
    optimiser.step();
    loss.f32().unwrap().as_slice()[0]
}

/// Largest memory that this process has held, in bytes.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [model, packs, precision, threads] = &arguments[..] else {
        println!("usage: train MODEL PACKS f32|bf16 THREADS");
        return;
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let device = Device::cpu(threads.parse().unwrap()).unwrap();
    let model = load(Path::new(model), &device, precision, Purpose::Training).unwrap().model;
    let batches = Batch::read_all(&device, Path::new(packs));
    let mut optimiser = Optimiser::new(model.params());
    for _ in std::io::stdin().lock().lines() {
        let start = Instant::now();
        let losses: Vec<f32> =
            batches.iter().map(|batch| step(&device, precision, &model, &mut optimiser, batch)).collect();
        println!("{{\"seconds\": {}, \"losses\": {losses:?}}}", start.elapsed().as_secs_f64());
    }
    println!("{{\"peak_bytes\": {}}}", peak_bytes());
}

//! Training steps on packs that another program made, at another program's request.
//!
//! `cargo bench -p pliant-tests --bench train -- MODEL PACKS f32|bf16 THREADS [ADAPTER]` loads a model folder for training,
//! or for that of the adapter in a folder alone, and answers every line of its input with one JSON line: one pass over the packs, an optimiser step after each, or none
//! where the line holds `"forward": true`. The folder is read once; training goes on from one line to the next. At the
//! end of its input it tells its peak memory.
//! `tests/peers/compare_train.py` lets it and PyTorch take turns.
//!
//! PACKS is a safetensors file with four lists of 32-bit integers for every pack, named by its number: `0.ids`,
//! `0.offsets`, `0.places` (tokens whose residue is asked for) and `0.targets` (the right answers).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to its user")]

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use pliant_kernels::{Device, Precision};
use pliant_models::adapter::{Adapting, read_adapter};
use pliant_models::{Model, Purpose, load, load_adapted};
use pliant_nn::optim::{AdamW, AdamWSettings, Rule};
use pliant_tensor::ops::{cross_entropy_over, gather_rows};
use pliant_tensor::{Ids, Offsets, Tape};
use safetensors::SafeTensors;

/// As in `tests/peers/hugging_face_train.py`.
const LEARNING_RATE: f64 = 1e-4;
const ADAMW: AdamWSettings =
    AdamWSettings { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.01, rule: Rule::AdamW };

/// One update's tokens.
struct Batch {
    ids: Ids,
    offsets: Offsets,
    places: Vec<usize>,
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
        let places = |name: &str| list(name).into_iter().map(|place| place as usize).collect::<Vec<_>>();
        Self {
            ids: Ids::new(device, &list("ids")),
            offsets: Offsets::new(&places("offsets")).unwrap(),
            places: places("places"),
            targets: Ids::new(device, &list("targets")),
        }
    }
}

/// Loss of one batch before the step that it makes, where there is an optimiser.
fn run(
    device: &Device,
    precision: Precision,
    model: &Model,
    optimiser: Option<&mut AdamW>,
    batch: &Batch,
) -> f32 {
    let make = if optimiser.is_some() { Tape::on } else { Tape::off };
    let tape = make(device, precision);
    let states = model.encode(&tape, &batch.ids, &batch.offsets, &[model.layers()]).unwrap();
    let chosen = gather_rows(&tape, &states[0], &batch.places).unwrap();
    let logits = model.lm_logits(&tape, &chosen).unwrap();
    let loss = cross_entropy_over(&tape, &logits, &batch.targets, batch.places.len()).unwrap();
    drop((states, chosen, logits));
    if let Some(optimiser) = optimiser {
        tape.backward(&loss).unwrap();
        optimiser.step(LEARNING_RATE, None).unwrap();
    }
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
    let [model, packs, precision, threads, adapter @ ..] = &arguments[..] else {
        println!("usage: train MODEL PACKS f32|bf16 THREADS [ADAPTER]");
        return;
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let device = Device::cpu(threads.parse().unwrap()).unwrap();
    let (folder, place) = (Path::new(model), (&device, precision));
    let model = match adapter.first() {
        None => load(folder, &device, precision, Purpose::Training).unwrap().model,
        Some(adapter) => {
            let adapter = read_adapter(Path::new(adapter), folder).unwrap();
            load_adapted(folder, place, Adapting::Beside(&adapter)).unwrap().model
        }
    };
    let batches = Batch::read_all(&device, Path::new(packs));
    let mut optimiser = AdamW::new(model.params(), ADAMW).unwrap();
    for line in std::io::stdin().lock().lines() {
        let trains = !line.unwrap().contains("\"forward\": true");
        let start = Instant::now();
        let losses: Vec<f32> = batches
            .iter()
            .map(|batch| run(&device, precision, &model, trains.then_some(&mut optimiser), batch))
            .collect();
        println!("{{\"seconds\": {}, \"losses\": {losses:?}}}", start.elapsed().as_secs_f64());
    }
    println!("{{\"peak_bytes\": {}}}", peak_bytes());
}

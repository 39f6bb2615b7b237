//! Passes and training steps of a bidirectional LSTM with a decoder, at another program's request.
//!
//! `cargo bench -p pliant-tests --bench lstm -- FILE HIDDEN LAYERS f32|bf16 THREADS` reads weights (`rnn.*` as PyTorch's
//! `nn.LSTM` names them, `decoder.*`), inputs `x [T,K]` (f32), `offsets` and `targets [T]` (32-bit integers) from a
//! safetensors file and answers every line of its input with one JSON line: one pass over packs of as many sequences as the
//! line's number says, with an optimiser step after each, or none where the line holds `"forward": true`.
//! `tests/peers/compare_lstm.py` lets it and PyTorch take turns.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to its user")]

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use pliant_kernels::{Device, Precision};
use pliant_nn::optim::{AdamW, AdamWSettings, Rule};
use pliant_nn::{BiLstm, Checkpoint, Init, Linear, Meaning, Take, Weights};
use pliant_tensor::ops::{Epilogue, cross_entropy_over};
use pliant_tensor::{Dtype, Ids, Offsets, Tape, Tensor};
use safetensors::SafeTensors;

/// As in `tests/peers/compare_lstm.py`.
const LEARNING_RATE: f64 = 1e-4;
const ADAMW: AdamWSettings =
    AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, rule: Rule::AdamW };

/// Everything that is read.
struct Data {
    x: Vec<f32>,
    width: usize,
    offsets: Vec<usize>,
    targets: Vec<u32>,
}

impl Data {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let words = |name: &str| -> Vec<u32> {
            let view = file.tensor(name).unwrap();
            view.data().as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
        };
        Self {
            x: words("x").into_iter().map(f32::from_bits).collect(),
            width: file.tensor("x").unwrap().shape()[1],
            offsets: words("offsets").into_iter().map(|offset| offset as usize).collect(),
            targets: words("targets"),
        }
    }

    /// Packs of `count` sequences: inputs, borders, targets.
    fn packs(&self, device: &Device, count: usize) -> Vec<(Tensor, Offsets, Ids)> {
        let pack = |first: usize| {
            let borders = &self.offsets[first..(first + count + 1).min(self.offsets.len())];
            let (start, end) = (borders[0], borders[borders.len() - 1]);
            let offsets: Vec<usize> = borders.iter().map(|border| border - start).collect();
            let x = &self.x[start * self.width..end * self.width];
            let x = Tensor::from_f32(device, [end - start, self.width], x).unwrap();
            (x, Offsets::new(&offsets).unwrap(), Ids::new(device, &self.targets[start..end]))
        };
        (0..self.offsets.len() - 1).step_by(count).map(pack).collect()
    }
}

struct Network {
    rnn: BiLstm,
    decoder: Linear,
}

impl Network {
    /// Loss of a pack before the step that it makes, where there is an optimiser.
    fn run(&self, tape: Tape, pack: &(Tensor, Offsets, Ids), optimiser: Option<&mut AdamW>) -> f32 {
        let (x, offsets, targets) = pack;
        let h = self.rnn.forward(&tape, x, offsets).unwrap();
        let logits = self.decoder.forward(&tape, &h, Epilogue::Store, Dtype::F32).unwrap();
        let loss = cross_entropy_over(&tape, &logits, targets, offsets.tokens()).unwrap();
        drop((h, logits));
        if let Some(optimiser) = optimiser {
            tape.backward(&loss).unwrap();
            optimiser.step(LEARNING_RATE, None).unwrap();
        }
        loss.f32().unwrap().as_slice()[0]
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [file, hidden, layers, precision, threads] = &arguments[..] else {
        println!("usage: lstm FILE HIDDEN LAYERS f32|bf16 THREADS");
        return;
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let device = Device::cpu(threads.parse().unwrap()).unwrap();
    let data = Data::read(Path::new(file));
    let meanings = |names: &[&str]| names.iter().map(|name| Meaning::Parameter((*name).to_owned())).collect();
    let checkpoint = Checkpoint::open_files(Path::new(file), None).unwrap();
    let weights = Weights::stored(checkpoint, meanings, (&device, precision)).unwrap();
    let weights = weights.take(Take::Values { trainable: true });
    let (hidden, layers) = (hidden.parse().unwrap(), layers.parse().unwrap());
    let network = Network {
        rnn: BiLstm::new(&weights.at("rnn"), data.width, hidden, layers).unwrap(),
        decoder: Linear::new(&weights.at("decoder"), 2 * hidden, 21, Init::Zeros).unwrap(),
    };
    let mut optimiser = AdamW::new(&weights.params(), ADAMW).unwrap();
    for line in std::io::stdin().lock().lines() {
        let request: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let trains = request["forward"] != true;
        let packs = data.packs(&device, request["count"].as_u64().unwrap() as usize);
        let make = if trains { Tape::on } else { Tape::off };
        let start = Instant::now();
        let losses: Vec<f32> = packs
            .iter()
            .map(|pack| network.run(make(&device, precision), pack, trains.then_some(&mut optimiser)))
            .collect();
        println!("{{\"seconds\": {}, \"losses\": {losses:?}}}", start.elapsed().as_secs_f64());
    }
}

//! Ten updates of tiny models against PyTorch: losses, gradient norms, and where the weights end.
//!
//! Each update is the sum of two packs, losses are the mean over the chosen tokens of both, gradients are clipped, the
//! rate warms up and falls along a cosine, and matrices and tables decay. `tests/fixtures/training/make.py` says more.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use pliant_kernels::{Device, Precision};
use pliant_models::{Loaded, Purpose};
use pliant_nn::optim::{AdamW, AdamWSettings, Rule, Schedule};
use pliant_tensor::ops::{IGNORE, cross_entropy_over};
use pliant_tensor::{Ids, Param, Tape};

use crate::common::{Tensors, device, folder, loaded, pack, read_tensors};

const UPDATES: usize = 10;
const PACKS: usize = 2;
const PEAK: f64 = 1e-2;
const SETTINGS: AdamWSettings =
    AdamWSettings { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.1, rule: Rule::AdamW };
const SCHEDULE: Schedule = Schedule::Cosine { warmup_steps: 2, steps: 10, final_fraction: 0.1 };

/// Target of a token that does not count, in the files.
const NO_TARGET: i64 = 33;

/// How far a run may be from PyTorch's.
struct Bounds {
    /// Of the loss of every update, as a fraction of it.
    loss: f64,
    /// The same of the gradient norm.
    norm: f64,
    /// Cosine of the angle between the moves of all weights over the ten updates, at least.
    cosine: f64,
    /// Distance of all weights at the end, as a fraction of their move.
    weights: f64,
    /// The same of the weights of the worst parameter.
    parameter: f64,
}

/// 32-bit sums of some tens of terms. Adam divides gradients by their own size, so that weights of small gradients,
/// whose errors are the largest, move as far as the others: a parameter's distance is that of its smallest gradients.
const F32: Bounds = Bounds { loss: 1e-6, norm: 1e-5, cosine: 0.999_999, weights: 2e-4, parameter: 1e-3 };

/// Every operand of a product is rounded by up to 2^-9 of itself in the forward and again in the backward. Losses are
/// means over tens of tokens and feel it least. Adam's first steps follow the signs of gradients, and those of the
/// smallest turn, so that a parameter with small gradients alone may end nearer to its start than to PyTorch's end.
const BF16: Bounds = Bounds { loss: 5e-3, norm: 5e-2, cosine: 0.99, weights: 0.15, parameter: 1.0 };

/// A sequence's ids and targets.
type Sequence = (Vec<u32>, Vec<u32>);

struct Reference {
    config: String,
    tensors: Tensors,
}

impl Reference {
    fn open(model: &str) -> Self {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/training");
        let path = |end: &str| -> PathBuf { place.join(format!("{model}.{end}")) };
        Self {
            config: fs::read_to_string(path("json")).unwrap(),
            tensors: read_tensors(&path("safetensors")),
        }
    }

    fn weights(&self, prefix: &str) -> Tensors {
        let found = self.tensors.iter().filter_map(|(name, stored)| {
            Some((name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned(), stored.clone()))
        });
        found.collect()
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.tensors[name].values().into_iter().map(f64::from).collect()
    }

    /// The sequences of every pack, in order.
    fn packs(&self) -> Vec<Vec<Sequence>> {
        let ids = self.tensors["ids"].integers();
        let targets = self.tensors["targets"].integers();
        let lengths = &self.tensors["lengths"];
        let mut start = 0;
        let mut cut = |length: &i64| {
            let place: Range<usize> = start..start + *length as usize;
            start = place.end;
            let target = |&target: &i64| if target == NO_TARGET { IGNORE } else { target as u32 };
            let sequence = ids[place.clone()].iter().map(|&id| id as u32).collect();
            (sequence, targets[place].iter().map(target).collect())
        };
        let rows = lengths.integers();
        rows.chunks_exact(lengths.shape[2])
            .map(|row| row.iter().filter(|length| **length > 0).map(&mut cut).collect())
            .collect()
    }
}

/// What of the recipe is done otherwise, to see that it matters.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Nothing,
    /// Vectors decay too.
    DecayOfVectors,
    /// Nothing decays.
    NoDecay,
    NoClipping,
    /// Every rate is that of the next update.
    LateSchedule,
    /// Packs count alike, whatever the number of their chosen tokens.
    MeanOfPacks,
    /// Only the second pack of an update counts.
    Forgotten,
}

struct Outcome {
    losses: Vec<f64>,
    norms: Vec<f64>,
    /// Weights after the last update, by name.
    weights: BTreeMap<String, Vec<f32>>,
}

/// A run of ten updates.
struct Run<'a> {
    reference: &'a Reference,
    device: Device,
    precision: Precision,
    change: Change,
}

impl Run<'_> {
    fn outcome(&self) -> Outcome {
        let folder = folder(&self.reference.config, &self.reference.weights("before"));
        let loaded = loaded(folder.path(), &self.device, self.precision, Purpose::Training);
        let params = loaded.model.params();
        let decay = if self.change == Change::NoDecay { 0.0 } else { SETTINGS.weight_decay };
        let mut optimiser = AdamW::new(params, AdamWSettings { weight_decay: decay, ..SETTINGS }).unwrap();
        let clip = self.reference.numbers("clip")[0];
        let clip = (self.change != Change::NoClipping).then_some(clip);
        let packs = self.reference.packs();
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for (update, packs) in packs.chunks_exact(PACKS).enumerate() {
            losses.push(self.accumulate(&loaded, packs));
            let late = u64::from(self.change == Change::LateSchedule);
            let rate = PEAK * SCHEDULE.factor(update as u64 + late);
            if self.change == Change::DecayOfVectors {
                fade_vectors(params, rate);
            }
            norms.push(optimiser.step(rate, clip).unwrap().gradient_norm);
        }
        let weights = params.iter().map(|param| (param.name().to_owned(), param.values().unwrap())).collect();
        Outcome { losses, norms, weights }
    }

    /// Adds the gradients of all packs of an update and gives its loss.
    fn accumulate(&self, loaded: &Loaded, packs: &[Vec<Sequence>]) -> f64 {
        let chosen = |pack: &Vec<Sequence>| {
            let targets = pack.iter().flat_map(|(_, targets)| targets);
            targets.filter(|target| **target != IGNORE).count()
        };
        let together: usize = packs.iter().map(chosen).sum();
        let mut sum = 0.0;
        for (place, sequences) in packs.iter().enumerate() {
            let (ids, targets): (Vec<_>, Vec<_>) = sequences.iter().cloned().unzip();
            let tape = Tape::on(&self.device, self.precision);
            let (ids, offsets) = pack(&self.device, &ids);
            let last = loaded.model.layers();
            let hidden = loaded.model.encode(&tape, &ids, &offsets, &[last]).unwrap();
            let logits = loaded.model.lm_logits(&tape, &hidden[0]).unwrap();
            let targets = Ids::new(&self.device, &targets.concat());
            let denominator =
                if self.change == Change::MeanOfPacks { PACKS * chosen(sequences) } else { together };
            let loss = cross_entropy_over(&tape, &logits, &targets, denominator).unwrap();
            sum += f64::from(loss.to_vec_f32()[0]);
            tape.backward(&loss).unwrap();
            if self.change == Change::Forgotten && place + 1 < packs.len() {
                loaded.model.params().iter().for_each(|param| param.zero_grad());
            }
        }
        sum
    }
}

/// The decay of vectors, which the optimiser leaves out.
fn fade_vectors(params: &[std::sync::Arc<Param>], rate: f64) {
    let keep = (1.0 - rate * SETTINGS.weight_decay) as f32;
    for param in params.iter().filter(|param| !param.decay()) {
        let faded: Vec<f32> = param.values().unwrap().iter().map(|value| value * keep).collect();
        param.set_values(&faded).unwrap();
    }
}

/// How far an outcome is from PyTorch's, measured as [`Bounds`] are.
struct Distance {
    loss: f64,
    norm: f64,
    cosine: f64,
    weights: f64,
    parameter: f64,
}

/// How far the weights of one parameter, or of several, have moved.
#[derive(Default)]
struct Moves {
    /// Squares of our moves, of PyTorch's, of their difference, and the product of the two.
    ours: f64,
    theirs: f64,
    apart: f64,
    both: f64,
}

impl Moves {
    fn add(&mut self, found: &[f32], start: &[f32], end: &[f32]) {
        assert_eq!((found.len(), start.len()), (end.len(), end.len()));
        for place in 0..end.len() {
            let [found, start, end] = [found, start, end].map(|values| f64::from(values[place]));
            self.ours += (found - start).powi(2);
            self.theirs += (end - start).powi(2);
            self.apart += (found - end).powi(2);
            self.both += (found - start) * (end - start);
        }
    }

    fn distance(&self) -> f64 {
        (self.apart / self.theirs).sqrt()
    }
}

impl Distance {
    fn new(reference: &Reference, found: &Outcome) -> Self {
        let worst = |found: &[f64], wanted: &[f64]| {
            assert_eq!((found.len(), wanted.len()), (UPDATES, UPDATES));
            let apart = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs() / wanted);
            apart.fold(0.0, f64::max)
        };
        let (before, after) = (reference.weights("before"), reference.weights("after"));
        assert!(
            found.weights.keys().eq(after.keys()),
            "{:?}, wanted {:?}",
            found.weights.keys(),
            after.keys()
        );
        let (mut all, mut parameter) = (Moves::default(), 0.0_f64);
        for (name, found) in &found.weights {
            let (start, end) = (before[name].values(), after[name].values());
            let mut one = Moves::default();
            one.add(found, &start, &end);
            parameter = parameter.max(one.distance());
            all.add(found, &start, &end);
        }
        Self {
            loss: worst(&found.losses, &reference.numbers("losses")),
            norm: worst(&found.norms, &reference.numbers("norms")),
            cosine: all.both / (all.ours * all.theirs).sqrt(),
            weights: all.distance(),
            parameter,
        }
    }

    fn within(&self, bounds: &Bounds) -> bool {
        self.loss <= bounds.loss
            && self.norm <= bounds.norm
            && self.cosine >= bounds.cosine
            && self.weights <= bounds.weights
            && self.parameter <= bounds.parameter
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, norm, cosine, weights, parameter } = self;
        write!(
            formatter,
            "losses {loss:.1e}, norms {norm:.1e}, cosine 1 - {:.1e}, weights {weights:.1e}, parameter {parameter:.1e}",
            1.0 - cosine
        )
    }
}

/// Ten updates in both precisions, and that every part of the recipe counts; gives all distances, a line each.
fn prove(model: &str) -> String {
    let reference = Reference::open(model);
    for (rate, step) in reference.numbers("rates").iter().zip(0..) {
        assert!((rate - PEAK * SCHEDULE.factor(step)).abs() < 1e-9, "rate of update {step}");
    }
    let mut report = String::new();
    let mut judge = |precision: Precision, change, bounds: &Bounds| {
        let found = Run { reference: &reference, device: device(), precision, change }.outcome();
        let distance = Distance::new(&reference, &found);
        let line = format!("{model} in {} with the change {change:?}: {distance}", precision.name());
        assert_eq!(distance.within(bounds), change == Change::Nothing, "{line}");
        report.push_str(&line);
        report.push('\n');
    };
    for change in [
        Change::Nothing,
        Change::DecayOfVectors,
        Change::NoDecay,
        Change::NoClipping,
        Change::LateSchedule,
        Change::MeanOfPacks,
        Change::Forgotten,
    ] {
        judge(Precision::F32, change, &F32);
    }
    for change in [Change::Nothing, Change::LateSchedule, Change::Forgotten] {
        judge(Precision::Bf16, change, &BF16);
    }
    report
}

#[test]
fn esm2_learns_as_in_pytorch() {
    println!("{}", prove("esm2"));
}

#[test]
fn lc_plm_learns_as_in_pytorch() {
    println!("{}", prove("lc_plm"));
}

/// A run with another number of threads has the same bits.
#[test]
fn threads_change_no_bit_of_a_run() {
    for reference in ["esm2", "lc_plm"].map(Reference::open) {
        let run = |threads, precision| {
            let device = Device::cpu(threads).unwrap();
            let found = Run { reference: &reference, device, precision, change: Change::Nothing }.outcome();
            (found.losses, found.norms, found.weights)
        };
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(run(1, precision), run(3, precision));
        }
    }
}

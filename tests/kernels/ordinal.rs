//! Proofs of ordered levels.

use pliant_kernels::ops::ordinal::{self, Grads, Sizes, TOLERANCE, TOLERANCE_LEVELS, TOLERANCE_WEIGHTS, cpu};
use pliant_kernels::{Device, Tolerance};
use pliant_tests::kernels::inputs::{gather, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Rows and thresholds.
const SIZES: [(usize, usize); 4] = [(1, 1), (3, 4), (64, 1), (200, 4)];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    scores: Vec<f32>,
    weights: Vec<f32>,
    shifts: Vec<f32>,
    dlogits: Vec<f32>,
}

/// Results of the plain text in 64 bits; probabilities are those of the logits rounded to 32 bits.
struct Plain {
    logits: Vec<f64>,
    dscores: Vec<f64>,
    dweights: Vec<f64>,
    dshifts: Vec<f64>,
    levels: Vec<f64>,
}

impl Problem {
    fn new((rows, thresholds): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("ordinal {rows} {thresholds}"));
        Self {
            sizes: Sizes { rows, thresholds },
            scores: inputs.uniform(rows, -10.0, 0.0),
            weights: inputs.uniform(thresholds, 0.5, 1.5),
            shifts: inputs.uniform(thresholds, 1.0, 8.0),
            dlogits: inputs.normal(rows * thresholds, 1.0),
        }
    }

    fn plain(&self) -> Plain {
        let [scores, weights, shifts, dlogits] =
            [&self.scores, &self.weights, &self.shifts, &self.dlogits].map(|values| reals(values));
        let Sizes { rows, thresholds } = self.sizes;
        let (mut logits, mut dscores) = (vec![0.0; rows * thresholds], vec![0.0; rows]);
        let (mut dweights, mut dshifts) = (weights.clone(), shifts.clone());
        cpu::forward(self.sizes, &scores, (&weights, &shifts), &mut logits);
        let grads = (&mut dweights[..], &mut dshifts[..]);
        cpu::backward(self.sizes, (&scores, &weights), &dlogits, &mut dscores, grads);
        let rounded: Vec<f64> = self.rounded().into_iter().map(f64::from).collect();
        let mut levels = vec![0.0; rows * (thresholds + 1)];
        cpu::levels(self.sizes, &rounded, &mut levels);
        Plain { logits, dscores, dweights, dshifts, levels }
    }

    /// The logits in 32 bits.
    fn rounded(&self) -> Vec<f32> {
        let mut logits = vec![0.0; self.dlogits.len()];
        cpu::forward(self.sizes, &self.scores, (&self.weights, &self.shifts), &mut logits);
        logits
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [scores, weights, shifts, dlogits] =
            [&self.scores, &self.weights, &self.shifts, &self.dlogits].map(|values| device.upload(values));
        let (mut logits, mut dscores) = (device.zeros(dlogits.len()), device.zeros(scores.len()));
        let mut levels = device.zeros(scores.len() * (weights.len() + 1));
        let (mut dweights, mut dshifts) = (device.upload(&self.weights), device.upload(&self.shifts));
        ordinal::forward(device, self.sizes, &scores, (&weights, &shifts), &mut logits).unwrap();
        let grads = Grads { dscores: &mut dscores, dweights: &mut dweights, dshifts: &mut dshifts };
        ordinal::backward(device, self.sizes, (&scores, &weights), &dlogits, grads).unwrap();
        ordinal::levels(device, self.sizes, &logits, &mut levels).unwrap();
        vec![
            Found::new("logits", &logits),
            Found::new("dscores", &dscores),
            Found::new("dweights", &dweights),
            Found::new("dshifts", &dshifts),
            Found::new("levels", &levels),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize)| {
        let problem = Problem::new(sizes);
        let plain = problem.plain();
        let oracle = vec![
            Expected::new("logits", plain.logits, TOLERANCE),
            Expected::new("dscores", plain.dscores, TOLERANCE),
            Expected::new("dweights", plain.dweights, TOLERANCE_WEIGHTS),
            Expected::new("dshifts", plain.dshifts, TOLERANCE_WEIGHTS),
            Expected::new("levels", plain.levels, TOLERANCE_LEVELS),
        ];
        let name = format!("ordinal {}x{}", sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let problems = LENGTHS.map(|length| Problem::new((length, 4)));
    let run = move |device: &Device, order: &[usize]| {
        let scores = gather(&problems.each_ref().map(|problem| problem.scores.clone()), order);
        let dlogits = gather(&problems.each_ref().map(|problem| problem.dlogits.clone()), order);
        let sizes = Sizes { rows: scores.len(), thresholds: 4 };
        let found = Problem { sizes, scores, dlogits, ..problems[0].clone() }.fast(device);
        let lengths = order.iter().map(|&sequence| LENGTHS[sequence]);
        let logits = split(&found[0].values.bits(), lengths.clone().map(|length| 4 * length));
        let dscores = split(&found[1].values.bits(), lengths);
        logits.into_iter().zip(dscores).map(|(logits, dscores)| [logits, dscores].concat()).collect()
    };
    vec![Invariance { name: "ordinal".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new((5, 3));
    let sizes = problem.sizes;
    let forward = move |values: &[Vec<f64>]| {
        let mut logits = vec![0.0; 15];
        cpu::forward(sizes, &values[0], (&values[1], &values[2]), &mut logits);
        logits
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let (mut dscores, mut dweights, mut dshifts) = (vec![0.0; 5], vec![0.0; 3], vec![0.0; 3]);
        let grads = (&mut dweights[..], &mut dshifts[..]);
        cpu::backward(sizes, (&values[0], &values[1]), dy, &mut dscores, grads);
        vec![dscores, dweights, dshifts]
    };
    let inputs = vec![
        ("scores", reals(&problem.scores)),
        ("weights", reals(&problem.weights)),
        ("shifts", reals(&problem.shifts)),
    ];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "ordinal".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("ordinal");
    let (weights, shifts) = (file.f32("weights"), file.f32("shifts"));
    let sizes = Sizes { rows: file.f32("scores").len(), thresholds: weights.len() };
    let added = |name: &str, start: &[f32]| -> Vec<f64> {
        file.f64(name).iter().zip(start).map(|(slope, &start)| slope + f64::from(start)).collect()
    };
    let golden = [
        file.f64("logits"),
        file.f64("dscores"),
        added("dweights", &weights),
        added("dshifts", &shifts),
        file.f64("levels"),
    ];
    let (scores, dlogits) = (file.f32("scores"), file.f32("dlogits"));
    let problem = Problem { sizes, scores, weights, shifts, dlogits };
    let plain = problem.plain();
    let exact = Tolerance { absolute: 1e-13, relative: 1e-13 };
    let near = Tolerance { absolute: 1e-6, relative: 1e-5 };
    let found = [plain.logits, plain.dscores, plain.dweights, plain.dshifts, plain.levels];
    for (place, (found, golden)) in found.iter().zip(&golden).enumerate() {
        // The probabilities are those of logits in 32 bits.
        assert_close("ordinal", found, golden, if place == 4 { near } else { exact });
    }
    for device in devices() {
        for (found, golden) in problem.fast(device).iter().zip(&golden) {
            assert_close(found.what, &found.values.reals(), golden, near);
        }
    }
}

#[test]
fn levels_are_probabilities_that_follow_the_score() {
    let device = &devices()[0];
    let sizes = Sizes { rows: 3, thresholds: 4 };
    // Far below every threshold, between the second and the third, far above.
    let logits = [-80.0, -90.0, -100.0, -110.0, 9.0, 8.0, -9.0, -30.0, 200.0, 150.0, 100.0, 90.0];
    let mut levels = device.zeros(15);
    ordinal::levels(device, sizes, &device.upload(&logits), &mut levels).unwrap();
    for (row, level) in levels.as_slice().chunks(5).zip([0, 2, 4]) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(row[level] > 0.99, "{row:?}");
    }
    assert!(ordinal::levels(device, sizes, &device.zeros(12), &mut device.zeros(12)).is_err());
}

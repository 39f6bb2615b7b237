//! Proofs of the squared error.

use pliant_kernels::ops::mse::{self, TOLERANCE, Targets, cpu};
use pliant_kernels::ops::reduce;
use pliant_kernels::{Device, Tolerance};
use pliant_tests::kernels::inputs::{gather, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Lengths: one, around a vector, over a piece of work, large.
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 33, 16 * 1024 + 1, 100_003];

#[derive(Clone)]
struct Problem {
    x: Vec<f32>,
    targets: Vec<f32>,
    weights: Option<Vec<f32>>,
    scale: f32,
}

impl Problem {
    fn new(length: usize, weighted: bool) -> Self {
        let mut inputs = Inputs::new(&format!("mse {length} {weighted}"));
        let (x, targets) = (inputs.normal(length, 2.0), inputs.normal(length, 2.0));
        Self { x, targets, weights: weighted.then(|| inputs.uniform(length, 0.0, 2.0)), scale: 0.7 }
    }

    /// Losses, their mean, gradient.
    fn plain(&self) -> [Vec<f64>; 3] {
        let weights = self.weights.as_deref().map(reals);
        let (x, targets) = (reals(&self.x), reals(&self.targets));
        let wanted = (&targets[..], weights.as_deref());
        let [mut losses, mut dx] = [(); 2].map(|()| vec![0.0; x.len()]);
        cpu::forward(&x, wanted, &mut losses);
        cpu::backward(&x, wanted, f64::from(self.scale), &mut dx);
        let mean = reduce::cpu::mean_over(&losses, x.len());
        [losses, vec![mean], dx]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (x, values) = (device.upload(&self.x), device.upload(&self.targets));
        let weights = self.weights.as_ref().map(|weights| device.upload(weights));
        let targets = Targets { values: &values, weights: weights.as_ref() };
        let [mut losses, mut dx] = [(); 2].map(|()| device.zeros(x.len()));
        mse::forward(device, &x, targets, &mut losses).unwrap();
        mse::backward(device, &x, targets, self.scale, &mut dx).unwrap();
        let mean = reduce::mean_over(device, "mse", &losses, x.len()).unwrap();
        vec![
            Found::new("losses", &losses),
            Found::new("mean", &device.upload(&[mean])),
            Found::new("dx", &dx),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(length, weighted)| {
        let problem = Problem::new(length, weighted);
        let [losses, mean, dx] = problem.plain();
        let oracle = [("losses", losses), ("mean", mean), ("dx", dx)]
            .map(|(what, values)| Expected::new(what, values, TOLERANCE));
        let name = format!("mse {length}{}", if weighted { " weighted" } else { "" });
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle: oracle.into() }
    };
    LENGTHS.into_iter().flat_map(|length| [(length, false), (length, true)]).map(case).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let problems = LENGTHS.map(|length| Problem::new(length, false));
    let run = move |device: &Device, order: &[usize]| {
        let x = gather(&problems.each_ref().map(|problem| problem.x.clone()), order);
        let targets = gather(&problems.each_ref().map(|problem| problem.targets.clone()), order);
        let found = Problem { x, targets, weights: None, scale: 1.0 }.fast(device);
        let [losses, dx] = [0, 2].map(|result: usize| {
            let lengths = order.iter().map(|&sequence| LENGTHS[sequence]);
            split(&found[result].values.bits(), lengths)
        });
        losses.into_iter().zip(dx).map(|(losses, dx)| [losses, dx].concat()).collect()
    };
    vec![Invariance { name: "mse".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new(21, true);
    let (targets, weights) = (reals(&problem.targets), problem.weights.as_deref().map(reals));
    let (other_targets, other_weights) = (targets.clone(), weights.clone());
    let forward = move |values: &[Vec<f64>]| {
        let mut losses = vec![0.0; targets.len()];
        cpu::forward(&values[0], (&targets, weights.as_deref()), &mut losses);
        losses
    };
    // The backward takes one factor for all places, so each is asked for by itself.
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let mut dx = vec![0.0; dy.len()];
        for (i, &slope) in dy.iter().enumerate() {
            let weights = other_weights.as_ref().map(|weights| &weights[i..=i]);
            cpu::backward(&values[0][i..=i], (&other_targets[i..=i], weights), slope, &mut dx[i..=i]);
        }
        vec![dx]
    };
    let inputs = vec![("x", reals(&problem.x))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "mse".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("mse");
    for (prefix, weighted) in [("", false), ("weighted_", true)] {
        let (x, targets) = (file.f32("x"), file.f32("targets"));
        let (weights, scale) = (weighted.then(|| file.f32("weights")), 1.0 / x.len() as f32);
        let problem = Problem { x, targets, weights, scale };
        let expected = ["losses", "mean", "dx"].map(|name| file.f64(&format!("{prefix}{name}")));
        // The scale is a 32-bit number.
        let exact = Tolerance { absolute: 1e-14, relative: 5e-8 };
        for (plain, expected) in problem.plain().iter().zip(&expected) {
            assert_close("mse", plain, expected, exact);
        }
        for device in devices() {
            for (found, expected) in problem.fast(device).iter().zip(&expected) {
                let what = format!("mse {} on {}", found.what, device.describe());
                assert_close(&what, &found.values.reals(), expected, TOLERANCE);
            }
        }
    }
}

#[test]
fn broken_predictions_are_seen_and_broken_targets_refused() {
    for device in devices() {
        let broken = Problem { x: vec![f32::NAN, 1.0], targets: vec![0.0; 2], weights: None, scale: 1.0 };
        let losses = broken.fast(device)[0].values.reals();
        assert!(losses[0].is_nan() && losses[1] == 1.0);
        let (x, values) = (device.zeros(1), device.upload(&[f32::NAN]));
        let targets = Targets { values: &values, weights: None };
        let error = mse::forward(device, &x, targets, &mut device.zeros(1)).unwrap_err();
        assert_eq!(error.to_string(), "mse: target is NaN, supported: finite numbers");
    }
}

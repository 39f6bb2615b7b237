//! Proofs of binary cross-entropy.

use pliant_kernels::ops::bce::{self, IGNORE, TOLERANCE, TOLERANCE_GRADIENT, Targets, cpu};
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
    logits: Vec<f32>,
    targets: Vec<f32>,
    weights: Option<Vec<f32>>,
    scale: f32,
}

impl Problem {
    /// Scores of size four, hard and soft targets in turn; every fifth place is ignored.
    fn new(length: usize, weighted: bool) -> Self {
        let mut inputs = Inputs::new(&format!("bce {length} {weighted}"));
        let mut targets = inputs.uniform(length, 0.0, 1.0);
        targets.iter_mut().step_by(2).for_each(|target| *target = target.round());
        targets.iter_mut().skip(2).step_by(5).for_each(|target| *target = IGNORE);
        let weights = weighted.then(|| inputs.uniform(length, 0.0, 2.0));
        Self { logits: inputs.normal(length, 4.0), targets, weights, scale: 0.7 }
    }

    /// Losses, their mean, gradient.
    fn plain(&self) -> [Vec<f64>; 3] {
        let weights = self.weights.as_deref().map(reals);
        let (logits, targets) = (reals(&self.logits), reals(&self.targets));
        let wanted = (&targets[..], weights.as_deref());
        let [mut losses, mut dlogits] = [(); 2].map(|()| vec![0.0; logits.len()]);
        cpu::forward(&logits, wanted, &mut losses);
        cpu::backward(&logits, wanted, f64::from(self.scale), &mut dlogits);
        let mean = reduce::cpu::mean_over(&losses, bce::count(&self.targets));
        [losses, vec![mean], dlogits]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (logits, values) = (device.upload(&self.logits), device.upload(&self.targets));
        let weights = self.weights.as_ref().map(|weights| device.upload(weights));
        let targets = Targets { values: &values, weights: weights.as_ref() };
        let [mut losses, mut dlogits] = [(); 2].map(|()| device.zeros(logits.len()));
        bce::forward(device, &logits, targets, &mut losses).unwrap();
        bce::backward(device, &logits, targets, self.scale, &mut dlogits).unwrap();
        let mean = reduce::mean_over(device, "bce", &losses, bce::count(&self.targets)).unwrap();
        vec![
            Found::new("losses", &losses),
            Found::new("mean", &device.upload(&[mean])),
            Found::new("dlogits", &dlogits),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(length, weighted)| {
        let problem = Problem::new(length, weighted);
        let [losses, mean, dlogits] = problem.plain();
        let oracle = vec![
            Expected::new("losses", losses, TOLERANCE),
            Expected::new("mean", mean, TOLERANCE),
            Expected::new("dlogits", dlogits, TOLERANCE_GRADIENT),
        ];
        let name = format!("bce {length}{}", if weighted { " weighted" } else { "" });
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    LENGTHS.into_iter().flat_map(|length| [(length, false), (length, true)]).map(case).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let problems = LENGTHS.map(|length| Problem::new(length, true));
    let run = move |device: &Device, order: &[usize]| {
        let logits = gather(&problems.each_ref().map(|problem| problem.logits.clone()), order);
        let targets = gather(&problems.each_ref().map(|problem| problem.targets.clone()), order);
        let weights =
            gather(&problems.each_ref().map(|problem| problem.weights.clone().unwrap_or_default()), order);
        let found = Problem { logits, targets, weights: Some(weights), scale: 1.0 }.fast(device);
        let [losses, dlogits] = [0, 2].map(|result: usize| {
            let lengths = order.iter().map(|&sequence| LENGTHS[sequence]);
            split(&found[result].values.bits(), lengths)
        });
        losses.into_iter().zip(dlogits).map(|(losses, dlogits)| [losses, dlogits].concat()).collect()
    };
    vec![Invariance { name: "bce".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new(24, true);
    let (targets, weights) = (reals(&problem.targets), problem.weights.as_deref().map(reals));
    let (other_targets, other_weights) = (targets.clone(), weights.clone());
    let forward = move |values: &[Vec<f64>]| {
        let mut losses = vec![0.0; targets.len()];
        cpu::forward(&values[0], (&targets, weights.as_deref()), &mut losses);
        losses
    };
    // The backward takes one factor for all places, so each is asked for by itself.
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let mut dlogits = vec![0.0; dy.len()];
        for (i, &slope) in dy.iter().enumerate() {
            let weights = other_weights.as_ref().map(|weights| &weights[i..=i]);
            let wanted = (&other_targets[i..=i], weights);
            cpu::backward(&values[0][i..=i], wanted, slope, &mut dlogits[i..=i]);
        }
        vec![dlogits]
    };
    let inputs = vec![("logits", reals(&problem.logits))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "bce".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("bce");
    for (prefix, weighted) in [("", false), ("weighted_", true)] {
        let (logits, targets) = (file.f32("logits"), file.f32("targets"));
        let weights = weighted.then(|| file.f32("weights"));
        let scale = 1.0 / bce::count(&targets) as f32;
        let problem = Problem { logits, targets, weights, scale };
        let expected = ["losses", "mean", "dlogits"].map(|name| file.f64(&format!("{prefix}{name}")));
        // The scale is a 32-bit number.
        let exact = Tolerance { absolute: 1e-14, relative: 5e-8 };
        for (plain, expected) in problem.plain().iter().zip(&expected) {
            assert_close("bce", plain, expected, exact);
        }
        for device in devices() {
            for (found, expected) in problem.fast(device).iter().zip(&expected) {
                let what = format!("bce {} on {}", found.what, device.describe());
                assert_close(&what, &found.values.reals(), expected, TOLERANCE);
            }
        }
    }
}

#[test]
fn broken_scores_give_no_number_where_they_count() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for target in [0.0, 0.3, 1.0, IGNORE] {
            let problem =
                Problem { logits: vec![broken, 1.0], targets: vec![target, 1.0], weights: None, scale: 1.0 };
            for device in devices() {
                let losses = problem.fast(device)[0].values.reals();
                assert_eq!(losses[0].is_finite(), target == IGNORE, "{broken} {target}: {losses:?}");
                assert!(losses[1].is_finite());
            }
        }
    }
}

#[test]
fn scores_of_any_size_do_not_overflow() {
    let problem = Problem {
        logits: vec![1e30, -1e30, 1e30, -1e30],
        targets: vec![1.0, 0.0, 0.0, 1.0],
        weights: None,
        scale: 1.0,
    };
    for device in devices() {
        let found = problem.fast(device);
        let losses = found[0].values.reals();
        assert!(losses[..2].iter().all(|loss| loss.abs() < 1e-30), "{losses:?}");
        assert!(losses[2..].iter().all(|loss| (loss / 1e30 - 1.0).abs() < 1e-6), "{losses:?}");
        let near = Tolerance { absolute: 1e-30, relative: 1e-6 };
        assert_close("dlogits", &found[2].values.reals(), &[0.0, 0.0, 1.0, -1.0], near);
    }
}

#[test]
fn targets_and_weights_that_are_none_are_refused() {
    let device = &devices()[0];
    let logits = device.zeros::<f32>(2);
    let run = |targets: [f32; 2], weights: [f32; 2]| {
        let (values, weights) = (device.upload(&targets), device.upload(&weights));
        let targets = Targets { values: &values, weights: Some(&weights) };
        bce::forward(device, &logits, targets, &mut device.zeros(2)).map_err(|error| error.to_string())
    };
    assert_eq!(run([0.0, IGNORE], [0.0, 2.0]), Ok(()));
    let wanted = "bce: target is 1.5, supported: numbers from 0 to 1, and -1 for what does not count";
    assert_eq!(run([0.0, 1.5], [1.0; 2]).unwrap_err(), wanted);
    assert!(run([f32::NAN, 0.0], [1.0; 2]).is_err() && run([-0.5, 0.0], [1.0; 2]).is_err());
    let wanted = "bce: weight is -1, supported: finite numbers of at least 0";
    assert_eq!(run([0.0, 1.0], [1.0, -1.0]).unwrap_err(), wanted);
    assert!(run([0.0, 1.0], [f32::INFINITY, 1.0]).is_err());
}

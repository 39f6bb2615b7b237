//! Proofs of cross-entropy.

use pliant_kernels::ops::cross_entropy::{self, IGNORE, Sizes, TOLERANCE, TOLERANCE_GRADIENT, cpu};
use pliant_kernels::{Device, KernelError, Tolerance};
use pliant_tests::kernels::inputs::{gather, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Rows and classes: two, around vectors and pieces of work, large.
const SIZES: [(usize, usize); 7] = [(1, 2), (31, 31), (32, 32), (33, 33), (1, 17), (70, 16), (5, 5001)];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    logits: Vec<f32>,
    targets: Vec<u32>,
    scale: f32,
}

impl Problem {
    /// Scores of size three; every fifth row is ignored.
    fn new((rows, classes): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("cross_entropy {rows} {classes}"));
        let mut targets = inputs.ids(rows, classes as u32);
        targets.iter_mut().skip(2).step_by(5).for_each(|target| *target = IGNORE);
        let logits = inputs.normal(rows * classes, 3.0);
        Self { sizes: Sizes { rows, classes }, logits, targets, scale: 0.7 }
    }

    /// Losses, their mean, gradient.
    fn plain(&self) -> [Vec<f64>; 3] {
        let (mut losses, mut dlogits) = (vec![0.0; self.sizes.rows], vec![0.0; self.logits.len()]);
        cpu::forward(self.sizes, &reals(&self.logits), &self.targets, &mut losses);
        let scale = f64::from(self.scale);
        cpu::backward(self.sizes, &reals(&self.logits), &self.targets, scale, &mut dlogits);
        let mean = cpu::mean(&losses, &self.targets);
        [losses, vec![mean], dlogits]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (logits, targets) = (device.upload(&self.logits), device.upload(&self.targets));
        let (mut losses, mut dlogits) = (device.zeros(self.sizes.rows), device.zeros(self.logits.len()));
        cross_entropy::forward(device, self.sizes, &logits, &targets, &mut losses).unwrap();
        cross_entropy::backward(device, self.sizes, &logits, &targets, self.scale, &mut dlogits).unwrap();
        let mean = device.upload(&[cross_entropy::mean(device, &losses, &targets).unwrap()]);
        vec![Found::new("losses", &losses), Found::new("mean", &mean), Found::new("dlogits", &dlogits)]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize)| {
        let problem = Problem::new(sizes);
        let [losses, mean, dlogits] = problem.plain();
        let oracle = vec![
            Expected::new("losses", losses, TOLERANCE),
            Expected::new("mean", mean, TOLERANCE),
            Expected::new("dlogits", dlogits, TOLERANCE_GRADIENT),
        ];
        let name = format!("cross_entropy {}x{}", sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let problems = LENGTHS.map(|length| Problem::new((length, 33)));
    let run = move |device: &Device, order: &[usize]| {
        let logits = gather(&problems.each_ref().map(|problem| problem.logits.clone()), order);
        let targets = gather(&problems.each_ref().map(|problem| problem.targets.clone()), order);
        let sizes = Sizes { rows: targets.len(), classes: 33 };
        let found = Problem { sizes, logits, targets, scale: 1.0 }.fast(device);
        let lengths = order.iter().map(|&sequence| LENGTHS[sequence]);
        let losses = split(&found[0].values.bits(), lengths.clone());
        let dlogits = split(&found[2].values.bits(), lengths.map(|length| length * 33));
        losses.into_iter().zip(dlogits).map(|(losses, dlogits)| [losses, dlogits].concat()).collect()
    };
    vec![Invariance { name: "cross_entropy".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new((4, 5));
    let (sizes, targets) = (problem.sizes, problem.targets.clone());
    let forward = move |values: &[Vec<f64>]| {
        let mut losses = vec![0.0; 4];
        cpu::forward(sizes, &values[0], &targets, &mut losses);
        losses
    };
    // The backward takes one factor for all rows, so each row is asked for by itself.
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let mut dlogits = vec![0.0; 20];
        for (row, &slope) in dy.iter().enumerate() {
            let (place, sizes) = (row * 5..(row + 1) * 5, Sizes { rows: 1, classes: 5 });
            let target = &problem.targets[row..=row];
            cpu::backward(sizes, &values[0][place.clone()], target, slope, &mut dlogits[place]);
        }
        vec![dlogits]
    };
    let inputs = vec![("logits", reals(&problem.logits))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "cross_entropy".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("cross_entropy");
    let (logits, targets) = (file.f32("logits"), file.whole("targets"));
    let classes = logits.len() / targets.len();
    let target = |&target: &usize| if target == classes { IGNORE } else { u32::try_from(target).unwrap() };
    let targets: Vec<u32> = targets.iter().map(target).collect();
    let counted = targets.iter().filter(|&&target| target != IGNORE).count();
    let sizes = Sizes { rows: targets.len(), classes };
    let problem = Problem { sizes, logits, targets, scale: 1.0 / counted as f32 };
    let expected = ["losses", "mean", "dlogits"].map(|name| file.f64(name));
    // The scale is the 32-bit 1/6.
    let exact = Tolerance { absolute: 1e-14, relative: 5e-8 };
    for (plain, expected) in problem.plain().iter().zip(&expected) {
        assert_close("cross_entropy", plain, expected, exact);
    }
    // Scores up to 200 lose two digits to their maximum.
    let wide = Tolerance { absolute: 2e-6, relative: 1e-5 };
    for device in devices() {
        for (found, expected) in problem.fast(device).iter().zip(&expected) {
            let what = format!("cross_entropy {} on {}", found.what, device.describe());
            assert_close(&what, &found.values.reals(), expected, wide);
        }
    }
}

#[test]
fn broken_scores_give_no_number() {
    for broken in [f32::NAN, -f32::NAN, f32::INFINITY] {
        for place in [0, 7, 16, 19] {
            let mut problem = Problem { targets: vec![3, 3], ..Problem::new((2, 20)) };
            problem.logits[place] = broken;
            for device in devices() {
                let found = problem.fast(device);
                let losses = found[0].values.reals();
                assert!(losses[0].is_nan() && losses[1].is_finite(), "{broken} at {place}: {losses:?}");
                let dlogits = found[2].values.reals();
                assert!(dlogits[..20].iter().all(|slope| slope.is_nan()), "{broken} at {place}");
                assert!(dlogits[20..].iter().all(|slope| slope.is_finite()), "{broken} at {place}");
            }
        }
    }
}

#[test]
fn scores_of_any_size_do_not_overflow() {
    let mut problem = Problem { targets: vec![0, 1, 2], ..Problem::new((3, 20)) };
    problem.logits.iter_mut().for_each(|score| *score *= 1e30);
    problem.logits[45] = f32::NEG_INFINITY;
    for device in devices() {
        for found in problem.fast(device) {
            assert!(found.values.reals().iter().all(|value| value.is_finite()), "{}", found.what);
        }
    }
}

#[test]
fn a_mean_of_nothing_and_foreign_targets_are_refused() {
    let device = &devices()[0];
    let (losses, ignored) = (device.zeros::<f32>(2), device.upload(&[IGNORE; 2]));
    assert!(cross_entropy::mean(device, &losses, &ignored).is_err());
    let (logits, targets, mut losses) = (device.zeros(4), device.upload(&[1_u32, 2]), device.zeros(2));
    let found = cross_entropy::forward(device, Sizes { rows: 2, classes: 2 }, &logits, &targets, &mut losses);
    assert_eq!(found, Err(KernelError::Index { op: "cross_entropy", what: "target", found: 2, limit: 2 }));
}

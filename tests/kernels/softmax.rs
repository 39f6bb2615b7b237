//! Proofs of softmax and its logarithm.

use pliant_kernels::ops::softmax::{
    self, Kind, Sizes, TOLERANCE, TOLERANCE_GRADIENT, TOLERANCE_LOGARITHMS, cpu,
};
use pliant_kernels::{Device, KernelError, Tolerance};
use pliant_tests::kernels::inputs::{gather, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Rows and classes: two, around vectors and pieces of work, a vocabulary, large.
const SIZES: [(usize, usize); 7] = [(1, 2), (31, 31), (32, 32), (33, 33), (1, 17), (70, 16), (5, 5001)];

const KINDS: [Kind; 2] = [Kind::Probabilities, Kind::Logarithms];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    kind: Kind,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    fn new(kind: Kind, (rows, classes): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("softmax {rows} {classes}"));
        let [x, dy] = [3.0, 1.0].map(|spread| inputs.normal(rows * classes, spread));
        Self { sizes: Sizes { rows, classes }, kind, x, dy }
    }

    fn tolerance(&self) -> Tolerance {
        match self.kind {
            Kind::Probabilities => TOLERANCE,
            Kind::Logarithms => TOLERANCE_LOGARITHMS,
        }
    }

    /// Results, and the gradient from results as a fast forward rounds them.
    fn plain(&self) -> [Vec<f64>; 2] {
        let (mut y, mut dx) = (vec![0.0; self.x.len()], vec![0.0; self.x.len()]);
        cpu::forward(self.sizes, self.kind, &reals(&self.x), &mut y);
        cpu::backward(self.sizes, self.kind, (&y, &reals(&self.dy)), &mut dx);
        [y, dx]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (x, dy) = (device.upload(&self.x), device.upload(&self.dy));
        let [mut y, mut dx] = [(); 2].map(|()| device.upload(&vec![f32::NAN; self.x.len()]));
        softmax::forward(device, self.sizes, self.kind, &x, &mut y).unwrap();
        softmax::backward(device, self.sizes, self.kind, (&y, &dy), &mut dx).unwrap();
        vec![Found::new("y", &y), Found::new("dx", &dx)]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |kind, sizes: (usize, usize)| {
        let problem = Problem::new(kind, sizes);
        let [y, dx] = problem.plain();
        let mut oracle = vec![Expected::new("y", y, problem.tolerance())];
        // The sum of a row of gradients grows with the root of the classes, and its rounding with it.
        let grown = (sizes.1 as f64 / 100.0).sqrt().max(1.0);
        let Tolerance { absolute, relative } = TOLERANCE_GRADIENT;
        oracle.push(Expected::new("dx", dx, Tolerance { absolute: absolute * grown, relative }));
        let name = format!("softmax {kind:?} {}x{}", sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    KINDS.into_iter().flat_map(|kind| SIZES.map(|sizes| case(kind, sizes))).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let invariance = |kind| {
        let problems = LENGTHS.map(|length| Problem::new(kind, (length, 33)));
        let run = move |device: &Device, order: &[usize]| {
            let x = gather(&problems.each_ref().map(|problem| problem.x.clone()), order);
            let dy = gather(&problems.each_ref().map(|problem| problem.dy.clone()), order);
            let sizes = Sizes { rows: x.len() / 33, classes: 33 };
            let found = Problem { sizes, kind, x, dy }.fast(device);
            let lengths = order.iter().map(|&sequence| LENGTHS[sequence] * 33);
            let [y, dx] = [0, 1].map(|result: usize| split(&found[result].values.bits(), lengths.clone()));
            y.into_iter().zip(dx).map(|(y, dx)| [y, dx].concat()).collect()
        };
        Invariance { name: format!("softmax {kind:?}"), sequences: LENGTHS.len(), run: Box::new(run) }
    };
    KINDS.map(invariance).into()
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let gradient = |kind| {
        let problem = Problem::new(kind, (4, 5));
        let sizes = problem.sizes;
        let results = move |x: &[f64]| {
            let mut y = vec![0.0; 20];
            cpu::forward(sizes, kind, x, &mut y);
            y
        };
        let forward = move |values: &[Vec<f64>]| results(&values[0]);
        let backward = move |values: &[Vec<f64>], dy: &[f64]| {
            let mut dx = vec![0.0; 20];
            cpu::backward(sizes, kind, (&results(&values[0]), dy), &mut dx);
            vec![dx]
        };
        let inputs = vec![("x", reals(&problem.x))];
        let (forward, backward) = (Box::new(forward), Box::new(backward));
        Gradient { name: format!("softmax {kind:?}"), inputs, forward, backward }
    };
    KINDS.map(gradient).into()
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("softmax");
    let (x, dy) = (file.f32("x"), file.f32("dy"));
    let sizes = Sizes { rows: x.len() / 33, classes: 33 };
    for (kind, name) in [(Kind::Probabilities, "probabilities"), (Kind::Logarithms, "logarithms")] {
        let problem = Problem { sizes, kind, x: x.clone(), dy: dy.clone() };
        let expected = [file.f64(name), file.f64(&format!("{name}_dx"))];
        let exact = Tolerance { absolute: 1e-14, relative: 1e-12 };
        for (plain, expected) in problem.plain().iter().zip(&expected) {
            assert_close(name, plain, expected, exact);
        }
        for device in devices() {
            let found = problem.fast(device);
            assert_close(name, &found[0].values.reals(), &expected[0], problem.tolerance());
            assert_close(name, &found[1].values.reals(), &expected[1], TOLERANCE_GRADIENT);
        }
    }
}

#[test]
fn broken_scores_give_no_number() {
    for (kind, broken) in KINDS.into_iter().flat_map(|kind| [f32::NAN, f32::INFINITY].map(|bad| (kind, bad)))
    {
        for place in [0, 7, 16, 19] {
            let mut problem = Problem::new(kind, (2, 20));
            problem.x[place] = broken;
            for device in devices() {
                let y = problem.fast(device)[0].values.reals();
                assert!(y[..20].iter().all(|value| value.is_nan()), "{kind:?} {broken} at {place}");
                assert!(y[20..].iter().all(|value| value.is_finite()), "{kind:?} {broken} at {place}");
            }
        }
    }
}

#[test]
fn one_class_is_certain() {
    for device in devices() {
        for (kind, wanted) in [(Kind::Probabilities, 1.0), (Kind::Logarithms, 0.0)] {
            let found = Problem::new(kind, (3, 1)).fast(device);
            assert_eq!(found[0].values.reals(), [wanted; 3]);
            assert_eq!(found[1].values.reals(), [0.0; 3]);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = &devices()[0];
    let run = |classes: usize, x: usize, y: usize| {
        let (x, mut y) = (device.zeros(x), device.zeros(y));
        softmax::forward(device, Sizes { rows: 2, classes }, Kind::Logarithms, &x, &mut y)
    };
    assert_eq!(run(3, 6, 6), Ok(()));
    for (classes, x, y) in [(0, 0, 0), (3, 5, 6), (3, 6, 5)] {
        assert!(matches!(run(classes, x, y), Err(KernelError::Size { .. })), "{classes} {x} {y}");
    }
}

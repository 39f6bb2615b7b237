//! Proofs of activations and distances among the operations on single numbers.

use pliant_kernels::ops::elementwise::{self, Activation, TOLERANCE, TOLERANCE_ACTIVATION, cpu};
use pliant_kernels::{Device, Tolerance};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Gradient, Inputs, assert_close, devices};

/// Lengths: one, around a vector, over a piece of work, large.
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 33, 16 * 1024 + 1, 100_003];

#[derive(Clone)]
struct Problem {
    x: Vec<f32>,
    other: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    /// Numbers of size two; every seventh equals its partner. The first is not cut to zero.
    fn new(length: usize) -> Self {
        let mut inputs = Inputs::new(&format!("activation {length}"));
        let mut next = |spread| inputs.normal(length, spread);
        let (mut x, mut other, dy) = (next(2.0), next(2.0), next(1.0));
        x[0] = x[0].abs();
        (3..length).step_by(7).for_each(|place| other[place] = x[place]);
        Self { x, other, dy }
    }

    fn plain(&self) -> Vec<Expected> {
        let [x, other, dy] = [&self.x, &self.other, &self.dy].map(|values| reals(values));
        let [mut y, mut slope] = [(); 2].map(|()| vec![0.0; x.len()]);
        cpu::distance(&x, &other, &mut y);
        cpu::distance_backward((&x, &other), &dy, &mut slope);
        let mut expected =
            vec![Expected::new("distance", y, TOLERANCE), Expected::new("da", slope, TOLERANCE)];
        for (activation, [result, gradient]) in Activation::ALL.into_iter().zip(NAMES) {
            let [y, dx] = plain(activation, &x, &dy);
            expected.push(Expected::new(result, y, TOLERANCE_ACTIVATION));
            expected.push(Expected::new(gradient, dx, TOLERANCE_ACTIVATION));
        }
        expected
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [x, other, dy] = [&self.x, &self.other, &self.dy].map(|values| device.upload(values));
        let [mut y, mut slope] = [(); 2].map(|()| device.zeros(x.len()));
        elementwise::distance(device, &x, &other, &mut y).unwrap();
        elementwise::distance_backward(device, (&x, &other), &dy, &mut slope).unwrap();
        let mut found = vec![Found::new("distance", &y), Found::new("da", &slope)];
        for (activation, [result, gradient]) in Activation::ALL.into_iter().zip(NAMES) {
            elementwise::activate(device, activation, &x, &mut y).unwrap();
            elementwise::activate_backward(device, activation, (&y, &dy), &mut slope).unwrap();
            found.push(Found::new(result, &y));
            found.push(Found::new(gradient, &slope));
        }
        found
    }
}

/// Names of results and gradients, in the order of [`Activation::ALL`].
const NAMES: [[&str; 2]; 3] = [["relu", "drelu"], ["tanh", "dtanh"], ["sigmoid", "dsigmoid"]];

/// Result and gradient.
fn plain(activation: Activation, x: &[f64], dy: &[f64]) -> [Vec<f64>; 2] {
    let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; x.len()]);
    cpu::activate(activation, x, &mut y);
    cpu::activate_backward(activation, (&y, dy), &mut dx);
    [y, dx]
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |length| {
        let problem = Problem::new(length);
        let oracle = problem.plain();
        let name = format!("activation {length}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    LENGTHS.map(case).into()
}

pub(crate) fn gradients() -> Vec<Gradient> {
    // No number is nearer to 0, no two are nearer to each other, than the steps of the differences.
    let x: Vec<f64> = (0..40).map(|i| (f64::from(i) - 19.7) * 0.1).collect();
    let other: Vec<f64> = (0..40).map(|i| (f64::from((i * 17) % 40) - 19.25) * 0.1).collect();
    let activation = |(activation, [name, _]): (Activation, [&str; 2])| Gradient {
        name: name.to_owned(),
        inputs: vec![("x", x.clone())],
        forward: Box::new(move |values| {
            let [y, _] = plain(activation, &values[0], &values[0]);
            y
        }),
        backward: Box::new(move |values, dy| {
            let [_, dx] = plain(activation, &values[0], dy);
            vec![dx]
        }),
    };
    let distance = Gradient {
        name: "distance".to_owned(),
        inputs: vec![("a", x.clone()), ("b", other)],
        forward: Box::new(|values| {
            let mut y = vec![0.0; values[0].len()];
            cpu::distance(&values[0], &values[1], &mut y);
            y
        }),
        backward: Box::new(|values, dy| {
            let mut da = vec![0.0; dy.len()];
            cpu::distance_backward((&values[0], &values[1]), dy, &mut da);
            let db = da.iter().map(|slope| -slope).collect();
            vec![da, db]
        }),
    };
    let mut gradients: Vec<Gradient> = Activation::ALL.into_iter().zip(NAMES).map(activation).collect();
    gradients.push(distance);
    gradients
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("elementwise");
    let exact = Tolerance { absolute: 1e-14, relative: 1e-12 };
    let activations = Problem { x: file.f32("x"), other: file.f32("b"), dy: file.f32("dy") };
    let distances = Problem { x: file.f32("left"), other: file.f32("b"), dy: file.f32("dy") };
    let names = ["distance", "dleft"].into_iter().chain(NAMES.into_iter().flatten());
    for (place, name) in names.enumerate() {
        let problem = if place < 2 { &distances } else { &activations };
        let golden = file.f64(name);
        assert_close(name, &problem.plain()[place].values, &golden, exact);
        for device in devices() {
            let tolerance = if place < 2 { TOLERANCE } else { TOLERANCE_ACTIVATION };
            assert_close(name, &problem.fast(device)[place].values.reals(), &golden, tolerance);
        }
    }
    let minus: Vec<f64> = file.f64("dleft").iter().map(|slope| -slope).collect();
    assert_eq!(minus, file.f64("dright"));
}

#[test]
fn what_is_not_a_number_stays_so() {
    let problem = Problem { x: vec![f32::NAN, 1.0], other: vec![1.0; 2], dy: vec![1.0; 2] };
    for device in devices() {
        let results = problem.fast(device);
        for found in [0, 2, 4, 6].map(|result: usize| &results[result]) {
            let values = found.values.reals();
            assert!(values[0].is_nan() && values[1].is_finite(), "{}: {values:?}", found.what);
        }
    }
}

#[test]
fn lengths_that_differ_are_refused() {
    let device = &devices()[0];
    let (short, mut long) = (device.zeros::<f32>(3), device.zeros::<f32>(4));
    assert!(elementwise::distance(device, &short, &short, &mut long).is_err());
    assert!(elementwise::distance_backward(device, (&short, &short), &short, &mut long).is_err());
    assert!(elementwise::activate(device, Activation::Tanh, &short, &mut long).is_err());
    assert!(elementwise::activate_backward(device, Activation::Tanh, (&short, &short), &mut long).is_err());
}

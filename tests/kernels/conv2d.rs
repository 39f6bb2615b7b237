//! Proofs of the filter over maps.

use pliant_kernels::ops::conv2d::{self, Grads, Sizes, TOLERANCE, TOLERANCE_WEIGHTS, cpu};
use pliant_kernels::{Device, Tolerance};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Height, breadth, inputs, outputs, side: one place, maps smaller than the square, around vectors, that of contact maps.
const SIZES: [[usize; 5]; 7] = [
    [1, 1, 1, 1, 1],
    [1, 1, 3, 2, 7],
    [2, 5, 4, 3, 7],
    [9, 8, 5, 1, 3],
    [6, 7, 16, 2, 5],
    [5, 9, 17, 1, 1],
    [19, 21, 50, 1, 7],
];

fn sizes([height, breadth, inputs, outputs, side]: [usize; 5]) -> Sizes {
    Sizes { height, breadth, inputs, outputs, side }
}

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    x: Vec<f32>,
    weights: Vec<f32>,
    shifts: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    /// Weights of such a size that results have size one.
    fn new(of: [usize; 5]) -> Self {
        let (mut inputs, sizes) = (Inputs::new(&format!("conv2d {of:?}")), sizes(of));
        let spread = 1.0 / ((sizes.inputs * sizes.side * sizes.side) as f32).sqrt();
        Self {
            sizes,
            x: inputs.normal(sizes.places() * sizes.inputs, 1.0),
            weights: inputs.normal(sizes.weights(), spread),
            shifts: inputs.normal(sizes.outputs, 1.0),
            dy: inputs.normal(sizes.places() * sizes.outputs, 1.0),
        }
    }

    /// Results, gradients of inputs, weights and shifts, the latter two added to weights and shifts.
    fn plain(&self) -> [Vec<f64>; 4] {
        let [x, weights, shifts, dy] =
            [&self.x, &self.weights, &self.shifts, &self.dy].map(|values| reals(values));
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        let (mut dweights, mut dshifts) = (weights.clone(), shifts.clone());
        cpu::forward(self.sizes, &x, (&weights, &shifts), &mut y);
        cpu::backward(self.sizes, (&x, &weights), &dy, &mut dx, (&mut dweights, &mut dshifts));
        [y, dx, dweights, dshifts]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [x, weights, shifts, dy] =
            [&self.x, &self.weights, &self.shifts, &self.dy].map(|values| device.upload(values));
        let (mut y, mut dx) = (device.zeros(dy.len()), device.upload(&self.x));
        let (mut dweights, mut dshifts) = (device.upload(&self.weights), device.upload(&self.shifts));
        conv2d::forward(device, self.sizes, &x, (&weights, &shifts), &mut y).unwrap();
        let grads = Grads { dx: &mut dx, dweights: &mut dweights, dshifts: &mut dshifts };
        conv2d::backward(device, self.sizes, (&x, &weights), &dy, grads).unwrap();
        vec![
            Found::new("y", &y),
            Found::new("dx", &dx),
            Found::new("dweights", &dweights),
            Found::new("dshifts", &dshifts),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |of: [usize; 5]| {
        let problem = Problem::new(of);
        let [y, dx, dweights, dshifts] = problem.plain();
        let oracle = vec![
            Expected::new("y", y, TOLERANCE),
            Expected::new("dx", dx, TOLERANCE),
            Expected::new("dweights", dweights, TOLERANCE_WEIGHTS),
            Expected::new("dshifts", dshifts, TOLERANCE_WEIGHTS),
        ];
        Case { name: format!("conv2d {of:?}"), fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

/// Outputs take no notice of each other: each has the bits that it has alone.
pub(crate) fn invariance() -> Vec<Invariance> {
    const OUTPUTS: usize = 3;
    let problem = Problem::new([6, 5, 9, OUTPUTS, 7]);
    let run = move |device: &Device, order: &[usize]| {
        let count = problem.sizes.weights() / OUTPUTS;
        let pick = |values: &[f32], count: usize| -> Vec<f32> {
            order.iter().flat_map(|&o| values[o * count..(o + 1) * count].to_vec()).collect()
        };
        let alone = Problem {
            sizes: Sizes { outputs: order.len(), ..problem.sizes },
            weights: pick(&problem.weights, count),
            shifts: pick(&problem.shifts, 1),
            dy: vec![0.0; problem.sizes.places() * order.len()],
            x: problem.x.clone(),
        };
        let bits = alone.fast(device)[0].values.bits();
        let own = |place: usize| bits.iter().copied().skip(place).step_by(order.len()).collect();
        (0..order.len()).map(own).collect()
    };
    vec![Invariance { name: "conv2d".to_owned(), sequences: OUTPUTS, run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new([3, 4, 2, 2, 3]);
    let sizes = problem.sizes;
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; sizes.places() * sizes.outputs];
        cpu::forward(sizes, &values[0], (&values[1], &values[2]), &mut y);
        y
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let [mut dx, mut dweights, mut dshifts] =
            [0, 1, 2].map(|input: usize| vec![0.0; values[input].len()]);
        cpu::backward(sizes, (&values[0], &values[1]), dy, &mut dx, (&mut dweights, &mut dshifts));
        vec![dx, dweights, dshifts]
    };
    let inputs = vec![
        ("x", reals(&problem.x)),
        ("weights", reals(&problem.weights)),
        ("shifts", reals(&problem.shifts)),
    ];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "conv2d".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("conv2d");
    let of: [usize; 5] = file.whole("sizes").try_into().unwrap();
    let (weights, shifts) = (file.f32("weights"), file.f32("shifts"));
    let added = |name: &str, start: &[f32]| -> Vec<f64> {
        file.f64(name).iter().zip(start).map(|(slope, &start)| slope + f64::from(start)).collect()
    };
    let golden = [file.f64("y"), file.f64("dx"), added("dweights", &weights), added("dshifts", &shifts)];
    let problem = Problem { sizes: sizes(of), x: file.f32("x"), weights, shifts, dy: file.f32("dy") };
    let exact = Tolerance { absolute: 1e-13, relative: 1e-13 };
    for (plain, golden) in problem.plain().iter().zip(&golden) {
        assert_close("conv2d", plain, golden, exact);
    }
    for device in devices() {
        for (found, golden) in problem.fast(device).iter().zip(&golden) {
            assert_close(found.what, &found.values.reals(), golden, TOLERANCE_WEIGHTS);
        }
    }
}

#[test]
fn what_is_not_a_number_reaches_its_neighbours_alone() {
    let mut problem = Problem::new([9, 9, 3, 1, 3]);
    problem.x[(4 * 9 + 4) * 3 + 1] = f32::NAN;
    for device in devices() {
        let y = problem.fast(device)[0].values.reals();
        for (place, value) in y.iter().enumerate() {
            let near = (place / 9).abs_diff(4) <= 1 && (place % 9).abs_diff(4) <= 1;
            assert_eq!(value.is_nan(), near, "{place}");
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let run = |of: [usize; 5], count: usize| {
        let sizes = sizes(of);
        let (x, weights) = (device.zeros(count), device.zeros(sizes.weights()));
        let (shifts, mut y) = (device.zeros(sizes.outputs), device.zeros(sizes.places() * sizes.outputs));
        conv2d::forward(device, sizes, &x, (&weights, &shifts), &mut y).map_err(|error| error.to_string())
    };
    assert_eq!(run([2, 3, 4, 1, 3], 24), Ok(()));
    assert_eq!(run([2, 3, 4, 1, 2], 24).unwrap_err(), "conv2d: side of the square is 2, supported: odd");
    assert_eq!(run([2, 3, 4, 1, 3], 23).unwrap_err(), "conv2d: inputs is 23, wanted 24");
    assert!(run([2, 3, 0, 1, 3], 0).is_err() && run([2, 3, 1, 0, 3], 6).is_err());
    assert_eq!(run([0, 3, 4, 1, 3], 0), Ok(()));
}

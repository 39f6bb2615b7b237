//! Proofs of the root mean square norm.

use pliant_kernels::ops::rms_norm::{self, Sizes, TOLERANCE, TOLERANCE_BF16, TOLERANCE_WEIGHTS, cpu};
use pliant_kernels::{Device, Output, Tolerance, bf16};
use pliant_tests::kernels::inputs::{gather, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Rows and widths: smallest whose gradient is not zero, around vectors and pieces of work, over a chunk of the scale's
/// gradient, large.
const SIZES: [(usize, usize); 8] =
    [(1, 2), (1, 31), (31, 32), (32, 33), (33, 320), (513, 17), (1030, 48), (40, 1280)];

/// Numbers of one case: `x` and gradient `[R,C]`, `γ [C]`.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    x: Vec<f32>,
    gamma: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    /// Rows of size one; gradients of size 1/√R so that their sums have size one.
    fn new((rows, width): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("rms_norm {rows} {width}"));
        Self {
            sizes: Sizes { rows, width, epsilon: 1e-5 },
            x: inputs.normal(rows * width, 1.0),
            gamma: inputs.normal(width, 0.3).into_iter().map(|value| value + 1.0).collect(),
            dy: inputs.normal(rows * width, 1.0 / (rows as f32).sqrt()),
        }
    }

    /// Result, statistics and gradients of the plain text; that of γ is added to γ.
    fn plain(&self) -> [Vec<f64>; 4] {
        let [x, gamma, dy] = [&self.x, &self.gamma, &self.dy].map(|values| reals(values));
        let (mut y, mut stats) = (vec![0.0; x.len()], vec![0.0; self.sizes.rows]);
        cpu::forward(self.sizes, &x, &gamma, &mut y, &mut stats);
        let (mut dx, mut dgamma) = (vec![0.0; x.len()], gamma.clone());
        cpu::backward(self.sizes, (&x, &stats), &gamma, &dy, &mut dx, &mut dgamma);
        [y, stats, dx, dgamma]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [x, gamma, dy] = [&self.x, &self.gamma, &self.dy].map(|values| device.upload(values));
        let (mut y, mut narrow) = (device.zeros::<f32>(x.len()), device.zeros::<bf16>(x.len()));
        let mut stats = device.zeros(self.sizes.rows);
        rms_norm::forward(device, self.sizes, &x, &gamma, Output::F32(&mut y), Some(&mut stats)).unwrap();
        rms_norm::forward(device, self.sizes, &x, &gamma, Output::Bf16(&mut narrow), None).unwrap();
        let (mut dx, mut dgamma) = (device.zeros(x.len()), device.upload(&self.gamma));
        rms_norm::backward(device, self.sizes, (&x, &stats), &gamma, &dy, (&mut dx, false), &mut dgamma)
            .unwrap();
        let (mut added, mut more) = (device.upload(&self.x), device.zeros(gamma.len()));
        rms_norm::backward(device, self.sizes, (&x, &stats), &gamma, &dy, (&mut added, true), &mut more)
            .unwrap();
        vec![
            Found::new("y", &y),
            Found::new("statistics", &stats),
            Found::new("dx", &dx),
            Found::new("dgamma", &dgamma),
            Found::new("y in bf16", &narrow),
            Found::new("dx added", &added),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize)| {
        let problem = Problem::new(sizes);
        let [y, stats, dx, dgamma] = problem.plain();
        let oracle = vec![
            Expected::new("y", y.clone(), TOLERANCE),
            Expected::new("statistics", stats, TOLERANCE),
            Expected::new("dx", dx.clone(), TOLERANCE),
            Expected::new("dgamma", dgamma, TOLERANCE_WEIGHTS),
            Expected::new("y in bf16", y, TOLERANCE_BF16),
            Expected::new(
                "dx added",
                dx.iter().zip(&problem.x).map(|(dx, &x)| dx + f64::from(x)).collect(),
                TOLERANCE,
            ),
        ];
        let name = format!("rms_norm {}x{}", sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let width = 83;
    let problems = LENGTHS.map(|length| Problem::new((length, width)));
    let gamma = problems[0].gamma.clone();
    let run = move |device: &Device, order: &[usize]| {
        let x = gather(&problems.each_ref().map(|problem| problem.x.clone()), order);
        let dy = gather(&problems.each_ref().map(|problem| problem.dy.clone()), order);
        let sizes = Sizes { rows: x.len() / width, width, epsilon: 1e-5 };
        let found = Problem { sizes, x, gamma: gamma.clone(), dy }.fast(device);
        let lengths = || order.iter().map(|&sequence| LENGTHS[sequence] * width);
        let [y, dx] = [0, 2].map(|result| split(&found[result].values.bits(), lengths()));
        y.into_iter().zip(dx).map(|(y, dx)| [y, dx].concat()).collect()
    };
    vec![Invariance { name: "rms_norm".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new((3, 7));
    let sizes = problem.sizes;
    let inputs = vec![("x", reals(&problem.x)), ("gamma", reals(&problem.gamma))];
    let run = move |values: &[Vec<f64>]| {
        let (mut y, mut stats) = (vec![0.0; 21], vec![0.0; 3]);
        cpu::forward(sizes, &values[0], &values[1], &mut y, &mut stats);
        (y, stats)
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let (mut dx, mut dgamma) = (vec![0.0; 21], vec![0.0; 7]);
        let stats = run(values).1;
        cpu::backward(sizes, (&values[0], &stats), &values[1], dy, &mut dx, &mut dgamma);
        vec![dx, dgamma]
    };
    let (forward, backward) = (Box::new(move |values: &[Vec<f64>]| run(values).0), Box::new(backward));
    vec![Gradient { name: "rms_norm".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("rms_norm");
    let (x, gamma, dy) = (file.f32("x"), file.f32("gamma"), file.f32("dy"));
    let sizes = Sizes { rows: x.len() / gamma.len(), width: gamma.len(), epsilon: file.f32("epsilon")[0] };
    let dgamma =
        file.f64("dgamma").iter().zip(&gamma).map(|(grad, &start)| grad + f64::from(start)).collect();
    let expected = [("y", 0, file.f64("y")), ("dx", 2, file.f64("dx")), ("dgamma", 3, dgamma)];
    let problem = Problem { sizes, x, gamma, dy };
    let plain = problem.plain();
    // PyTorch's ε is the 64-bit 1e-5, ours the 32-bit one: apart by 3e-8 of it.
    let exact = Tolerance { absolute: 1e-8, relative: 3e-8 };
    for (name, place, expected) in &expected {
        assert_close(name, &plain[*place], expected, exact);
    }
    // The first row is a tenth large, so its gradient is ten times as large as the others.
    let wide = Tolerance { absolute: 1e-5, relative: 2e-6 };
    for device in devices() {
        let found = problem.fast(device);
        for (name, place, expected) in &expected {
            let what = format!("rms_norm {name} on {}", device.describe());
            assert_close(&what, &found[*place].values.reals(), expected, wide);
        }
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_row() {
    let mut problem = Problem::new((3, 20));
    problem.x[27] = f32::NAN;
    for device in devices() {
        let y = problem.fast(device)[0].values.reals();
        let found: Vec<bool> = y.chunks(20).map(|row| row.iter().all(|value| value.is_nan())).collect();
        assert_eq!(found, [false, true, false], "{}", device.describe());
        assert!(y[..20].iter().chain(&y[40..]).all(|value| value.is_finite()));
    }
}

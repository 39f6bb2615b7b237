//! Proofs of layer normalisation.

use pliant_kernels::ops::layer_norm::{
    self, Grads, Sizes, TOLERANCE, TOLERANCE_BF16, TOLERANCE_WEIGHTS, cpu,
};
use pliant_kernels::{Device, Output, Tolerance, bf16};
use pliant_tests::kernels::inputs::{gather, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Rows and widths: smallest whose gradient is not zero, around vectors and pieces of work, over a chunk of
/// the weight gradient, large.
const SIZES: [(usize, usize); 8] =
    [(1, 3), (1, 31), (31, 32), (32, 33), (33, 320), (513, 17), (1030, 48), (40, 1280)];

/// Numbers of one case: `x` and gradient `[R,C]`, `γ` and `β` `[C]`.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    dy: Vec<f32>,
}

/// Results of the plain text.
struct Plain {
    y: Vec<f64>,
    stats: Vec<f64>,
    dx: Vec<f64>,
    dgamma: Vec<f64>,
    dbeta: Vec<f64>,
}

impl Problem {
    /// Rows of size one around a mean of half that; gradients of size 1/√R so that their sums have size one.
    fn new((rows, width): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("layer_norm {rows} {width}"));
        let sizes = Sizes { rows, width, epsilon: 1e-5 };
        let shift = |values: Vec<f32>, by: f32| values.into_iter().map(|value| value + by).collect();
        Self {
            sizes,
            x: shift(inputs.normal(rows * width, 1.0), 0.5),
            gamma: shift(inputs.normal(width, 0.3), 1.0),
            beta: inputs.normal(width, 1.0),
            dy: inputs.normal(rows * width, 1.0 / (rows as f32).sqrt()),
        }
    }

    /// Plain forward and backward; weight gradients are added to γ and β.
    fn plain(&self) -> Plain {
        let [x, gamma, beta, dy] = [&self.x, &self.gamma, &self.beta, &self.dy].map(|values| reals(values));
        let (mut y, mut stats) = (vec![0.0; x.len()], vec![0.0; 2 * self.sizes.rows]);
        cpu::forward(self.sizes, &x, &gamma, &beta, &mut y, &mut stats);
        let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; x.len()], gamma.clone(), beta);
        cpu::backward(self.sizes, (&x, &stats), &gamma, &dy, &mut dx, (&mut dgamma, &mut dbeta));
        Plain { y, stats, dx, dgamma, dbeta }
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [x, gamma, beta, dy] =
            [&self.x, &self.gamma, &self.beta, &self.dy].map(|values| device.upload(values));
        let (mut y, mut narrow) = (device.zeros::<f32>(x.len()), device.zeros::<bf16>(x.len()));
        let mut stats = device.zeros(2 * self.sizes.rows);
        layer_norm::forward(device, self.sizes, &x, &gamma, &beta, Output::F32(&mut y), Some(&mut stats))
            .unwrap();
        layer_norm::forward(device, self.sizes, &x, &gamma, &beta, Output::Bf16(&mut narrow), None).unwrap();
        let mut dx = device.zeros(x.len());
        let (mut dgamma, mut dbeta) = (device.upload(&self.gamma), device.upload(&self.beta));
        let grads = Grads { dx: &mut dx, accumulate: false, dgamma: &mut dgamma, dbeta: &mut dbeta };
        layer_norm::backward(device, self.sizes, (&x, &stats), &gamma, &dy, grads).unwrap();
        let (mut added, [mut once, mut more]) =
            (device.upload(&self.x), [(); 2].map(|()| device.zeros(gamma.len())));
        let grads = Grads { dx: &mut added, accumulate: true, dgamma: &mut once, dbeta: &mut more };
        layer_norm::backward(device, self.sizes, (&x, &stats), &gamma, &dy, grads).unwrap();
        vec![
            Found::new("y", &y),
            Found::new("y in bf16", &narrow),
            Found::new("statistics", &stats),
            Found::new("dx", &dx),
            Found::new("dgamma", &dgamma),
            Found::new("dbeta", &dbeta),
            Found::new("dx added", &added),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize)| {
        let problem = Problem::new(sizes);
        let plain = problem.plain();
        let oracle = vec![
            Expected::new("y", plain.y.clone(), TOLERANCE),
            Expected::new("y in bf16", plain.y, TOLERANCE_BF16),
            Expected::new("statistics", plain.stats, TOLERANCE),
            Expected::new("dx", plain.dx.clone(), TOLERANCE),
            Expected::new("dgamma", plain.dgamma, TOLERANCE_WEIGHTS),
            Expected::new("dbeta", plain.dbeta, TOLERANCE_WEIGHTS),
            Expected::new(
                "dx added",
                plain.dx.iter().zip(&problem.x).map(|(dx, &x)| dx + f64::from(x)).collect(),
                TOLERANCE,
            ),
        ];
        let name = format!("layer_norm {}x{}", sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let width = 83;
    let mut inputs = Inputs::new("layer_norm rows");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let (gamma, beta) = (inputs.normal(width, 1.0), inputs.normal(width, 1.0));
    let run = move |device: &Device, order: &[usize]| {
        let x = device.upload(&gather(&rows, order));
        let mut y = device.zeros(x.len());
        let sizes = Sizes { rows: x.len() / width, width, epsilon: 1e-5 };
        let (gamma, beta) = (device.upload(&gamma), device.upload(&beta));
        layer_norm::forward(device, sizes, &x, &gamma, &beta, Output::F32(&mut y), None).unwrap();
        let bits = Found::new("y", &y).values.bits();
        split(&bits, order.iter().map(|&sequence| LENGTHS[sequence] * width))
    };
    vec![Invariance { name: "layer_norm".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new((3, 7));
    let sizes = problem.sizes;
    let inputs =
        vec![("x", reals(&problem.x)), ("gamma", reals(&problem.gamma)), ("beta", reals(&problem.beta))];
    let forward = move |values: &[Vec<f64>]| {
        let (mut y, mut stats) = (vec![0.0; 21], vec![0.0; 6]);
        cpu::forward(sizes, &values[0], &values[1], &values[2], &mut y, &mut stats);
        y
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let (mut y, mut stats) = (vec![0.0; 21], vec![0.0; 6]);
        cpu::forward(sizes, &values[0], &values[1], &values[2], &mut y, &mut stats);
        let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; 21], vec![0.0; 7], vec![0.0; 7]);
        cpu::backward(sizes, (&values[0], &stats), &values[1], dy, &mut dx, (&mut dgamma, &mut dbeta));
        vec![dx, dgamma, dbeta]
    };
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "layer_norm".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("layer_norm");
    let (x, gamma, beta, dy) = (file.f32("x"), file.f32("gamma"), file.f32("beta"), file.f32("dy"));
    let sizes = Sizes { rows: x.len() / gamma.len(), width: gamma.len(), epsilon: file.f32("epsilon")[0] };
    let problem = Problem { sizes, x, gamma: gamma.clone(), beta: beta.clone(), dy };
    let plain = problem.plain();
    // PyTorch's ε is the 64-bit 1e-5, ours the 32-bit one: apart by 3e-8 of it.
    let exact = Tolerance { absolute: 1e-9, relative: 2e-8 };
    let added = |name: &str, start: &[f32]| -> Vec<f64> {
        file.f64(name).iter().zip(start).map(|(grad, &start)| grad + f64::from(start)).collect()
    };
    let (dgamma, dbeta) = (added("dgamma", &gamma), added("dbeta", &beta));
    assert_close("layer_norm y", &plain.y, &file.f64("y"), exact);
    assert_close("layer_norm dx", &plain.dx, &file.f64("dx"), Tolerance { absolute: 1e-6, ..exact });
    assert_close("layer_norm dgamma", &plain.dgamma, &dgamma, exact);
    assert_close("layer_norm dbeta", &plain.dbeta, &dbeta, exact);
    // The first row's spread is a hundredth of its mean, which costs two digits.
    let wide = Tolerance { absolute: 2e-5, relative: 1e-5 };
    for device in devices() {
        let found: Vec<Vec<f64>> = problem.fast(device).iter().map(|found| found.values.reals()).collect();
        assert_close("layer_norm y", &found[0], &file.f64("y"), wide);
        assert_close("layer_norm dx", &found[3], &file.f64("dx"), Tolerance { absolute: 2e-3, ..wide });
        assert_close("layer_norm dgamma", &found[4], &dgamma, wide);
        assert_close("layer_norm dbeta", &found[5], &dbeta, wide);
    }
}

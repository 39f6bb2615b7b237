//! Proofs of layer normalisation.

use pliant_kernels::ops::layer_norm::{
    self, Grads, Kind, Sizes, TOLERANCE, TOLERANCE_BF16, TOLERANCE_WEIGHTS, cpu,
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

/// Both forms with the ε of models that have them.
const FORMS: [(Kind, f32); 2] = [(Kind::Deviation, 1e-5), (Kind::RootDeviation, 1e-12)];

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
    fn new((kind, epsilon): (Kind, f32), (rows, width): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("layer_norm {rows} {width}"));
        let sizes = Sizes { rows, width, epsilon, kind };
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
    let case = |form: (Kind, f32), sizes: (usize, usize)| {
        let problem = Problem::new(form, sizes);
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
        let name = format!("layer_norm {:?} {}x{}", form.0, sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    FORMS.into_iter().flat_map(|form| SIZES.map(|sizes| case(form, sizes))).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    FORMS.map(alone_or_together).into()
}

fn alone_or_together((kind, epsilon): (Kind, f32)) -> Invariance {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let width = 83;
    let mut inputs = Inputs::new("layer_norm rows");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let (gamma, beta) = (inputs.normal(width, 1.0), inputs.normal(width, 1.0));
    let run = move |device: &Device, order: &[usize]| {
        let x = device.upload(&gather(&rows, order));
        let mut y = device.zeros(x.len());
        let sizes = Sizes { rows: x.len() / width, width, epsilon, kind };
        let (gamma, beta) = (device.upload(&gamma), device.upload(&beta));
        layer_norm::forward(device, sizes, &x, &gamma, &beta, Output::F32(&mut y), None).unwrap();
        let bits = Found::new("y", &y).values.bits();
        split(&bits, order.iter().map(|&sequence| LENGTHS[sequence] * width))
    };
    Invariance { name: format!("layer_norm {kind:?}"), sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    FORMS.map(gradient).into()
}

fn gradient(form: (Kind, f32)) -> Gradient {
    let problem = Problem::new(form, (3, 7));
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
    Gradient { name: format!("layer_norm {:?}", form.0), inputs, forward, backward }
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("layer_norm");
    // The first row's spread is a hundredth of its mean, which costs two digits, and its gradient is large.
    let rough = Tolerance { absolute: 2e-3, relative: 1e-5 };
    meets_pytorch(&file, Kind::Deviation, "", rough);
    meets_pytorch(&file, Kind::RootDeviation, "root_", Tolerance { absolute: 1e-4, ..rough });
}

/// Checks one form against the numbers whose names start with `prefix`; `rough` bounds the fast path's `dx`.
fn meets_pytorch(file: &Fixture, kind: Kind, prefix: &str, rough: Tolerance) {
    let (x, gamma, beta, dy) = (file.f32("x"), file.f32("gamma"), file.f32("beta"), file.f32("dy"));
    let golden = |name: &str| file.f64(&format!("{prefix}{name}"));
    let epsilon = file.f32(&format!("{prefix}epsilon"))[0];
    let sizes = Sizes { rows: x.len() / gamma.len(), width: gamma.len(), epsilon, kind };
    let problem = Problem { sizes, x, gamma: gamma.clone(), beta: beta.clone(), dy };
    let plain = problem.plain();
    // PyTorch's ε is the 64-bit number, ours the 32-bit one: apart by 3e-8 of it.
    let exact = Tolerance { absolute: 1e-9, relative: 2e-8 };
    let added = |name: &str, start: &[f32]| -> Vec<f64> {
        golden(name).iter().zip(start).map(|(grad, &start)| grad + f64::from(start)).collect()
    };
    let (dgamma, dbeta) = (added("dgamma", &gamma), added("dbeta", &beta));
    assert_close("layer_norm y", &plain.y, &golden("y"), exact);
    assert_close("layer_norm dx", &plain.dx, &golden("dx"), Tolerance { absolute: 1e-6, ..exact });
    assert_close("layer_norm dgamma", &plain.dgamma, &dgamma, exact);
    assert_close("layer_norm dbeta", &plain.dbeta, &dbeta, exact);
    let wide = Tolerance { absolute: 2e-5, relative: 1e-5 };
    for device in devices() {
        let found: Vec<Vec<f64>> = problem.fast(device).iter().map(|found| found.values.reals()).collect();
        assert_close("layer_norm y", &found[0], &golden("y"), wide);
        assert_close("layer_norm dx", &found[3], &golden("dx"), rough);
        assert_close("layer_norm dgamma", &found[4], &dgamma, wide);
        assert_close("layer_norm dbeta", &found[5], &dbeta, wide);
    }
}

#[test]
fn the_forms_are_apart() {
    let [usual, root] = FORMS.map(|form| Problem::new(form, (4, 33)).plain().y);
    assert!(usual.iter().zip(&root).any(|(usual, root)| (usual - root).abs() > 0.01));
    let problem = Problem::new(FORMS[0], (4, 33));
    // The same rows three times as large: the usual form gives the same, the other √3 times as much.
    let larger = |form| {
        let problem = Problem::new(form, (4, 33));
        let x = problem.x.iter().map(|value| value * 3.0).collect();
        Problem { x, ..problem }.plain().y
    };
    let shifted = |y: &[f64], factor: f64| -> Vec<f64> {
        let columns = problem.beta.iter().cycle();
        y.iter().zip(columns).map(|(y, &beta)| (y - f64::from(beta)) * factor + f64::from(beta)).collect()
    };
    let near = Tolerance { absolute: 2e-5, relative: 2e-5 };
    assert_close("usual", &larger(FORMS[0]), &shifted(&usual, 1.0), near);
    assert_close("root", &larger(FORMS[1]), &shifted(&root, 3.0_f64.sqrt()), near);
}

#[test]
fn rows_of_equal_numbers_give_the_shift_and_a_finite_gradient() {
    for form in FORMS {
        let mut problem = Problem::new(form, (3, 40));
        problem.x[40..80].fill(1.5);
        let plain = problem.plain();
        for device in devices() {
            let found: Vec<Vec<f64>> =
                problem.fast(device).iter().map(|found| found.values.reals()).collect();
            assert_eq!(found[0][40..80], reals(&problem.beta), "{form:?}");
            assert!(found[3].iter().all(|slope| slope.is_finite()), "{form:?}");
            // The gradient is divided by the root of ε.
            let near = Tolerance { absolute: 1e-6 / f64::from(form.1).sqrt(), relative: 1e-5 };
            assert_close("dx of equal numbers", &found[3], &plain.dx, near);
        }
    }
}

#[test]
fn a_column_alone_has_no_unbiased_deviation() {
    let device = &devices()[0];
    let sizes = Sizes { rows: 2, width: 1, epsilon: 1e-12, kind: Kind::RootDeviation };
    let (x, gamma, mut y) = (device.zeros::<f32>(2), device.zeros(1), device.zeros(2));
    let error = layer_norm::forward(device, sizes, &x, &gamma, &gamma, Output::F32(&mut y), None);
    assert_eq!(error.unwrap_err().to_string(), "layer_norm: width of at least two is 1, wanted 2");
}

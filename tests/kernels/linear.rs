//! Proofs of the linear layer.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::elementwise::cpu::{gelu, gelu_backward};
use pliant_kernels::ops::linear::{self, Epilogue, Landing, Part, Weights, cpu};
use pliant_kernels::{Buffer, Device, Output, Precision, Tolerance, bf16};
use pliant_tests::kernels::compare::narrowed;
use pliant_tests::kernels::inputs::{Operand, gather, operand_reals, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

type Sizes = (usize, usize, usize);

/// Rows, outputs and inner dimension: ones, odd numbers, around vectors and panels, over a block, large; rows
/// enough that threads share them instead of panels, and so wide that packed rows are shared by all threads.
const SIZES: [Sizes; 11] = [
    (1, 1, 1),
    (1, 33, 32),
    (31, 32, 33),
    (32, 31, 31),
    (33, 65, 7),
    (57, 96, 129),
    (113, 40, 64),
    (70, 100, 1281),
    (3, 33, 5120),
    (500, 37, 19),
    (47, 35, 5121),
];

/// The same for weight gradients, whose sums run over rows in chunks of 512.
const OUTER_SIZES: [Sizes; 5] = [(1, 1, 1), (31, 33, 32), (512, 31, 33), (513, 32, 17), (1100, 130, 65)];

/// Numbers of one layer: `x [R,K]`, `w [N,K]`, `b [N]`, residual and gradient `[R,N]`.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    precision: Precision,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    grad: Vec<f32>,
}

impl Problem {
    /// Inputs of size one, weights of size 1/√K and gradients of size 1/√R, so that all sums have size one.
    fn new((rows, outputs, inner): Sizes, precision: Precision) -> Self {
        let mut inputs = Inputs::new(&format!("linear {rows} {outputs} {inner}"));
        let mut x = inputs.normal(rows * inner, 1.0);
        if precision == Precision::Int8 {
            // Bytes of a row depend on all of it, so inputs of both types must be the same numbers.
            x.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32());
        }
        Self {
            sizes: (rows, outputs, inner),
            precision,
            x,
            weights: inputs.normal(outputs * inner, 1.0 / (inner as f32).sqrt()),
            bias: inputs.normal(outputs, 1.0),
            residual: inputs.normal(rows * outputs, 1.0),
            grad: inputs.normal(rows * outputs, 1.0 / (rows as f32).sqrt()),
        }
    }

    fn name(&self, what: &str) -> String {
        let (rows, outputs, inner) = self.sizes;
        format!("linear {what} {} {rows}x{outputs}x{inner}", self.precision.name())
    }

    fn tolerance(&self) -> Tolerance {
        match self.precision {
            Precision::F32 => linear::TOLERANCE,
            Precision::Bf16 => linear::TOLERANCE_BF16,
            Precision::Int8 => linear::TOLERANCE_INT8,
        }
    }

    fn pack(&self, device: &Device, orientation: Orientation) -> Weights {
        let shape = (self.sizes.1, self.sizes.2);
        Weights::pack(device, self.precision, &self.weights, shape, orientation).unwrap()
    }

    fn operand(&self, values: &[f32]) -> Vec<f64> {
        match self.precision {
            Precision::Int8 => cpu::rounded_to_bytes(self.sizes.2, values),
            precision => operand_reals(precision, values),
        }
    }

    /// Sums before any epilogue.
    fn sums(&self, bias: Option<&[f64]>) -> Vec<f64> {
        let mut y = vec![0.0; self.sizes.0 * self.sizes.1];
        cpu::forward(self.sizes, &self.operand(&self.x), &self.operand(&self.weights), bias, &mut y);
        y
    }
}

/// How the forward of a case reads and writes.
#[derive(Clone, Copy)]
struct Forms {
    /// Whether the input is rounded before the call or by it.
    input: Precision,
    /// Type of the GELU's result.
    output: Precision,
}

/// Three parts on one input: sums alone; bias, kept sums and GELU; bias and residual.
fn run_parts(problem: &Problem, forms: Forms, device: &Device) -> Vec<Found> {
    let (rows, outputs, _) = problem.sizes;
    let weights = problem.pack(device, Orientation::Forward);
    let input = Operand::upload(device, forms.input, &problem.x);
    let bias = device.upload(&problem.bias);
    let residual = device.upload(&problem.residual);
    let [mut sums, mut kept, mut wide, mut sum] = [(); 4].map(|()| device.zeros::<f32>(rows * outputs));
    let mut narrow = device.zeros::<bf16>(rows * outputs);
    let output = match forms.output {
        Precision::F32 => Output::F32(&mut wide),
        Precision::Bf16 | Precision::Int8 => Output::Bf16(&mut narrow),
    };
    let mut parts = [
        Part { weights: &weights, bias: None, epilogue: Epilogue::Store, output: Output::F32(&mut sums) },
        Part { weights: &weights, bias: Some(&bias), epilogue: Epilogue::Gelu(Some(&mut kept)), output },
        Part {
            weights: &weights,
            bias: Some(&bias),
            epilogue: Epilogue::Residual(&residual),
            output: Output::F32(&mut sum),
        },
    ];
    linear::forward(device, rows, input.input(), &mut parts).unwrap();
    let gelu = match forms.output {
        Precision::F32 => Found::new("gelu", &wide),
        Precision::Bf16 | Precision::Int8 => Found::new("gelu", &narrow),
    };
    vec![Found::new("sums", &sums), Found::new("kept sums", &kept), gelu, Found::new("residual", &sum)]
}

fn forward(problem: &Problem, forms: Forms) -> Case {
    let tolerance = problem.tolerance();
    let kept = problem.sums(Some(&reals(&problem.bias)));
    let gelu = kept.iter().map(|&sum| gelu(sum)).collect();
    let residual = kept.iter().zip(&problem.residual).map(|(sum, &r)| sum + f64::from(r)).collect();
    let gelu_tolerance = if forms.output == Precision::Bf16 { narrowed(tolerance) } else { tolerance };
    let form = format!("forward ({} to {})", forms.input.name(), forms.output.name());
    let oracle = vec![
        Expected::new("sums", problem.sums(None), tolerance),
        Expected::new("kept sums", kept, tolerance),
        Expected::new("gelu", gelu, gelu_tolerance),
        Expected::new("residual", residual, tolerance),
    ];
    let (name, problem) = (problem.name(&form), problem.clone());
    Case { name, fast: Box::new(move |device| run_parts(&problem, forms, device)), oracle }
}

fn backward_input(problem: &Problem) -> Case {
    let (rows, _, inner) = problem.sizes;
    let mut dx = vec![0.0; rows * inner];
    let (grad, weights) = (problem.operand(&problem.grad), problem.operand(&problem.weights));
    cpu::backward_input(problem.sizes, &grad, &weights, &mut dx);
    let added = dx.iter().zip(&problem.x).map(|(dx, &x)| dx + f64::from(x)).collect();
    let mut through = vec![0.0; dx.len()];
    gelu_backward(&reals(&problem.x), &dx, &mut through);
    let oracle = vec![
        Expected::new("dx", dx, problem.tolerance()),
        Expected::new("added", added, problem.tolerance()),
        Expected::new("through gelu", through, problem.tolerance()),
    ];
    let (name, problem) = (problem.name("backward of the input"), problem.clone());
    let fast = move |device: &Device| {
        let weights = problem.pack(device, Orientation::InputGradient);
        let grad = device.upload(&problem.grad);
        let (mut dx, mut added) = (device.upload(&problem.x), device.upload(&problem.x));
        linear::backward_input(device, rows, (&grad, &weights), &mut dx, Landing::Write).unwrap();
        linear::backward_input(device, rows, (&grad, &weights), &mut added, Landing::Add).unwrap();
        let (sums, mut through) = (device.upload(&problem.x), device.zeros(dx.len()));
        let landing = Landing::ThroughGelu(&sums);
        linear::backward_input(device, rows, (&grad, &weights), &mut through, landing).unwrap();
        vec![Found::new("dx", &dx), Found::new("added", &added), Found::new("through gelu", &through)]
    };
    Case { name, fast: Box::new(fast), oracle }
}

/// Weight gradients are added to numbers that stand there already: the weights and the bias.
fn backward_weights(problem: &Problem) -> Case {
    let (rows, outputs, inner) = problem.sizes;
    let (mut dw, mut db) = (reals(&problem.weights), reals(&problem.bias));
    let mut unused = vec![0.0; outputs];
    cpu::backward_weights(
        problem.sizes,
        &problem.operand(&problem.grad),
        &problem.operand(&problem.x),
        &mut dw,
        &mut unused,
    );
    let fresh = dw.iter().zip(&problem.weights).map(|(dw, &before)| dw - f64::from(before)).collect();
    // The bias gradient sums gradients that are not rounded.
    cpu::backward_weights((rows, outputs, 0), &reals(&problem.grad), &[], &mut [], &mut db);
    let oracle = vec![
        Expected::new("dw", dw, problem.tolerance()),
        Expected::new("db", db, problem.tolerance()),
        Expected::new("fresh dw", fresh, problem.tolerance()),
    ];
    let (name, problem) = (problem.name("backward of the weights"), problem.clone());
    let fast = move |device: &Device| {
        let (grad, x) =
            (device.upload(&problem.grad), Operand::upload(device, problem.precision, &problem.x));
        let (mut dw, mut db) = (device.upload(&problem.weights), device.upload(&problem.bias));
        linear::backward_weights(
            device,
            (rows, problem.precision),
            (&grad, x.input()),
            ((outputs, inner), 0..outputs),
            (&mut dw, true),
            Some(&mut db),
        )
        .unwrap();
        // What stands there already does not matter when it is not added to.
        let mut fresh = device.upload(&problem.weights);
        let (sources, shape) = ((&grad, x.input()), ((outputs, inner), 0..outputs));
        linear::backward_weights(
            device,
            (rows, problem.precision),
            sources,
            shape,
            (&mut fresh, false),
            None,
        )
        .unwrap();
        vec![Found::new("dw", &dw), Found::new("db", &db), Found::new("fresh dw", &fresh)]
    };
    Case { name, fast: Box::new(fast), oracle }
}

/// Parts of different widths that share their input.
fn several_widths(precision: Precision) -> Case {
    let problems = [31, 64, 1, 100].map(|outputs| {
        let mut problem = Problem::new((45, outputs, 37), precision);
        problem.x = Inputs::new("linear shared input").normal(45 * 37, 1.0);
        problem
    });
    const NAMES: [&str; 4] = ["31", "64", "1", "100"];
    let oracle = problems.iter().zip(NAMES);
    let oracle =
        oracle.map(|(problem, name)| Expected::new(name, problem.sums(None), problem.tolerance())).collect();
    let fast = move |device: &Device| {
        let weights = problems.each_ref().map(|problem| problem.pack(device, Orientation::Forward));
        let x = Operand::upload(device, precision, &problems[0].x);
        let mut results: Vec<Buffer<f32>> =
            problems.iter().map(|problem| device.zeros(45 * problem.sizes.1)).collect();
        let part = |(weights, output)| Part {
            weights,
            bias: None,
            epilogue: Epilogue::Store,
            output: Output::F32(output),
        };
        let mut parts: Vec<Part<'_>> = weights.iter().zip(&mut results).map(part).collect();
        linear::forward(device, 45, x.input(), &mut parts).unwrap();
        NAMES.into_iter().zip(&results).map(|(name, result)| Found::new(name, result)).collect()
    };
    Case { name: format!("linear of several widths {}", precision.name()), fast: Box::new(fast), oracle }
}

pub(crate) fn parity() -> Vec<Case> {
    let (f32, bf16) = (Precision::F32, Precision::Bf16);
    let mut cases = vec![several_widths(f32), several_widths(bf16)];
    for precision in [f32, bf16] {
        for sizes in SIZES {
            let problem = Problem::new(sizes, precision);
            cases.push(forward(&problem, Forms { input: precision, output: precision }));
            cases.push(backward_input(&problem));
        }
        for sizes in OUTER_SIZES {
            cases.push(backward_weights(&Problem::new(sizes, precision)));
        }
    }
    for (sizes, form) in SIZES.into_iter().zip([f32, bf16].into_iter().cycle()) {
        let problem = Problem::new(sizes, Precision::Int8);
        cases.push(forward(&problem, Forms { input: form, output: form }));
    }
    let problem = Problem::new((47, 50, 35), bf16);
    cases.push(forward(&problem, Forms { input: f32, output: f32 }));
    let problem = Problem::new((47, 50, 35), f32);
    cases.push(forward(&problem, Forms { input: f32, output: bf16 }));
    cases
}

pub(crate) fn invariance() -> Vec<Invariance> {
    [Precision::F32, Precision::Bf16, Precision::Int8].map(alone_or_together).into()
}

fn alone_or_together(precision: Precision) -> Invariance {
    const LENGTHS: [usize; 5] = [1, 13, 2, 31, 70];
    let (outputs, inner) = (65, 131);
    let mut inputs = Inputs::new("linear rows");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * inner, 1.0)).into();
    let weights = inputs.normal(outputs * inner, 0.1);
    let run = move |device: &Device, order: &[usize]| {
        let x = gather(&rows, order);
        let count = x.len() / inner;
        let shape = (outputs, inner);
        let weights = Weights::pack(device, precision, &weights, shape, Orientation::Forward).unwrap();
        let mut y = device.zeros::<f32>(count * outputs);
        let output = Output::F32(&mut y);
        let part = Part { weights: &weights, bias: None, epilogue: Epilogue::Gelu(None), output };
        let x = Operand::upload(device, precision, &x);
        linear::forward(device, count, x.input(), &mut [part]).unwrap();
        let bits = Found::new("y", &y).values.bits();
        split(&bits, order.iter().map(|&sequence| LENGTHS[sequence] * outputs))
    };
    let name = format!("linear {}", precision.name());
    Invariance { name, sequences: LENGTHS.len(), run: Box::new(run) }
}

/// Bytes of one row say nothing of another, and what is not a number stays one.
#[test]
fn bytes_of_rows_are_their_own() {
    let mut problem = Problem::new((20, 40, 70), Precision::Int8);
    for (row, factor) in [(3, 1e6), (4, 1e-6), (5, 0.0)] {
        problem.x[row * 70..(row + 1) * 70].iter_mut().for_each(|value| *value *= factor);
    }
    problem.x[9 * 70 + 69] = f32::NAN;
    problem.x[15 * 70] = f32::INFINITY;
    let mut wanted = problem.clone();
    [9, 15].iter().for_each(|row| wanted.x[row * 70..(row + 1) * 70].fill(0.0));
    let sums = wanted.sums(None);
    for device in devices() {
        let forms = Forms { input: Precision::F32, output: Precision::F32 };
        let found = run_parts(&problem, forms, device)[0].values.reals();
        for (row, (found, wanted)) in found.chunks(40).zip(sums.chunks(40)).enumerate() {
            if row == 9 || row == 15 {
                assert!(found.iter().all(|sum| sum.is_nan()), "row {row} on {}", device.describe());
            } else {
                assert_close("sums of bytes", found, wanted, linear::TOLERANCE_INT8);
            }
        }
    }
}

#[test]
fn bytes_have_no_gradient() {
    let device = &devices()[0];
    let problem = Problem::new((2, 3, 4), Precision::Int8);
    let weights = problem.pack(device, Orientation::InputGradient);
    let (grad, mut dx, mut dw) = (device.zeros::<f32>(6), device.zeros(8), device.zeros(12));
    let found = linear::backward_input(device, 2, (&grad, &weights), &mut dx, Landing::Write);
    assert!(matches!(found, Err(pliant_kernels::KernelError::Unsupported { .. })));
    let x = device.zeros::<f32>(8);
    let (rows, input) = ((2, Precision::Int8), (&grad, pliant_kernels::Input::F32(&x)));
    let found = linear::backward_weights(device, rows, input, ((3, 4), 0..3), (&mut dw, true), None);
    assert!(matches!(found, Err(pliant_kernels::KernelError::Unsupported { .. })));
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let sizes = (3, 4, 5);
    let problem = Problem::new(sizes, Precision::F32);
    let inputs =
        vec![("x", reals(&problem.x)), ("weights", reals(&problem.weights)), ("bias", reals(&problem.bias))];
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; 12];
        cpu::forward(sizes, &values[0], &values[1], Some(&values[2]), &mut y);
        y
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let (mut dx, mut dw, mut db) = (vec![0.0; 15], vec![0.0; 20], vec![0.0; 4]);
        cpu::backward_input(sizes, dy, &values[1], &mut dx);
        cpu::backward_weights(sizes, dy, &values[0], &mut dw, &mut db);
        vec![dx, dw, db]
    };
    vec![Gradient {
        name: "linear".to_owned(),
        inputs,
        forward: Box::new(forward),
        backward: Box::new(backward),
    }]
}

/// The fixture as a problem, and the expected results under their names in the file.
fn fixture(precision: Precision) -> (Problem, impl Fn(&str) -> Vec<f64>) {
    let file = Fixture::open("linear");
    let (bias, grad, weights) = (file.f32("bias"), file.f32("dy"), file.f32("weight"));
    let (rows, outputs) = (grad.len() / bias.len(), bias.len());
    let sizes = (rows, outputs, weights.len() / outputs);
    let residual = file.f32("residual");
    let problem = Problem { sizes, precision, x: file.f32("x"), weights, bias, residual, grad };
    let suffix = if precision == Precision::Bf16 { "_bf16" } else { "" };
    (problem, move |name: &str| file.f64(&format!("{name}{suffix}")))
}

const EXACT: Tolerance = Tolerance { absolute: 1e-12, relative: 1e-12 };

#[test]
fn plain_text_gives_what_pytorch_gives() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (problem, expected) = fixture(precision);
        let (rows, outputs, inner) = problem.sizes;
        let sums = problem.sums(Some(&reals(&problem.bias)));
        assert_close("linear y", &sums, &expected("y"), EXACT);
        let gelus: Vec<f64> = sums.iter().map(|&sum| gelu(sum)).collect();
        assert_close("linear gelu", &gelus, &expected("gelu"), EXACT);
        let (grad, weights) = (problem.operand(&problem.grad), problem.operand(&problem.weights));
        let (mut dx, mut dw, mut db) =
            (vec![0.0; rows * inner], vec![0.0; outputs * inner], vec![0.0; outputs]);
        cpu::backward_input(problem.sizes, &grad, &weights, &mut dx);
        cpu::backward_weights(problem.sizes, &grad, &problem.operand(&problem.x), &mut dw, &mut db);
        assert_close("linear dx", &dx, &expected("dx"), EXACT);
        assert_close("linear dw", &dw, &expected("dweight"), EXACT);
        assert_close("linear db", &db, &expected("dbias"), EXACT);
    }
}

#[test]
fn fast_path_gives_what_pytorch_gives() {
    for (device, precision) in
        devices().iter().flat_map(|device| [(device, Precision::F32), (device, Precision::Bf16)])
    {
        let (problem, expected) = fixture(precision);
        let found = run_parts(&problem, Forms { input: precision, output: Precision::F32 }, device);
        for (found, name) in found[1..].iter().zip(["y", "gelu", "sum"]) {
            let what = format!("linear {name} on {}", device.describe());
            assert_close(&what, &found.values.reals(), &expected(name), problem.tolerance());
        }
        let (rows, outputs, inner) = problem.sizes;
        let (grad, x) = (device.upload(&problem.grad), Operand::upload(device, precision, &problem.x));
        let mut dx = device.zeros(rows * inner);
        let weights = problem.pack(device, Orientation::InputGradient);
        linear::backward_input(device, rows, (&grad, &weights), &mut dx, Landing::Write).unwrap();
        let mut dw = device.zeros(outputs * inner);
        let sources = (&grad, x.input());
        linear::backward_weights(
            device,
            (rows, precision),
            sources,
            ((outputs, inner), 0..outputs),
            (&mut dw, true),
            None,
        )
        .unwrap();
        // Gradients of the fixture have size one, so sums over its rows and outputs have size √N.
        let tolerance = Tolerance { absolute: 6.0 * problem.tolerance().absolute, ..problem.tolerance() };
        assert_close("linear dx", &reals(dx.as_slice()), &expected("dx"), tolerance);
        assert_close("linear dw", &reals(dw.as_slice()), &expected("dweight"), tolerance);
    }
}

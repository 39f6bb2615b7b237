//! Proofs of the operations on single numbers.

use pliant_kernels::ops::elementwise::{self, TOLERANCE, TOLERANCE_BF16, cpu};
use pliant_kernels::{Device, Tolerance, bf16};
use pliant_tests::kernels::inputs::{reals, rounded_reals};
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Gradient, Inputs, assert_close, devices};

/// Lengths: one, around a vector, over a piece of work, large.
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 33, 16 * 1024 + 1, 100_003];

#[derive(Clone)]
struct Problem {
    a: Vec<f32>,
    b: Vec<f32>,
    factor: f32,
}

impl Problem {
    fn new(length: usize) -> Self {
        let mut inputs = Inputs::new(&format!("elementwise {length}"));
        Self { a: inputs.normal(length, 3.0), b: inputs.normal(length, 1.0), factor: 0.3 }
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (a, b, length) = (device.upload(&self.a), device.upload(&self.b), self.a.len());
        let [mut dx, mut sum, mut widened] = [(); 3].map(|()| device.zeros::<f32>(length));
        let (mut into, mut scaled) = (device.upload(&self.b), device.upload(&self.a));
        let mut narrow = device.zeros::<bf16>(length);
        let mut product = device.zeros::<f32>(length);
        elementwise::multiply(device, &a, &b, &mut product).unwrap();
        elementwise::gelu_backward(device, &a, &b, &mut dx).unwrap();
        let mut gelu = device.zeros::<f32>(length);
        elementwise::gelu(device, &a, &mut gelu).unwrap();
        elementwise::add(device, &a, &b, &mut sum).unwrap();
        elementwise::add_into(device, &a, &mut into).unwrap();
        elementwise::scale(device, self.factor, &mut scaled).unwrap();
        elementwise::to_bf16(device, &a, &mut narrow).unwrap();
        elementwise::to_f32(device, &narrow, &mut widened).unwrap();
        vec![
            Found::new("dx", &dx),
            Found::new("sum", &sum),
            Found::new("sum in place", &into),
            Found::new("scaled", &scaled),
            Found::new("narrowed", &narrow),
            Found::new("widened", &widened),
            Found::new("product", &product),
            Found::new("gelu", &gelu),
        ]
    }

    fn plain(&self) -> Vec<Expected> {
        let (a, b) = (reals(&self.a), reals(&self.b));
        let [mut dx, mut sum, mut scaled, mut product] = [(); 4].map(|()| a.clone());
        cpu::multiply(&a, &b, &mut product);
        cpu::gelu_backward(&a, &b, &mut dx);
        cpu::add(&a, &b, &mut sum);
        cpu::scale(f64::from(self.factor), &mut scaled);
        vec![
            Expected::new("dx", dx, TOLERANCE),
            Expected::new("sum", sum.clone(), TOLERANCE),
            Expected::new("sum in place", sum, TOLERANCE),
            Expected::new("scaled", scaled, TOLERANCE),
            Expected::new("narrowed", a.clone(), TOLERANCE_BF16),
            // The library's own rounding, exactly: the next bf16 is 4e-3 of the number away.
            Expected::new("widened", rounded_reals(&self.a), Tolerance { absolute: 1e-37, relative: 1e-6 }),
            Expected::new("product", product, TOLERANCE),
            Expected::new("gelu", a.iter().map(|&sum| cpu::gelu(sum)).collect(), TOLERANCE),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |length| {
        let problem = Problem::new(length);
        let oracle = problem.plain();
        let name = format!("elementwise {length}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    LENGTHS.map(case).into()
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; a.len()];
    cpu::multiply(a, b, &mut y);
    y
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let mut inputs = Inputs::new("elementwise gradients");
    let (x, other) = (reals(&inputs.normal(40, 2.0)), reals(&inputs.normal(40, 1.0)));
    let gelu = Gradient {
        name: "gelu".to_owned(),
        inputs: vec![("x", x.clone())],
        forward: Box::new(|values| values[0].iter().map(|&x| cpu::gelu(x)).collect()),
        backward: Box::new(|values, dy| {
            let mut dx = vec![0.0; dy.len()];
            cpu::gelu_backward(&values[0], dy, &mut dx);
            vec![dx]
        }),
    };
    let scaled = |mut values: Vec<f64>| {
        cpu::scale(0.3, &mut values);
        values
    };
    let scale = Gradient {
        name: "scale".to_owned(),
        inputs: vec![("x", x.clone())],
        forward: Box::new(move |values| scaled(values[0].clone())),
        backward: Box::new(move |_, dy| vec![scaled(dy.to_vec())]),
    };
    let add = Gradient {
        name: "add".to_owned(),
        inputs: vec![("a", x), ("b", other)],
        forward: Box::new(|values| {
            let mut y = vec![0.0; values[0].len()];
            cpu::add(&values[0], &values[1], &mut y);
            y
        }),
        backward: Box::new(|_, dy| vec![dy.to_vec(), dy.to_vec()]),
    };
    let multiply = Gradient {
        name: "multiply".to_owned(),
        inputs: add.inputs.clone(),
        forward: Box::new(|values| product(&values[0], &values[1])),
        backward: Box::new(|values, dy| vec![product(dy, &values[1]), product(dy, &values[0])]),
    };
    vec![gelu, scale, add, multiply]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("elementwise");
    let (x, dy) = (file.f32("x"), file.f32("dy"));
    let exact = Tolerance { absolute: 1e-14, relative: 1e-12 };
    let gelus: Vec<f64> = reals(&x).into_iter().map(cpu::gelu).collect();
    assert_close("gelu", &gelus, &file.f64("gelu"), exact);
    let mut dx = vec![0.0; x.len()];
    cpu::gelu_backward(&reals(&x), &reals(&dy), &mut dx);
    assert_close("gelu dx", &dx, &file.f64("dx"), exact);
    let sums = Problem { a: x.clone(), b: file.f32("b"), factor: file.f32("factor")[0] };
    let slopes = Problem { a: x, b: dy, factor: 1.0 };
    for device in devices() {
        let found = sums.fast(device);
        assert_close("sum", &found[1].values.reals(), &file.f64("sum"), TOLERANCE);
        assert_close("product", &found[6].values.reals(), &file.f64("product"), TOLERANCE);
        assert_close("scaled", &found[3].values.reals(), &file.f64("scaled"), TOLERANCE);
        assert_close("gelu", &found[7].values.reals(), &file.f64("gelu"), TOLERANCE);
        assert_close("gelu dx", &slopes.fast(device)[0].values.reals(), &file.f64("dx"), TOLERANCE);
    }
}

#[test]
fn rounding_gives_what_pytorch_gives() {
    let file = Fixture::open("elementwise");
    for device in devices() {
        let values = device.upload(&file.f32("to_round"));
        let mut narrow = device.zeros::<bf16>(values.len());
        elementwise::to_bf16(device, &values, &mut narrow).unwrap();
        let found: Vec<f64> = narrow.as_slice().iter().map(|&value| f64::from(value)).collect();
        assert_eq!(found, file.f64("rounded"), "{}", device.describe());
    }
}

#[test]
fn lengths_that_differ_are_refused() {
    let device = &devices()[0];
    let (short, mut long) = (device.zeros::<f32>(3), device.zeros::<f32>(4));
    assert!(elementwise::add_into(device, &short, &mut long).is_err());
    assert!(elementwise::add(device, &short, &short, &mut long).is_err());
    assert!(elementwise::gelu_backward(device, &short, &short, &mut long).is_err());
    assert!(elementwise::gelu(device, &short, &mut long).is_err());
    assert!(elementwise::to_bf16(device, &short, &mut device.zeros(2)).is_err());
    assert!(elementwise::to_f32(device, &device.zeros(2), &mut long).is_err());
}

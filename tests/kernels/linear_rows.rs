//! Stretches of a matrix's rows: the bits of the whole product, and only their own places of the gradients.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::linear::{self, Epilogue, Part, Weights};
use pliant_kernels::{Buffer, Device, Output, Precision};
use pliant_tests::kernels::inputs::Operand;
use pliant_tests::kernels::{Inputs, devices};
use std::ops::Range;

const TOKENS: usize = 37;
const OUTPUTS: usize = 101;
const INNER: usize = 35;

/// Stretches that begin with a panel of 32 columns and that do not, that end with one and that do not.
const STRETCHES: [Range<usize>; 6] = [0..101, 0..32, 32..101, 64..70, 48..80, 7..101];

struct Numbers {
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    grad: Vec<f32>,
}

impl Numbers {
    fn new() -> Self {
        let mut inputs = Inputs::new("linear stretches");
        let mut next = |count| inputs.normal(count, 1.0);
        let (x, weights) = (next(TOKENS * INNER), next(OUTPUTS * INNER));
        Self { x, weights, bias: next(OUTPUTS), grad: next(TOKENS * OUTPUTS) }
    }

    fn product(&self, device: &Device, weights: &Weights) -> Vec<f32> {
        let mut y = device.zeros::<f32>(TOKENS * weights.columns());
        let bias = device.upload(&self.bias);
        let (output, epilogue) = (Output::F32(&mut y), Epilogue::Gelu(None));
        let x = Operand::upload(device, weights.precision(), &self.x);
        let part = Part { weights, bias: Some(&bias), epilogue, output };
        linear::forward(device, TOKENS, x.input(), &mut [part]).unwrap();
        y.as_slice().to_vec()
    }
}

fn columns(values: &[f32], stretch: &Range<usize>) -> Vec<f32> {
    values.chunks(OUTPUTS).flat_map(|row| row[stretch.clone()].to_vec()).collect()
}

#[test]
fn products_are_columns_of_the_whole() {
    let numbers = Numbers::new();
    let shape = (OUTPUTS, INNER);
    for device in devices() {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let whole =
                Weights::pack(device, precision, &numbers.weights, shape, Orientation::Forward).unwrap();
            let wanted = numbers.product(device, &whole);
            for stretch in STRETCHES {
                let sizes = (shape, stretch.clone());
                let packed =
                    Weights::pack_rows(device, precision, &numbers.weights, sizes, Orientation::Forward);
                let taken = whole.take_rows(device, stretch.clone()).unwrap();
                assert_eq!(taken.shares_memory_with(&whole), stretch.start % 32 == 0);
                for weights in [packed.unwrap(), taken] {
                    assert_eq!(weights.rows(), stretch);
                    let found = numbers.product(device, &weights);
                    assert_eq!(found, columns(&wanted, &stretch), "{precision:?} {stretch:?}");
                }
            }
        }
    }
}

#[test]
fn gradients_fill_their_own_rows() {
    let numbers = Numbers::new();
    let run = |device: &Device, precision, stretch: Range<usize>, sums: [&mut Buffer<f32>; 2]| {
        let grad = device.upload(&columns(&numbers.grad, &stretch));
        let x = Operand::upload(device, precision, &numbers.x);
        let [dw, db] = sums;
        let shape = ((OUTPUTS, INNER), stretch);
        linear::backward_weights(
            device,
            (TOKENS, precision),
            (&grad, x.input()),
            shape,
            (dw, true),
            Some(db),
        )
        .unwrap();
    };
    for device in devices() {
        for precision in [Precision::F32, Precision::Bf16] {
            let start = || [device.upload(&numbers.weights), device.upload(&numbers.bias)];
            let [mut dw, mut db] = start();
            run(device, precision, 0..OUTPUTS, [&mut dw, &mut db]);
            let (wanted, before) = ([dw, db], start());
            for stretch in STRETCHES {
                let mut found = start();
                run(device, precision, stretch.clone(), found.each_mut());
                for (index, width) in [INNER, 1].into_iter().enumerate() {
                    let rows = [&found, &wanted, &before].map(|sums| sums[index].as_slice().chunks(width));
                    let [found, wanted, before] = rows;
                    for (row, ((found, wanted), before)) in found.zip(wanted).zip(before).enumerate() {
                        let wanted = if stretch.contains(&row) { wanted } else { before };
                        assert_eq!(found, wanted, "{precision:?} {stretch:?} row {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn stretches_outside_the_matrix_are_refused() {
    let device = &devices()[0];
    let numbers = Numbers::new();
    let pack = |stretch| {
        let shape = ((OUTPUTS, INNER), stretch);
        Weights::pack_rows(device, Precision::F32, &numbers.weights, shape, Orientation::Forward)
    };
    assert_eq!(pack(40..102).unwrap_err().to_string(), "linear: end of the rows 102 is outside 0..102");
    let error = pack(40..40).unwrap_err().to_string();
    assert_eq!(error, "linear: rows of at least one is 0, wanted 1");
    let whole = pack(0..OUTPUTS).unwrap();
    assert!(whole.take_rows(device, 3..102).is_err());
    assert!(whole.take_rows(device, 3..50).unwrap().take_rows(device, 0..2).is_err());
    let (grad, x) = (device.zeros::<f32>(TOKENS * 2), Operand::upload(device, Precision::F32, &numbers.x));
    let mut dw = device.zeros(OUTPUTS * INNER);
    let (rows, shape) = ((TOKENS, Precision::F32), ((OUTPUTS, INNER), 100..102));
    assert!(
        linear::backward_weights(device, rows, (&grad, x.input()), shape, (&mut dw, true), None).is_err()
    );
}

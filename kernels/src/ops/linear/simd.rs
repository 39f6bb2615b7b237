//! The linear layer on packed panels.

use super::{Epilogue, Landing, Packed, Part, Weights};
use crate::Precision;
use crate::buffer::{Buffer, Input, Output};
use crate::cpu::Cpu;
use crate::cpu::gemm::{self, Outer, Product, Target};

pub(super) fn forward(cpu: &Cpu, rows: usize, input: Input<'_>, parts: &mut [Part<'_>]) {
    let mut products: Vec<Product<'_>> = parts.iter_mut().map(product).collect();
    gemm::multiply(cpu, rows, input, &mut products);
}

fn product<'a>(part: &'a mut Part<'_>) -> Product<'a> {
    let Packed::Cpu(matrix) = &part.weights.packed else { unreachable!("the place was checked") };
    let epilogue = match &mut part.epilogue {
        Epilogue::Store => gemm::Epilogue::Store,
        Epilogue::Gelu(before) => gemm::Epilogue::Gelu(before.as_mut().map(|before| before.as_mut_slice())),
        Epilogue::Residual(residual) => gemm::Epilogue::Residual(residual.as_slice()),
    };
    let target = match &mut part.output {
        Output::F32(output) => Target::F32(output.as_mut_slice()),
        Output::Bf16(output) => Target::Bf16(output.as_mut_slice()),
    };
    let bias = part.bias.map(|bias| &bias.as_slice()[part.weights.rows.clone()]);
    Product { matrix, bias, epilogue, target }
}

pub(super) fn backward_input(
    cpu: &Cpu,
    rows: usize,
    (grad, weights): (&Buffer<f32>, &Weights),
    dx: &mut Buffer<f32>,
    landing: Landing<'_>,
) {
    let Packed::Cpu(matrix) = &weights.packed else { unreachable!("the place was checked") };
    let epilogue = match landing {
        Landing::Write => gemm::Epilogue::Store,
        Landing::Add => gemm::Epilogue::Accumulate,
        Landing::ThroughGelu(sums) => gemm::Epilogue::GeluSlope(sums.as_slice()),
    };
    let target = Target::F32(dx.as_mut_slice());
    gemm::multiply(cpu, rows, Input::F32(grad), &mut [Product { matrix, bias: None, epilogue, target }]);
}

pub(super) fn backward_weights(
    cpu: &Cpu,
    precision: Precision,
    sizes: (usize, usize, usize),
    (grad, input): (&Buffer<f32>, Input<'_>),
    (dw, accumulate): (&mut [f32], bool),
    db: Option<&mut [f32]>,
) {
    gemm::add_outer(cpu, Outer { sizes, precision, grad: grad.as_slice(), input, dw, accumulate, db });
}

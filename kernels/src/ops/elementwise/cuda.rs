//! Launches of operations on single numbers.

use super::{Activation, OP};
use crate::buffer::{Buffer, Element, Output};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

/// `y` of two summands, factors or places.
pub(super) fn of_two(
    cuda: &Cuda,
    kernel: &'static str,
    (a, b): (&Buffer<f32>, &Buffer<f32>),
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let count = a.len();
    cuda.launch(OP, kernel).reads(a).reads(b).writes(y).wide(count).over(Grid::Threads(count))
}

/// `y` of `x`, or `y` changed by `x`.
pub(in crate::ops) fn of_one<X: Element, Y: Element>(
    cuda: &Cuda,
    kernel: &'static str,
    x: &Buffer<X>,
    y: &mut Buffer<Y>,
) -> Result<(), KernelError> {
    let count = x.len();
    cuda.launch(OP, kernel).reads(x).writes(y).wide(count).over(Grid::Threads(count))
}

pub(super) fn activate(
    cuda: &Cuda,
    activation: Activation,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let kernel = match activation {
        Activation::Relu => "elementwise_relu",
        Activation::Tanh => "elementwise_tanh",
        Activation::Logistic => "elementwise_logistic",
    };
    of_one(cuda, kernel, x, y)
}

pub(super) fn gate(
    cuda: &Cuda,
    (a, b): (&Buffer<f32>, Option<&Buffer<f32>>),
    z: &Buffer<f32>,
    mut y: Output<'_>,
) -> Result<(), KernelError> {
    let kernel = match y {
        Output::F32(_) => "elementwise_gate_f32",
        Output::Bf16(_) => "elementwise_gate_bf16",
    };
    let count = z.len();
    let launch = cuda.launch(OP, kernel).reads(a).may_read(b).reads(z).result(&mut y);
    launch.wide(count).over(Grid::Threads(count))
}

pub(super) fn scale(cuda: &Cuda, factor: f32, x: &mut Buffer<f32>) -> Result<(), KernelError> {
    let count = x.len();
    cuda.launch(OP, "elementwise_scale").writes(x).wide(count).real(factor).over(Grid::Threads(count))
}

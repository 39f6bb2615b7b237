//! Launches of softmax.

use super::{Kind, OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    kind: Kind,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let kernel = match kind {
        Kind::Probabilities => "softmax_probabilities",
        Kind::Logarithms => "softmax_logarithms",
    };
    let launch = cuda.launch(OP, kernel).reads(x).writes(y);
    launch.count(sizes.rows).count(sizes.classes).over(Grid::Warps(sizes.rows))
}

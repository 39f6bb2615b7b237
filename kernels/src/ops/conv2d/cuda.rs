//! Launches of the filter over maps.

use super::{OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    x: &Buffer<f32>,
    (weights, shifts): (&Buffer<f32>, &Buffer<f32>),
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let launch = cuda.launch(OP, "conv2d_forward").reads(x).reads(weights).reads(shifts).writes(y);
    let launch = launch.count(sizes.height).count(sizes.breadth).count(sizes.inputs).count(sizes.outputs);
    launch.count(sizes.side).over(Grid::Warps(sizes.places() * sizes.outputs))
}

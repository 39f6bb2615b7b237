//! Launches of ordered levels.

use super::{OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    scores: &Buffer<f32>,
    (weights, shifts): (&Buffer<f32>, &Buffer<f32>),
    logits: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let launch = cuda.launch(OP, "ordinal_logits").reads(scores).reads(weights).reads(shifts).writes(logits);
    launch.count(sizes.rows).count(sizes.thresholds).over(Grid::Threads(sizes.rows * sizes.thresholds))
}

pub(super) fn levels(
    cuda: &Cuda,
    sizes: Sizes,
    logits: &Buffer<f32>,
    probabilities: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let launch = cuda.launch(OP, "ordinal_levels").reads(logits).writes(probabilities);
    launch.count(sizes.rows).count(sizes.thresholds).over(Grid::Threads(sizes.rows))
}

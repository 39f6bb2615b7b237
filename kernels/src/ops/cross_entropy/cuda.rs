//! Launches of cross-entropy.

use super::{OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    logits: &Buffer<f32>,
    targets: &Buffer<u32>,
    losses: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let launch = cuda.launch(OP, "cross_entropy_losses").reads(logits).reads(targets).writes(losses);
    launch.count(sizes.rows).count(sizes.classes).over(Grid::Warps(sizes.rows))
}

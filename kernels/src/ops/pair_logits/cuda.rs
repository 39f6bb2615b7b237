//! Launches of the head of pairs.

use super::{OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

/// Proteins of either list in a block's tile.
const TILE: usize = 32;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    (first, second): (&Buffer<f32>, &Buffer<f32>),
    (weights, bias): (&Buffer<f32>, f32),
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let Sizes { rows, columns, units } = sizes;
    let launch = cuda.launch(OP, "pair_logits_forward").reads(first).reads(second).reads(weights).writes(y);
    let launch = launch.count(rows).count(columns).count(units).real(bias);
    launch.over(Grid::Blocks(rows.div_ceil(TILE) * columns.div_ceil(TILE)))
}

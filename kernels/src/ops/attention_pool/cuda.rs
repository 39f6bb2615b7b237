//! Launches of attention pooling.

use super::{OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, spans): (Sizes, &[(usize, usize)]),
    (x, scores): (&Buffer<f32>, &Buffer<f32>),
    weights: &mut Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let borders: Vec<usize> = spans.iter().flat_map(|&(start, end)| [start, end]).collect();
    let borders = cuda.indices(OP, &borders)?;
    // Tokens outside of all ranges have no weight.
    cuda.clear(weights)?;
    let launch = cuda.launch(OP, "attention_pool_weights").reads(&borders).reads(scores).writes(weights);
    launch.count(spans.len()).over(Grid::Warps(spans.len()))?;
    let launch = cuda.launch(OP, "attention_pool_states").reads(&borders).reads(x).reads(weights).writes(y);
    launch.count(spans.len()).count(sizes.width).over(Grid::Threads(spans.len() * sizes.width))
}

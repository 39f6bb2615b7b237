//! Launches of the causal filter.

use super::{OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;
use crate::sequences::{Direction, Sequences};

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, sequences): (Sizes, Sequences<'_>),
    x: &Buffer<f32>,
    (w, b): (&Buffer<f32>, &Buffer<f32>),
    carry: Option<&mut Buffer<f32>>,
    u: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let Sizes { tokens, width, filter } = sizes;
    // Sequences without tokens are walked as if they were not there, as on the processor.
    let offsets = cuda.indices(OP, sequences.offsets)?;
    let (count, reverse) = (sequences.count(), usize::from(sequences.direction == Direction::Reverse));
    let launch = cuda.launch(OP, "conv1d_forward").reads(&offsets).reads(x).reads(w).reads(b);
    let launch = launch.may_read(carry.as_deref()).writes(u).count(count).count(tokens).count(width);
    launch.count(filter).count(reverse).over(Grid::Blocks(tokens))?;
    let Some(carry) = carry else { return Ok(()) };
    if count == 0 {
        return Ok(());
    }
    let mut left = cuda.scratch(carry.len());
    let launch = cuda.launch(OP, "conv1d_carry").reads(&offsets).reads(x).reads(carry).writes(&mut left);
    let launch = launch.count(count).count(width).count(filter).count(reverse);
    launch.over(Grid::Threads(sizes.carry()))?;
    std::mem::swap(carry, &mut left);
    Ok(())
}

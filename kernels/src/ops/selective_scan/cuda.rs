//! Launches of the scan.

use super::{Keep, OP, Operands, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid, no_training};
use crate::error::KernelError;
use crate::sequences::{Direction, Sequences};

/// Channels that a block walks at a time.
const CHANNELS: usize = 128;

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, sequences): (Sizes, Sequences<'_>),
    operands: Operands<'_, Buffer<f32>>,
    keep: Keep<'_>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let carry = match keep {
        Keep::Nothing => None,
        Keep::Carry(carry) => Some(carry),
        Keep::Borders(_) => return Err(no_training(OP)),
    };
    let (count, reverse) = (sequences.count(), usize::from(sequences.direction == Direction::Reverse));
    let offsets = cuda.indices(OP, sequences.offsets)?;
    // The state that a sequence leaves must not reach those that still begin.
    let mut left = carry.as_ref().map(|carry| cuda.scratch(carry.len()));
    let launch = cuda.launch(OP, "selective_scan_forward").reads(&offsets).reads(operands.u);
    let launch = launch.reads(operands.delta).reads(operands.bc).reads(operands.a_log).reads(operands.d);
    let launch = launch.may_read(carry.as_deref()).may_write(left.as_mut()).writes(y).count(count);
    let launch = launch.count(sizes.width).count(sizes.states).count(reverse);
    launch.over(Grid::Uneven(count * sizes.width.div_ceil(CHANNELS)))?;
    if let (Some(carry), Some(left), true) = (carry, &mut left, count > 0) {
        std::mem::swap(carry, left);
    }
    Ok(())
}

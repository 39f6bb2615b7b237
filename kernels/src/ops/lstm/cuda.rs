//! Launches of the LSTM's steps: one for each, over the sequences that make it.

use super::plan::Plan;
use super::{GATES, OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;
use crate::ops::linear::Weights;
use crate::ops::linear::cuda::{Values, stacked};

/// Sequences and units of a block's tile.
const TILE: usize = 16;

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, offsets): (Sizes, &[usize]),
    inputs: [&Buffer<f32>; 2],
    weights: [[&Weights; GATES]; 2],
    h: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let (plan, hidden) = (Plan::apart(offsets), sizes.hidden);
    let (starts, lengths): (Vec<usize>, Vec<usize>) =
        plan.spans().iter().map(|span| (span.start, span.len())).unzip();
    let (starts, lengths) = (cuda.indices(OP, &starts)?, cuda.indices(OP, &lengths)?);
    let weights = [stacked(cuda, &weights[0])?, stacked(cuda, &weights[1])?];
    let kernel = match weights[0].0 {
        Values::F32(_) => "lstm_step_f32",
        Values::Bf16(_) => "lstm_step_bf16",
    };
    let mut cells: Buffer<f32> = cuda.scratch(2 * plan.count() * hidden);
    for step in 0..plan.steps() {
        let live = plan.live(step);
        let mut launch = cuda.launch(OP, kernel).reads(&starts).reads(&lengths);
        launch = launch.reads(inputs[0]).reads(inputs[1]);
        for (values, first) in &weights {
            launch = match values {
                Values::F32(values) => launch.reads_from(values, *first),
                Values::Bf16(values) => launch.reads_from(values, *first),
            };
        }
        let launch = launch.writes(&mut cells).writes(h).count(live).count(plan.count()).count(hidden);
        launch.count(step).over(Grid::Blocks(2 * live.div_ceil(TILE) * hidden.div_ceil(TILE)))?;
    }
    Ok(())
}

//! Launches of contacts.

use super::{Evidence, OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    Sizes { length, channels }: Sizes,
    evidence: Evidence<'_>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let mut factors: Buffer<f32> = cuda.scratch(channels);
    let launch = cuda.launch(OP, "contacts_factors").reads(evidence.sums).reads(evidence.weights);
    launch.writes(&mut factors).count(channels).count(length).over(Grid::Warps(channels))?;
    let launch = cuda.launch(OP, "contacts_map").reads(evidence.map).reads(evidence.sums).reads(&factors);
    let launch = launch.writes(y).count(channels).count(length).real(evidence.bias);
    launch.over(Grid::Threads(length * length))
}

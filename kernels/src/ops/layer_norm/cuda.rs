//! Launches of layer normalisation.

use super::{Kind, OP, Sizes};
use crate::buffer::{Buffer, Output};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    x: &Buffer<f32>,
    (gamma, beta): (&Buffer<f32>, &Buffer<f32>),
    mut y: Output<'_>,
    stats: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    let kernel = match (sizes.kind, &y) {
        (Kind::Deviation, Output::F32(_)) => "layer_norm_f32",
        (Kind::Deviation, Output::Bf16(_)) => "layer_norm_bf16",
        (Kind::RootDeviation, Output::F32(_)) => "layer_norm_root_f32",
        (Kind::RootDeviation, Output::Bf16(_)) => "layer_norm_root_bf16",
    };
    let launch = cuda.launch(OP, kernel).reads(x).reads(gamma).reads(beta).result(&mut y).may_write(stats);
    launch.count(sizes.rows).count(sizes.width).real(sizes.epsilon).over(Grid::Warps(sizes.rows))
}

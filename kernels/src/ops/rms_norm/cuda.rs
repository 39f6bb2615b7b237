//! Launches of the normalisation by the root of the mean square.

use super::{OP, Sizes};
use crate::buffer::{Buffer, Output};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    x: &Buffer<f32>,
    gamma: &Buffer<f32>,
    mut y: Output<'_>,
    stats: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    let kernel = match y {
        Output::F32(_) => "rms_norm_f32",
        Output::Bf16(_) => "rms_norm_bf16",
    };
    let launch = cuda.launch(OP, kernel).reads(x).reads(gamma).result(&mut y).may_write(stats);
    launch.count(sizes.rows).count(sizes.width).real(sizes.epsilon).over(Grid::Warps(sizes.rows))
}

//! Launches of the features of pairs.

use super::{OP, Sizes};
use crate::buffer::{Buffer, Output};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    z: &Buffer<f32>,
    mut features: Output<'_>,
) -> Result<(), KernelError> {
    let kernel = match features {
        Output::F32(_) => "pair_features_f32",
        Output::Bf16(_) => "pair_features_bf16",
    };
    let launch = cuda.launch(OP, kernel).reads(z).result(&mut features);
    launch.count(sizes.length).count(sizes.width).over(Grid::Threads(sizes.features() / 2))
}

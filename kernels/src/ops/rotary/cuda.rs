//! Launches of the rotation.

use super::{OP, Sizes, Table};
use crate::buffer::{Buffer, Output};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, offsets, table): (Sizes, &[usize], &Table),
    x: &Buffer<f32>,
    scale: f32,
    mut y: Output<'_>,
) -> Result<(), KernelError> {
    let kernel = match y {
        Output::F32(_) => "rotary_f32",
        Output::Bf16(_) => "rotary_bf16",
    };
    let (borders, sequences) = (cuda.indices(OP, offsets)?, offsets.len() - 1);
    let launch = cuda.launch(OP, kernel).reads(&borders).reads(&table.cos).reads(&table.sin).reads(x);
    let launch = launch.result(&mut y).count(sequences).count(sizes.tokens).count(sizes.heads);
    launch.count(sizes.head_width).real(scale).over(Grid::Warps(sizes.tokens))
}

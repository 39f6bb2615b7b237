//! Launches of pooling.

use super::{Kind, OP, Sizes};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, kind, spans): (Sizes, Kind, &[(usize, usize)]),
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
    argmax: Option<&mut Buffer<u32>>,
) -> Result<(), KernelError> {
    let borders: Vec<usize> = spans.iter().flat_map(|&(start, end)| [start, end]).collect();
    let borders = cuda.indices(OP, &borders)?;
    let kernel = match kind {
        Kind::Mean => "pool_mean",
        Kind::Sum => "pool_sum",
        Kind::Cls => "pool_cls",
        Kind::Max => "pool_max",
    };
    let launch = cuda.launch(OP, kernel).reads(&borders).reads(x).writes(y);
    let launch = if kind == Kind::Max { launch.may_write(argmax) } else { launch };
    launch.count(spans.len()).count(sizes.width).over(Grid::Threads(spans.len() * sizes.width))
}

//! Launches of picked rows.

use super::OP;
use crate::buffer::{Buffer, Element};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn gather<T: Element>(
    cuda: &Cuda,
    width: usize,
    rows: &[usize],
    x: &Buffer<T>,
    y: &mut Buffer<T>,
) -> Result<(), KernelError> {
    let kernel = if size_of::<T>() == 2 { "layout_gather_bf16" } else { "layout_gather_f32" };
    let count = rows.len();
    let rows = cuda.indices(OP, rows)?;
    let launch = cuda.launch(OP, kernel).reads(&rows).reads(x).writes(y);
    launch.count(count).count(width).over(Grid::Blocks(count))
}

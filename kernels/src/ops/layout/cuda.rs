//! Launches of picked rows and columns.

use super::{COLUMNS, Columns, OP};
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

pub(super) fn scatter(
    cuda: &Cuda,
    width: usize,
    rows: &[usize],
    dy: &Buffer<f32>,
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let count = rows.len();
    let rows = cuda.indices(OP, rows)?;
    let launch = cuda.launch(OP, "layout_scatter").reads(&rows).reads(dy).writes(dx);
    launch.count(count).count(width).over(Grid::Blocks(count))
}

pub(super) fn copy_columns(
    cuda: &Cuda,
    columns: Columns,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let Columns { rows, width, from, to } = columns;
    let launch = cuda.launch(COLUMNS, "layout_columns").reads(x).writes(y).wide(rows * width).count(width);
    launch.count(from.0).count(from.1).count(to.0).count(to.1).over(Grid::Threads(rows * width))
}

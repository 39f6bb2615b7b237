//! Rows of a matrix picked out, and put back; columns copied from one matrix to another.
//!
//! Shapes: `x [R,C]`, rows `r [B]` (indices into `x`, in any order, each at most once), `y [B,C]`.
//!
//! `y_b = x_{r_b}`. Backward: `dx_{r_b} = dy_b` and zero in all other rows, or `dx_{r_b} += dy_b` where `dx` holds a sum
//! already. Numbers are copied, never rounded.
//!
//! Columns: `x [R,C]`, `y [R,D]`, `y_{r,d+k} = x_{r,c+k}` for K columns; all others of `y` stay as they are. It is its own
//! backward, with `dy` for `x` and `dx` for `y`.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::{Buffer, Input, Output};
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "gather_rows";

const COLUMNS: &str = "copy_columns";

/// Copies are exact; a sum in place is rounded once.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-7, relative: 1e-7 };

/// Sizes of the matrix that rows are picked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// C
    pub width: usize,
}

impl Sizes {
    fn check(&self, rows: &[usize], numbers: usize, picked: usize) -> Result<(), KernelError> {
        check_size(OP, "matrix", numbers, self.rows * self.width)?;
        check_size(OP, "picked rows", picked, rows.len() * self.width)?;
        let mut seen = vec![false; self.rows];
        for &row in rows {
            match seen.get_mut(row) {
                None => return Err(KernelError::Index { op: OP, what: "row", found: row, limit: self.rows }),
                Some(true) => {
                    let (what, found) = ("a row picked twice", row.to_string());
                    let supported = "every row at most once";
                    return Err(KernelError::Unsupported { op: OP, what, found, supported });
                }
                Some(seen) => *seen = true,
            }
        }
        Ok(())
    }
}

/// K columns of two matrices of R rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Columns {
    /// R
    pub rows: usize,
    /// K
    pub width: usize,
    /// C, and the first column that is read.
    pub from: (usize, usize),
    /// D, and the first column that is written.
    pub to: (usize, usize),
}

impl Columns {
    fn check(&self, x: usize, y: usize) -> Result<(), KernelError> {
        for (what, (all, first), numbers) in [("matrix", self.from, x), ("result", self.to, y)] {
            check_size(COLUMNS, what, numbers, self.rows * all)?;
            let end = first + self.width;
            if end > all {
                return Err(KernelError::Index {
                    op: COLUMNS,
                    what: "end of the columns",
                    found: end,
                    limit: all + 1,
                });
            }
        }
        Ok(())
    }
}

/// Copies K columns of `x [R,C]` to `y [R,D]`.
///
/// # Errors
/// [`KernelError`] when sizes do not fit, or columns lie outside of a matrix.
pub fn copy_columns(
    device: &Device,
    columns: Columns,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    columns.check(x.len(), y.len())?;
    match device {
        Device::Cpu(cpu) => simd::copy_columns(cpu, columns, x, y),
        Device::Cuda(cuda) => cuda::copy_columns(cuda, columns, x, y)?,
    }
    Ok(())
}

/// Copies `rows` of `x [R,C]` to `y [B,C]`, which holds numbers of the same type.
///
/// # Errors
/// [`KernelError`] when sizes or types do not fit, or a row lies outside `x` or comes twice.
pub fn gather_rows(
    device: &Device,
    sizes: Sizes,
    rows: &[usize],
    x: Input<'_>,
    y: Output<'_>,
) -> Result<(), KernelError> {
    sizes.check(rows, x.len(), y.len())?;
    match (device, x, y) {
        (Device::Cpu(cpu), Input::F32(x), Output::F32(y)) => simd::gather(cpu, sizes.width, rows, x, y),
        (Device::Cpu(cpu), Input::Bf16(x), Output::Bf16(y)) => simd::gather(cpu, sizes.width, rows, x, y),
        (Device::Cuda(cuda), Input::F32(x), Output::F32(y)) => cuda::gather(cuda, sizes.width, rows, x, y)?,
        (Device::Cuda(cuda), Input::Bf16(x), Output::Bf16(y)) => cuda::gather(cuda, sizes.width, rows, x, y)?,
        _ => {
            let (what, found) = ("type of the picked rows", "another than that of the matrix".to_owned());
            return Err(KernelError::Unsupported { op: OP, what, found, supported: "the same" });
        }
    }
    Ok(())
}

/// Adds `dy [B,C]` to `rows` of `dx [R,C]`, whose numbers are set to zero before unless `accumulate`.
///
/// # Errors
/// [`KernelError`] when sizes do not fit, or a row lies outside `dx` or comes twice.
pub fn scatter_rows(
    device: &Device,
    sizes: Sizes,
    rows: &[usize],
    dy: &Buffer<f32>,
    dx: &mut Buffer<f32>,
    accumulate: bool,
) -> Result<(), KernelError> {
    sizes.check(rows, dx.len(), dy.len())?;
    if !accumulate {
        device.clear(dx)?;
    }
    match device {
        Device::Cpu(cpu) => simd::scatter(cpu, sizes.width, rows, dy, dx),
        Device::Cuda(cuda) => cuda::scatter(cuda, sizes.width, rows, dy, dx)?,
    }
    Ok(())
}

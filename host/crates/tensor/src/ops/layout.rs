//! Rows of a matrix picked out, put among rows of zeros, or cut anew.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor, Values};
use pliant_kernels::ops::layout::{self, Sizes};

const OP: &str = "gather_rows";

/// The given rows of `x` `[R,C]`, in the given order, as `[B,C]` of the same type. No row may come twice.
///
/// # Errors
/// [`TensorError`] when a row lies outside `x` or comes twice.
pub fn gather_rows(tape: &Tape, x: &Tensor, rows: &[usize]) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let [all, width] = x.shape();
    let sizes = Sizes { rows: all, width };
    let mut y = Values::scratch(device, x.dtype(), rows.len() * width);
    layout::gather_rows(device, sizes, rows, x.input(), y.output()).map_err(in_op(OP, [x.shape()]))?;
    let y = Tensor::new([rows.len(), width], y);
    let wanted = tape.wants(OP, &[x], &[])?;
    let Some(slot) = x.slot().filter(|_| wanted) else { return Ok(y) };
    let rows = rows.to_vec();
    Ok(tape.record(y, move |gradients, dy| {
        gradients
            .write(Some(slot), all * width, |device, dx, accumulate| {
                layout::scatter_rows(device, sizes, &rows, &dy, dx, accumulate)
            })
            .map_err(in_op(OP, [[all, width]]))
    }))
}

/// A matrix of `total` rows whose `rows` are those of `x` `[B,C]` (f32), in their order, and all others zero. No row may
/// come twice.
///
/// # Errors
/// [`TensorError`] when a row lies outside the result or comes twice, or `x` is not f32.
pub fn spread_rows(tape: &Tape, x: &Tensor, rows: &[usize], total: usize) -> Result<Tensor, TensorError> {
    const OP: &str = "spread_rows";
    let (device, width) = (tape.device(), x.columns());
    let sizes = Sizes { rows: total, width };
    let mut y = device.scratch(total * width);
    layout::scatter_rows(device, sizes, rows, x.f32_of(OP, "rows")?, &mut y, false)
        .map_err(in_op(OP, [x.shape()]))?;
    let y = Tensor::from_buffer([total, width], y);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let (slot, shape, rows) = (x.slot(), x.shape(), rows.to_vec());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = Values::scratch(&device, Dtype::F32, shape[0] * shape[1]);
        let dy = Tensor::from_buffer([total, width], dy);
        layout::gather_rows(&device, sizes, &rows, dy.input(), dx.output()).map_err(in_op(OP, [shape]))?;
        match dx {
            Values::F32(dx) => gradients.add(slot, dx),
            Values::Bf16(_) => Ok(()),
        }
    }))
}

/// The numbers of `x`, row by row, as a matrix of `columns` columns.
///
/// # Errors
/// [`TensorError::Shape`] when they do not fill its rows.
pub fn reshape(tape: &Tape, x: &Tensor, columns: usize) -> Result<Tensor, TensorError> {
    const OP: &str = "reshape";
    let [rows, width] = x.shape();
    let numbers = rows * width;
    if columns == 0 || !numbers.is_multiple_of(columns) {
        let (found, wanted) = (vec![rows, width], vec![numbers / columns.max(1), columns]);
        return Err(TensorError::Shape { op: OP, what: "matrix", found, wanted });
    }
    let y = x.cut([numbers / columns, columns]);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let slot = x.slot();
    Ok(tape.record(y, move |gradients, dy| gradients.add(slot, dy)))
}

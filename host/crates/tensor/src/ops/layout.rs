//! Rows of a matrix picked out, put among rows of zeros, or cut anew; columns picked out, or matrices put side by side.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor, Values};
use pliant_kernels::ops::layout::{self, Columns, Sizes};
use std::ops::Range;

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

/// The columns `[R,K]` of `x` `[R,C]` (f32) in a range.
///
/// # Errors
/// [`TensorError`] when the range is outside of `x`, or `x` is not f32.
pub fn columns(tape: &Tape, x: &Tensor, range: Range<usize>) -> Result<Tensor, TensorError> {
    const OP: &str = "columns";
    let (device, [rows, all], width) = (tape.device(), x.shape(), range.len());
    let there = Columns { rows, width, from: (all, range.start), to: (width, 0) };
    let mut y = device.scratch(rows * width);
    layout::copy_columns(device, there, x.f32_of(OP, "matrix")?, &mut y).map_err(in_op(OP, [x.shape()]))?;
    let y = Tensor::from_buffer([rows, width], y);
    let wanted = tape.wants(OP, &[x], &[])?;
    let Some(slot) = x.slot().filter(|_| wanted) else { return Ok(y) };
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.zeros(rows * all);
        let back = Columns { rows, width, from: there.to, to: there.from };
        layout::copy_columns(&device, back, &dy, &mut dx).map_err(in_op(OP, [[rows, all]]))?;
        gradients.add(Some(slot), dx)
    }))
}

/// Matrices `[R,C_i]` (f32) side by side: `[R,C_1+C_2+...]`.
///
/// # Errors
/// [`TensorError`] when their rows are not as many, or they are not f32.
pub fn beside(tape: &Tape, parts: &[&Tensor]) -> Result<Tensor, TensorError> {
    const OP: &str = "beside";
    let (device, rows) = (tape.device(), parts.first().map_or(0, |part| part.rows()));
    let all = parts.iter().map(|part| part.columns()).sum();
    let mut y = device.scratch(rows * all);
    let (mut places, mut first) = (Vec::with_capacity(parts.len()), 0);
    for part in parts {
        let width = part.columns();
        part.check_shape(OP, "part", [rows, width])?;
        let there = Columns { rows, width, from: (width, 0), to: (all, first) };
        layout::copy_columns(device, there, part.f32_of(OP, "part")?, &mut y)
            .map_err(in_op(OP, [part.shape()]))?;
        places.push((part.slot(), there));
        first += width;
    }
    let y = Tensor::from_buffer([rows, all], y);
    if !tape.wants(OP, parts, &[])? {
        return Ok(y);
    }
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        for (slot, there) in places.into_iter().filter(|(slot, _)| slot.is_some()) {
            let mut part = device.scratch(rows * there.width);
            let back = Columns { from: there.to, to: there.from, ..there };
            layout::copy_columns(&device, back, &dy, &mut part).map_err(in_op(OP, [[rows, all]]))?;
            gradients.add(slot, part)?;
        }
        Ok(())
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

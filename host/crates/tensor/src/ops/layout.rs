//! Rows of a matrix picked out.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Tensor, Values};
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

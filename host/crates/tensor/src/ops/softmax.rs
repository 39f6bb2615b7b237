//! Softmax of rows of scores, and its logarithm.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Tensor, Values};
pub use pliant_kernels::ops::softmax::Kind as SoftmaxKind;
use pliant_kernels::ops::softmax::{self, Sizes};

const OP: &str = "softmax";

/// Probabilities or their natural logarithms `[R,V]` of the scores `x [R,V]`, which are f32.
///
/// # Errors
/// [`TensorError`] when `x` is not f32 or has no column.
pub fn softmax(tape: &Tape, x: &Tensor, kind: SoftmaxKind) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape @ [rows, classes] = x.shape();
    let sizes = Sizes { rows, classes };
    let mut y = device.scratch(rows * classes);
    softmax::forward(device, sizes, kind, x.f32_of(OP, "scores")?, &mut y).map_err(in_op(OP, [shape]))?;
    let y = Tensor::new(shape, Values::F32(y));
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let (x, kept) = (x.clone(), y.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.scratch(dy.len());
        let results = (kept.f32_of(OP, "results")?, &dy);
        softmax::backward(&device, sizes, kind, results, &mut dx).map_err(in_op(OP, [shape]))?;
        gradients.add(x.slot(), dx)
    }))
}

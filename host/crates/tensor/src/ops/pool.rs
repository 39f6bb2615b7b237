//! One row per sequence.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::Tensor;
pub use pliant_kernels::ops::pool::Kind;
use pliant_kernels::ops::pool::{self, Sizes};

const OP: &str = "pool";

/// Mean, sum or maximum of the rows of `x` (f32 `[T,C]`) in every span, or the span's only row: `[B,C]`.
///
/// `spans` are half-open ranges of rows, one per sequence; for [`Kind::Cls`] each holds a single row.
///
/// # Errors
/// [`TensorError`] when a span is empty or outside `x`, or `x` is not f32.
pub fn pool(tape: &Tape, x: &Tensor, kind: Kind, spans: &[(usize, usize)]) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let [tokens, width] = x.shape();
    let shape = [spans.len(), width];
    let sizes = Sizes { tokens, width };
    let wanted = tape.wants(OP, &[x], &[])?;
    let mut argmax = (wanted && kind == Kind::Max).then(|| device.scratch(shape[0] * width));
    let mut y = device.scratch(shape[0] * width);
    pool::forward(device, sizes, kind, spans, x.f32_of(OP, "input")?, &mut y, argmax.as_mut())
        .map_err(in_op(OP, [x.shape()]))?;
    let y = Tensor::from_buffer(shape, y);
    let Some(slot) = x.slot().filter(|_| wanted) else { return Ok(y) };
    let spans = spans.to_vec();
    Ok(tape.record(y, move |gradients, dy| {
        gradients
            .write(Some(slot), tokens * width, |device, dx, accumulate| {
                if !accumulate {
                    device.clear(dx)?;
                }
                pool::backward(device, sizes, kind, &spans, argmax.as_ref(), &dy, dx)
            })
            .map_err(in_op(OP, [[tokens, width]]))
    }))
}

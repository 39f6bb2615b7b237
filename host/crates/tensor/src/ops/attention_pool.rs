//! One row per sequence, the mean of its rows weighed by scores.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::attention_pool::{self, Saved, Sizes};

const OP: &str = "attention_pool";

/// `Σ_t p_t·x_t` of the rows of `x` (f32 `[T,C]`) in every span, with `p` the softmax of `scores` (f32 `[T,1]`) over the
/// span: `[B,C]`.
///
/// `spans` are half-open ranges of rows that ascend and do not overlap, one per sequence.
///
/// # Errors
/// [`TensorError`] when a span is empty, outside `x` or overlaps the one before, or a tensor is not f32.
pub fn attention_pool(
    tape: &Tape,
    x: &Tensor,
    scores: &Tensor,
    spans: &[(usize, usize)],
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let [tokens, width] = x.shape();
    let sizes = Sizes { tokens, width };
    scores.check_shape(OP, "scores", [tokens, 1])?;
    let operands = (x.f32_of(OP, "states")?, scores.f32_of(OP, "scores")?);
    let (mut weights, mut y) = (device.scratch(tokens), device.scratch(spans.len() * width));
    attention_pool::forward(device, sizes, spans, operands, &mut weights, &mut y)
        .map_err(in_op(OP, [x.shape(), scores.shape()]))?;
    let y = Tensor::from_buffer([spans.len(), width], y);
    if !tape.wants(OP, &[x, scores], &[])? {
        return Ok(y);
    }
    let (x, slot, kept, spans) = (x.clone(), scores.slot(), y.clone(), spans.to_vec());
    Ok(tape.record(y, move |gradients, dy| {
        let mut dscores = gradients.device().scratch(tokens);
        let saved =
            Saved { x: x.f32_of(OP, "states")?, weights: &weights, y: kept.f32_of(OP, "pooled vectors")? };
        gradients
            .write(x.slot(), tokens * width, |device, dx, accumulate| {
                if !accumulate {
                    dx.as_mut_slice().fill(0.0);
                }
                attention_pool::backward(device, sizes, &spans, saved, &dy, (dx, &mut dscores))
            })
            .map_err(in_op(OP, [[tokens, width]]))?;
        gradients.add(slot, dscores)
    }))
}

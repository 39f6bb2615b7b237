//! Normalisation by the root of the mean square.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor, Values};
use pliant_kernels::ops::rms_norm::{self, Sizes};
use std::sync::Arc;

const OP: &str = "rms_norm";

/// Rows of `x` (f32 `[R,C]`) divided by the root of their mean square plus `epsilon`, times `gamma` `[C]`.
///
/// # Errors
/// [`TensorError`] when shapes do not fit or `x` is not f32.
pub fn rms_norm(
    tape: &Tape,
    x: &Tensor,
    gamma: &Arc<Param>,
    epsilon: f32,
    out: Dtype,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape @ [rows, width] = x.shape();
    gamma.check_vector(OP, "scale", width)?;
    let sizes = Sizes { rows, width, epsilon };
    let wanted = tape.wants(OP, &[x], &[gamma])?;
    let mut stats = wanted.then(|| device.scratch(rows));
    let mut y = Values::scratch(device, out, rows * width);
    let scale = gamma.buffer(OP)?;
    rms_norm::forward(device, sizes, x.f32_of(OP, "input")?, &scale, y.output(), stats.as_mut())
        .map_err(in_op(OP, [shape]))?;
    let y = Tensor::new(shape, y);
    let Some(stats) = stats else { return Ok(y) };
    let (x, gamma) = (x.clone(), Arc::clone(gamma));
    Ok(tape.record(y, move |gradients, dy| {
        let mut dgamma = gamma.take_gradient();
        let (saved, scale) = ((x.f32_of(OP, "input")?, &stats), gamma.buffer(OP)?);
        gradients
            .write(x.slot(), dy.len(), |device, dx, accumulate| {
                rms_norm::backward(device, sizes, saved, &scale, &dy, (dx, accumulate), &mut dgamma)
            })
            .map_err(in_op(OP, [shape]))?;
        gradients.give(&gamma, dgamma);
        Ok(())
    }))
}

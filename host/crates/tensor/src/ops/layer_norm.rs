//! Layer normalisation.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor, Values};
pub use pliant_kernels::ops::layer_norm::Kind as NormKind;
use pliant_kernels::ops::layer_norm::{self, Grads, Sizes};
use std::sync::Arc;

const OP: &str = "layer_norm";

/// Rows of `x` (f32 `[R,C]`) less their mean and divided by their spread, which `kind` names, times `gamma` `[C]` plus
/// `beta` `[C]`.
///
/// # Errors
/// [`TensorError`] when shapes do not fit or `x` is not f32.
pub fn layer_norm(
    tape: &Tape,
    x: &Tensor,
    gamma: &Arc<Param>,
    beta: &Arc<Param>,
    (kind, epsilon): (NormKind, f32),
    out: Dtype,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape @ [rows, width] = x.shape();
    gamma.check_vector(OP, "scale", width)?;
    beta.check_vector(OP, "shift", width)?;
    let sizes = Sizes { rows, width, epsilon, kind };
    let wanted = tape.wants(OP, &[x], &[gamma, beta])?;
    let mut stats = wanted.then(|| device.scratch(2 * rows));
    let mut y = Values::scratch(device, out, rows * width);
    let (scale, shift) = (gamma.buffer(OP)?, beta.buffer(OP)?);
    layer_norm::forward(device, sizes, x.f32_of(OP, "input")?, &scale, &shift, y.output(), stats.as_mut())
        .map_err(in_op(OP, [shape]))?;
    let y = Tensor::new(shape, y);
    let Some(stats) = stats else { return Ok(y) };
    let (x, gamma, beta) = (x.clone(), Arc::clone(gamma), Arc::clone(beta));
    Ok(tape.record(y, move |gradients, dy| {
        let (mut dgamma, mut dbeta) = (gamma.take_gradient(), beta.take_gradient());
        let (saved, scale) = ((x.f32_of(OP, "input")?, &stats), gamma.buffer(OP)?);
        gradients
            .write(x.slot(), dy.len(), |device, dx, accumulate| {
                let grads = Grads { dx, accumulate, dgamma: &mut dgamma, dbeta: &mut dbeta };
                layer_norm::backward(device, sizes, saved, &scale, &dy, grads)
            })
            .map_err(in_op(OP, [shape]))?;
        gradients.give(&gamma, dgamma);
        gradients.give(&beta, dbeta);
        Ok(())
    }))
}

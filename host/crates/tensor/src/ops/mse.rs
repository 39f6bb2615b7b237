//! Squared error of predicted numbers.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::mse::{self, Targets};
use pliant_kernels::ops::reduce;

const OP: &str = "mse";

/// Mean over places of `(x - t)²`, as `[1,1]`; predictions `x` are f32 `[R,K]`, `targets` `[R·K]` row by row and finite.
/// `weights` `[R·K]` multiply the losses and leave the number of places as it is.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a target or weight is none, or there is no place.
pub fn mse(tape: &Tape, x: &Tensor, targets: &[f32], weights: Option<&[f32]>) -> Result<Tensor, TensorError> {
    mse_over(tape, x, targets, weights, targets.len())
}

/// The same with the sum of the losses divided by `denominator`: where it is the number of places of several packs
/// together, their losses add up to the mean over all, and so do their gradients.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a target or weight is none, or the denominator is 0.
pub fn mse_over(
    tape: &Tape,
    x: &Tensor,
    targets: &[f32],
    weights: Option<&[f32]>,
    denominator: usize,
) -> Result<Tensor, TensorError> {
    let (device, shape) = (tape.device(), x.shape());
    let (values, weights) = (device.upload(targets), weights.map(|weights| device.upload(weights)));
    let wanted = Targets { values: &values, weights: weights.as_ref() };
    let predicted = x.f32_of(OP, "predictions")?;
    let mut losses = device.scratch(predicted.len());
    mse::forward(device, predicted, wanted, &mut losses).map_err(in_op(OP, [shape]))?;
    let mean = reduce::mean_over(device, OP, &losses, denominator).map_err(in_op(OP, [shape]))?;
    let loss = Tensor::from_f32(device, [1, 1], &[mean])?;
    if !tape.wants(OP, &[x], &[])? {
        return Ok(loss);
    }
    let x = x.clone();
    Ok(tape.record(loss, move |gradients, dloss| {
        let device = gradients.device();
        let scale = dloss.as_slice().iter().sum::<f32>() / denominator as f32;
        let predicted = x.f32_of(OP, "predictions")?;
        let mut dx = device.scratch(predicted.len());
        let wanted = Targets { values: &values, weights: weights.as_ref() };
        mse::backward(&device, predicted, wanted, scale, &mut dx).map_err(in_op(OP, [shape]))?;
        gradients.add(x.slot(), dx)
    }))
}

//! Binary cross-entropy of scores before their logistic function.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::bce::{self, Targets};
pub use pliant_kernels::ops::bce::{IGNORE, count};
use pliant_kernels::ops::reduce;

const OP: &str = "bce";

/// Mean over places of `-t·ln p - (1 - t)·ln(1 - p)` with `p = 1/(1 + e^-z)`, as `[1,1]`; `logits` `z` are f32 `[R,K]`,
/// `targets` `[R·K]` row by row in 0..=1, those that are [`IGNORE`] do not count. `weights` `[R·K]` multiply the losses and
/// leave the number of places as it is.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a target or weight is none, or no target counts.
pub fn bce_with_logits(
    tape: &Tape,
    logits: &Tensor,
    targets: &[f32],
    weights: Option<&[f32]>,
) -> Result<Tensor, TensorError> {
    bce_with_logits_over(tape, logits, targets, weights, count(targets))
}

/// The same with the sum of the losses divided by `denominator`: where it is the number of targets that count in several
/// packs together, their losses add up to the mean over all, and so do their gradients.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a target or weight is none, or the denominator is 0.
pub fn bce_with_logits_over(
    tape: &Tape,
    logits: &Tensor,
    targets: &[f32],
    weights: Option<&[f32]>,
    denominator: usize,
) -> Result<Tensor, TensorError> {
    let (device, shape) = (tape.device(), logits.shape());
    let (values, weights) = (device.upload(targets), weights.map(|weights| device.upload(weights)));
    let wanted = Targets { values: &values, weights: weights.as_ref() };
    let scores = logits.f32_of(OP, "scores")?;
    let mut losses = device.scratch(scores.len());
    bce::forward(device, scores, wanted, &mut losses).map_err(in_op(OP, [shape]))?;
    let mean = reduce::mean_over(device, OP, &losses, denominator).map_err(in_op(OP, [shape]))?;
    let loss = Tensor::from_f32(device, [1, 1], &[mean])?;
    if !tape.wants(OP, &[logits], &[])? {
        return Ok(loss);
    }
    let logits = logits.clone();
    Ok(tape.record(loss, move |gradients, dloss| {
        let device = gradients.device();
        let scale = dloss.as_slice().iter().sum::<f32>() / denominator as f32;
        let scores = logits.f32_of(OP, "scores")?;
        let mut dlogits = device.scratch(scores.len());
        let wanted = Targets { values: &values, weights: weights.as_ref() };
        bce::backward(&device, scores, wanted, scale, &mut dlogits).map_err(in_op(OP, [shape]))?;
        gradients.add(logits.slot(), dlogits)
    }))
}

//! Cross-entropy of classes.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Ids, Tensor};
pub use pliant_kernels::ops::cross_entropy::IGNORE;
use pliant_kernels::ops::cross_entropy::{self, Sizes};

const OP: &str = "cross_entropy";

/// Mean over rows of `-ln softmax(logits)[target]`, as `[1,1]`; `logits` are f32 `[R,V]`, `targets` `[R]`,
/// rows with target [`IGNORE`] do not count.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a target is no class, or no row counts.
pub fn cross_entropy(tape: &Tape, logits: &Tensor, targets: &Ids) -> Result<Tensor, TensorError> {
    cross_entropy_over(tape, logits, targets, cross_entropy::count(targets.buffer()))
}

/// The same with the sum of the losses divided by `denominator`: where it is the number of rows that count in several
/// packs together, their losses add up to the mean over all, and so do their gradients.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a target is no class, or the denominator is 0.
pub fn cross_entropy_over(
    tape: &Tape,
    logits: &Tensor,
    targets: &Ids,
    denominator: usize,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape @ [rows, classes] = logits.shape();
    let sizes = Sizes { rows, classes };
    let mut losses = device.scratch(rows);
    cross_entropy::forward(device, sizes, logits.f32_of(OP, "logits")?, targets.buffer(), &mut losses)
        .map_err(in_op(OP, [shape]))?;
    let mean = cross_entropy::mean_over(device, &losses, denominator).map_err(in_op(OP, [shape]))?;
    let loss = Tensor::from_f32(device, [1, 1], &[mean])?;
    if !tape.wants(OP, &[logits], &[])? {
        return Ok(loss);
    }
    let (logits, targets) = (logits.clone(), targets.clone());
    Ok(tape.record(loss, move |gradients, dloss| {
        let device = gradients.device();
        let targets = targets.buffer();
        let scale = dloss.as_slice().iter().sum::<f32>() / denominator as f32;
        let mut dlogits = device.scratch(rows * classes);
        cross_entropy::backward(&device, sizes, logits.f32_of(OP, "logits")?, targets, scale, &mut dlogits)
            .map_err(in_op(OP, [shape]))?;
        gradients.add(logits.slot(), dlogits)
    }))
}

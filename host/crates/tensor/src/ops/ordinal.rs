//! Ordered levels from one score.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::ordinal::{self, Grads, Sizes};
use std::sync::Arc;

const OP: &str = "ordinal";

/// Checks that a parameter, of whatever shape, has one number for every threshold.
fn check(param: &Param, what: &'static str, thresholds: usize) -> Result<(), TensorError> {
    if param.len() == thresholds {
        return Ok(());
    }
    Err(TensorError::Shape { op: OP, what, found: param.shape().to_vec(), wanted: vec![thresholds] })
}

/// A logit for every threshold, `[B,K]`: `scores` (f32 `[B,1]`) times `weights` plus `shifts`, K numbers each. The plain
/// values are read, so a frozen weight must be a vector or a table.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, `scores` is not f32 or a parameter is a frozen matrix.
pub fn ordinal(
    tape: &Tape,
    scores: &Tensor,
    weights: &Arc<Param>,
    shifts: &Arc<Param>,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let (rows, thresholds) = (scores.rows(), shifts.len());
    scores.check_shape(OP, "scores", [rows, 1])?;
    check(weights, "weights", thresholds)?;
    let (sizes, shape) = (Sizes { rows, thresholds }, [rows, thresholds]);
    let mut logits = device.scratch(rows * thresholds);
    let values = (&*weights.buffer(OP)?, &*shifts.buffer(OP)?);
    ordinal::forward(device, sizes, scores.f32_of(OP, "scores")?, values, &mut logits)
        .map_err(in_op(OP, [shape]))?;
    let logits = Tensor::from_buffer(shape, logits);
    if !tape.wants(OP, &[scores], &[weights, shifts])? {
        return Ok(logits);
    }
    let (scores, weights, shifts) = (scores.clone(), Arc::clone(weights), Arc::clone(shifts));
    Ok(tape.record(logits, move |gradients, dlogits| {
        let device = gradients.device();
        let mut dscores = device.scratch(rows);
        let (mut dweights, mut dshifts) = (weights.take_gradient(), shifts.take_gradient());
        let operands = (scores.f32_of(OP, "scores")?, &*weights.buffer(OP)?);
        let grads = Grads { dscores: &mut dscores, dweights: &mut dweights, dshifts: &mut dshifts };
        ordinal::backward(&device, sizes, operands, &dlogits, grads).map_err(in_op(OP, [shape]))?;
        gradients.give(&weights, dweights);
        gradients.give(&shifts, dshifts);
        gradients.add(scores.slot(), dscores)
    }))
}

/// Probabilities `[B,K+1]` of the levels between thresholds, lowest first, from `logits` (f32 `[B,K]`). They are looked at,
/// never trained through.
///
/// # Errors
/// [`TensorError`] when `logits` is not f32.
pub fn ordinal_levels(tape: &Tape, logits: &Tensor) -> Result<Tensor, TensorError> {
    let [rows, thresholds] = logits.shape();
    let mut levels = tape.device().scratch(rows * (thresholds + 1));
    let given = logits.f32_of(OP, "logits")?;
    ordinal::levels(tape.device(), Sizes { rows, thresholds }, given, &mut levels)
        .map_err(in_op(OP, [logits.shape()]))?;
    Ok(Tensor::from_buffer([rows, thresholds + 1], levels))
}

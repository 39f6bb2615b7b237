//! Depthwise causal filter with SiLU.

use crate::carry::Carry;
use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Offsets, Tensor};
use pliant_kernels::ops::conv1d::{self, Grads, Sizes};
use pliant_kernels::{Direction, Sequences};
use std::sync::Arc;

const OP: &str = "conv1d";

/// Sizes of the filter `weight` on `x`.
fn sizes(x: &Tensor, weight: &Param, bias: &Param, offsets: &Offsets) -> Result<Sizes, TensorError> {
    let [tokens, width] = x.shape();
    let (rows, filter) = weight.matrix_shape(OP)?;
    if rows != width {
        let (found, wanted) = (weight.shape().to_vec(), vec![width, filter]);
        return Err(TensorError::Shape { op: OP, what: "filter", found, wanted });
    }
    bias.check_vector(OP, "bias", width)?;
    offsets.check_tokens(OP, tokens)?;
    Ok(Sizes { tokens, width, filter })
}

/// SiLU of `bias` `[E]` plus the filter `weight` `[E,K]` over the last K rows of `x` (f32 `[T,E]`) in each
/// sequence, zeros before its first; in [`Direction::Reverse`] every sequence is walked from its end.
///
/// The weight's plain values are read, so a frozen one must be a table.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, `x` is not f32, K is above 16 or the weight is a frozen matrix.
pub fn conv1d(
    tape: &Tape,
    x: &Tensor,
    weight: &Arc<Param>,
    bias: &Arc<Param>,
    offsets: &Offsets,
    direction: Direction,
) -> Result<Tensor, TensorError> {
    let sizes = sizes(x, weight, bias, offsets)?;
    let wanted = tape.wants(OP, &[x], &[weight, bias])?;
    let u = run(tape, sizes, x, (weight, bias), (offsets, direction), None)?;
    if !wanted {
        return Ok(u);
    }
    let (shape, x, offsets) = (x.shape(), x.clone(), offsets.clone());
    let (weight, bias) = (Arc::clone(weight), Arc::clone(bias));
    Ok(tape.record(u, move |gradients, du| {
        let device = gradients.device();
        let mut dx = device.scratch(du.len());
        let (mut dw, mut db) = (weight.take_gradient(), bias.take_gradient());
        let sequences = Sequences { offsets: offsets.as_slice(), direction };
        let values = (&*weight.buffer(OP)?, &*bias.buffer(OP)?);
        let grads = Grads { dx: &mut dx, dw: &mut dw, db: &mut db };
        conv1d::backward(&device, sizes, sequences, x.f32_of(OP, "input")?, values, &du, grads)
            .map_err(in_op(OP, [shape]))?;
        gradients.give(&weight, dw);
        gradients.give(&bias, db);
        gradients.add(x.slot(), dx)
    }))
}

/// The same for rows that are a stretch of a longer run: the first sequence met in the `direction` continues
/// from `carry` `[K-1,E]`, which afterwards holds what the last one leaves behind. A run has the same bits
/// however it is cut.
///
/// # Errors
/// As [`conv1d`], and [`TensorError::NoBackward`] where the tape would have to record it.
pub fn conv1d_stretch(
    tape: &Tape,
    x: &Tensor,
    weight: &Arc<Param>,
    bias: &Arc<Param>,
    offsets: &Offsets,
    direction: Direction,
    carry: &mut Carry,
) -> Result<Tensor, TensorError> {
    let sizes = sizes(x, weight, bias, offsets)?;
    carry.check(OP, [sizes.filter.saturating_sub(1), sizes.width])?;
    if tape.wants(OP, &[x], &[weight, bias])? {
        return Err(TensorError::NoBackward { op: "conv1d of a stretch" });
    }
    run(tape, sizes, x, (weight, bias), (offsets, direction), Some(carry))
}

fn run(
    tape: &Tape,
    sizes: Sizes,
    x: &Tensor,
    (weight, bias): (&Param, &Param),
    (offsets, direction): (&Offsets, Direction),
    carry: Option<&mut Carry>,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape = x.shape();
    let mut u = device.scratch(sizes.tokens * sizes.width);
    let sequences = Sequences { offsets: offsets.as_slice(), direction };
    let values = (&*weight.buffer(OP)?, &*bias.buffer(OP)?);
    let carry = carry.map(Carry::buffer);
    conv1d::forward(device, sizes, sequences, x.f32_of(OP, "input")?, values, carry, &mut u)
        .map_err(in_op(OP, [shape]))?;
    Ok(Tensor::from_buffer(shape, u))
}

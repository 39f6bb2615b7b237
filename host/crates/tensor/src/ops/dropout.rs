//! Dropout.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::dropout::{self, Mask};
use pliant_kernels::rng::Philox;

const OP: &str = "dropout";

/// `x` (f32) with every number set to zero with `probability`, the others divided by `1 - probability`; `x` itself with
/// [`Tape::off`] or a probability of 0.
///
/// The mask is a function of the tape's seed and step, of `op_id`, which no other operation of the model may have, and
/// of a number's place in `x`: recomputation gives the same one.
///
/// # Errors
/// [`TensorError`] when `x` is not f32, the probability is not in 0..1, or the tape has no random numbers.
pub fn dropout(tape: &Tape, x: &Tensor, probability: f32, op_id: u32) -> Result<Tensor, TensorError> {
    if probability == 0.0 {
        return Ok(x.clone());
    }
    let Some((seed, step)) = tape.random(OP)? else { return Ok(x.clone()) };
    let mask = Mask { stream: Philox::new(seed, op_id, step), probability };
    let (device, shape) = (tape.device(), x.shape());
    let mut y = device.scratch(shape[0] * shape[1]);
    dropout::apply(device, mask, x.f32_of(OP, "input")?, &mut y).map_err(in_op(OP, [shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let slot = x.slot();
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.scratch(dy.len());
        dropout::apply(&device, mask, &dy, &mut dx).map_err(in_op(OP, [shape]))?;
        gradients.add(slot, dx)
    }))
}

//! Sums and scaling.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::elementwise;

/// `a + b`, both f32 and of one shape.
///
/// # Errors
/// [`TensorError`] when shapes differ or one is not f32.
pub fn add(tape: &Tape, a: &Tensor, b: &Tensor) -> Result<Tensor, TensorError> {
    const OP: &str = "add";
    let device = tape.device();
    let shape = a.shape();
    b.check_shape(OP, "second summand", shape)?;
    let mut y = device.scratch(shape[0] * shape[1]);
    let (first, second) = (a.f32_of(OP, "first summand")?, b.f32_of(OP, "second summand")?);
    elementwise::add(device, first, second, &mut y).map_err(in_op(OP, [shape, shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[a, b], &[])? {
        return Ok(y);
    }
    let (a, b) = (a.slot(), b.slot());
    Ok(tape.record(y, move |gradients, dy| {
        if b.is_some() {
            let copy = gradients.device().upload(dy.as_slice());
            gradients.add(b, copy)?;
        }
        gradients.add(a, dy)
    }))
}

/// `factor · x` of f32 numbers.
///
/// # Errors
/// [`TensorError::Dtype`] when `x` is not f32.
pub fn scale(tape: &Tape, x: &Tensor, factor: f32) -> Result<Tensor, TensorError> {
    const OP: &str = "scale";
    let device = tape.device();
    let mut y = device.upload(x.f32_of(OP, "input")?.as_slice());
    elementwise::scale(device, factor, &mut y).map_err(in_op(OP, [x.shape()]))?;
    let y = Tensor::from_buffer(x.shape(), y);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let (slot, shape) = (x.slot(), x.shape());
    Ok(tape.record(y, move |gradients, mut dy| {
        elementwise::scale(&gradients.device(), factor, &mut dy).map_err(in_op(OP, [shape]))?;
        gradients.add(slot, dy)
    }))
}

//! Sums, products, distances, activations, gates and scaling.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor, Values};
use pliant_kernels::ops::elementwise::{self, Activation};
use pliant_kernels::{Buffer, Input};

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

/// `a · b`, number by number, both f32 and of one shape.
///
/// # Errors
/// [`TensorError`] when shapes differ or one is not f32.
pub fn multiply(tape: &Tape, a: &Tensor, b: &Tensor) -> Result<Tensor, TensorError> {
    const OP: &str = "multiply";
    let device = tape.device();
    let shape = a.shape();
    b.check_shape(OP, "second factor", shape)?;
    let mut y = device.scratch(shape[0] * shape[1]);
    let (first, second) = (a.f32_of(OP, "first factor")?, b.f32_of(OP, "second factor")?);
    elementwise::multiply(device, first, second, &mut y).map_err(in_op(OP, [shape, shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[a, b], &[])? {
        return Ok(y);
    }
    let (a, b) = (a.clone(), b.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        for (to, other) in [(&a, &b), (&b, &a)] {
            if to.is_tracked() {
                let mut grad = device.scratch(dy.len());
                elementwise::multiply(&device, &dy, other.f32_of(OP, "factor")?, &mut grad)
                    .map_err(in_op(OP, [shape, shape]))?;
                gradients.add(to.slot(), grad)?;
            }
        }
        Ok(())
    }))
}

/// `|a - b|`, number by number, both f32 and of one shape; where they are equal no gradient flows.
///
/// # Errors
/// [`TensorError`] when shapes differ or one is not f32.
pub fn distance(tape: &Tape, a: &Tensor, b: &Tensor) -> Result<Tensor, TensorError> {
    const OP: &str = "distance";
    let device = tape.device();
    let shape = a.shape();
    b.check_shape(OP, "second place", shape)?;
    let mut y = device.scratch(shape[0] * shape[1]);
    let (first, second) = (a.f32_of(OP, "first place")?, b.f32_of(OP, "second place")?);
    elementwise::distance(device, first, second, &mut y).map_err(in_op(OP, [shape, shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[a, b], &[])? {
        return Ok(y);
    }
    let (a, b) = (a.clone(), b.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let places = (a.f32_of(OP, "first place")?, b.f32_of(OP, "second place")?);
        let mut da = device.scratch(dy.len());
        elementwise::distance_backward(&device, places, &dy, &mut da).map_err(in_op(OP, [shape, shape]))?;
        if b.is_tracked() {
            let mut db = device.upload(da.as_slice());
            elementwise::scale(&device, -1.0, &mut db).map_err(in_op(OP, [shape]))?;
            gradients.add(b.slot(), db)?;
        }
        gradients.add(a.slot(), da)
    }))
}

/// `max(x, 0)` of f32 numbers.
///
/// # Errors
/// [`TensorError::Dtype`] when `x` is not f32.
pub fn relu(tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
    activate(tape, "relu", Activation::Relu, x)
}

/// `tanh(x)` of f32 numbers.
///
/// # Errors
/// [`TensorError::Dtype`] when `x` is not f32.
pub fn tanh(tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
    activate(tape, "tanh", Activation::Tanh, x)
}

/// `1 / (1 + e^-x)` of f32 numbers.
///
/// # Errors
/// [`TensorError::Dtype`] when `x` is not f32.
pub fn logistic(tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
    activate(tape, "logistic", Activation::Logistic, x)
}

/// `x · Φ(x)`, the exact form of GELU, of f32 numbers.
///
/// # Errors
/// [`TensorError::Dtype`] when `x` is not f32.
pub fn gelu(tape: &Tape, x: &Tensor, out: Dtype) -> Result<Tensor, TensorError> {
    const OP: &str = "gelu";
    let (device, shape) = (tape.device(), x.shape());
    let mut y = device.scratch(shape[0] * shape[1]);
    elementwise::gelu(device, x.f32_of(OP, "input")?, &mut y).map_err(in_op(OP, [shape]))?;
    let y = match out {
        Dtype::F32 => Values::F32(y),
        Dtype::Bf16 => {
            let mut narrow = device.scratch(y.len());
            elementwise::to_bf16(device, &y, &mut narrow).map_err(in_op(OP, [shape]))?;
            Values::Bf16(narrow)
        }
    };
    let y = Tensor::new(shape, y);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let kept = x.detach();
    let slot = x.slot();
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.scratch(dy.len());
        elementwise::gelu_backward(&device, kept.f32_of(OP, "input")?, &dy, &mut dx)
            .map_err(in_op(OP, [shape]))?;
        gradients.add(slot, dx)
    }))
}

/// The numbers in f32; those of bf16 are widened, which is exact.
pub(crate) fn widened(tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
    const OP: &str = "widen";
    let Input::Bf16(numbers) = x.input() else { return Ok(x.clone()) };
    let (device, shape) = (tape.device(), x.shape());
    let mut y = device.scratch(shape[0] * shape[1]);
    elementwise::to_f32(device, numbers, &mut y).map_err(in_op(OP, [shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let slot = x.slot();
    Ok(tape.record(y, move |gradients, dy| gradients.add(slot, dy)))
}

fn activate(
    tape: &Tape,
    op: &'static str,
    activation: Activation,
    x: &Tensor,
) -> Result<Tensor, TensorError> {
    let (device, shape) = (tape.device(), x.shape());
    let mut y = device.scratch(shape[0] * shape[1]);
    elementwise::activate(device, activation, x.f32_of(op, "input")?, &mut y).map_err(in_op(op, [shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(op, &[x], &[])? {
        return Ok(y);
    }
    let (slot, kept) = (x.slot(), y.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.scratch(dy.len());
        let results = (kept.f32_of(op, "result")?, &dy);
        elementwise::activate_backward(&device, activation, results, &mut dx).map_err(in_op(op, [shape]))?;
        gradients.add(slot, dx)
    }))
}

/// `(a + b) · SiLU(z)`, without a `b` `a · SiLU(z)`, with `SiLU(z) = z / (1 + e^-z)`; all f32 and of one shape.
///
/// # Errors
/// [`TensorError`] when shapes differ or one is not f32.
pub fn gate(
    tape: &Tape,
    a: &Tensor,
    b: Option<&Tensor>,
    z: &Tensor,
    out: Dtype,
) -> Result<Tensor, TensorError> {
    const OP: &str = "gate";
    let device = tape.device();
    let shape = a.shape();
    z.check_shape(OP, "gating numbers", shape)?;
    b.map_or(Ok(()), |b| b.check_shape(OP, "second summand", shape))?;
    let mut y = Values::scratch(device, out, shape[0] * shape[1]);
    elementwise::gate(device, passing(a, b)?, z.f32_of(OP, "gating numbers")?, y.output())
        .map_err(in_op(OP, [shape]))?;
    let y = Tensor::new(shape, y);
    let inputs: Vec<_> = [Some(a), b, Some(z)].into_iter().flatten().collect();
    if !tape.wants(OP, &inputs, &[])? {
        return Ok(y);
    }
    let (a, b, z) = (a.clone(), b.cloned(), z.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let (mut da, mut dz) = (device.scratch(dy.len()), device.scratch(dy.len()));
        let operands = (z.f32_of(OP, "gating numbers")?, &dy);
        elementwise::gate_backward(&device, passing(&a, b.as_ref())?, operands, (&mut da, &mut dz))
            .map_err(in_op(OP, [shape]))?;
        gradients.add(z.slot(), dz)?;
        if let Some(slot) = b.as_ref().and_then(Tensor::slot) {
            gradients.add(Some(slot), device.upload(da.as_slice()))?;
        }
        gradients.add(a.slot(), da)
    }))
}

/// What a gate lets through.
fn passing<'a>(
    a: &'a Tensor,
    b: Option<&'a Tensor>,
) -> Result<(&'a Buffer<f32>, Option<&'a Buffer<f32>>), TensorError> {
    let b = b.map(|b| b.f32_of("gate", "second summand")).transpose()?;
    Ok((a.f32_of("gate", "first summand")?, b))
}

/// `factor · x` of f32 numbers.
///
/// # Errors
/// [`TensorError::Dtype`] when `x` is not f32.
pub fn scale(tape: &Tape, x: &Tensor, factor: f32) -> Result<Tensor, TensorError> {
    const OP: &str = "scale";
    let device = tape.device();
    let mut y = device.copy(x.f32_of(OP, "input")?).map_err(in_op(OP, [x.shape()]))?;
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

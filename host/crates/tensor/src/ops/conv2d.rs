//! Filter over the places of a map.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::Tensor;
use pliant_kernels::ops::conv2d::{self, Grads, Sizes};
use std::sync::Arc;

const OP: &str = "conv2d";

/// Sizes of the filter `weights` on `x`.
fn sizes(
    x: &Tensor,
    weights: &Param,
    shifts: &Param,
    (height, breadth): (usize, usize),
) -> Result<Sizes, TensorError> {
    let (outputs, count) = weights.matrix_shape(OP)?;
    let inputs = x.columns();
    let side = (count / inputs.max(1)).isqrt();
    if inputs * side * side != count {
        let (found, wanted) = (weights.shape().to_vec(), vec![outputs, inputs, side, side]);
        return Err(TensorError::Shape { op: OP, what: "filter", found, wanted });
    }
    x.check_shape(OP, "input", [height * breadth, inputs])?;
    shifts.check_vector(OP, "shifts", outputs)?;
    Ok(Sizes { height, breadth, inputs, outputs, side })
}

/// `shifts` `[O]` plus the filter `weights` over the square of neighbours of every place of a map, whose `height · breadth`
/// places are the rows of `x` (f32 `[P,I]`), row by row; places outside of the map are zero. The result is `[P,O]`.
///
/// The weights are `[O,I·K·K]` with K odd, as files hold them in `[O,I,K,K]`. Their plain values are read, so a frozen one
/// must be a table.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, K is even, `x` is not f32 or the weight is a frozen matrix.
pub fn conv2d(
    tape: &Tape,
    x: &Tensor,
    (weights, shifts): (&Arc<Param>, &Arc<Param>),
    map: (usize, usize),
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let sizes = sizes(x, weights, shifts, map)?;
    let (from, shape) = (x.shape(), [sizes.places(), sizes.outputs]);
    let mut y = device.scratch(shape[0] * shape[1]);
    let values = (&*weights.buffer(OP)?, &*shifts.buffer(OP)?);
    conv2d::forward(device, sizes, x.f32_of(OP, "input")?, values, &mut y).map_err(in_op(OP, [from]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[x], &[weights, shifts])? {
        return Ok(y);
    }
    let (x, weights, shifts) = (x.clone(), Arc::clone(weights), Arc::clone(shifts));
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.scratch(from[0] * from[1]);
        let (mut dweights, mut dshifts) = (weights.take_gradient(), shifts.take_gradient());
        let operands = (x.f32_of(OP, "input")?, &*weights.buffer(OP)?);
        let grads = Grads { dx: &mut dx, dweights: &mut dweights, dshifts: &mut dshifts };
        conv2d::backward(&device, sizes, operands, &dy, grads).map_err(in_op(OP, [from]))?;
        gradients.give(&weights, dweights);
        gradients.give(&shifts, dshifts);
        gradients.add(x.slot(), dx)
    }))
}

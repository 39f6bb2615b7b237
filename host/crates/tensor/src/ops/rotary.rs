//! Rotary position embedding.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Dtype, Offsets, Tensor, Values};
pub use pliant_kernels::ops::rotary::Table;
use pliant_kernels::ops::rotary::{self, Sizes};
use std::sync::Arc;

const OP: &str = "rotary";

/// `scale · x` (f32 `[T,H·D]`) with every head turned by the angle of the token's place in its sequence.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, `x` is not f32, or a sequence is longer than the table.
pub fn rotary(
    tape: &Tape,
    x: &Tensor,
    offsets: &Offsets,
    table: &Arc<Table>,
    heads: usize,
    scale: f32,
    out: Dtype,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape @ [tokens, width] = x.shape();
    let sizes = Sizes { tokens, heads, head_width: super::attention::head_width(OP, width, heads)? };
    let mut y = Values::scratch(device, out, tokens * width);
    rotary::forward(device, sizes, offsets.as_slice(), table, x.f32_of(OP, "input")?, scale, y.output())
        .map_err(in_op(OP, [shape]))?;
    let y = Tensor::new(shape, y);
    if !tape.wants(OP, &[x], &[])? {
        return Ok(y);
    }
    let (slot, offsets, table) = (x.slot(), offsets.clone(), Arc::clone(table));
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = device.scratch(dy.len());
        rotary::backward(&device, sizes, offsets.as_slice(), &table, &dy, scale, &mut dx)
            .map_err(in_op(OP, [shape]))?;
        gradients.add(slot, dx)
    }))
}

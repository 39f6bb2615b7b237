//! Attention of packed sequences.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Dtype, Offsets, Tensor, Values};
use pliant_kernels::ops::attention::{self, Grads, Saved, Sizes};

const OP: &str = "attention";

/// Head width D of `heads` that fill `width` columns.
pub(super) fn head_width(op: &'static str, width: usize, heads: usize) -> Result<usize, TensorError> {
    if heads > 0 && width.is_multiple_of(heads) {
        return Ok(width / heads);
    }
    let wanted = vec![heads, width.checked_div(heads).unwrap_or(0)];
    Err(TensorError::Shape { op, what: "row of heads", found: vec![width], wanted })
}

/// Every token's mean of the values `v` of its own sequence, weighted by softmax of `q·k`; all `[T,H·D]`,
/// `q` scaled and rotated, all three of one dtype.
///
/// # Errors
/// [`TensorError`] when shapes or dtypes do not fit or the head width is not supported.
pub fn attention(
    tape: &Tape,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    offsets: &Offsets,
    heads: usize,
    out: Dtype,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let shape @ [tokens, width] = q.shape();
    k.check_shape(OP, "keys", shape)?;
    v.check_shape(OP, "values", shape)?;
    let sizes = Sizes { heads, head_width: head_width(OP, width, heads)? };
    let wanted = tape.wants(OP, &[q, k, v], &[])?;
    let mut lse = wanted.then(|| device.scratch(tokens * heads));
    let mut y = Values::scratch(device, out, tokens * width);
    let operands = (q.input(), k.input(), v.input());
    attention::forward(device, sizes, offsets.as_slice(), operands, y.output(), lse.as_mut())
        .map_err(in_op(OP, [shape]))?;
    let y = Tensor::new(shape, y);
    let Some(lse) = lse else { return Ok(y) };
    let [q, k, v] = [q, k, v].map(Tensor::clone);
    let (offsets, kept) = (offsets.clone(), y.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| device.scratch(dy.len()));
        let saved = Saved { q: q.input(), k: k.input(), v: v.input(), out: kept.input(), lse: &lse };
        let grads = Grads { dq: &mut dq, dk: &mut dk, dv: &mut dv };
        attention::backward(&device, sizes, offsets.as_slice(), saved, &dy, grads)
            .map_err(in_op(OP, [shape]))?;
        gradients.add(q.slot(), dq)?;
        gradients.add(k.slot(), dk)?;
        gradients.add(v.slot(), dv)
    }))
}

/// Attention maps `[H,L,L]` of one `sequence` of the pack. They are looked at, never trained through.
///
/// # Errors
/// As [`attention`], and when there is no such sequence.
pub fn attention_probs(
    tape: &Tape,
    q: &Tensor,
    k: &Tensor,
    offsets: &Offsets,
    heads: usize,
    sequence: usize,
) -> Result<Vec<f32>, TensorError> {
    let device = tape.device();
    let shape = q.shape();
    k.check_shape(OP, "keys", shape)?;
    let sizes = Sizes { heads, head_width: head_width(OP, shape[1], heads)? };
    let borders = offsets.as_slice();
    let length = borders.get(sequence + 1).map_or(0, |end| end - borders[sequence]);
    let mut maps = device.scratch(heads * length * length);
    attention::probs(device, sizes, borders, sequence, q.input(), k.input(), &mut maps)
        .map_err(in_op(OP, [shape]))?;
    Ok(maps.as_slice().to_vec())
}

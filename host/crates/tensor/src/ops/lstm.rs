//! One layer of a bidirectional LSTM, behind the product of its input.

use super::whole::Whole;
use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Offsets, Tensor};
use pliant_kernels::ops::linear::Weights;
use pliant_kernels::ops::lstm::{self, GATES, Kept, Sizes};
use pliant_kernels::{Direction, Sequences};
use std::array;
use std::ops::Range;
use std::sync::Arc;

const OP: &str = "lstm";

/// The packed rows of each gate of both directions.
type Packed = [[Arc<Weights>; GATES]; 2];

/// Sizes of the layer with these recurrent weights.
fn sizes(inputs: [&Tensor; 2], weights: [&Param; 2], offsets: &Offsets) -> Result<Sizes, TensorError> {
    let tokens = inputs[0].rows();
    let (_, hidden) = weights[0].matrix_shape(OP)?;
    for (input, weight) in inputs.into_iter().zip(weights) {
        if weight.matrix_shape(OP)? != (GATES * hidden, hidden) {
            let (found, wanted) = (weight.shape().to_vec(), vec![GATES * hidden, hidden]);
            return Err(TensorError::Shape { op: OP, what: "recurrent weight", found, wanted });
        }
        input.check_shape(OP, "gate inputs", [tokens, GATES * hidden])?;
    }
    offsets.check_tokens(OP, tokens)?;
    Ok(Sizes { tokens, hidden })
}

/// Packs the rows of each gate of both directions.
fn pack(
    weights: [&Arc<Param>; 2],
    hidden: usize,
    form: impl Fn(&Param, &Range<usize>) -> Result<Arc<Weights>, TensorError>,
) -> Result<Packed, TensorError> {
    let gate = |weight: &Param, gate: usize| form(weight, &(gate * hidden..(gate + 1) * hidden));
    let gates = |weight: &Param| -> Result<[Arc<Weights>; GATES], TensorError> {
        Ok([gate(weight, 0)?, gate(weight, 1)?, gate(weight, 2)?, gate(weight, 3)?])
    };
    Ok([gates(weights[0])?, gates(weights[1])?])
}

/// The packed rows as kernels take them.
fn lend(packed: &Packed) -> [[&Weights; GATES]; 2] {
    packed.each_ref().map(|gates| gates.each_ref().map(|weights| &**weights))
}

/// `h [T,2H]`, what two directions of an LSTM make of every sequence from states of zeros on, forward beside reverse.
///
/// `inputs[d] [T,4H]` (f32) are what the layer's input gives to the gates of direction d, all biases in it, in PyTorch's
/// order i, f, g, o; `weights[d] [4H,H]` are the recurrent weights, which may be one and the same parameter, with whatever
/// stands beside them. Direction 1
/// walks every sequence from its end. For the backward gates and cells are kept, `5H` numbers of each token and
/// direction.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, an input is not f32, or the weights are held in 8 bits.
pub fn lstm(
    tape: &Tape,
    inputs: [&Tensor; 2],
    weights: [&Arc<Param>; 2],
    offsets: &Offsets,
) -> Result<Tensor, TensorError> {
    let sizes = sizes(inputs, weights.map(|weight| &**weight), offsets)?;
    let (device, shape) = (tape.device(), inputs[0].shape());
    let wholes = [Whole::of(weights[0])?, Whole::of(weights[1])?];
    let learners: Vec<&Arc<Param>> = wholes.iter().flat_map(Whole::learners).collect();
    let wanted = tape.wants(OP, &inputs, &learners)?;
    let packed = pack(wholes.each_ref().map(|whole| &whole.matrix), sizes.hidden, |weight, rows| {
        weight.forward_weights(OP, rows)
    })?;
    let mut kept = wanted.then(|| array::from_fn(|_| Kept::scratch(device, sizes)));
    let mut h = device.scratch(2 * sizes.cells());
    let buffers = [inputs[0].f32_of(OP, "gate inputs")?, inputs[1].f32_of(OP, "gate inputs")?];
    lstm::forward(device, sizes, offsets.as_slice(), buffers, lend(&packed), kept.as_mut(), &mut h)
        .map_err(in_op(OP, [shape]))?;
    let h = Tensor::from_buffer([sizes.tokens, 2 * sizes.hidden], h);
    let Some(kept) = kept else { return Ok(h) };
    let record = Record { kept, h: h.clone(), wholes, offsets: offsets.clone() };
    let slots = inputs.map(Tensor::slot);
    Ok(tape.record(h, move |gradients, dy| {
        let device = gradients.device();
        let mut dx = [(); 2].map(|()| device.scratch(sizes.gates()));
        let weights = record.wholes.each_ref().map(|whole| &whole.matrix);
        let packed = pack(weights, sizes.hidden, |weight, rows| weight.input_gradient_weights(OP, rows))?;
        let places = record.offsets.as_slice();
        lstm::backward(&device, sizes, places, lend(&packed), &record.kept, &dy, dx.each_mut())
            .map_err(in_op(OP, [shape]))?;
        for (place, direction) in Direction::BOTH.into_iter().enumerate() {
            let whole = &record.wholes[place];
            if !whole.learns() {
                continue;
            }
            let (mut dw, accumulate) = whole.lend();
            let (operands, sequences) =
                ((&dx[place], record.h.f32_of(OP, "result")?), Sequences { offsets: places, direction });
            let how = (sizes, whole.matrix.precision());
            lstm::backward_weights(&device, how, sequences, operands, (&mut dw, accumulate))
                .map_err(in_op(OP, [shape]))?;
            whole.give(gradients, dw)?;
        }
        dx.into_iter().zip(slots).try_for_each(|(dx, slot)| gradients.add(slot, dx))
    }))
}

/// What a tape keeps of a layer.
struct Record {
    kept: [Kept; 2],
    h: Tensor,
    wholes: [Whole; 2],
    offsets: Offsets,
}

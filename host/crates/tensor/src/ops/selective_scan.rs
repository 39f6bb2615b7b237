//! The selective scan of Mamba-1.

use crate::carry::Carry;
use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Offsets, Tensor};
use pliant_kernels::ops::selective_scan::{self, Grads, Keep, Operands, Sizes};
use pliant_kernels::{Buffer, Direction, Sequences};
use std::sync::Arc;

const OP: &str = "selective_scan";

/// What the scan reads of the tokens, all f32.
#[derive(Debug, Clone, Copy)]
pub struct ScanInputs<'a> {
    /// `[T,E]`
    pub u: &'a Tensor,
    /// Step sizes before softplus, their bias already added, `[T,E]`.
    pub delta: &'a Tensor,
    /// Input weights B, then output weights C, of every token, `[T,2N]`.
    pub bc: &'a Tensor,
}

/// The same, owned by the record of a tape.
struct Kept {
    u: Tensor,
    delta: Tensor,
    bc: Tensor,
}

/// Sizes of the scan with the rates `a_log`.
fn sizes(inputs: ScanInputs<'_>, a_log: &Param, d: &Param, offsets: &Offsets) -> Result<Sizes, TensorError> {
    let shape @ [tokens, width] = inputs.u.shape();
    inputs.delta.check_shape(OP, "step sizes", shape)?;
    let (rows, states) = a_log.matrix_shape(OP)?;
    if rows != width {
        let (found, wanted) = (a_log.shape().to_vec(), vec![width, states]);
        return Err(TensorError::Shape { op: OP, what: "rates", found, wanted });
    }
    inputs.bc.check_shape(OP, "input and output weights", [tokens, 2 * states])?;
    d.check_vector(OP, "skip weights", width)?;
    offsets.check_tokens(OP, tokens)?;
    Ok(Sizes { tokens, width, states })
}

/// `y [T,E]` with, for every sequence from a state of zeros on, `Δ = softplus(delta)`, `A = -e^a_log`,
/// `s ← e^(Δ A) ⊙ s + (Δ ⊙ u) B`, `y = s·C + d ⊙ u`; `a_log` is `[E,N]`, `d` is `[E]`. In
/// [`Direction::Reverse`] every sequence is walked from its end.
///
/// The plain values of `a_log` are read, so a frozen one must be a table. For the backward the inputs and one
/// state for every 32 tokens (N up to 16) are kept.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, an input is not f32, N is above 256 or `a_log` is a frozen matrix.
pub fn selective_scan(
    tape: &Tape,
    inputs: ScanInputs<'_>,
    a_log: &Arc<Param>,
    d: &Arc<Param>,
    offsets: &Offsets,
    direction: Direction,
) -> Result<Tensor, TensorError> {
    let sizes = sizes(inputs, a_log, d, offsets)?;
    let sequences = Sequences { offsets: offsets.as_slice(), direction };
    let ScanInputs { u, delta, bc } = inputs;
    if !tape.wants(OP, &[u, delta, bc], &[a_log, d])? {
        return run(tape, sizes, inputs, (a_log, d), sequences, Keep::Nothing);
    }
    let mut borders = tape.device().scratch(sizes.borders(sequences));
    let y = run(tape, sizes, inputs, (a_log, d), sequences, Keep::Borders(&mut borders))?;
    let kept = Kept { u: u.clone(), delta: delta.clone(), bc: bc.clone() };
    let (a_log, d, offsets) = (Arc::clone(a_log), Arc::clone(d), offsets.clone());
    Ok(tape.record(y, move |gradients, dy| {
        let device = gradients.device();
        let [mut du, mut ddelta] = [(); 2].map(|()| device.scratch(dy.len()));
        let mut dbc = device.scratch(2 * sizes.tokens * sizes.states);
        let (mut da_log, mut dd) = (a_log.take_gradient(), d.take_gradient());
        let sequences = Sequences { offsets: offsets.as_slice(), direction };
        let values = (&*a_log.buffer(OP)?, &*d.buffer(OP)?);
        let operands = operands(ScanInputs { u: &kept.u, delta: &kept.delta, bc: &kept.bc }, values)?;
        let grads =
            Grads { du: &mut du, ddelta: &mut ddelta, dbc: &mut dbc, da_log: &mut da_log, dd: &mut dd };
        selective_scan::backward(&device, sizes, sequences, operands, &borders, &dy, grads)
            .map_err(in_op(OP, [kept.u.shape(), kept.bc.shape()]))?;
        gradients.give(&a_log, da_log);
        gradients.give(&d, dd);
        gradients.add(kept.u.slot(), du)?;
        gradients.add(kept.delta.slot(), ddelta)?;
        gradients.add(kept.bc.slot(), dbc)
    }))
}

/// The same for rows that are a stretch of a longer run: the first sequence met in the `direction` continues
/// from the state in `carry` `[E,N]`, which afterwards holds the one that the last sequence leaves behind. A
/// run has the same bits however it is cut.
///
/// # Errors
/// As [`selective_scan`], and [`TensorError::NoBackward`] where the tape would have to record it.
pub fn selective_scan_stretch(
    tape: &Tape,
    inputs: ScanInputs<'_>,
    a_log: &Arc<Param>,
    d: &Arc<Param>,
    offsets: &Offsets,
    direction: Direction,
    carry: &mut Carry,
) -> Result<Tensor, TensorError> {
    let sizes = sizes(inputs, a_log, d, offsets)?;
    carry.check(OP, [sizes.width, sizes.states])?;
    if tape.wants(OP, &[inputs.u, inputs.delta, inputs.bc], &[a_log, d])? {
        return Err(TensorError::NoBackward { op: "selective_scan of a stretch" });
    }
    let sequences = Sequences { offsets: offsets.as_slice(), direction };
    run(tape, sizes, inputs, (a_log, d), sequences, Keep::Carry(carry.buffer()))
}

fn operands<'a>(
    inputs: ScanInputs<'a>,
    (a_log, d): (&'a Buffer<f32>, &'a Buffer<f32>),
) -> Result<Operands<'a, Buffer<f32>>, TensorError> {
    let u = inputs.u.f32_of(OP, "input")?;
    let delta = inputs.delta.f32_of(OP, "step sizes")?;
    Ok(Operands { u, delta, bc: inputs.bc.f32_of(OP, "input and output weights")?, a_log, d })
}

fn run(
    tape: &Tape,
    sizes: Sizes,
    inputs: ScanInputs<'_>,
    (a_log, d): (&Param, &Param),
    sequences: Sequences<'_>,
    keep: Keep<'_>,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let mut y = device.scratch(sizes.tokens * sizes.width);
    let values = (&*a_log.buffer(OP)?, &*d.buffer(OP)?);
    selective_scan::forward(device, sizes, sequences, operands(inputs, values)?, keep, &mut y)
        .map_err(in_op(OP, [inputs.u.shape(), inputs.bc.shape()]))?;
    Ok(Tensor::from_buffer(inputs.u.shape(), y))
}

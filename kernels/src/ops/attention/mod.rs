//! Attention of packed sequences: every token sees every token of its own sequence, and no other.
//!
//! Shapes: `q, k, v, out [T,H·D]`, head `h` in columns `h·D .. (h+1)·D`; `lse [T,H]`; `probs [H,L,L]`.
//! Sequence `b` owns the tokens `offsets[b] .. offsets[b+1]`; an empty sequence owns nothing and nothing
//! is written for it. There is no mask, no order and no scale: `q` comes scaled and rotated.
//!
//! Per sequence and head, with `i` a query and `j` a key of the same sequence:
//!
//! ```text
//! s_ij  = Σ_d q_id · k_jd
//! lse_i = ln Σ_j exp(s_ij)
//! p_ij  = exp(s_ij - lse_i)
//! out_i = Σ_j p_ij · v_j
//! ```
//!
//! Backward, with `g = ∂/∂out [T,H·D]`; nothing but `lse` and `out` is kept, `p` is computed again:
//!
//! ```text
//! delta_i = Σ_d g_id · out_id
//! dv_j    = Σ_i p_ij · g_i
//! ds_ij   = p_ij · (Σ_d g_id · v_jd - delta_i)
//! dq_i    = Σ_j ds_ij · k_j
//! dk_j    = Σ_i ds_ij · q_i
//! ```
//!
//! Head widths: multiples of 8 up to [`HEAD_WIDTH_MAX`].
//!
//! Rounding with bf16 operands, forward: `q`, `k`, `v` are bf16 and products are exact; scores, their
//! maximum, exponentials and the row sum are 32-bit; the exponentials that multiply `v` are rounded to
//! bf16 before they are divided by the row sum, which itself is taken over the numbers that are not
//! rounded; `out` is rounded once more where its buffer is bf16. `probs` and `backward` widen bf16
//! operands, which is exact, and then work in 32 bits: there the operands are the only rounding point.
//!
//! Memory is linear in L in `forward` and `backward`; `probs` writes `[H,L,L]`, `mix` one `[L,L]`. Every sum runs in an
//! order that depends on L and D only, so a sequence's numbers do not depend on its neighbours in the
//! pack or on the number of threads.

mod backward;
pub mod cpu;
mod cuda;
mod forward;
mod mixture;
mod probs;
mod rows;

use crate::buffer::{Buffer, Input, Output};
use crate::cuda::no_training;
use crate::error::{KernelError, check_offsets, check_size};
use crate::{Device, Tolerance};

const OP: &str = "attention";

/// Widest head.
pub const HEAD_WIDTH_MAX: usize = 128;

/// Distance of the fast f32 forward from the f64 oracle on values and scores of size one to ten: a score
/// is rounded by some 1e-6 and enters an exponential, so probabilities are off by that much of themselves.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 3e-6, relative: 3e-6 };

/// The same with bf16 operands against the f64 oracle on operands that are already rounded: every
/// exponential that multiplies a value of size one is rounded by up to 2^-8 of itself.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 4e-3, relative: 4e-3 };

/// Distance of `lse` from the f64 oracle, whatever the operands: half a unit at ten is 5e-7.
pub const TOLERANCE_LSE: Tolerance = Tolerance { absolute: 2e-6, relative: 1e-7 };

/// Distance of `probs` from the f64 oracle, whatever the operands, for the reason of [`TOLERANCE`].
pub const TOLERANCE_PROBS: Tolerance = Tolerance { absolute: 1e-8, relative: 5e-6 };

/// Distance of [`mix`] from the f64 oracle for weights of size about one: sums over heads and residues of
/// probabilities that are off by [`TOLERANCE_PROBS`].
pub const TOLERANCE_MIXED: Tolerance = Tolerance { absolute: 1e-6, relative: 5e-6 };

/// Distance of the fast backward from the f64 oracle that is given the same operands, `out` and `lse`.
/// The slope of a score is a difference of two sums over D that nearly cancel; up to D = 128 and operands
/// of size one these are off by 5e-6, and summed over keys they cancel again: hence mostly absolute.
pub const TOLERANCE_BACKWARD: Tolerance = Tolerance { absolute: 2e-5, relative: 1e-5 };

/// By how much all tolerances but [`TOLERANCE_BF16`] grow when scores reach ±100 instead of ±4: scores
/// are rounded relative to their size.
pub const LARGE_SCORES: f64 = 25.0;

/// Sizes of the operation; the number of tokens is the last offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// H
    pub heads: usize,
    /// D
    pub head_width: usize,
}

impl Sizes {
    /// Columns of `q`, `k`, `v` and `out`: H·D.
    #[must_use]
    pub fn width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Checks the sizes themselves and `offsets`; returns the number of tokens.
    fn check(&self, offsets: &[usize]) -> Result<usize, KernelError> {
        check_size(OP, "number of heads of at least one", self.heads.min(1), 1)?;
        if self.head_width == 0 || !self.head_width.is_multiple_of(8) || self.head_width > HEAD_WIDTH_MAX {
            return Err(KernelError::Unsupported {
                op: OP,
                what: "head width",
                found: self.head_width.to_string(),
                supported: "multiples of 8 up to 128",
            });
        }
        let tokens = offsets.last().copied().unwrap_or(0);
        check_offsets(OP, offsets, tokens)?;
        Ok(tokens)
    }
}

/// Checks that all operands have `wanted` elements and one type.
fn check_operands(operands: &[(&'static str, Input<'_>)], wanted: usize) -> Result<(), KernelError> {
    for (what, operand) in operands {
        operand.check(OP, what, wanted)?;
    }
    let halves = operands.iter().filter(|(_, operand)| matches!(operand, Input::Bf16(_))).count();
    if halves == 0 || halves == operands.len() {
        return Ok(());
    }
    Err(KernelError::Unsupported {
        op: OP,
        what: "type of the operands",
        found: format!("bf16 in {halves} of {}", operands.len()),
        supported: "f32 in all or bf16 in all",
    })
}

/// `out` and, where asked for, `lse [T,H]` (natural logarithm).
///
/// # Errors
/// [`KernelError::Size`] when offsets or buffers do not fit, [`KernelError::Unsupported`] for another
/// head width or operands of different types.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    (q, k, v): (Input<'_>, Input<'_>, Input<'_>),
    out: Output<'_>,
    lse: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    let tokens = sizes.check(offsets)?;
    let length = tokens * sizes.width();
    check_operands(&[("queries", q), ("keys", k), ("values", v)], length)?;
    out.check(OP, "output", length)?;
    if let Some(lse) = &lse {
        check_size(OP, "log-sum-exp", lse.len(), tokens * sizes.heads)?;
    }
    match device {
        Device::Cpu(cpu) => forward::forward(cpu, sizes, offsets, (q, k, v), out, lse),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, offsets, (q, k, v), out, lse)?,
    }
    Ok(())
}

/// Attention maps `p [H,L,L]` of one `sequence` of the pack, always 32-bit.
///
/// # Errors
/// As [`forward`]; [`KernelError::Index`] when there is no such sequence.
pub fn probs(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    sequence: usize,
    q: Input<'_>,
    k: Input<'_>,
    out: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let tokens = check_sequence(sizes, offsets, sequence, (q, k))?;
    let length = tokens.len();
    check_size(OP, "attention maps", out.len(), sizes.heads * length * length)?;
    match device {
        Device::Cpu(cpu) => probs::probs(cpu, sizes, tokens, (q, k), out),
        Device::Cuda(cuda) => cuda::probs(cuda, sizes, &tokens, (q, k), out)?,
    }
    Ok(())
}

/// Attention maps of one sequence mixed to one.
#[derive(Debug)]
pub struct Mixture<'a> {
    /// Weight of each head `[H]`.
    pub weights: &'a Buffer<f32>,
    /// `map_ij += Σ_h weight_h · p_hij`, heads ascending, over the residues i and j `[L,L]`.
    pub map: &'a mut Buffer<f32>,
    /// `Σ_j p_hij + Σ_j p_hji` over the residues j, written `[H,L]`.
    pub sums: &'a mut Buffer<f32>,
}

/// Adds the attention maps of one `sequence` of the pack, weighted by head, to one map over its `residues` (tokens
/// of the pack), and gives their margins. Queries and keys run over the whole sequence; no map is held whole.
///
/// # Errors
/// As [`probs`]; [`KernelError::Index`] when the residues leave the sequence.
pub fn mix(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    (sequence, residues): (usize, std::ops::Range<usize>),
    (q, k): (Input<'_>, Input<'_>),
    mut mixture: Mixture<'_>,
) -> Result<(), KernelError> {
    let tokens = check_sequence(sizes, offsets, sequence, (q, k))?;
    if residues.start < tokens.start || residues.end > tokens.end {
        let (found, limit) = (residues.end, tokens.end + 1);
        return Err(KernelError::Index { op: OP, what: "end of the residues", found, limit });
    }
    let length = residues.len();
    check_size(OP, "weights of heads", mixture.weights.len(), sizes.heads)?;
    check_size(OP, "mixed map", mixture.map.len(), length * length)?;
    check_size(OP, "margins of maps", mixture.sums.len(), sizes.heads * length)?;
    match device {
        Device::Cpu(cpu) => mixture::mix(cpu, sizes, (tokens, residues), (q, k), &mut mixture),
        Device::Cuda(cuda) => cuda::mix(cuda, sizes, (&tokens, &residues), (q, k), &mut mixture)?,
    }
    Ok(())
}

/// Checks the operands of one sequence; returns its tokens.
fn check_sequence(
    sizes: Sizes,
    offsets: &[usize],
    sequence: usize,
    (q, k): (Input<'_>, Input<'_>),
) -> Result<std::ops::Range<usize>, KernelError> {
    let tokens = sizes.check(offsets)?;
    check_operands(&[("queries", q), ("keys", k)], tokens * sizes.width())?;
    let limit = offsets.len() - 1;
    if sequence >= limit {
        return Err(KernelError::Index { op: OP, what: "sequence", found: sequence, limit });
    }
    Ok(offsets[sequence]..offsets[sequence + 1])
}

/// What the forward read and wrote, kept for the backward.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// Scaled and rotated queries `[T,H·D]`.
    pub q: Input<'a>,
    /// Rotated keys `[T,H·D]`.
    pub k: Input<'a>,
    /// Values `[T,H·D]`.
    pub v: Input<'a>,
    /// Result `[T,H·D]`; f32 or bf16, whatever the operands are.
    pub out: Input<'a>,
    /// Log-sum-exp `[T,H]`.
    pub lse: &'a Buffer<f32>,
}

/// Where gradients go; they are written, not added to.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `∂/∂q [T,H·D]`
    pub dq: &'a mut Buffer<f32>,
    /// `∂/∂k [T,H·D]`
    pub dk: &'a mut Buffer<f32>,
    /// `∂/∂v [T,H·D]`
    pub dv: &'a mut Buffer<f32>,
}

/// Gradients of `q`, `k` and `v` from the gradient `dout [T,H·D]` of the result.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    saved: Saved<'_>,
    dout: &Buffer<f32>,
    grads: Grads<'_>,
) -> Result<(), KernelError> {
    let tokens = sizes.check(offsets)?;
    let length = tokens * sizes.width();
    check_operands(&[("queries", saved.q), ("keys", saved.k), ("values", saved.v)], length)?;
    saved.out.check(OP, "output", length)?;
    check_size(OP, "log-sum-exp", saved.lse.len(), tokens * sizes.heads)?;
    check_size(OP, "gradient of the output", dout.len(), length)?;
    check_size(OP, "gradient of the queries", grads.dq.len(), length)?;
    check_size(OP, "gradient of the keys", grads.dk.len(), length)?;
    check_size(OP, "gradient of the values", grads.dv.len(), length)?;
    match device {
        Device::Cpu(cpu) => backward::backward(cpu, sizes, offsets, &saved, dout, grads),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

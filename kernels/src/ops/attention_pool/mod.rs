//! Attention pooling: one vector per sequence, the mean of the states of a range of its tokens, weighed by scores.
//!
//! Shapes: states `x [T,C]`, scores `z [T]`, one half-open token range per sequence, weights `p [T]`, `y [B,C]`. Ranges hold
//! at least one token, ascend and do not overlap.
//!
//! `p_t = exp(z_t) / Σ exp(z)` over the tokens of the range, 0 outside of ranges; `y_b = Σ_t p_t·x_t`.
//!
//! Backward: `dx_t += p_t·dy_b`, `dz_t = p_t·(x_t·dy_b - y_b·dy_b)`, 0 outside of ranges.
//!
//! Rounding: 32-bit. Scores less their maximum; the sum of the exponentials and both inner products use the 16-lane tree; a
//! pooled number is one sum per column, tokens ascending, one fused multiply-add each.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "attention_pool";

/// Distance of the fast path from the f64 oracle for states of size about one and scores of size up to ten: weights carry
/// 1e-6 of themselves and sum to one.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 4e-6, relative: 4e-6 };

/// The same for gradients of the scores: inner products over C of numbers of size one, which carry a rounding for each and
/// partly cancel, times a weight.
pub const TOLERANCE_SCORES: Tolerance = Tolerance { absolute: 3e-5, relative: 1e-5 };

/// Sizes of an attention pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// C
    pub width: usize,
}

fn check(sizes: Sizes, spans: &[(usize, usize)], states: usize, pooled: usize) -> Result<(), KernelError> {
    check_size(OP, "states", states, sizes.tokens * sizes.width)?;
    check_size(OP, "pooled vectors", pooled, spans.len() * sizes.width)?;
    let mut before = 0;
    for &(start, end) in spans {
        if start < before {
            let (what, wanted) = ("start of a range, of at least the end before,", before);
            return Err(KernelError::Size { op: OP, what, found: start, wanted });
        }
        if end > sizes.tokens {
            let limit = sizes.tokens + 1;
            return Err(KernelError::Index { op: OP, what: "end of a range", found: end, limit });
        }
        check_size(OP, "tokens of a range, of at least one,", end.saturating_sub(start).min(1), 1)?;
        before = end;
    }
    Ok(())
}

/// Pools `x [T,C]` over `spans` (B token ranges) into `y [B,C]` by `scores [T]`; the weights `[T]` are what the backward
/// needs.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, a range is empty or overlaps the one before, [`KernelError::Index`] when a
/// range leaves the pack.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    spans: &[(usize, usize)],
    (x, scores): (&Buffer<f32>, &Buffer<f32>),
    weights: &mut Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, spans, x.len(), y.len())?;
    check_size(OP, "scores", scores.len(), sizes.tokens)?;
    check_size(OP, "weights", weights.len(), sizes.tokens)?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, (sizes, spans), (x, scores), weights, y),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, spans), (x, scores), weights, y)?,
    }
    Ok(())
}

/// What the backward reads.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// States `[T,C]`.
    pub x: &'a Buffer<f32>,
    /// Weights `[T]` of the forward.
    pub weights: &'a Buffer<f32>,
    /// Pooled vectors `[B,C]` of the forward.
    pub y: &'a Buffer<f32>,
}

/// Adds to `dx [T,C]` and overwrites `dscores [T]`, for the gradient `dy [B,C]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    spans: &[(usize, usize)],
    saved: Saved<'_>,
    dy: &Buffer<f32>,
    (dx, dscores): (&mut Buffer<f32>, &mut Buffer<f32>),
) -> Result<(), KernelError> {
    check(sizes, spans, saved.x.len(), saved.y.len())?;
    check_size(OP, "weights", saved.weights.len(), sizes.tokens)?;
    check_size(OP, "gradient of the pooled vectors", dy.len(), saved.y.len())?;
    check_size(OP, "gradient of the states", dx.len(), saved.x.len())?;
    check_size(OP, "gradient of the scores", dscores.len(), sizes.tokens)?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, (sizes, spans), saved, dy, (dx, dscores)),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

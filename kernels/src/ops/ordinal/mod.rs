//! Ordered levels from one score: a logit for every threshold, and the probabilities of the levels between them.
//!
//! Shapes: scores `s [R]`, weights `w [K]`, shifts `β [K]`, logits `z [R,K]`, probabilities `P [R,K+1]`.
//!
//! `z_rk = s_r·w_k + β_k`, of which the logistic function tells how likely the level lies above threshold `k`. With
//! `p_k = 1/(1 + e^-z_k)`, `up = [1, p_1 … p_K]` and `down = [1 - p_1 … 1 - p_K, 1]`: `P_l = up_l·down_l / Σ up·down`.
//!
//! Backward: `ds_r = Σ_k dz_rk·w_k`, `dw_k += Σ_r dz_rk·s_r`, `dβ_k += Σ_r dz_rk`. Probabilities are looked at, never trained
//! through.
//!
//! Rounding: every step of the logits and gradients is 32-bit, sums take k and r in ascending order; probabilities are
//! 64-bit, rounded once. There are a few thresholds and no more rows than sequences, so the plain text is the only one.

pub mod cpu;
mod cuda;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "ordinal";

/// Distance from the f64 oracle for scores of size up to some ten: a product and a sum, each rounded once.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-6 };

/// The same for gradients of `w` and `β`: sums over up to some hundred rows of products with scores of size ten.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 1e-4, relative: 1e-5 };

/// The same for probabilities of given logits: rounded once.
pub const TOLERANCE_LEVELS: Tolerance = Tolerance { absolute: 1e-37, relative: 1e-7 };

/// Sizes of ordered levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// K
    pub thresholds: usize,
}

impl Sizes {
    fn check(self, scores: usize, weights: usize) -> Result<(), KernelError> {
        check_size(OP, "scores", scores, self.rows)?;
        check_size(OP, "weights", weights, self.thresholds)
    }
}

/// `logits [R,K]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    scores: &Buffer<f32>,
    (weights, shifts): (&Buffer<f32>, &Buffer<f32>),
    logits: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    sizes.check(scores.len(), weights.len())?;
    check_size(OP, "shifts", shifts.len(), sizes.thresholds)?;
    check_size(OP, "logits", logits.len(), sizes.rows * sizes.thresholds)?;
    match device {
        Device::Cpu(_) => {
            let (weights, shifts) = (weights.as_slice(), shifts.as_slice());
            cpu::forward(sizes, scores.as_slice(), (weights, shifts), logits.as_mut_slice());
        }
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, scores, (weights, shifts), logits)?,
    }
    Ok(())
}

/// Gradients that the backward writes.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `ds [R]`, overwritten.
    pub dscores: &'a mut Buffer<f32>,
    /// `dw [K]`, added to.
    pub dweights: &'a mut Buffer<f32>,
    /// `dβ [K]`, added to.
    pub dshifts: &'a mut Buffer<f32>,
}

/// Gradients of scores, weights and shifts, for the gradient `dlogits [R,K]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn backward(
    device: &Device,
    sizes: Sizes,
    (scores, weights): (&Buffer<f32>, &Buffer<f32>),
    dlogits: &Buffer<f32>,
    grads: Grads<'_>,
) -> Result<(), KernelError> {
    sizes.check(scores.len(), weights.len())?;
    check_size(OP, "gradient of the logits", dlogits.len(), sizes.rows * sizes.thresholds)?;
    check_size(OP, "gradient of the scores", grads.dscores.len(), sizes.rows)?;
    check_size(OP, "gradient of the weights", grads.dweights.len(), sizes.thresholds)?;
    check_size(OP, "gradient of the shifts", grads.dshifts.len(), sizes.thresholds)?;
    match device {
        Device::Cpu(_) => {
            let operands = (scores.as_slice(), weights.as_slice());
            let dweights = (grads.dweights.as_mut_slice(), grads.dshifts.as_mut_slice());
            let dscores = grads.dscores.as_mut_slice();
            cpu::backward(sizes, operands, dlogits.as_slice(), dscores, dweights);
        }
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// `probabilities [R,K+1]` of the levels, lowest first, from `logits [R,K]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn levels(
    device: &Device,
    sizes: Sizes,
    logits: &Buffer<f32>,
    probabilities: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "logits", logits.len(), sizes.rows * sizes.thresholds)?;
    check_size(OP, "probabilities", probabilities.len(), sizes.rows * (sizes.thresholds + 1))?;
    match device {
        Device::Cpu(_) => {
            let logits: Vec<f64> = logits.as_slice().iter().map(|&logit| f64::from(logit)).collect();
            let mut found = vec![0.0; probabilities.len()];
            cpu::levels(sizes, &logits, &mut found);
            let rounded = probabilities.as_mut_slice().iter_mut().zip(found);
            rounded.for_each(|(to, probability)| *to = probability as f32);
        }
        Device::Cuda(cuda) => cuda::levels(cuda, sizes, logits, probabilities)?,
    }
    Ok(())
}

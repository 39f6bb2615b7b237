//! Binary cross-entropy of scores before their logistic function.
//!
//! Shapes: scores `z`, targets `t`, weights `w` and losses `ℓ` have the same number of elements `n`. Targets lie in 0..=1
//! or are [`IGNORE`]; weights are finite and not negative, without them every weight is 1.
//!
//! `ℓ = w·(-t·ln p - (1 - t)·ln(1 - p)) = w·(max(z, 0) - z·t + ln(1 + e^-|z|))` with `p = 1/(1 + e^-z)`, 0 where the target
//! is ignored; the mean is their sum over a denominator of the caller's.
//!
//! Backward: `dz = scale · w · (p - t)`, 0 where the target is ignored, with `scale = ∂/∂mean / denominator`.
//!
//! Rounding: every step is 32-bit. The loss of a score that is not a number, or infinite, is not finite: a diverged model
//! must not look well.

pub mod cpu;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::{cpu_only, no_training};
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "bce";

/// Target of a place that does not count.
pub const IGNORE: f32 = -1.0;

/// Distance of the fast losses from the f64 oracle for scores of size up to some ten and weights of size one: 5e-7 of the
/// logarithm, and the rounding of `z·t` and of the sum, which are of the size of the score.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 2e-6, relative: 1e-6 };

/// The same for gradients with scale and weights of size one: `p` carries 6e-7 of itself, the difference from the target
/// half a unit of a number below one.
pub const TOLERANCE_GRADIENT: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// What scores are to be.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// Numbers of 0..=1, or [`IGNORE`].
    pub values: &'a Buffer<f32>,
    /// How much each place counts; without them all count alike.
    pub weights: Option<&'a Buffer<f32>>,
}

impl Targets<'_> {
    fn check(&self, scores: usize) -> Result<(), KernelError> {
        check_size(OP, "targets", self.values.len(), scores)?;
        let known = |target: f32| (0.0..=1.0).contains(&target) || target == IGNORE;
        if let Some(target) = self.values.as_slice().iter().find(|&&target| !known(target)) {
            let (what, found) = ("target", target.to_string());
            let supported = "numbers from 0 to 1, and -1 for what does not count";
            return Err(KernelError::Unsupported { op: OP, what, found, supported });
        }
        let Some(weights) = self.weights else { return Ok(()) };
        check_size(OP, "weights", weights.len(), scores)?;
        check_weights(OP, weights)
    }
}

/// Checks that weights of a loss are finite and not negative.
pub(super) fn check_weights(op: &'static str, weights: &Buffer<f32>) -> Result<(), KernelError> {
    match weights.as_slice().iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
        None => Ok(()),
        Some(weight) => {
            let (what, found) = ("weight", weight.to_string());
            Err(KernelError::Unsupported { op, what, found, supported: "finite numbers of at least 0" })
        }
    }
}

/// Losses of all places.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ, [`KernelError::Unsupported`] for a target or a weight that is none.
pub fn forward(
    device: &Device,
    logits: &Buffer<f32>,
    targets: Targets<'_>,
    losses: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    targets.check(logits.len())?;
    check_size(OP, "losses", losses.len(), logits.len())?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, logits, targets, losses),
        Device::Cuda(_) => return Err(cpu_only(OP)),
    }
    Ok(())
}

/// Number of targets that count.
#[must_use]
pub fn count(targets: &[f32]) -> usize {
    targets.iter().filter(|&&target| target != IGNORE).count()
}

/// `dlogits`, overwritten, for `scale` the gradient of a place's loss.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    logits: &Buffer<f32>,
    targets: Targets<'_>,
    scale: f32,
    dlogits: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    targets.check(logits.len())?;
    check_size(OP, "score gradient", dlogits.len(), logits.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, logits, targets, scale, dlogits),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

//! Squared error of predicted numbers.
//!
//! Shapes: predictions `x`, targets `t`, weights `w` and losses `ℓ` have the same number of elements `n`. Targets are
//! finite; weights are finite and not negative, without them every weight is 1.
//!
//! `ℓ = w·(x - t)²`; the mean is their sum over a denominator of the caller's.
//!
//! Backward: `dx = scale · 2 · w · (x - t)`, with `scale = ∂/∂mean / denominator`.
//!
//! Rounding: every step is 32-bit. The loss of a prediction that is not finite is not finite, but where its weight is 0
//! and the loss then not a number: a diverged model must not look well.

pub mod cpu;
mod simd;

use super::bce::check_weights;
use crate::buffer::Buffer;
use crate::cuda::{cpu_only, no_training};
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "mse";

/// Distance of the fast losses from the f64 oracle: the difference is rounded once (6e-8 of it) and squared, square and
/// weighted square are rounded once each.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-37, relative: 4e-7 };

/// What predictions are to be.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// Finite numbers.
    pub values: &'a Buffer<f32>,
    /// How much each place counts; without them all count alike.
    pub weights: Option<&'a Buffer<f32>>,
}

impl Targets<'_> {
    fn check(&self, predictions: usize) -> Result<(), KernelError> {
        check_size(OP, "targets", self.values.len(), predictions)?;
        if let Some(target) = self.values.as_slice().iter().find(|target| !target.is_finite()) {
            let (what, found) = ("target", target.to_string());
            return Err(KernelError::Unsupported { op: OP, what, found, supported: "finite numbers" });
        }
        let Some(weights) = self.weights else { return Ok(()) };
        check_size(OP, "weights", weights.len(), predictions)?;
        check_weights(OP, weights)
    }
}

/// Losses of all places.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ, [`KernelError::Unsupported`] for a target or a weight that is none.
pub fn forward(
    device: &Device,
    x: &Buffer<f32>,
    targets: Targets<'_>,
    losses: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    targets.check(x.len())?;
    check_size(OP, "losses", losses.len(), x.len())?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, x, targets, losses),
        Device::Cuda(_) => return Err(cpu_only(OP)),
    }
    Ok(())
}

/// `dx`, overwritten, for `scale` the gradient of a place's loss.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    x: &Buffer<f32>,
    targets: Targets<'_>,
    scale: f32,
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    targets.check(x.len())?;
    check_size(OP, "gradient of the predictions", dx.len(), x.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, x, targets, scale, dx),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

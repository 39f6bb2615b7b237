//! Cross-entropy of class scores with integer targets.
//!
//! Shapes: `z [R,V]` (scores, any real numbers), targets `[R]` in `0..V` or [`IGNORE`], losses `[R]`.
//!
//! `ℓ_r = ln Σ_v exp(z_rv) - z_{r,target}`, 0 for ignored rows; the mean is over the rows that count.
//!
//! Backward: `dz_rv = scale · (softmax(z_r)_v - [v = target])`, 0 for ignored rows, with
//! `scale = ∂/∂mean / count` for the mean.
//!
//! Rounding: scores less their maximum, exponentials and their sum (16-lane tree) are 32-bit; logarithm
//! and loss of a row are 64-bit, rounded once. A row that holds NaN or +∞, or -∞ alone, has the loss NaN
//! and the gradient NaN: a diverged model must not look well.

pub mod cpu;
mod cuda;
mod simd;

use super::reduce;
use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "cross_entropy";

/// Target of a row that does not count.
pub const IGNORE: u32 = u32::MAX;

/// Distance of the fast losses from the f64 oracle for scores of size up to about ten: the exponentials'
/// 3e-7, the rounding of differences, and the row sum's roundings, which are all relative to a sum whose
/// logarithm is taken.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// The same for gradients with a scale of one, probabilities up to one: relative 3e-7 of the exponential,
/// 1e-6 where scores of size ten lose digits to their maximum; of probabilities below 1e-38 nothing stays.
pub const TOLERANCE_GRADIENT: Tolerance = Tolerance { absolute: 2e-7, relative: 2e-6 };

/// Sizes of a cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// V, at least one.
    pub classes: usize,
}

fn check(sizes: Sizes, logits: usize, targets: &Buffer<u32>) -> Result<(), KernelError> {
    check_size(OP, "classes of at least one", sizes.classes.min(1), 1)?;
    check_size(OP, "scores", logits, sizes.rows * sizes.classes)?;
    check_size(OP, "targets", targets.len(), sizes.rows)?;
    let limit = sizes.classes;
    match targets.as_slice().iter().find(|&&target| target != IGNORE && target as usize >= limit) {
        Some(&target) => Err(KernelError::Index { op: OP, what: "target", found: target as usize, limit }),
        None => Ok(()),
    }
}

/// `losses [R]` from `logits [R,V]` and `targets [R]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, [`KernelError::Index`] for a target outside the classes.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    logits: &Buffer<f32>,
    targets: &Buffer<u32>,
    losses: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, logits.len(), targets)?;
    check_size(OP, "losses", losses.len(), sizes.rows)?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, logits, targets, losses),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, logits, targets, losses)?,
    }
    Ok(())
}

/// Number of targets that count.
#[must_use]
pub fn count(targets: &Buffer<u32>) -> usize {
    targets.as_slice().iter().filter(|&&target| target != IGNORE).count()
}

/// Mean of `losses [R]` over the rows whose target counts, summed in 64 bits by rows ascending.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit or no target counts: a mean of nothing is no number.
pub fn mean(device: &Device, losses: &Buffer<f32>, targets: &Buffer<u32>) -> Result<f32, KernelError> {
    check_size(OP, "targets", targets.len(), losses.len())?;
    mean_over(device, losses, count(targets))
}

/// `Σ losses / denominator`, summed in 64 bits by rows ascending. Packs whose denominator is the number of targets of
/// all of them together add up to the mean over all.
///
/// # Errors
/// [`KernelError::Size`] when the denominator is 0.
pub fn mean_over(device: &Device, losses: &Buffer<f32>, denominator: usize) -> Result<f32, KernelError> {
    reduce::mean_over(device, OP, losses, denominator)
}

/// `dlogits [R,V]`, overwritten, for `scale` the gradient of a row's loss.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    logits: &Buffer<f32>,
    targets: &Buffer<u32>,
    scale: f32,
    dlogits: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, logits.len(), targets)?;
    check_size(OP, "score gradient", dlogits.len(), logits.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, sizes, logits, targets, scale, dlogits),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

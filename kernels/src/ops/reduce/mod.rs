//! Many numbers to one.
//!
//! Shapes: `x` has any number of elements `n`.
//!
//! | function | equation |
//! |---|---|
//! | [`sum_of_squares`] | `Σ xᵢ²` |
//! | [`mean_over`] | `Σ xᵢ / denominator` |
//!
//! The first serves no gradient; that of the second is `1 / denominator` everywhere, which losses take as their scale.
//!
//! Rounding of squares: exact in 64 bits. Chunks of 16,384 numbers are summed in sixteen lanes joined by the fixed
//! tree, chunks in ascending order, all in 64 bits; threads only share the chunks. Denormal numbers count as zero.
//!
//! Rounding of means: 64-bit in ascending order, rounded once to 32 bits.
//!
//! The largest square is 1e77, so that no sum of numbers overflows: the result is finite if and only if every number
//! is.

pub mod cpu;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::cpu_only;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

/// Distance from the oracle, which sums in ascending order: at most 1e-16 for each of the numbers one after another,
/// in practice its root.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 0.0, relative: 1e-12 };

/// Distance of a mean from its oracle: rounded once to 32 bits.
pub const TOLERANCE_MEAN: Tolerance = Tolerance { absolute: 1e-37, relative: 1e-7 };

/// `Σ x²`, finite if and only if all numbers are.
///
/// # Errors
/// None on the processor; other devices may refuse.
pub fn sum_of_squares(device: &Device, x: &Buffer<f32>) -> Result<f64, KernelError> {
    match device {
        Device::Cpu(cpu) => Ok(simd::sum_of_squares(cpu, x)),
        Device::Cuda(_) => Err(cpu_only("reduce")),
    }
}

/// `Σ x / denominator`. Losses of packs whose denominator is the number of those of all packs together add up to the mean
/// over all.
///
/// # Errors
/// [`KernelError::Size`] naming `op` when the denominator is 0: a mean of nothing is no number.
pub fn mean_over(
    device: &Device,
    op: &'static str,
    x: &Buffer<f32>,
    denominator: usize,
) -> Result<f32, KernelError> {
    check_size(op, "denominator (targets that count), of at least one,", denominator.min(1), 1)?;
    match device {
        Device::Cpu(_) => {
            let sum: f64 = x.as_slice().iter().map(|&x| f64::from(x)).sum();
            Ok((sum / denominator as f64) as f32)
        }
        Device::Cuda(_) => Err(cpu_only(op)),
    }
}

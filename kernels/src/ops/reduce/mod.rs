//! Many numbers to one.
//!
//! Shapes: `x` has any number of elements `n`.
//!
//! [`sum_of_squares`]: `Σ xᵢ²`. It serves no gradient, so there is no backward.
//!
//! Rounding: squares are exact in 64 bits. Chunks of 16,384 numbers are summed in sixteen lanes joined by the fixed
//! tree, chunks in ascending order, all in 64 bits; threads only share the chunks. Denormal numbers count as zero.
//!
//! The largest square is 1e77, so that no sum of numbers overflows: the result is finite if and only if every number
//! is.

pub mod cpu;
mod simd;

use crate::buffer::Buffer;
use crate::error::KernelError;
use crate::{Device, Tolerance};

/// Distance from the oracle, which sums in ascending order: at most 1e-16 for each of the numbers one after another,
/// in practice its root.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 0.0, relative: 1e-12 };

/// `Σ x²`, finite if and only if all numbers are.
///
/// # Errors
/// None on the processor; other devices may refuse.
pub fn sum_of_squares(device: &Device, x: &Buffer<f32>) -> Result<f64, KernelError> {
    match device {
        Device::Cpu(cpu) => Ok(simd::sum_of_squares(cpu, x)),
    }
}

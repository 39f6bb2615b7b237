//! Softmax of rows of scores, and its logarithm.
//!
//! Shapes: `x [R,V]` (scores, any real numbers), `y [R,V]`.
//!
//! | kind | forward | backward |
//! |---|---|---|
//! | probabilities | `y_rv = exp(x_rv) / Σ_u exp(x_ru)` | `dx_rv = y_rv · (dy_rv - Σ_u y_ru · dy_ru)` |
//! | logarithms | `y_rv = x_rv - ln Σ_u exp(x_ru)` | `dx_rv = dy_rv - exp(y_rv) · Σ_u dy_ru` |
//!
//! Rounding: scores less their maximum, exponentials and row sums (16-lane tree) are 32-bit; the logarithm of a sum
//! is 64-bit, rounded once. A row that holds NaN or +∞, or -∞ alone, gives NaN: a broken model must not look well.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "softmax";

/// Distance of fast probabilities from the f64 oracle for scores of size up to about ten: 3e-7 of the exponential,
/// and 1e-6 where scores of size ten lose digits to their maximum; of probabilities below 1e-38 nothing stays.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-9, relative: 2e-6 };

/// The same for logarithms: the row sum's errors are relative to a sum whose logarithm is taken, and scores of size
/// ten are rounded by 5e-7.
pub const TOLERANCE_LOGARITHMS: Tolerance = Tolerance { absolute: 1e-6, relative: 2e-7 };

/// The same for gradients of size about one: differences of numbers of that size, and a row sum of up to some
/// thousand terms.
pub const TOLERANCE_GRADIENT: Tolerance = Tolerance { absolute: 2e-6, relative: 5e-6 };

/// What comes of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Probabilities.
    Probabilities,
    /// Natural logarithms of the probabilities.
    Logarithms,
}

/// Sizes of a softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// V, at least one.
    pub classes: usize,
}

fn check(sizes: Sizes, buffers: [(&'static str, usize); 2]) -> Result<(), KernelError> {
    check_size(OP, "classes of at least one", sizes.classes.min(1), 1)?;
    buffers.into_iter().try_for_each(|(what, found)| check_size(OP, what, found, sizes.rows * sizes.classes))
}

/// `y [R,V]` from `x [R,V]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    kind: Kind,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, [("scores", x.len()), ("results", y.len())])?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, kind, x, y),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, kind, x, y)?,
    }
    Ok(())
}

/// `dx [R,V]`, overwritten, from the results `y [R,V]` of [`forward`] and their gradient `dy [R,V]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    kind: Kind,
    (y, dy): (&Buffer<f32>, &Buffer<f32>),
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, [("results", y.len()), ("gradient of the results", dy.len())])?;
    check_size(OP, "gradient of the scores", dx.len(), dy.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, sizes, kind, (y, dy), dx),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

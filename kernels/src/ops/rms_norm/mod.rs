//! Normalisation by the root of the mean square: every row with mean square 1, then scaled.
//!
//! Shapes: `x [R,C]`, `γ [C]`, `y [R,C]`, statistics `q [R]`.
//!
//! `q = 1/√(Σ_c x_c² / C + ε)`, `y_c = (x_c·q)·γ_c` (Zhang and Sennrich, "Root mean square layer normalization",
//! NeurIPS 2019).
//!
//! Backward, with `h_c = x_c·q` and `g_c = dy_c·γ_c`: `dx_c = q·(g_c - h_c·Σ(g·h)/C)`, `dγ_c += Σ_r dy_rc·h_rc`.
//!
//! Rounding: all 32-bit; `y` is rounded once more where it is bf16. Sums over C use the 16-lane tree; `dγ` cuts R into
//! chunks of 512 that are added in order.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::{Buffer, Output};
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "rms_norm";

/// Distance of the fast path from the f64 oracle for rows of size about one: normalised numbers carry a few roundings
/// (6e-8) of their own plus that of q, whose sum of squares has no cancellation.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// The same for `dγ`: sums over R of terms of size one that partly cancel, R up to some thousands, chunks of 512.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 2e-5, relative: 1e-5 };

/// The same for results in bf16, which has 8 significant bits: half a unit is up to 2^-8 of the number.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 1e-6, relative: 1.0 / 255.0 };

/// Sizes of a normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// C, at least one.
    pub width: usize,
    /// ε, added to the mean square.
    pub epsilon: f32,
}

impl Sizes {
    fn check(&self, numbers: usize, weights: usize) -> Result<(), KernelError> {
        check_size(OP, "width of at least one", self.width.min(1), 1)?;
        check_size(OP, "input", numbers, self.rows * self.width)?;
        check_size(OP, "scale", weights, self.width)
    }
}

/// Normalises `x` into `y`; the statistics `[R]` are kept where the backward needs them.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    x: &Buffer<f32>,
    gamma: &Buffer<f32>,
    y: Output<'_>,
    stats: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    sizes.check(x.len(), gamma.len())?;
    y.check(OP, "output", x.len())?;
    if let Some(stats) = &stats {
        check_size(OP, "statistics", stats.len(), sizes.rows)?;
    }
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, x, gamma, y, stats),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, x, gamma, y, stats)?,
    }
    Ok(())
}

/// `dx [R,C]`, overwritten, and `dγ [C]`, added to, from the gradient `dy [R,C]`, the input and its statistics `[R]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn backward(
    device: &Device,
    sizes: Sizes,
    (x, stats): (&Buffer<f32>, &Buffer<f32>),
    gamma: &Buffer<f32>,
    dy: &Buffer<f32>,
    (dx, accumulate): (&mut Buffer<f32>, bool),
    dgamma: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    sizes.check(x.len(), gamma.len())?;
    check_size(OP, "statistics", stats.len(), sizes.rows)?;
    check_size(OP, "gradient", dy.len(), x.len())?;
    check_size(OP, "input gradient", dx.len(), x.len())?;
    check_size(OP, "scale gradient", dgamma.len(), sizes.width)?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, sizes, (x, stats), (gamma, dy), ((dx, accumulate), dgamma)),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

//! Layer normalisation: every row with mean 0 and variance 1, then scaled and shifted.
//!
//! Shapes: `x [R,C]`, `γ [C]`, `β [C]`, `y [R,C]`, statistics `[R,2]` (mean `m`, then `q = 1/σ`).
//!
//! `m = Σ_c x_c / C`, `σ² = Σ_c (x_c - m)² / C + ε`, `y_c = (x_c - m)·q·γ_c + β_c`.
//!
//! Backward, with `h_c = (x_c - m)·q` and `g_c = dy_c·γ_c`:
//! `dx_c = q·(g_c - Σg/C - h_c·Σ(g·h)/C)`, `dγ_c += Σ_r dy_rc·h_rc`, `dβ_c += Σ_r dy_rc`.
//!
//! Rounding: all 32-bit, the variance in a second pass over the row; `y` is rounded once more where it is
//! bf16. Sums over C use the 16-lane tree; `dγ` and `dβ` cut R into chunks of 512 that are added in order.

pub mod cpu;
mod simd;

use crate::buffer::{Buffer, Output};
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "layer_norm";

/// Distance of the fast path from the f64 oracle for rows of size about one: normalised numbers are of
/// size one and carry a few roundings (6e-8) of their own plus those of mean and 1/σ, which grow like the
/// logarithm of C. A row whose mean is larger than its spread by a factor f loses f times as much.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

/// The same for `dγ` and `dβ`: sums over R of terms of size one that partly cancel, R up to some
/// thousands, chunks of 512.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 3e-5, relative: 1e-5 };

/// The same for results in bf16, which has 8 significant bits: half a unit is up to 2^-8 of the number.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 2e-6, relative: 1.0 / 255.0 };

/// Sizes of a layer normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// C, at least one.
    pub width: usize,
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl Sizes {
    fn check(&self, rows: usize, weights: usize) -> Result<(), KernelError> {
        check_size(OP, "width of at least one", self.width.min(1), 1)?;
        check_size(OP, "input", rows, self.rows * self.width)?;
        check_size(OP, "scale", weights, self.width)
    }
}

/// Gradients that the backward writes.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `dx [R,C]`
    pub dx: &'a mut Buffer<f32>,
    /// Whether `dx` is added to what is there, or overwrites it.
    pub accumulate: bool,
    /// `dγ [C]`, added to.
    pub dgamma: &'a mut Buffer<f32>,
    /// `dβ [C]`, added to.
    pub dbeta: &'a mut Buffer<f32>,
}

/// Normalises `x` into `y`; the statistics `[R,2]` are kept where the backward needs them.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    x: &Buffer<f32>,
    gamma: &Buffer<f32>,
    beta: &Buffer<f32>,
    y: Output<'_>,
    stats: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    sizes.check(x.len(), gamma.len())?;
    check_size(OP, "shift", beta.len(), sizes.width)?;
    y.check(OP, "output", x.len())?;
    if let Some(stats) = &stats {
        check_size(OP, "statistics", stats.len(), 2 * sizes.rows)?;
    }
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, x, (gamma, beta), y, stats),
    }
    Ok(())
}

/// Gradients of input and weights from the gradient `dy [R,C]`, the input and its statistics `[R,2]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn backward(
    device: &Device,
    sizes: Sizes,
    (x, stats): (&Buffer<f32>, &Buffer<f32>),
    gamma: &Buffer<f32>,
    dy: &Buffer<f32>,
    grads: Grads<'_>,
) -> Result<(), KernelError> {
    sizes.check(x.len(), gamma.len())?;
    check_size(OP, "statistics", stats.len(), 2 * sizes.rows)?;
    check_size(OP, "gradient", dy.len(), x.len())?;
    check_size(OP, "input gradient", grads.dx.len(), x.len())?;
    check_size(OP, "scale gradient", grads.dgamma.len(), sizes.width)?;
    check_size(OP, "shift gradient", grads.dbeta.len(), sizes.width)?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, sizes, (x, stats), gamma, dy, grads),
    }
    Ok(())
}

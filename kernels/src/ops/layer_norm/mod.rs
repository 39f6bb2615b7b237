//! Layer normalisation: every row less its mean and divided by its spread, then scaled and shifted.
//!
//! Shapes: `x [R,C]`, `γ [C]`, `β [C]`, `y [R,C]`, statistics `[R,2]` (mean `m`, then what the kind says).
//!
//! `m = Σ_c x_c / C`, `y_c = (x_c - m)·q·γ_c + β_c`, and with `S = Σ_c (x_c - m)²`:
//!
//! | kind | `q` | kept beside the mean | divisor `n` of the backward |
//! |---|---|---|---|
//! | deviation | `1/√(S/C + ε)` | `q` | `C` |
//! | root deviation | `1/√(d + ε)` with `d = √(S/(C - 1))` | `d` | `2·(C - 1)·d` |
//!
//! The second kind divides by the square root of the unbiased standard deviation, so its rows have the spread `√d` and not
//! 1: that is the normalisation with which PLUS-TFM was published, and its weights are of use with no other.
//!
//! Backward, with `h_c = (x_c - m)·q` and `g_c = dy_c·γ_c`:
//! `dx_c = q·(g_c - Σg/C - h_c·Σ(g·h)/n)`, `dγ_c += Σ_r dy_rc·h_rc`, `dβ_c += Σ_r dy_rc`. Where all numbers of a row are
//! equal, `h` is zero and so is its term, also where `n` is zero.
//!
//! Rounding: all 32-bit, the variance in a second pass over the row; `y` is rounded once more where it is
//! bf16. Sums over C use the 16-lane tree; `dγ` and `dβ` cut R into chunks of 512 that are added in order.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::{Buffer, Output};
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "layer_norm";

/// Distance of the fast path from the f64 oracle for rows of size about one: normalised numbers are of
/// size one and carry a few roundings (6e-8) of their own plus those of mean and 1/σ, which grow like the
/// logarithm of C. A row whose mean is larger than its spread by a factor f loses f times as much. Rows of the second
/// kind have the root of their spread, which is of size one too.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

/// The same for `dγ` and `dβ`: sums over R of terms of size one that partly cancel, R up to some
/// thousands, chunks of 512.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 3e-5, relative: 1e-5 };

/// The same for results in bf16, which has 8 significant bits: half a unit is up to 2^-8 of the number.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 2e-6, relative: 1.0 / 255.0 };

/// By what rows are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// The standard deviation.
    Deviation,
    /// The square root of the unbiased standard deviation; rows then have two columns at least.
    RootDeviation,
}

/// Sizes of a layer normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// C, at least one; for [`Kind::RootDeviation`] at least two.
    pub width: usize,
    /// ε, added to the variance, or to the unbiased standard deviation.
    pub epsilon: f32,
    /// By what rows are divided.
    pub kind: Kind,
}

impl Sizes {
    fn check(&self, rows: usize, weights: usize) -> Result<(), KernelError> {
        match self.kind {
            Kind::Deviation => check_size(OP, "width of at least one", self.width.min(1), 1)?,
            Kind::RootDeviation => check_size(OP, "width of at least two", self.width.min(2), 2)?,
        }
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
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, x, (gamma, beta), y, stats)?,
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
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

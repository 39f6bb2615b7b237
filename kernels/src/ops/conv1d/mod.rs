//! Depthwise causal filter over the tokens of each sequence, with SiLU.
//!
//! Shapes: `x [T,E]`, `w [E,K]`, `b [E]`, `u [T,E]`, carry `[K-1,E]`; K from 1 to 16.
//!
//! Step `i` of a sequence (its token `i`, in reverse its token `i` from the end):
//! `a_i = b + Σ_k w_k ⊙ x_{i-(K-1)+k}` with zeros before the first step, `u_i = SiLU(a_i) = a_i·σ(a_i)`,
//! `σ(a) = 1/(1 + e^-a)`.
//!
//! Backward: `g_i = du_i ⊙ σ(a_i)(1 + a_i(1 - σ(a_i)))`, `dx_i = Σ_k w_k ⊙ g_{i+(K-1)-k}` over the steps of the
//! sequence, `dw_k += Σ_i g_i ⊙ x_{i-(K-1)+k}`, `db += Σ_i g_i`.
//!
//! Streaming: the rows are a stretch of a longer run. The carry holds the K-1 rows that came before the first
//! one in walking order, oldest first (zeros where a sequence begins), and afterwards those that come before
//! whatever follows: the first sequence met continues from it, the last one met is left in it.
//!
//! Rounding: all 32-bit. Taps are added to the bias with k ascending; `dx` likewise with k descending. `dw` and
//! `db` are sums over pieces of 64 rows of the pack, rows ascending, added in order.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::sequences::Sequences;
use crate::{Device, Tolerance};

const OP: &str = "conv1d";

/// Longest filter.
pub const FILTER_MAX: usize = 16;

/// Distance of the fast path from the f64 oracle for inputs and weights of size about one: K products with a
/// rounding each (6e-8 of sums up to about ten), and e^-a with a relative error of 3e-7, of which SiLU and its
/// slope keep less than their own size.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// The same for `dw` and `db`: sums over T of terms of size about one over √T that partly cancel, T up to some
/// thousands, each term as far from its own as [`TOLERANCE`] says.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 3e-6, relative: 3e-6 };

/// Sizes of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// E
    pub width: usize,
    /// K, from 1 to [`FILTER_MAX`].
    pub filter: usize,
}

impl Sizes {
    /// Numbers of a carry: `[K-1,E]`.
    #[must_use]
    pub fn carry(&self) -> usize {
        self.filter.saturating_sub(1) * self.width
    }

    fn check(&self, sequences: Sequences<'_>, x: usize, (w, b): (usize, usize)) -> Result<(), KernelError> {
        if !(1..=FILTER_MAX).contains(&self.filter) {
            let (found, supported) = (self.filter.to_string(), "1 to 16");
            return Err(KernelError::Unsupported { op: OP, what: "length of the filter", found, supported });
        }
        check_size(OP, "width of at least one", self.width.min(1), 1)?;
        sequences.check(OP, self.tokens)?;
        check_size(OP, "input", x, self.tokens * self.width)?;
        check_size(OP, "filter", w, self.width * self.filter)?;
        check_size(OP, "bias", b, self.width)
    }
}

/// Gradients that the backward writes.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `dx [T,E]`, overwritten.
    pub dx: &'a mut Buffer<f32>,
    /// `dw [E,K]`, added to.
    pub dw: &'a mut Buffer<f32>,
    /// `db [E]`, added to.
    pub db: &'a mut Buffer<f32>,
}

/// Filters `x` into `u` with the filter and bias `(w, b)`; with a `carry` the rows are a stretch of a longer
/// run.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, [`KernelError::Unsupported`] for a filter of more than
/// [`FILTER_MAX`] taps or none.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    sequences: Sequences<'_>,
    x: &Buffer<f32>,
    (w, b): (&Buffer<f32>, &Buffer<f32>),
    carry: Option<&mut Buffer<f32>>,
    u: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    sizes.check(sequences, x.len(), (w.len(), b.len()))?;
    check_size(OP, "output", u.len(), x.len())?;
    if let Some(carry) = &carry {
        check_size(OP, "carry", carry.len(), sizes.carry())?;
    }
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, (sizes, sequences), x, (w, b), carry, u),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, sequences), x, (w, b), carry, u)?,
    }
    Ok(())
}

/// Gradients of input, filter and bias from the gradient `du [T,E]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    sequences: Sequences<'_>,
    x: &Buffer<f32>,
    (w, b): (&Buffer<f32>, &Buffer<f32>),
    du: &Buffer<f32>,
    grads: Grads<'_>,
) -> Result<(), KernelError> {
    sizes.check(sequences, x.len(), (w.len(), b.len()))?;
    check_size(OP, "gradient", du.len(), x.len())?;
    check_size(OP, "input gradient", grads.dx.len(), x.len())?;
    check_size(OP, "filter gradient", grads.dw.len(), w.len())?;
    check_size(OP, "bias gradient", grads.db.len(), b.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, (sizes, sequences), x, (w, b), du, grads),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

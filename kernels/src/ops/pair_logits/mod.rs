//! Logits of all pairs of two lists of proteins by a head with one hidden layer: `tanh` of the sum of what each of the two
//! gives, then a weighted sum (the pair head of Sledzieski et al., PNAS 121, 2024).
//!
//! Shapes, with K hidden units, R proteins in the first list and N in the second: `first [R,K]`, `second [N,K]` (what a
//! protein gives to the hidden layer; half of the bias in each), `weights [K]`, `y [R,N]`.
//!
//! ```text
//! y_ij = bias + Σ_k weight_k · tanh(first_ik + second_jk)
//!      = bias + Σ_k weight_k - Σ_k 2·weight_k / (1 + e^(2·first_ik) · e^(2·second_jk))
//! ```
//!
//! The fast path takes the second line: the powers belong to the proteins, and no `tanh` is left for the pairs. Fractions
//! are added before they are divided, `p/a + q/b = (p·b + q·a)/(a·b)`, as many as the range of the numbers allows:
//!
//! | largest size of a number of either protein | fractions for one division |
//! |---|---|
//! | 5 | four |
//! | 10 | two |
//! | 20 | one |
//! | above, or no number | none: the first line as it stands |
//!
//! Weights go below the line, `w/(1 + x) = 1/(c + c·x)` with `c = 1/w`, as far as their sizes allow it: ones above the line need
//! two operations less for each two fractions. The square root of c goes to either protein, so that neither is another than
//! the other.
//!
//! A device of CUDA takes the first line always. Which one is taken depends on the two proteins of a pair alone, so that its
//! bits do not depend on the others. Rounding: powers, products and the sum over units (ascending, those with tiny weights
//! last) are 32-bit; bias and sum of the weights are added in 64 bits and rounded once. Divisions are exact. Exchanging the
//! lists transposes the result bit for bit. It is looked at, never trained through.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "pair_logits";

/// Distance of the fast path from the f64 oracle for weights whose sizes add up to at most one: a unit is off by up to 6e-7
/// of its weight, as its power is off by 3e-7 on either side and c and its roots by 6e-8 each, and the sum of all by another
/// 4e-7.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 0.0 };

/// [`TOLERANCE`] for weights `[K]` of any size.
#[must_use]
pub fn tolerance(weights: &[f32]) -> Tolerance {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight).abs()).sum();
    Tolerance { absolute: TOLERANCE.absolute * total.max(1.0), ..TOLERANCE }
}

/// Sizes of a block of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// R
    pub rows: usize,
    /// N
    pub columns: usize,
    /// K
    pub units: usize,
}

/// `y [R,N]` from `first [R,K]`, `second [N,K]`, and weights `[K]` and bias of the sum.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    (first, second): (&Buffer<f32>, &Buffer<f32>),
    (weights, bias): (&Buffer<f32>, f32),
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let Sizes { rows, columns, units } = sizes;
    check_size(OP, "first proteins", first.len(), rows * units)?;
    check_size(OP, "second proteins", second.len(), columns * units)?;
    check_size(OP, "weights", weights.len(), units)?;
    check_size(OP, "logits", y.len(), rows * columns)?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, (first, second), (weights.as_slice(), bias), y),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, (first, second), (weights, bias), y)?,
    }
    Ok(())
}

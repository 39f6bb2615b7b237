//! Pooling: one vector per sequence from the hidden states of a range of its tokens.
//!
//! Shapes: `x [T,C]`, one half-open token range `s_b .. e_b` per sequence, `y [B,C]`, argmax `[B,C]`
//! (token rows of `x`).
//!
//! | kind | forward | backward |
//! |---|---|---|
//! | mean | `y_b = Σ_t x_t / (e_b - s_b)` | `dx_t += dy_b / (e_b - s_b)` |
//! | sum | `y_b = Σ_t x_t` | `dx_t += dy_b` |
//! | cls | `y_b = x_{s_b}`, the range is that one token | `dx_{s_b} += dy_b` |
//! | max | `y_bc = max_t x_tc`, the first of equals | `dx_{argmax,c} += dy_bc` |
//!
//! Rounding: 32-bit; sums are one per column, tokens ascending, and a mean is one division more. Ranges may
//! overlap; gradients are added with b ascending. A maximum over numbers that include NaN is unspecified.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "pool";

/// Distance of the fast path from the f64 oracle for states of size about one: the mean of up to some
/// thousand rows, whose sum takes one rounding (6e-8 of its size, about √L) per row.
///
/// Sums themselves are as much less exact as they are larger: [`TOLERANCE_SUM`].
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// The same for sums of up to some hundred rows of size about one: half a unit of a sum of up to some ten, 1e-6, for each of
/// them.
pub const TOLERANCE_SUM: Tolerance = Tolerance { absolute: 5e-4, relative: 1e-6 };

/// Sizes of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// C
    pub width: usize,
}

/// Which vector stands for a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mean over the range.
    Mean,
    /// Sum over the range.
    Sum,
    /// State of the one token of the range.
    Cls,
    /// Largest value of each column over the range.
    Max,
}

fn check(
    sizes: Sizes,
    kind: Kind,
    spans: &[(usize, usize)],
    states: usize,
    pooled: usize,
) -> Result<(), KernelError> {
    check_size(OP, "states", states, sizes.tokens * sizes.width)?;
    check_size(OP, "pooled vectors", pooled, spans.len() * sizes.width)?;
    for &(start, end) in spans {
        if end > sizes.tokens {
            let limit = sizes.tokens + 1;
            return Err(KernelError::Index { op: OP, what: "end of a range", found: end, limit });
        }
        let count = end.saturating_sub(start);
        match kind {
            Kind::Cls => check_size(OP, "tokens of a cls range", count, 1)?,
            Kind::Mean | Kind::Sum | Kind::Max => {
                check_size(OP, "tokens of a range, of at least one,", count.min(1), 1)?
            }
        }
    }
    Ok(())
}

/// Pools `x [T,C]` over `spans` (B token ranges) into `y [B,C]`; for [`Kind::Max`] the rows of the maxima
/// are kept in `argmax [B,C]` where the backward needs them.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit or a range is empty, [`KernelError::Index`] when a range
/// leaves the pack.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    kind: Kind,
    spans: &[(usize, usize)],
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
    argmax: Option<&mut Buffer<u32>>,
) -> Result<(), KernelError> {
    check(sizes, kind, spans, x.len(), y.len())?;
    if let Some(argmax) = &argmax {
        check_size(OP, "argmax", argmax.len(), y.len())?;
    }
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, (sizes, kind, spans), x, y, argmax),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, kind, spans), x, y, argmax)?,
    }
    Ok(())
}

/// Adds the gradient `dy [B,C]` to `dx [T,C]`; [`Kind::Max`] needs the `argmax` of the forward.
///
/// # Errors
/// As [`forward`]; [`KernelError::Size`] when the maximum's rows are missing, [`KernelError::Index`] when
/// one of them leaves the pack.
pub fn backward(
    device: &Device,
    sizes: Sizes,
    kind: Kind,
    spans: &[(usize, usize)],
    argmax: Option<&Buffer<u32>>,
    dy: &Buffer<f32>,
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, kind, spans, dx.len(), dy.len())?;
    if let Device::Cuda(_) = device {
        return Err(no_training(OP));
    }
    let argmax = if kind == Kind::Max { argmax.map_or(&[][..], Buffer::as_slice) } else { &[] };
    if kind == Kind::Max {
        check_size(OP, "argmax", argmax.len(), dy.len())?;
        if let Some(&row) = argmax.iter().find(|&&row| row as usize >= sizes.tokens) {
            let limit = sizes.tokens;
            return Err(KernelError::Index { op: OP, what: "row of a maximum", found: row as usize, limit });
        }
    }
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, (sizes, kind, spans), argmax, dy, dx),
        Device::Cuda(_) => {}
    }
    Ok(())
}

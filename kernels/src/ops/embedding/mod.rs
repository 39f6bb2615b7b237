//! Token embedding: rows of a table, with the token dropout of masked language models.
//!
//! Shapes: `ids [T]`, table `E [V,C]`, `y [T,C]`.
//!
//! Without dropout `y_t = E[id_t]`. With it, for a sequence of L tokens of which M are the mask:
//! `y_t = 0` where `id_t` is the mask, else `y_t = E[id_t] · (1 - f) / (1 - M/L)`. The factor makes up for
//! the missing rows; `f` is the fraction of masks that the model was trained with, and the factor applies
//! at inference too. (ESM-2: facebookresearch/esm `esm/model/esm2.py`, `token_dropout`.)
//!
//! Backward: `dE[id_t] += dy_t` times the same factor, masks nothing; tokens ascending.
//!
//! Rounding: all 32-bit; `M/L`, `1 - M/L`, `1 - f`, the product and the quotient once each, in the order
//! in which the formula stands.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_offsets, check_size};
use crate::{Device, Tolerance};

const OP: &str = "embedding";

/// Distance of the fast path from the f64 oracle: the five roundings (6e-8 each) of the factor and its
/// product; without dropout rows are copied.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-30, relative: 5e-7 };

/// The same for the gradient: sums of up to some thousand terms of size one.
pub const TOLERANCE_TABLE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// Sizes of an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// V
    pub vocabulary: usize,
    /// C
    pub width: usize,
}

/// What happens to masks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenDropout {
    /// Id of the mask token.
    pub mask_id: u32,
    /// Fraction of tokens that were masks in training: 0.15 · 0.8 for ESM-2.
    pub train_fraction: f32,
}

fn check(
    sizes: Sizes,
    offsets: &[usize],
    ids: &Buffer<u32>,
    table: usize,
    rows: usize,
) -> Result<(), KernelError> {
    check_offsets(OP, offsets, sizes.tokens)?;
    check_size(OP, "number of ids", ids.len(), sizes.tokens)?;
    check_size(OP, "table", table, sizes.vocabulary * sizes.width)?;
    check_size(OP, "rows", rows, sizes.tokens * sizes.width)?;
    match ids.as_slice().iter().find(|&&id| id as usize >= sizes.vocabulary) {
        Some(&id) => {
            Err(KernelError::Index { op: OP, what: "token id", found: id as usize, limit: sizes.vocabulary })
        }
        None => Ok(()),
    }
}

/// `y [T,C]` from `ids [T]` and the table `[V,C]`; `offsets` has B+1 entries.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, [`KernelError::Index`] for an id outside the vocabulary.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    ids: &Buffer<u32>,
    table: &Buffer<f32>,
    dropout: Option<TokenDropout>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, offsets, ids, table.len(), y.len())?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, (sizes, offsets, ids), table, dropout, y),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, offsets, ids), table, dropout, y)?,
    }
    Ok(())
}

/// Adds the gradient `dy [T,C]` to the rows of `dtable [V,C]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    ids: &Buffer<u32>,
    dropout: Option<TokenDropout>,
    dy: &Buffer<f32>,
    dtable: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check(sizes, offsets, ids, dtable.len(), dy.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, (sizes, offsets, ids), dropout, dy, dtable),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

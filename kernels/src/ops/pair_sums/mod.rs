//! What a screen adds up of a block of logits for each of its proteins, and where it must look closer.
//!
//! Shapes, R first proteins and N second ones: logits `y [R,N]`, a bar for each protein `[R]`, `[N]`. With
//! `q_ij` = `y_ij / step` in whole steps (ties to even; at most [`MOST`] in size, which what is no number counts as, below
//! zero) and pairs `ij` that count:
//!
//! ```text
//! rows_i    = count, Σ_j q_ij, Σ_j q_ij²      [R]
//! columns_j = count, Σ_i q_ij, Σ_i q_ij²      [N]
//! reached   = y_ij ≥ bar_i or y_ij ≥ bar_j    [R, ⌈N/16⌉] bits, the first of sixteen columns lowest
//! ```
//!
//! A pair counts from column `begins_i` on, and where the lists of its proteins meet. Where it does not, nothing of it is
//! looked at. Sums are of whole numbers and exact, so that no order of adding matters. What is no number may reach a bar.
//! There is no gradient.

pub mod cpu;
mod simd;

use crate::buffer::Buffer;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "pair_sums";

/// Most steps of a logit, either way.
pub const MOST: i32 = 1 << 21;

/// Columns of a bit field.
pub const GROUP: usize = 16;

/// Distance of sums from those of the oracle: none, and numbers of 64 bits still tell wholes that far apart.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 0.25, relative: 0.0 };

/// Adding it rounds a number to the nearest whole one, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// How many numbers there are, their sum and that of their squares, in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub count: u32,
    /// Σ q
    pub sum: i64,
    /// Σ q²
    pub squares: i64,
}

impl Sums {
    /// Adds those of other numbers.
    #[inline(always)]
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Adds a number of so many steps.
    #[inline(always)]
    pub fn push(&mut self, steps: i32) {
        self.add(&Self { count: 1, sum: i64::from(steps), squares: i64::from(steps) * i64::from(steps) });
    }
}

/// The steps of a logit, of which `inverse` is how many a 1 has.
#[must_use]
#[inline(always)]
pub fn steps(logit: f32, inverse: f32) -> i32 {
    let steps = (logit * inverse).max(-MOST as f32).min(MOST as f32);
    (steps + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed()
}

/// Which pairs of a block count.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// `[R]` the first column of each row.
    pub begins: &'a [usize],
    /// `[R]` and `[N]` bits: a pair counts where both have one in common. All count where there are none.
    pub lists: Option<(&'a [u8], &'a [u8])>,
}

/// What proteins ask for.
#[derive(Debug, Clone, Copy)]
pub struct Bars<'a> {
    /// `[R]`
    pub rows: &'a [f32],
    /// `[N]`
    pub columns: &'a [f32],
}

/// What was found in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `[R]`
    pub rows: Vec<Sums>,
    /// `[N]`
    pub columns: Vec<Sums>,
    /// `[R, ⌈N/16⌉]`
    pub reached: Vec<u16>,
}

/// Sums and reached pairs of `y [rows,columns]`, with `inverse` steps to a 1.
///
/// Logits of a device of CUDA are read back and added up by the thread that asks.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    (rows, columns): (usize, usize),
    (y, inverse): (&Buffer<f32>, f32),
    counted: Counted<'_>,
    bars: Bars<'_>,
) -> Result<Found, KernelError> {
    check_size(OP, "logits", y.len(), rows * columns)?;
    check_size(OP, "first columns", counted.begins.len(), rows)?;
    check_size(OP, "bars of rows", bars.rows.len(), rows)?;
    check_size(OP, "bars of columns", bars.columns.len(), columns)?;
    if let Some((own, others)) = counted.lists {
        check_size(OP, "lists of rows", own.len(), rows)?;
        check_size(OP, "lists of columns", others.len(), columns)?;
    }
    Ok(simd::forward(device, (rows, columns), (y.as_slice(), inverse), counted, bars))
}

//! Memory of one task of the backward.

use crate::cpu::simd::LANES;

/// Keys of a block: whole vectors, and whole strips on every path.
pub(super) const KEYS: usize = 96;

/// Queries of a block: whole strips on every path.
pub(super) const QUERIES: usize = 48;

/// Lanes of one vector in memory.
pub(super) type Lanes = [f32; LANES];

/// Memory of one task. Columns of a head come in groups of sixteen; the last one is filled with zeros.
pub(super) struct Space<'a, const R: usize> {
    /// Queries `[group][rows]`.
    pub(super) queries: &'a mut [Lanes],
    /// Gradients of the result `[group][rows]`.
    pub(super) slopes: &'a mut [Lanes],
    /// Gradients of the queries `[group][rows]`.
    pub(super) dq: &'a mut [Lanes],
    /// Queries `[strip][D]`.
    pub(super) query_strips: &'a mut [[f32; R]],
    /// Gradients of the result `[strip][D]`.
    pub(super) slope_strips: &'a mut [[f32; R]],
    /// Log-sum-exp and delta by query.
    pub(super) lse: &'a mut [f32],
    pub(super) delta: &'a mut [f32],
    pub(super) block: Block<'a>,
}

/// Memory of one block of keys.
pub(super) struct Block<'a> {
    /// Keys `[group][KEYS]`.
    pub(super) keys: &'a mut [Lanes],
    /// Values `[group][KEYS]`.
    pub(super) values: &'a mut [Lanes],
    /// Keys `[vector of 16 keys][D]`.
    pub(super) key_columns: &'a mut [Lanes],
    /// Values `[vector of 16 keys][D]`.
    pub(super) value_columns: &'a mut [Lanes],
    /// Gradients of the keys `[group][KEYS]`.
    pub(super) dk: &'a mut [Lanes],
    /// Gradients of the values `[group][KEYS]`.
    pub(super) dv: &'a mut [Lanes],
    /// `p` and `ds` of a block of queries.
    pub(super) weights: &'a mut [[f32; KEYS]],
    pub(super) score_slopes: &'a mut [[f32; KEYS]],
}

/// Cuts the first `count` arrays off.
#[inline(always)]
fn cut<'a, const N: usize>(rest: &mut &'a mut [f32], count: usize) -> &'a mut [[f32; N]] {
    let (part, after) = std::mem::take(rest).split_at_mut(count * N);
    *rest = after;
    part.as_chunks_mut().0
}

impl<'a, const R: usize> Space<'a, R> {
    /// Words for a sequence of `length` residues.
    pub(super) fn length(head_width: usize, length: usize) -> usize {
        let (rows, columns) = (length.next_multiple_of(QUERIES), head_width.next_multiple_of(LANES));
        rows * (3 * columns + 2 * head_width + 2) + KEYS * (4 * columns + 2 * head_width + 2 * QUERIES)
    }

    #[inline(always)]
    pub(super) fn new(mut rest: &'a mut [f32], head_width: usize, length: usize) -> Self {
        let (rows, groups) = (length.next_multiple_of(QUERIES), head_width.div_ceil(LANES));
        let rest = &mut rest;
        Self {
            queries: cut(rest, groups * rows),
            slopes: cut(rest, groups * rows),
            dq: cut(rest, groups * rows),
            query_strips: cut(rest, rows / R * head_width),
            slope_strips: cut(rest, rows / R * head_width),
            lse: cut::<1>(rest, rows).as_flattened_mut(),
            delta: cut::<1>(rest, rows).as_flattened_mut(),
            block: Block {
                keys: cut(rest, groups * KEYS),
                values: cut(rest, groups * KEYS),
                key_columns: cut(rest, KEYS / LANES * head_width),
                value_columns: cut(rest, KEYS / LANES * head_width),
                dk: cut(rest, groups * KEYS),
                dv: cut(rest, groups * KEYS),
                weights: cut(rest, QUERIES),
                score_slopes: cut(rest, QUERIES),
            },
        }
    }
}

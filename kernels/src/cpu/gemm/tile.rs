//! The inner loop: one strip of rows times one panel of columns, sums in registers.

use crate::cpu::simd::{LANES, Simd};
use half::bf16;

/// Columns of a packed panel.
pub const PANEL: usize = 32;

/// Sums of one tile: row `r`, vector `v`.
pub(crate) type Sums<S, const R: usize, const V: usize> = [[<S as Simd>::F; V]; R];

/// `acc[r][v] = Σ_k strip[k][r] · panel[k][16·(first + v) ..]`, k ascending, one fused multiply-add each.
#[inline(always)]
pub(crate) fn tile_f32<S: Simd, const R: usize, const V: usize>(
    s: S,
    strip: &[f32],
    panel: &[f32],
    first: usize,
) -> Sums<S, R, V> {
    let mut sums = [[s.splat(0.0); V]; R];
    for (column, row) in strip.as_chunks::<R>().0.iter().zip(panel.as_chunks::<PANEL>().0) {
        let lanes = row.as_chunks::<LANES>().0;
        let mut with = [s.splat(0.0); V];
        for v in 0..V {
            with[v] = s.load(&lanes[(first + v) & 1]);
        }
        for r in 0..R {
            let value = s.splat(column[r]);
            for v in 0..V {
                sums[r][v] = s.fma(value, with[v], sums[r][v]);
            }
        }
    }
    sums
}

/// As [`tile_f32`] over pairs of bf16: of every pair the odd product first, then the even one.
#[inline(always)]
pub(crate) fn tile_bf16<S: Simd, const R: usize, const V: usize>(
    s: S,
    strip: &[u32],
    panel: &[bf16],
    first: usize,
) -> Sums<S, R, V> {
    let mut sums = [[s.splat(0.0); V]; R];
    for (column, row) in strip.as_chunks::<R>().0.iter().zip(panel.as_chunks::<{ 2 * PANEL }>().0) {
        let lanes = row.as_chunks::<{ 2 * LANES }>().0;
        let mut with = [s.splat_pair(0); V];
        for v in 0..V {
            with[v] = s.load_pairs(&lanes[(first + v) & 1]);
        }
        for r in 0..R {
            let value = s.splat_pair(column[r]);
            for v in 0..V {
                sums[r][v] = s.dot_pairs(sums[r][v], value, with[v]);
            }
        }
    }
    sums
}

/// One panel of weights in bytes.
#[derive(Clone, Copy)]
pub(crate) struct BytePanel<'a> {
    /// `[inner/4][32][4]`
    pub(crate) quads: &'a [i8],
    /// What 128 too much in every byte of the rows adds to each column, negative.
    pub(crate) corrections: &'a [[i32; LANES]],
    /// Scale of each column.
    pub(crate) scales: &'a [[f32; LANES]],
}

/// As [`tile_f32`] over groups of four bytes, unsigned in the strip and signed in the panel: whole sums, exact in
/// any order, times the scale of the row (last in the strip), times the scale of the column.
#[inline(always)]
pub(crate) fn tile_int8<S: Simd, const R: usize, const V: usize>(
    s: S,
    strip: &[u32],
    panel: BytePanel<'_>,
    first: usize,
) -> Sums<S, R, V> {
    let mut sums = [[s.load_sums(&panel.corrections[0]); V]; R];
    let mut scales = [s.splat(0.0); V];
    for v in 0..V {
        scales[v] = s.load(&panel.scales[(first + v) & 1]);
        for r in 0..R {
            sums[r][v] = s.load_sums(&panel.corrections[(first + v) & 1]);
        }
    }
    let strip = strip.as_chunks::<R>().0;
    let rows = panel.quads.as_chunks::<{ 4 * PANEL }>().0;
    for (column, row) in strip.iter().zip(rows) {
        let lanes = row.as_chunks::<{ 4 * LANES }>().0;
        let mut with = [s.splat_quad(0); V];
        for v in 0..V {
            with[v] = s.load_quads(&lanes[(first + v) & 1]);
        }
        for r in 0..R {
            let value = s.splat_quad(column[r]);
            for v in 0..V {
                sums[r][v] = s.dot_quads(sums[r][v], value, with[v]);
            }
        }
    }
    let mut result = [[s.splat(0.0); V]; R];
    for r in 0..R {
        let scale = s.splat(f32::from_bits(strip[rows.len()][r]));
        for v in 0..V {
            result[r][v] = s.mul(s.mul(s.round_sums(sums[r][v]), scale), scales[v]);
        }
    }
    result
}

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

//! Tiles of the backward: weights of one block of queries and keys, and what follows from them.

use super::space::{KEYS, Lanes, QUERIES, Space};
use crate::cpu::math;
use crate::cpu::simd::{LANES, Simd};
use std::ops::Range;

/// Sums of one tile: row `r`, vector `v`.
type Tile<S, const R: usize, const V: usize> = [[<S as Simd>::F; V]; R];

impl<const R: usize> Space<'_, R> {
    /// Weights `p` and their slopes `ds` of a block of queries against the block of keys.
    #[inline(always)]
    pub(super) fn weigh<S: Simd, const V: usize>(
        &mut self,
        s: S,
        head_width: usize,
        queries: Range<usize>,
        keys: usize,
    ) {
        let vectors = keys.div_ceil(LANES);
        let mut vector = 0;
        while vector + V <= vectors {
            self.weigh_columns::<S, V>(s, head_width, queries.clone(), vector);
            vector += V;
        }
        while V > 1 && vector < vectors {
            self.weigh_columns::<S, 1>(s, head_width, queries.clone(), vector);
            vector += 1;
        }
    }

    #[inline(always)]
    fn weigh_columns<S: Simd, const V: usize>(
        &mut self,
        s: S,
        head_width: usize,
        queries: Range<usize>,
        vector: usize,
    ) {
        let block = &mut self.block;
        let keys = columns::<V>(block.key_columns, head_width, vector);
        let values = columns::<V>(block.value_columns, head_width, vector);
        for (row, rows) in queries.clone().step_by(R).zip((0..QUERIES).step_by(R)) {
            let strip = row / R * head_width..(row / R + 1) * head_width;
            let zeros = [[s.splat(0.0); V]; R];
            let queries = &self.query_strips[strip.clone()];
            let scores: Tile<S, R, V> = tile(
                s,
                zeros,
                head_width,
                #[inline(always)]
                |d, r| queries[d][r],
                keys,
            );
            for r in 0..R {
                let lse = s.splat(self.lse[row + r]);
                for v in 0..V {
                    let weight = math::exp(s, s.sub(scores[r][v], lse));
                    put(s, weight, &mut block.weights[rows + r], vector + v);
                }
            }
            let slopes = &self.slope_strips[strip];
            let products: Tile<S, R, V> = tile(
                s,
                zeros,
                head_width,
                #[inline(always)]
                |d, r| slopes[d][r],
                values,
            );
            for r in 0..R {
                let delta = s.splat(self.delta[row + r]);
                for v in 0..V {
                    let weight = get(s, &block.weights[rows + r], vector + v);
                    let slope = s.mul(weight, s.sub(products[r][v], delta));
                    put(s, slope, &mut block.score_slopes[rows + r], vector + v);
                }
            }
        }
    }

    /// Adds what a block of queries and the block of keys owe to the gradients of each other.
    #[inline(always)]
    pub(super) fn spend<S: Simd, const V: usize>(&mut self, s: S, queries: Range<usize>, keys: usize) {
        let groups = self.block.keys.len() / KEYS;
        let mut group = 0;
        while group + V <= groups {
            self.spend_columns::<S, V>(s, queries.clone(), keys, group);
            group += V;
        }
        while V > 1 && group < groups {
            self.spend_columns::<S, 1>(s, queries.clone(), keys, group);
            group += 1;
        }
    }

    #[inline(always)]
    fn spend_columns<S: Simd, const V: usize>(
        &mut self,
        s: S,
        queries: Range<usize>,
        keys: usize,
        group: usize,
    ) {
        let rows = self.lse.len();
        let block = &mut self.block;
        let weights = &block.weights[..queries.len()];
        let score_slopes = &block.score_slopes[..queries.len()];
        let slopes = group_rows::<V>(self.slopes, rows, group, queries.clone());
        let query_rows = group_rows::<V>(self.queries, rows, group, queries.clone());
        for key in (0..keys).step_by(R) {
            let sums = load_tile::<S, R, V>(s, block.dv, (KEYS, group, key));
            let sums = tile(
                s,
                sums,
                queries.len(),
                #[inline(always)]
                |i, r| weights[i][key + r],
                slopes,
            );
            store_tile(s, sums, block.dv, (KEYS, group, key));
            let sums = load_tile::<S, R, V>(s, block.dk, (KEYS, group, key));
            let sums = tile(
                s,
                sums,
                queries.len(),
                #[inline(always)]
                |i, r| score_slopes[i][key + r],
                query_rows,
            );
            store_tile(s, sums, block.dk, (KEYS, group, key));
        }
        let key_rows = group_rows::<V>(block.keys, KEYS, group, 0..keys);
        for row in queries.clone().step_by(R) {
            let Some(score_slopes) = block.score_slopes[row - queries.start..].first_chunk::<R>() else {
                continue;
            };
            let sums = load_tile::<S, R, V>(s, self.dq, (rows, group, row));
            let sums = tile(
                s,
                sums,
                keys,
                #[inline(always)]
                |j, r| score_slopes[r][j],
                key_rows,
            );
            store_tile(s, sums, self.dq, (rows, group, row));
        }
    }
}

/// `sums[r][v] += Σ_i left(i, r) · right[v][i]`, `i` ascending, one fused multiply-add each.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    s: S,
    mut sums: Tile<S, R, V>,
    inner: usize,
    left: impl Fn(usize, usize) -> f32,
    right: [&[Lanes]; V],
) -> Tile<S, R, V> {
    for i in 0..inner {
        let with: [S::F; V] = std::array::from_fn(
            #[inline(always)]
            |v| s.load(&right[v][i]),
        );
        for r in 0..R {
            let value = s.splat(left(i, r));
            for v in 0..V {
                sums[r][v] = s.fma(value, with[v], sums[r][v]);
            }
        }
    }
    sums
}

/// `V` vectors of keys from `vector` on, each `[D]`.
#[inline(always)]
fn columns<const V: usize>(from: &[Lanes], head_width: usize, vector: usize) -> [&[Lanes]; V] {
    std::array::from_fn(
        #[inline(always)]
        |v| &from[(vector + v) * head_width..(vector + v + 1) * head_width],
    )
}

/// `rows` of `V` groups from `group` on.
#[inline(always)]
fn group_rows<const V: usize>(
    from: &[Lanes],
    height: usize,
    group: usize,
    rows: Range<usize>,
) -> [&[Lanes]; V] {
    std::array::from_fn(
        #[inline(always)]
        |v| &from[(group + v) * height..][rows.clone()],
    )
}

#[inline(always)]
fn load_tile<S: Simd, const R: usize, const V: usize>(
    s: S,
    from: &[Lanes],
    (height, group, row): (usize, usize, usize),
) -> Tile<S, R, V> {
    let mut sums = [[s.splat(0.0); V]; R];
    for r in 0..R {
        for v in 0..V {
            sums[r][v] = s.load(&from[(group + v) * height + row + r]);
        }
    }
    sums
}

#[inline(always)]
fn store_tile<S: Simd, const R: usize, const V: usize>(
    s: S,
    sums: Tile<S, R, V>,
    to: &mut [Lanes],
    (height, group, row): (usize, usize, usize),
) {
    for r in 0..R {
        for v in 0..V {
            s.store(sums[r][v], &mut to[(group + v) * height + row + r]);
        }
    }
}

/// Vector number `vector` of a row.
#[inline(always)]
fn get<S: Simd>(s: S, row: &[f32; KEYS], vector: usize) -> S::F {
    s.load(&row.as_chunks::<LANES>().0[vector])
}

#[inline(always)]
fn put<S: Simd>(s: S, value: S::F, row: &mut [f32; KEYS], vector: usize) {
    s.store(value, &mut row.as_chunks_mut::<LANES>().0[vector]);
}

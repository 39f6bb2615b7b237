//! The backward on tiles: 48 queries against 96 keys at a time, in 32 bits. Memory is linear in the length.
//!
//! One task owns one sequence and head. It walks over blocks of keys and, inside, over blocks of queries;
//! weights and their slopes of one pair of blocks are computed again and spent at once on all three
//! gradients. Every gradient is one chain of fused multiply-adds: `dk` and `dv` take queries in ascending
//! order, `dq` takes keys in ascending order, whatever the blocks are.

use super::{Grads, Saved, Sizes};
use crate::buffer::{Buffer, Input};
use crate::cpu::Cpu;
use crate::cpu::math;
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use std::ops::Range;

/// Keys of a block: whole vectors, and whole strips on every path.
const KEYS: usize = 96;

/// Queries of a block: whole strips on every path.
const QUERIES: usize = 48;

/// Lanes of one vector in memory.
type Lanes = [f32; LANES];

/// Sums of one tile: row `r`, vector `v`.
type Tile<S, const R: usize, const V: usize> = [[<S as Simd>::F; V]; R];

struct Job<'a> {
    sizes: Sizes,
    /// First token and length of every sequence, longest first, so that no long one starts last.
    sequences: &'a [(usize, usize)],
    q: Input<'a>,
    k: Input<'a>,
    v: Input<'a>,
    out: Input<'a>,
    lse: &'a [f32],
    dout: Input<'a>,
    dq: Shared<'a, f32>,
    dk: Shared<'a, f32>,
    dv: Shared<'a, f32>,
    scratch: Shared<'a, f32>,
    scratch_length: usize,
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    offsets: &[usize],
    saved: &Saved<'_>,
    dout: &Buffer<f32>,
    grads: Grads<'_>,
) {
    let pairs = offsets.windows(2).filter(|pair| pair[1] > pair[0]);
    let mut sequences: Vec<(usize, usize)> = pairs.map(|pair| (pair[0], pair[1] - pair[0])).collect();
    sequences.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    let Some(&(_, longest)) = sequences.first() else { return };
    let scratch_length = Space::<1>::length(sizes.head_width, longest);
    let mut scratch = Buffer::scratch(cpu.pool(), cpu.threads().count() * scratch_length);
    let job = Job {
        sizes,
        sequences: &sequences,
        q: saved.q,
        k: saved.k,
        v: saved.v,
        out: saved.out,
        lse: saved.lse.as_slice(),
        dout: Input::F32(dout),
        dq: Shared::new(grads.dq.as_mut_slice()),
        dk: Shared::new(grads.dk.as_mut_slice()),
        dv: Shared::new(grads.dv.as_mut_slice()),
        scratch: Shared::new(scratch.as_mut_slice()),
        scratch_length,
    };
    cpu.run(sequences.len() * sizes.heads, &job);
}

impl Work for Job<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (start, length) = self.sequences[task.task / self.sizes.heads];
        let head = Head { job: self, start, length, head: task.task % self.sizes.heads };
        // Strips as high as the registers allow; their heights divide the blocks.
        if S::ROWS >= 12 {
            head.run::<S, 12, 2>(s, task.worker);
        } else if S::ROWS >= 6 {
            head.run::<S, 6, 1>(s, task.worker);
        } else {
            head.run::<S, 4, 1>(s, task.worker);
        }
    }
}

/// Memory of one task. Columns of a head come in groups of sixteen; the last one is filled with zeros.
struct Space<'a, const R: usize> {
    /// Queries `[group][rows]`.
    queries: &'a mut [Lanes],
    /// Gradients of the result `[group][rows]`.
    slopes: &'a mut [Lanes],
    /// Gradients of the queries `[group][rows]`.
    dq: &'a mut [Lanes],
    /// Queries `[strip][D]`.
    query_strips: &'a mut [[f32; R]],
    /// Gradients of the result `[strip][D]`.
    slope_strips: &'a mut [[f32; R]],
    /// Log-sum-exp and delta by query.
    lse: &'a mut [f32],
    delta: &'a mut [f32],
    block: Block<'a>,
}

/// Memory of one block of keys.
struct Block<'a> {
    /// Keys `[group][KEYS]`.
    keys: &'a mut [Lanes],
    /// Values `[group][KEYS]`.
    values: &'a mut [Lanes],
    /// Keys `[vector of 16 keys][D]`.
    key_columns: &'a mut [Lanes],
    /// Values `[vector of 16 keys][D]`.
    value_columns: &'a mut [Lanes],
    /// Gradients of the keys `[group][KEYS]`.
    dk: &'a mut [Lanes],
    /// Gradients of the values `[group][KEYS]`.
    dv: &'a mut [Lanes],
    /// `p` and `ds` of a block of queries.
    weights: &'a mut [[f32; KEYS]],
    score_slopes: &'a mut [[f32; KEYS]],
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
    fn length(head_width: usize, length: usize) -> usize {
        let (rows, columns) = (length.next_multiple_of(QUERIES), head_width.next_multiple_of(LANES));
        rows * (3 * columns + 2 * head_width + 2) + KEYS * (4 * columns + 2 * head_width + 2 * QUERIES)
    }

    #[inline(always)]
    fn new(mut rest: &'a mut [f32], head_width: usize, length: usize) -> Self {
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

/// One sequence and head.
#[derive(Clone, Copy)]
struct Head<'a> {
    job: &'a Job<'a>,
    /// First token of the sequence.
    start: usize,
    /// L
    length: usize,
    head: usize,
}

impl Head<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, s: S, worker: usize) {
        let job = self.job;
        let head_width = job.sizes.head_width;
        // SAFETY: the scratch belongs to this worker, which runs one task at a time.
        let scratch = unsafe { job.scratch.part(worker * job.scratch_length, job.scratch_length) };
        let mut space = Space::<R>::new(scratch, head_width, self.length);
        self.load_queries(s, &mut space);
        space.dq.as_flattened_mut().fill(0.0);
        for first in (0..self.length).step_by(KEYS) {
            let keys = first..self.length.min(first + KEYS);
            self.load_keys(s, keys.clone(), &mut space.block);
            for row in (0..self.length).step_by(QUERIES) {
                let queries = row..self.length.min(row + QUERIES);
                space.weigh::<S, V>(s, head_width, queries.clone(), keys.len());
                space.spend::<S, V>(s, queries, keys.len());
            }
            self.store(s, &job.dk, keys.clone(), (space.block.dk, KEYS));
            self.store(s, &job.dv, keys, (space.block.dv, KEYS));
        }
        let rows = self.length.next_multiple_of(QUERIES);
        self.store(s, &job.dq, 0..self.length, (space.dq, rows));
    }

    /// Copies queries and the result's gradients, and computes delta.
    #[inline(always)]
    fn load_queries<S: Simd, const R: usize>(self, s: S, space: &mut Space<'_, R>) {
        let job = self.job;
        let rows = self.length.next_multiple_of(QUERIES);
        self.load(s, job.q, 0..self.length, (space.queries, rows));
        self.load(s, job.dout, 0..self.length, (space.slopes, rows));
        strips(s, job.sizes.head_width, self.length, (space.queries, rows), space.query_strips);
        strips(s, job.sizes.head_width, self.length, (space.slopes, rows), space.slope_strips);
        // The product of gradient and result passes through the memory of the queries' gradient.
        self.load(s, job.out, 0..self.length, (space.dq, rows));
        for row in 0..rows {
            let inside = row < self.length;
            let at = (self.start + row) * job.sizes.heads + self.head;
            space.lse[row] = if inside { job.lse[at] } else { 0.0 };
            let mut sum = s.splat(0.0);
            for (slopes, outs) in space.slopes.chunks_exact(rows).zip(space.dq.chunks_exact(rows)) {
                sum = s.fma(s.load(&slopes[row]), s.load(&outs[row]), sum);
            }
            space.delta[row] = if inside { s.sum(sum) } else { 0.0 };
        }
    }

    /// Copies a block of keys and values and clears their gradients.
    #[inline(always)]
    fn load_keys<S: Simd>(self, s: S, keys: Range<usize>, block: &mut Block<'_>) {
        let (job, count) = (self.job, keys.len());
        self.load(s, job.k, keys.clone(), (block.keys, KEYS));
        self.load(s, job.v, keys, (block.values, KEYS));
        strips(s, job.sizes.head_width, count, (block.keys, KEYS), block.key_columns);
        strips(s, job.sizes.head_width, count, (block.values, KEYS), block.value_columns);
        block.dk.as_flattened_mut().fill(0.0);
        block.dv.as_flattened_mut().fill(0.0);
    }

    /// Place of a row's columns from `group` on in `[T,H·D]`, and how many there are.
    #[inline(always)]
    fn place(self, row: usize, group: usize) -> (usize, usize) {
        let Sizes { heads, head_width } = self.job.sizes;
        let first = group * LANES;
        (((self.start + row) * heads + self.head) * head_width + first, LANES.min(head_width - first))
    }

    /// Widens `rows` of this head into groups of `height` rows.
    #[inline(always)]
    fn load<S: Simd>(self, s: S, from: Input<'_>, rows: Range<usize>, (to, height): (&mut [Lanes], usize)) {
        for (group, to) in to.chunks_exact_mut(height).enumerate() {
            for (row, to) in rows.clone().zip(to) {
                let (at, lanes) = self.place(row, group);
                let value = match from {
                    Input::F32(from) => s.load_any(&from.as_slice()[at..at + lanes]),
                    Input::Bf16(from) => {
                        let from = &from.as_slice()[at..at + lanes];
                        match from.first_chunk::<LANES>() {
                            Some(from) => s.load_bf16(from),
                            None => s.load_part_bf16(from),
                        }
                    }
                };
                s.store(value, to);
            }
        }
    }

    /// Writes `rows` of this head from groups of `height` rows.
    #[inline(always)]
    fn store<S: Simd>(
        self,
        s: S,
        to: &Shared<'_, f32>,
        rows: Range<usize>,
        (from, height): (&[Lanes], usize),
    ) {
        for (group, from) in from.chunks_exact(height).enumerate() {
            for (row, from) in rows.clone().zip(from) {
                let (at, lanes) = self.place(row, group);
                // SAFETY: one task owns the columns of a head in the rows of a sequence.
                s.store_any(s.load(from), unsafe { to.part(at, lanes) });
            }
        }
    }
}

/// Cuts `count` rows, in groups of `height`, into strips of `W` rows: `[strip][D][W]`. Missing rows of
/// the last strip are zero; strips beyond it are left alone.
#[inline(always)]
fn strips<S: Simd, const W: usize>(
    s: S,
    head_width: usize,
    count: usize,
    (from, height): (&[Lanes], usize),
    to: &mut [[f32; W]],
) {
    for (strip, to) in to.chunks_exact_mut(head_width).take(count.div_ceil(W)).enumerate() {
        for (group, to) in to.chunks_mut(LANES).enumerate() {
            let rows = Values::F32(from[group * height..(group + 1) * height].as_flattened());
            let matrix = Matrix::rows(rows, height, to.len(), LANES);
            matrix.pack(s, strip * W..count.min((strip + 1) * W), to);
        }
    }
}

impl<const R: usize> Space<'_, R> {
    /// Weights `p` and their slopes `ds` of a block of queries against the block of keys.
    #[inline(always)]
    fn weigh<S: Simd, const V: usize>(
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
    fn spend<S: Simd, const V: usize>(&mut self, s: S, queries: Range<usize>, keys: usize) {
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

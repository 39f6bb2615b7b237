//! The forward over vectors: similarities in tiles of sixteen residues of b, then rows of the matrices.

use super::Pairs;
use crate::buffer::Buffer;
use crate::cpu::rows::{fold, load, map, store, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};

/// Lanes of one vector in memory.
pub(super) type Lanes = [f32; LANES];

/// Residues of a in a tile: their sums fit the registers of every path.
pub(super) const ROWS: usize = 6;

/// Sizes of one pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// n
    pub(super) rows: usize,
    /// m
    pub(super) columns: usize,
    /// D
    pub(super) width: usize,
}

impl Shape {
    pub(super) fn new(width: usize, (a, b): (&[f32], &[f32])) -> Self {
        Self { rows: a.len() / width, columns: b.len() / width, width }
    }

    /// Words that a thread needs for the matrices of the pair.
    pub(super) fn words(self) -> usize {
        let columns = self.columns.div_ceil(LANES) * LANES;
        columns * self.width + 3 * self.rows * self.columns + 2 * self.columns
    }
}

/// The matrices of one pair `[n,m]`, in a thread's memory.
pub(super) struct Matrices<'a> {
    shape: Shape,
    /// `s`
    pub(super) similarities: &'a mut [f32],
    /// `α`
    pub(super) by_row: &'a mut [f32],
    /// `β`
    pub(super) by_column: &'a mut [f32],
}

/// `Σ c·s / Σ c`, and `Σ c`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    pub(super) value: f32,
    pub(super) total: f32,
}

/// Cuts the first `count` words off.
pub(super) fn cut<'a>(rest: &mut &'a mut [f32], count: usize) -> &'a mut [f32] {
    let (part, after) = std::mem::take(rest).split_at_mut(count);
    *rest = after;
    part
}

/// `c = α + β - α·β`
#[inline(always)]
pub(super) fn weight<S: Simd>(s: S, row: S::F, column: S::F) -> S::F {
    s.sub(s.add(row, column), s.mul(row, column))
}

impl<'a> Matrices<'a> {
    /// Computes similarities and both kinds of weights of a pair; the memory has [`Shape::words`] words.
    #[inline(always)]
    pub(super) fn of<S: Simd>(s: S, shape: Shape, (a, b): (&[f32], &[f32]), space: &'a mut [f32]) -> Self {
        let Shape { rows, columns, width } = shape;
        let rest = &mut &mut space[..];
        let packed = cut(rest, columns.div_ceil(LANES) * LANES * width).as_chunks_mut::<LANES>().0;
        let [similarities, by_row, by_column] = std::array::from_fn(
            #[inline(always)]
            |_| cut(rest, rows * columns),
        );
        let [largest, sums] = std::array::from_fn(
            #[inline(always)]
            |_| cut(rest, columns),
        );
        let mut matrices = Self { shape, similarities, by_row, by_column };
        pack(s, b, width, packed);
        let first = rows / ROWS * ROWS;
        for row in (0..first).step_by(ROWS) {
            matrices.similar::<S, ROWS>(s, a, packed, row);
        }
        for row in first..rows {
            matrices.similar::<S, 1>(s, a, packed, row);
        }
        matrices.weigh_rows(s);
        matrices.weigh_columns(s, largest, sums);
        matrices
    }

    /// Similarities of `R` residues of a from `first` with all of b.
    #[inline(always)]
    fn similar<S: Simd, const R: usize>(&mut self, s: S, a: &[f32], packed: &[Lanes], first: usize) {
        let Shape { columns, width, .. } = self.shape;
        let from: [&[f32]; R] = std::array::from_fn(
            #[inline(always)]
            |r| &a[(first + r) * width..(first + r + 1) * width],
        );
        for (block, vectors) in packed.chunks_exact(width).enumerate() {
            let mut sums = [s.splat(0.0); R];
            for (k, vector) in vectors.iter().enumerate() {
                let b = s.load(vector);
                for r in 0..R {
                    sums[r] = s.add(sums[r], s.abs(s.sub(s.splat(from[r][k]), b)));
                }
            }
            let (start, end) = (block * LANES, columns.min((block + 1) * LANES));
            for (r, sum) in sums.into_iter().enumerate() {
                let to = &mut self.similarities[(first + r) * columns..][start..end];
                store(s, s.sub(s.splat(0.0), sum), to);
            }
        }
    }

    #[inline(always)]
    fn weigh_rows<S: Simd>(&mut self, s: S) {
        let columns = self.shape.columns;
        let rows = self.similarities.chunks_exact(columns).zip(self.by_row.chunks_exact_mut(columns));
        for (similarities, weights) in rows {
            let lowest = f32::NEG_INFINITY;
            let best = fold(
                s,
                [similarities],
                lowest,
                s.splat(lowest),
                #[inline(always)]
                |best, [x]| s.max(x, best),
            );
            let largest = s.splat(s.largest(best));
            map(
                s,
                [similarities],
                weights,
                #[inline(always)]
                |[x]| math::exp(s, s.sub(x, largest)),
            );
            let sum = fold(
                s,
                [weights],
                0.0,
                s.splat(0.0),
                #[inline(always)]
                |sum, [power]| s.add(sum, power),
            );
            let total = s.splat(s.sum(sum));
            update(
                s,
                [],
                weights,
                #[inline(always)]
                |[], power| s.div(power, total),
            );
        }
    }

    #[inline(always)]
    fn weigh_columns<S: Simd>(&mut self, s: S, largest: &mut [f32], sums: &mut [f32]) {
        let columns = self.shape.columns;
        largest.fill(f32::NEG_INFINITY);
        sums.fill(0.0);
        for similarities in self.similarities.chunks_exact(columns) {
            update(
                s,
                [similarities],
                largest,
                #[inline(always)]
                |[x], best| s.max(x, best),
            );
        }
        let rows = self.similarities.chunks_exact(columns).zip(self.by_column.chunks_exact_mut(columns));
        for (similarities, weights) in rows {
            map(
                s,
                [similarities, largest],
                weights,
                #[inline(always)]
                |[x, largest]| math::exp(s, s.sub(x, largest)),
            );
            update(
                s,
                [weights],
                sums,
                #[inline(always)]
                |[power], sum| s.add(sum, power),
            );
        }
        for weights in self.by_column.chunks_exact_mut(columns) {
            update(
                s,
                [sums],
                weights,
                #[inline(always)]
                |[sum], power| s.div(power, sum),
            );
        }
    }

    /// A row of all three matrices.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> [&[f32]; 3] {
        let place = row * self.shape.columns..(row + 1) * self.shape.columns;
        [&self.similarities[place.clone()], &self.by_row[place.clone()], &self.by_column[place]]
    }

    #[inline(always)]
    pub(super) fn score<S: Simd>(&self, s: S) -> Score {
        let (mut sum, mut total) = (0.0_f64, 0.0_f64);
        for row in 0..self.shape.rows {
            let zero = (s.splat(0.0), s.splat(0.0));
            let (weighted, weights) = fold(
                s,
                self.row(row),
                0.0,
                zero,
                #[inline(always)]
                |(weighted, weights), [x, row, column]| {
                    let weight = weight(s, row, column);
                    (s.fma(weight, x, weighted), s.add(weights, weight))
                },
            );
            sum += f64::from(s.sum(weighted));
            total += f64::from(s.sum(weights));
        }
        Score { value: (sum / total) as f32, total: total as f32 }
    }
}

/// Lays b `[m,D]` out as `[vector of 16 residues][D]`; missing residues are zero.
#[inline(always)]
fn pack<S: Simd>(s: S, b: &[f32], width: usize, packed: &mut [Lanes]) {
    let count = b.len() / width;
    for (block, vectors) in packed.chunks_exact_mut(width).enumerate() {
        for first in (0..width).step_by(LANES) {
            let last = width.min(first + LANES);
            let rows: [S::F; LANES] = std::array::from_fn(
                #[inline(always)]
                |lane| {
                    let residue = block * LANES + lane;
                    if residue < count {
                        load(s, &b[residue * width + first..residue * width + last], 0.0)
                    } else {
                        s.splat(0.0)
                    }
                },
            );
            for (vector, lanes) in vectors[first..last].iter_mut().zip(s.transpose(rows)) {
                s.store(lanes, vector);
            }
        }
    }
}

/// Pairs in the order in which threads take them: largest first, so that no long one starts last.
pub(super) fn order(pairs: &Pairs<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pairs.count()).collect();
    order.sort_by_key(|&pair| {
        let (a, b) = pairs.pair(pair);
        std::cmp::Reverse(a.len() * b.len())
    });
    order
}

struct Forward<'a> {
    pairs: Pairs<'a>,
    order: &'a [usize],
    scores: Shared<'a, f32>,
    space: Shared<'a, f32>,
    words: usize,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let pair = self.order[task.task];
        let vectors = self.pairs.pair(pair);
        // SAFETY: the memory belongs to this worker, which runs one task at a time.
        let space = unsafe { self.space.part(task.worker * self.words, self.words) };
        let matrices = Matrices::of(s, Shape::new(self.pairs.width, vectors), vectors, space);
        // SAFETY: every pair belongs to one task.
        unsafe { self.scores.part(pair, 1) }.fill(matrices.score(s).value);
    }
}

pub(super) fn forward(cpu: &Cpu, pairs: Pairs<'_>, scores: &mut Buffer<f32>) {
    let order = order(&pairs);
    let shapes = order.iter().map(|&pair| Shape::new(pairs.width, pairs.pair(pair)).words());
    let words = shapes.max().unwrap_or(0);
    let mut space = Buffer::scratch(cpu.pool(), cpu.threads().count() * words);
    let (scores, space) = (Shared::new(scores.as_mut_slice()), Shared::new(space.as_mut_slice()));
    cpu.run(order.len(), &Forward { pairs, order: &order, scores, space, words });
}

/// The one pair of a call, with its matrices handed out.
struct Show<'a> {
    pairs: Pairs<'a>,
    similarities: Shared<'a, f32>,
    weights: Shared<'a, f32>,
    score: Shared<'a, f32>,
    space: Shared<'a, f32>,
}

impl Work for Show<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, _: Task) {
        let vectors = self.pairs.pair(0);
        // SAFETY: there is one task.
        let space = unsafe { self.space.part(0, self.space.len()) };
        let matrices = Matrices::of(s, Shape::new(self.pairs.width, vectors), vectors, space);
        // SAFETY: as above.
        unsafe { self.score.part(0, 1) }.fill(matrices.score(s).value);
        let length = matrices.similarities.len();
        // SAFETY: as above.
        unsafe { self.similarities.part(0, length) }.copy_from_slice(matrices.similarities);
        // SAFETY: as above.
        let weights = unsafe { self.weights.part(0, length) };
        map(
            s,
            [matrices.by_row, matrices.by_column],
            weights,
            #[inline(always)]
            |[row, column]| weight(s, row, column),
        );
    }
}

pub(super) fn matrices(
    cpu: &Cpu,
    pairs: Pairs<'_>,
    similarities: &mut Buffer<f32>,
    weights: &mut Buffer<f32>,
) -> f32 {
    let mut score = [0.0];
    let mut space = Buffer::scratch(cpu.pool(), Shape::new(pairs.width, pairs.pair(0)).words());
    let show = Show {
        pairs,
        similarities: Shared::new(similarities.as_mut_slice()),
        weights: Shared::new(weights.as_mut_slice()),
        score: Shared::new(&mut score),
        space: Shared::new(space.as_mut_slice()),
    };
    cpu.run(1, &show);
    score[0]
}

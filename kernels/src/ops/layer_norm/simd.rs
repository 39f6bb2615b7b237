//! Layer normalisation over vectors: a row is read three times, from main memory once.

use super::{Grads, Kind, Sizes};
use crate::buffer::{Buffer, Output};
use crate::cpu::Cpu;
use crate::cpu::gemm::CHUNK;
use crate::cpu::rows::{Cell, ROWS, fold, load_block, map, store_block, write};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use std::ops::Range;

struct Forward<'a, T> {
    sizes: Sizes,
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    y: Shared<'a, T>,
    stats: Option<Shared<'a, f32>>,
}

impl<T: Cell> Work for Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { rows, width, .. } = self.sizes;
        let first = task.task * ROWS;
        for row in first..(first + ROWS).min(rows) {
            let x = &self.x[row * width..(row + 1) * width];
            let (mean, spread) = statistics(s, x, self.sizes);
            if let Some(stats) = &self.stats {
                // SAFETY: every row belongs to one task.
                unsafe { stats.part(2 * row, 2) }.copy_from_slice(&[mean, spread]);
            }
            // SAFETY: as above.
            let y = unsafe { self.y.part(row * width, width) };
            let (mean, inverse) = (s.splat(mean), s.splat(inverse(spread, self.sizes)));
            map(
                s,
                [x, self.gamma, self.beta],
                y,
                #[inline(always)]
                |[x, gamma, beta]| s.fma(s.mul(s.sub(x, mean), inverse), gamma, beta),
            );
        }
    }
}

/// `q` from what is kept beside the mean.
#[inline(always)]
fn inverse(spread: f32, sizes: Sizes) -> f32 {
    match sizes.kind {
        Kind::Deviation => spread,
        Kind::RootDeviation => 1.0 / (spread + sizes.epsilon).sqrt(),
    }
}

/// `-Σ(g·h)/n`; of rows of equal numbers nothing.
#[inline(always)]
fn minus_share(sum: f32, spread: f32, sizes: Sizes) -> f32 {
    match sizes.kind {
        Kind::Deviation => -sum / sizes.width as f32,
        Kind::RootDeviation if spread == 0.0 => 0.0,
        Kind::RootDeviation => -sum / ((2 * (sizes.width - 1)) as f32 * spread),
    }
}

/// Mean of one row, and 1/σ or the unbiased standard deviation.
#[inline(always)]
fn statistics<S: Simd>(s: S, row: &[f32], sizes: Sizes) -> (f32, f32) {
    let width = row.len() as f32;
    let sum = fold(
        s,
        [row],
        0.0,
        s.splat(0.0),
        #[inline(always)]
        |sum, [x]| s.add(sum, x),
    );
    let mean = s.sum(sum) / width;
    let center = s.splat(mean);
    // Missing lanes hold the mean and so add nothing.
    let squares = fold(
        s,
        [row],
        mean,
        s.splat(0.0),
        #[inline(always)]
        |sum, [x]| {
            let distance = s.sub(x, center);
            s.fma(distance, distance, sum)
        },
    );
    let squares = s.sum(squares);
    let spread = match sizes.kind {
        Kind::Deviation => 1.0 / (squares / width + sizes.epsilon).sqrt(),
        Kind::RootDeviation => (squares / (width - 1.0)).sqrt(),
    };
    (mean, spread)
}

pub(super) fn forward(
    cpu: &Cpu,
    sizes: Sizes,
    x: &Buffer<f32>,
    (gamma, beta): (&Buffer<f32>, &Buffer<f32>),
    y: Output<'_>,
    stats: Option<&mut Buffer<f32>>,
) {
    let tasks = sizes.rows.div_ceil(ROWS);
    let (x, gamma, beta) = (x.as_slice(), gamma.as_slice(), beta.as_slice());
    let stats = stats.map(|stats| Shared::new(stats.as_mut_slice()));
    match y {
        Output::F32(y) => {
            let y = Shared::new(y.as_mut_slice());
            cpu.run(tasks, &Forward { sizes, x, gamma, beta, y, stats });
        }
        Output::Bf16(y) => {
            let y = Shared::new(y.as_mut_slice());
            cpu.run(tasks, &Forward { sizes, x, gamma, beta, y, stats });
        }
    }
}

/// What both backward passes read.
#[derive(Clone, Copy)]
struct Saved<'a> {
    sizes: Sizes,
    x: &'a [f32],
    stats: &'a [f32],
    dy: &'a [f32],
}

impl Saved<'_> {
    /// Row's mean and `q` in every lane.
    #[inline(always)]
    fn statistics<S: Simd>(&self, s: S, row: usize) -> (S::F, S::F) {
        (s.splat(self.stats[2 * row]), s.splat(inverse(self.stats[2 * row + 1], self.sizes)))
    }
}

struct BackwardInput<'a> {
    saved: Saved<'a>,
    gamma: &'a [f32],
    dx: Shared<'a, f32>,
    /// Whether there is a gradient already.
    accumulate: bool,
}

impl Work for BackwardInput<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { rows, width, .. } = self.saved.sizes;
        let first = task.task * ROWS;
        for row in first..(first + ROWS).min(rows) {
            // SAFETY: every row belongs to one task.
            self.row(s, row, unsafe { self.dx.part(row * width, width) });
        }
    }
}

impl BackwardInput<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, row: usize, dx: &mut [f32]) {
        let width = dx.len();
        let x = &self.saved.x[row * width..(row + 1) * width];
        let dy = &self.saved.dy[row * width..(row + 1) * width];
        let (mean, inverse) = self.saved.statistics(s, row);
        let rows = [x, dy, self.gamma];
        let zero = (s.splat(0.0), s.splat(0.0));
        let (sum, product) = fold(
            s,
            rows,
            0.0,
            zero,
            #[inline(always)]
            |(sum, product), lanes| {
                let (normal, grad) = parts(s, lanes, mean, inverse);
                (s.add(sum, grad), s.fma(grad, normal, product))
            },
        );
        let mean_grad = s.splat(s.sum(sum) / width as f32);
        let mean_product =
            s.splat(minus_share(s.sum(product), self.saved.stats[2 * row + 1], self.saved.sizes));
        write(
            s,
            self.accumulate,
            rows,
            dx,
            #[inline(always)]
            |lanes| {
                let (normal, grad) = parts(s, lanes, mean, inverse);
                s.mul(inverse, s.fma(normal, mean_product, s.sub(grad, mean_grad)))
            },
        );
    }
}

/// Normalised numbers and the gradients for them; in missing lanes the gradients are zero.
#[inline(always)]
fn parts<S: Simd>(s: S, [x, dy, gamma]: [S::F; 3], mean: S::F, inverse: S::F) -> (S::F, S::F) {
    (s.mul(s.sub(x, mean), inverse), s.mul(dy, gamma))
}

/// Vectors of columns whose weight gradients one task sums: rows are read in runs of cache lines, and the
/// sums fit the registers.
const VECTORS: usize = 4;

/// Columns of one task.
const COLUMNS: usize = VECTORS * LANES;

struct BackwardWeights<'a> {
    saved: Saved<'a>,
    dgamma: Shared<'a, f32>,
    dbeta: Shared<'a, f32>,
}

impl Work for BackwardWeights<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let width = self.saved.sizes.width;
        let first = task.task * COLUMNS;
        if width - first >= COLUMNS {
            self.block::<S, VECTORS>(s, first, COLUMNS);
        } else {
            for piece in (first..width).step_by(LANES) {
                self.block::<S, 1>(s, piece, LANES.min(width - piece));
            }
        }
    }
}

impl BackwardWeights<'_> {
    /// Adds the sums over all rows in `columns` columns from `first`, which `V` vectors hold.
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&self, s: S, first: usize, columns: usize) {
        // SAFETY: every column belongs to one task.
        let dgamma = unsafe { self.dgamma.part(first, columns) };
        // SAFETY: as above.
        let dbeta = unsafe { self.dbeta.part(first, columns) };
        let (mut gamma, mut beta) = (load_block::<S, V>(s, dgamma), load_block::<S, V>(s, dbeta));
        for chunk in (0..self.saved.sizes.rows).step_by(CHUNK) {
            let sums = self.chunk::<S, V>(s, chunk, first..first + columns);
            for v in 0..V {
                gamma[v] = s.add(gamma[v], sums.0[v]);
                beta[v] = s.add(beta[v], sums.1[v]);
            }
        }
        store_block(s, gamma, dgamma);
        store_block(s, beta, dbeta);
    }

    /// Sums of the rows `first .. first + 512` in the given columns.
    #[inline(always)]
    fn chunk<S: Simd, const V: usize>(
        &self,
        s: S,
        first: usize,
        columns: Range<usize>,
    ) -> ([S::F; V], [S::F; V]) {
        let Sizes { rows, width, .. } = self.saved.sizes;
        let (mut gamma, mut beta) = ([s.splat(0.0); V], [s.splat(0.0); V]);
        for row in first..(first + CHUNK).min(rows) {
            let (mean, inverse) = self.saved.statistics(s, row);
            let place = row * width + columns.start..row * width + columns.end;
            let x = load_block::<S, V>(s, &self.saved.x[place.clone()]);
            let dy = load_block::<S, V>(s, &self.saved.dy[place]);
            for v in 0..V {
                gamma[v] = s.fma(dy[v], s.mul(s.sub(x[v], mean), inverse), gamma[v]);
                beta[v] = s.add(beta[v], dy[v]);
            }
        }
        (gamma, beta)
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    (x, stats): (&Buffer<f32>, &Buffer<f32>),
    gamma: &Buffer<f32>,
    dy: &Buffer<f32>,
    grads: Grads<'_>,
) {
    let saved = Saved { sizes, x: x.as_slice(), stats: stats.as_slice(), dy: dy.as_slice() };
    let (dx, accumulate) = (Shared::new(grads.dx.as_mut_slice()), grads.accumulate);
    cpu.run(sizes.rows.div_ceil(ROWS), &BackwardInput { saved, gamma: gamma.as_slice(), dx, accumulate });
    let dgamma = Shared::new(grads.dgamma.as_mut_slice());
    let dbeta = Shared::new(grads.dbeta.as_mut_slice());
    cpu.run(sizes.width.div_ceil(COLUMNS), &BackwardWeights { saved, dgamma, dbeta });
}

//! Layer normalisation over vectors: a row is read three times, from main memory once.

use super::{Grads, Sizes};
use crate::buffer::{Buffer, Output};
use crate::cpu::Cpu;
use crate::cpu::gemm::CHUNK;
use crate::cpu::rows::{Cell, ROWS, fold, load, store};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

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
        let Sizes { rows, width, epsilon } = self.sizes;
        let first = task.task * ROWS;
        for row in first..(first + ROWS).min(rows) {
            let x = &self.x[row * width..(row + 1) * width];
            let (mean, inverse) = statistics(s, x, epsilon);
            if let Some(stats) = &self.stats {
                // SAFETY: every row belongs to one task.
                unsafe { stats.part(2 * row, 2) }.copy_from_slice(&[mean, inverse]);
            }
            // SAFETY: as above.
            let y = unsafe { self.y.part(row * width, width) };
            let (mean, inverse) = (s.splat(mean), s.splat(inverse));
            let weights = self.gamma.chunks(LANES).zip(self.beta.chunks(LANES));
            for ((x, y), (gamma, beta)) in x.chunks(LANES).zip(y.chunks_mut(LANES)).zip(weights) {
                let normal = s.mul(s.sub(load(s, x, 0.0), mean), inverse);
                store(s, s.fma(normal, load(s, gamma, 0.0), load(s, beta, 0.0)), y);
            }
        }
    }
}

/// Mean and 1/σ of one row.
#[inline(always)]
fn statistics<S: Simd>(s: S, row: &[f32], epsilon: f32) -> (f32, f32) {
    let width = row.len() as f32;
    let sum = fold(
        s,
        row,
        0.0,
        s.splat(0.0),
        #[inline(always)]
        |sum, x| s.add(sum, x),
    );
    let mean = s.sum(sum) / width;
    let center = s.splat(mean);
    // Missing lanes hold the mean and so add nothing.
    let squares = fold(
        s,
        row,
        mean,
        s.splat(0.0),
        #[inline(always)]
        |sum, x| {
            let distance = s.sub(x, center);
            s.fma(distance, distance, sum)
        },
    );
    (mean, 1.0 / (s.sum(squares) / width + epsilon).sqrt())
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
    /// Row's mean and 1/σ in every lane.
    #[inline(always)]
    fn statistics<S: Simd>(&self, s: S, row: usize) -> (S::F, S::F) {
        (s.splat(self.stats[2 * row]), s.splat(self.stats[2 * row + 1]))
    }
}

struct BackwardInput<'a> {
    saved: Saved<'a>,
    gamma: &'a [f32],
    dx: Shared<'a, f32>,
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
        let (x, dy) = (&self.saved.x[row * width..][..width], &self.saved.dy[row * width..][..width]);
        let (mean, inverse) = self.saved.statistics(s, row);
        let pieces = x.chunks(LANES).zip(dy.chunks(LANES)).zip(self.gamma.chunks(LANES));
        // In missing lanes the gradient is zero, so they add nothing whatever the normalised number is.
        let (mut sum, mut with_normal) = (s.splat(0.0), s.splat(0.0));
        for ((x, dy), gamma) in pieces.clone() {
            let normal = s.mul(s.sub(load(s, x, 0.0), mean), inverse);
            let grad = s.mul(load(s, dy, 0.0), load(s, gamma, 0.0));
            sum = s.add(sum, grad);
            with_normal = s.fma(grad, normal, with_normal);
        }
        let mean_grad = s.splat(s.sum(sum) / width as f32);
        let mean_product = s.splat(-s.sum(with_normal) / width as f32);
        for (((x, dy), gamma), dx) in pieces.zip(dx.chunks_mut(LANES)) {
            let normal = s.mul(s.sub(load(s, x, 0.0), mean), inverse);
            let grad = s.mul(load(s, dy, 0.0), load(s, gamma, 0.0));
            store(s, s.mul(inverse, s.fma(normal, mean_product, s.sub(grad, mean_grad))), dx);
        }
    }
}

/// Columns whose weight gradients one task sums: two vectors, whole cache lines of the rows.
const COLUMNS: usize = 2 * LANES;

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
        for column in (first..(first + COLUMNS).min(width)).step_by(LANES) {
            let lanes = LANES.min(width - column);
            // SAFETY: every column belongs to one task.
            let dgamma = unsafe { self.dgamma.part(column, lanes) };
            // SAFETY: as above.
            let dbeta = unsafe { self.dbeta.part(column, lanes) };
            for chunk in (0..self.saved.sizes.rows).step_by(CHUNK) {
                let (gamma, beta) = self.chunk(s, chunk, column..column + lanes);
                store(s, s.add(load(s, dgamma, 0.0), gamma), dgamma);
                store(s, s.add(load(s, dbeta, 0.0), beta), dbeta);
            }
        }
    }
}

impl BackwardWeights<'_> {
    /// Sums of the rows `first .. first + 512` in the given columns.
    #[inline(always)]
    fn chunk<S: Simd>(&self, s: S, first: usize, columns: std::ops::Range<usize>) -> (S::F, S::F) {
        let Sizes { rows, width, .. } = self.saved.sizes;
        let (mut gamma, mut beta) = (s.splat(0.0), s.splat(0.0));
        for row in first..(first + CHUNK).min(rows) {
            let (mean, inverse) = self.saved.statistics(s, row);
            let x = load(s, &self.saved.x[row * width..][columns.clone()], 0.0);
            let dy = load(s, &self.saved.dy[row * width..][columns.clone()], 0.0);
            gamma = s.fma(dy, s.mul(s.sub(x, mean), inverse), gamma);
            beta = s.add(beta, dy);
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
    let dx = Shared::new(grads.dx.as_mut_slice());
    cpu.run(sizes.rows.div_ceil(ROWS), &BackwardInput { saved, gamma: gamma.as_slice(), dx });
    let dgamma = Shared::new(grads.dgamma.as_mut_slice());
    let dbeta = Shared::new(grads.dbeta.as_mut_slice());
    cpu.run(sizes.width.div_ceil(COLUMNS), &BackwardWeights { saved, dgamma, dbeta });
}

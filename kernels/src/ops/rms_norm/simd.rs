//! The normalisation over vectors: a row is read twice, from main memory once.

use super::Sizes;
use crate::buffer::{Buffer, Output};
use crate::cpu::Cpu;
use crate::cpu::gemm::CHUNK;
use crate::cpu::rows::{Cell, ROWS, fold, load_block, map, store_block, write};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

struct Forward<'a, T> {
    sizes: Sizes,
    x: &'a [f32],
    gamma: &'a [f32],
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
            let inverse = inverse_root(s, x, epsilon);
            if let Some(stats) = &self.stats {
                // SAFETY: every row belongs to one task.
                unsafe { stats.part(row, 1) }.copy_from_slice(&[inverse]);
            }
            // SAFETY: as above.
            let y = unsafe { self.y.part(row * width, width) };
            let inverse = s.splat(inverse);
            map(
                s,
                [x, self.gamma],
                y,
                #[inline(always)]
                |[x, gamma]| s.mul(s.mul(x, inverse), gamma),
            );
        }
    }
}

/// `1/√(Σx²/C + ε)` of one row.
#[inline(always)]
fn inverse_root<S: Simd>(s: S, row: &[f32], epsilon: f32) -> f32 {
    let squares = fold(
        s,
        [row],
        0.0,
        s.splat(0.0),
        #[inline(always)]
        |sum, [x]| s.fma(x, x, sum),
    );
    1.0 / (s.sum(squares) / row.len() as f32 + epsilon).sqrt()
}

pub(super) fn forward(
    cpu: &Cpu,
    sizes: Sizes,
    x: &Buffer<f32>,
    gamma: &Buffer<f32>,
    y: Output<'_>,
    stats: Option<&mut Buffer<f32>>,
) {
    let tasks = sizes.rows.div_ceil(ROWS);
    let (x, gamma) = (x.as_slice(), gamma.as_slice());
    let stats = stats.map(|stats| Shared::new(stats.as_mut_slice()));
    match y {
        Output::F32(y) => {
            cpu.run(tasks, &Forward { sizes, x, gamma, y: Shared::new(y.as_mut_slice()), stats });
        }
        Output::Bf16(y) => {
            cpu.run(tasks, &Forward { sizes, x, gamma, y: Shared::new(y.as_mut_slice()), stats });
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
        let inverse = s.splat(self.saved.stats[row]);
        let rows = [x, dy, self.gamma];
        // Missing lanes are zero and so add nothing.
        let product = fold(
            s,
            rows,
            0.0,
            s.splat(0.0),
            #[inline(always)]
            |sum, [x, dy, gamma]| s.fma(s.mul(dy, gamma), s.mul(x, inverse), sum),
        );
        let mean = s.splat(-s.sum(product) / width as f32);
        write(
            s,
            self.accumulate,
            rows,
            dx,
            #[inline(always)]
            |[x, dy, gamma]| s.mul(inverse, s.fma(s.mul(x, inverse), mean, s.mul(dy, gamma))),
        );
    }
}

/// Vectors of columns whose scale gradients one task sums: rows are read in runs of cache lines, and the sums fit the
/// registers.
const VECTORS: usize = 4;

/// Columns of one task.
const COLUMNS: usize = VECTORS * LANES;

struct BackwardWeights<'a> {
    saved: Saved<'a>,
    dgamma: Shared<'a, f32>,
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
        let Sizes { rows, width, .. } = self.saved.sizes;
        // SAFETY: every column belongs to one task.
        let dgamma = unsafe { self.dgamma.part(first, columns) };
        let mut total = load_block::<S, V>(s, dgamma);
        for chunk in (0..rows).step_by(CHUNK) {
            let mut sums = [s.splat(0.0); V];
            for row in chunk..(chunk + CHUNK).min(rows) {
                let inverse = s.splat(self.saved.stats[row]);
                let place = row * width + first..row * width + first + columns;
                let x = load_block::<S, V>(s, &self.saved.x[place.clone()]);
                let dy = load_block::<S, V>(s, &self.saved.dy[place]);
                for v in 0..V {
                    sums[v] = s.fma(dy[v], s.mul(x[v], inverse), sums[v]);
                }
            }
            for v in 0..V {
                total[v] = s.add(total[v], sums[v]);
            }
        }
        store_block(s, total, dgamma);
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    (x, stats): (&Buffer<f32>, &Buffer<f32>),
    (gamma, dy): (&Buffer<f32>, &Buffer<f32>),
    ((dx, accumulate), dgamma): ((&mut Buffer<f32>, bool), &mut Buffer<f32>),
) {
    let saved = Saved { sizes, x: x.as_slice(), stats: stats.as_slice(), dy: dy.as_slice() };
    let (dx, dgamma) = (Shared::new(dx.as_mut_slice()), Shared::new(dgamma.as_mut_slice()));
    cpu.run(sizes.rows.div_ceil(ROWS), &BackwardInput { saved, gamma: gamma.as_slice(), dx, accumulate });
    cpu.run(sizes.width.div_ceil(COLUMNS), &BackwardWeights { saved, dgamma });
}

//! Attention pooling over vectors: weights by sequence, then some columns of one sequence in registers.

use super::{Saved, Sizes};
use crate::buffer::Buffer;
use crate::cpu::rows::{fold, load_block, map, store_block, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};

/// Vectors that a task holds at once: rows are read in runs of cache lines, and the sums fit the registers of every path.
const VECTORS: usize = 4;

/// Columns of one task.
const COLUMNS: usize = VECTORS * LANES;

/// Softmax of the scores of every range.
struct Weigh<'a> {
    spans: &'a [(usize, usize)],
    scores: &'a [f32],
    weights: Shared<'a, f32>,
}

impl Work for Weigh<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (start, end) = self.spans[task.task];
        let scores = &self.scores[start..end];
        // SAFETY: ranges do not overlap, and each belongs to one task.
        let weights = unsafe { self.weights.part(start, end - start) };
        let lowest = f32::NEG_INFINITY;
        let best = fold(
            s,
            [scores],
            lowest,
            s.splat(lowest),
            #[inline(always)]
            |best, [x]| s.max(x, best),
        );
        let largest = s.splat(s.largest(best));
        map(
            s,
            [scores],
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

struct Forward<'a> {
    sizes: Sizes,
    spans: &'a [(usize, usize)],
    x: &'a [f32],
    weights: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let width = self.sizes.width;
        let blocks = width.div_ceil(COLUMNS);
        let (b, first) = (task.task / blocks, task.task % blocks * COLUMNS);
        if width - first >= COLUMNS {
            self.block::<S, VECTORS>(s, b, first, COLUMNS);
        } else {
            for piece in (first..width).step_by(LANES) {
                self.block::<S, 1>(s, b, piece, LANES.min(width - piece));
            }
        }
    }
}

impl Forward<'_> {
    /// Pools sequence `b` in `columns` columns from `first`, which `V` vectors hold.
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&self, s: S, b: usize, first: usize, columns: usize) {
        let width = self.sizes.width;
        let (start, end) = self.spans[b];
        let mut sums = [s.splat(0.0); V];
        for token in start..end {
            let weight = s.splat(self.weights[token]);
            let place = token * width + first..token * width + first + columns;
            let row = load_block::<S, V>(s, &self.x[place]);
            for v in 0..V {
                sums[v] = s.fma(weight, row[v], sums[v]);
            }
        }
        // SAFETY: every column of a sequence belongs to one task.
        store_block(s, sums, unsafe { self.y.part(b * width + first, columns) });
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, spans): (Sizes, &[(usize, usize)]),
    (x, scores): (&Buffer<f32>, &Buffer<f32>),
    weights: &mut Buffer<f32>,
    y: &mut Buffer<f32>,
) {
    let weights = weights.as_mut_slice();
    weights.fill(0.0);
    let weigh = Weigh { spans, scores: scores.as_slice(), weights: Shared::new(weights) };
    cpu.run(spans.len(), &weigh);
    let y = Shared::new(y.as_mut_slice());
    let tasks = spans.len() * sizes.width.div_ceil(COLUMNS);
    cpu.run(tasks, &Forward { sizes, spans, x: x.as_slice(), weights, y });
}

struct Backward<'a> {
    sizes: Sizes,
    spans: &'a [(usize, usize)],
    x: &'a [f32],
    weights: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: Shared<'a, f32>,
    dscores: Shared<'a, f32>,
}

/// Inner product by the 16-lane tree.
#[inline(always)]
fn product<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let sum = fold(
        s,
        [a, b],
        0.0,
        s.splat(0.0),
        #[inline(always)]
        |sum, [a, b]| s.fma(a, b, sum),
    );
    s.sum(sum)
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let width = self.sizes.width;
        let (start, end) = self.spans[task.task];
        let place = task.task * width..(task.task + 1) * width;
        let (y, dy) = (&self.y[place.clone()], &self.dy[place]);
        let mean = product(s, y, dy);
        // SAFETY: ranges do not overlap, and each belongs to one task.
        let dscores = unsafe { self.dscores.part(start, end - start) };
        for (token, dscore) in (start..end).zip(dscores) {
            let weight = self.weights[token];
            *dscore = weight * (product(s, &self.x[token * width..(token + 1) * width], dy) - mean);
            // SAFETY: as above.
            let dx = unsafe { self.dx.part(token * width, width) };
            let weight = s.splat(weight);
            update(
                s,
                [dy],
                dx,
                #[inline(always)]
                |[slope], dx| s.fma(weight, slope, dx),
            );
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, spans): (Sizes, &[(usize, usize)]),
    saved: Saved<'_>,
    dy: &Buffer<f32>,
    (dx, dscores): (&mut Buffer<f32>, &mut Buffer<f32>),
) {
    let dscores = dscores.as_mut_slice();
    dscores.fill(0.0);
    let work = Backward {
        sizes,
        spans,
        x: saved.x.as_slice(),
        weights: saved.weights.as_slice(),
        y: saved.y.as_slice(),
        dy: dy.as_slice(),
        dx: Shared::new(dx.as_mut_slice()),
        dscores: Shared::new(dscores),
    };
    cpu.run(spans.len(), &work);
}

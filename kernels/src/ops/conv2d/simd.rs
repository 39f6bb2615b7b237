//! The filter over vectors: the neighbours of a place in one row of the map lie side by side, channels and all.

use super::{Grads, Sizes};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{fold, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use std::ops::Range;

impl Sizes {
    /// Numbers of a row of the square.
    fn run(&self) -> usize {
        self.side * self.inputs
    }

    /// What of a row of the square around `column` lies in the map: numbers of the square's row, numbers of the map's row.
    #[inline(always)]
    fn meet(&self, column: usize) -> (Range<usize>, Range<usize>) {
        let first = self.reach().saturating_sub(column);
        let last = self.side.min(self.breadth + self.reach() - column);
        let start = column + first - self.reach();
        let place = start * self.inputs..(start + last - first) * self.inputs;
        (first * self.inputs..last * self.inputs, place)
    }

    /// The row of the map on which row `u` of the square around a place of row `row` lies.
    #[inline(always)]
    fn neighbour(&self, row: usize, u: usize) -> Option<usize> {
        (row + u).checked_sub(self.reach()).filter(|&from| from < self.height)
    }
}

/// Weights as `[O,K,K·I]`: of every row of the square columns, then channels.
fn arrange(sizes: Sizes, weights: &[f32], to: &mut [f32]) {
    let Sizes { inputs, side, .. } = sizes;
    for (place, to) in to.iter_mut().enumerate() {
        let (c, v) = (place % inputs, place / inputs % side);
        let (u, o) = (place / sizes.run() % side, place / sizes.run() / side);
        *to = weights[((o * inputs + c) * side + u) * side + v];
    }
}

struct Forward<'a> {
    sizes: Sizes,
    x: &'a [f32],
    /// `[O,K,K·I]`
    weights: &'a [f32],
    shifts: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (sizes, row) = (self.sizes, task.task);
        let (line, run, square) = (sizes.breadth * sizes.inputs, sizes.run(), sizes.side * sizes.run());
        let count = sizes.breadth * sizes.outputs;
        // SAFETY: every row of the map belongs to one task.
        let y = unsafe { self.y.part(row * count, count) };
        for (column, y) in y.chunks_exact_mut(sizes.outputs).enumerate() {
            let (taps, place) = sizes.meet(column);
            for ((y, weights), shift) in y.iter_mut().zip(self.weights.chunks_exact(square)).zip(self.shifts)
            {
                let mut sum = s.splat(0.0);
                for (u, weights) in weights.chunks_exact(run).enumerate() {
                    let Some(from) = sizes.neighbour(row, u) else { continue };
                    let x = &self.x[from * line..(from + 1) * line][place.clone()];
                    sum = fold(
                        s,
                        [x, &weights[taps.clone()]],
                        0.0,
                        sum,
                        #[inline(always)]
                        |sum, [x, weight]| s.fma(x, weight, sum),
                    );
                }
                *y = s.sum(sum) + shift;
            }
        }
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    sizes: Sizes,
    x: &Buffer<f32>,
    (weights, shifts): (&Buffer<f32>, &Buffer<f32>),
    y: &mut Buffer<f32>,
) {
    let mut arranged = Buffer::scratch(cpu.pool(), sizes.weights());
    arrange(sizes, weights.as_slice(), arranged.as_mut_slice());
    let (weights, y) = (arranged.as_slice(), Shared::new(y.as_mut_slice()));
    let tasks = if y.is_empty() { 0 } else { sizes.height };
    cpu.run(tasks, &Forward { sizes, x: x.as_slice(), weights, shifts: shifts.as_slice(), y });
}

struct BackwardInput<'a> {
    sizes: Sizes,
    /// `[O,K,K·I]`
    weights: &'a [f32],
    dy: &'a [f32],
    dx: Shared<'a, f32>,
}

impl Work for BackwardInput<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (sizes, from) = (self.sizes, task.task);
        let (line, run) = (sizes.breadth * sizes.inputs, sizes.run());
        // SAFETY: every row of the map belongs to one task.
        let dx = unsafe { self.dx.part(from * line, line) };
        dx.fill(0.0);
        for (turn, weights) in self.weights.chunks_exact(run).enumerate() {
            let (o, u) = (turn / sizes.side, turn % sizes.side);
            // Row u of the square of the places of this row lies on the row `from`.
            let Some(row) = (from + sizes.reach()).checked_sub(u).filter(|&row| row < sizes.height) else {
                continue;
            };
            for column in 0..sizes.breadth {
                let slope = s.splat(self.dy[(row * sizes.breadth + column) * sizes.outputs + o]);
                let (taps, place) = sizes.meet(column);
                update(
                    s,
                    [&weights[taps]],
                    &mut dx[place],
                    #[inline(always)]
                    |[weight], dx| s.fma(slope, weight, dx),
                );
            }
        }
    }
}

struct BackwardWeights<'a> {
    sizes: Sizes,
    x: &'a [f32],
    dy: &'a [f32],
    /// `[O,K,K·I]`
    dweights: Shared<'a, f32>,
    dshifts: Shared<'a, f32>,
    /// `[threads,K·I]`
    sums: Shared<'a, f32>,
}

impl Work for BackwardWeights<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (sizes, run) = (self.sizes, self.sizes.run());
        let line = sizes.breadth * sizes.inputs;
        let (o, u) = (task.task / sizes.side, task.task % sizes.side);
        // SAFETY: every row of a square belongs to one task.
        let total = unsafe { self.dweights.part(task.task * run, run) };
        // SAFETY: the sums belong to this worker, which runs one task at a time.
        let sums = unsafe { self.sums.part(task.worker * run, run) };
        total.fill(0.0);
        for row in 0..sizes.height {
            let slopes = &self.dy[row * sizes.breadth * sizes.outputs..][..sizes.breadth * sizes.outputs];
            let slopes = slopes.iter().skip(o).step_by(sizes.outputs);
            if u == 0 {
                // SAFETY: the first row of every output's square belongs to one task.
                let shift = unsafe { self.dshifts.part(o, 1) };
                shift[0] += slopes.clone().sum::<f32>();
            }
            let Some(from) = sizes.neighbour(row, u) else { continue };
            let x = &self.x[from * line..(from + 1) * line];
            sums.fill(0.0);
            for (column, &slope) in slopes.enumerate() {
                let (taps, place) = sizes.meet(column);
                let slope = s.splat(slope);
                update(
                    s,
                    [&x[place]],
                    &mut sums[taps],
                    #[inline(always)]
                    |[x], sum| s.fma(slope, x, sum),
                );
            }
            update(
                s,
                [sums],
                total,
                #[inline(always)]
                |[sum], total| s.add(sum, total),
            );
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    (x, weights): (&Buffer<f32>, &Buffer<f32>),
    dy: &Buffer<f32>,
    grads: Grads<'_>,
) {
    let (dy, run) = (dy.as_slice(), sizes.run());
    let mut arranged = Buffer::scratch(cpu.pool(), sizes.weights());
    arrange(sizes, weights.as_slice(), arranged.as_mut_slice());
    let dx = Shared::new(grads.dx.as_mut_slice());
    let tasks = if dx.is_empty() { 0 } else { sizes.height };
    cpu.run(tasks, &BackwardInput { sizes, weights: arranged.as_slice(), dy, dx });
    let mut sums = Buffer::scratch(cpu.pool(), cpu.threads().count() * run);
    let work = BackwardWeights {
        sizes,
        x: x.as_slice(),
        dy,
        dweights: Shared::new(arranged.as_mut_slice()),
        dshifts: Shared::new(grads.dshifts.as_mut_slice()),
        sums: Shared::new(sums.as_mut_slice()),
    };
    cpu.run(sizes.outputs * sizes.side, &work);
    let (found, Sizes { inputs, side, .. }) = (arranged.as_slice(), sizes);
    for (place, slope) in grads.dweights.as_mut_slice().iter_mut().enumerate() {
        let (v, u) = (place % side, place / side % side);
        let (c, o) = (place / side / side % inputs, place / side / side / inputs);
        *slope += found[(o * side + u) * run + v * inputs + c];
    }
}

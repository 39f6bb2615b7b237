//! Cross-entropy over vectors.

use super::{IGNORE, Sizes};
use crate::buffer::Buffer;
use crate::cpu::rows::{ROWS, fold, largest, map, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use crate::cpu::{Cpu, math};

struct Forward<'a> {
    sizes: Sizes,
    logits: &'a [f32],
    targets: &'a [u32],
    losses: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { rows, classes } = self.sizes;
        let first = task.task * ROWS;
        let count = ROWS.min(rows - first);
        // SAFETY: every row belongs to one task.
        let losses = unsafe { self.losses.part(first, count) };
        for (row, loss) in (first..).zip(losses) {
            let logits = &self.logits[row * classes..(row + 1) * classes];
            *loss = match self.targets[row] {
                IGNORE => 0.0,
                target => row_loss(s, logits, logits[target as usize]),
            };
        }
    }
}

#[inline(always)]
fn row_loss<S: Simd>(s: S, row: &[f32], target: f32) -> f32 {
    let Some(largest) = largest(s, row) else { return f32::NAN };
    let shift = s.splat(largest);
    // Missing lanes add 2^-126 each, which vanishes in a sum of at least one.
    let sum = fold(
        s,
        [row],
        f32::NEG_INFINITY,
        s.splat(0.0),
        #[inline(always)]
        |sum, [x]| s.add(sum, math::exp(s, s.sub(x, shift))),
    );
    let distance = f64::from(largest) - f64::from(target);
    (libm::log(f64::from(s.sum(sum))) + distance) as f32
}

struct Backward<'a> {
    sizes: Sizes,
    logits: &'a [f32],
    targets: &'a [u32],
    scale: f32,
    dlogits: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { rows, classes } = self.sizes;
        let first = task.task * ROWS;
        for row in first..(first + ROWS).min(rows) {
            let logits = &self.logits[row * classes..(row + 1) * classes];
            // SAFETY: every row belongs to one task.
            let dlogits = unsafe { self.dlogits.part(row * classes, classes) };
            match self.targets[row] {
                IGNORE => dlogits.fill(0.0),
                target => self.row(s, logits, target as usize, dlogits),
            }
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, logits: &[f32], target: usize, dlogits: &mut [f32]) {
        let Some(largest) = largest(s, logits) else { return dlogits.fill(f32::NAN) };
        let shift = s.splat(largest);
        map(
            s,
            [logits],
            dlogits,
            #[inline(always)]
            |[x]| math::exp(s, s.sub(x, shift)),
        );
        let sum = fold(
            s,
            [dlogits],
            0.0,
            s.splat(0.0),
            #[inline(always)]
            |sum, [power]| s.add(sum, power),
        );
        let total = s.sum(sum);
        let hit = (dlogits[target] / total - 1.0) * self.scale;
        let (total, scale) = (s.splat(total), s.splat(self.scale));
        update(
            s,
            [],
            dlogits,
            #[inline(always)]
            |[], power| s.mul(s.div(power, total), scale),
        );
        dlogits[target] = hit;
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    sizes: Sizes,
    logits: &Buffer<f32>,
    targets: &Buffer<u32>,
    losses: &mut Buffer<f32>,
) {
    let (logits, targets) = (logits.as_slice(), targets.as_slice());
    let losses = Shared::new(losses.as_mut_slice());
    cpu.run(sizes.rows.div_ceil(ROWS), &Forward { sizes, logits, targets, losses });
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    logits: &Buffer<f32>,
    targets: &Buffer<u32>,
    scale: f32,
    dlogits: &mut Buffer<f32>,
) {
    let (logits, targets) = (logits.as_slice(), targets.as_slice());
    let dlogits = Shared::new(dlogits.as_mut_slice());
    cpu.run(sizes.rows.div_ceil(ROWS), &Backward { sizes, logits, targets, scale, dlogits });
}

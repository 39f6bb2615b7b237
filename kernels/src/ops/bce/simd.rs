//! Binary cross-entropy over vectors.

use super::{IGNORE, Targets};
use crate::buffer::Buffer;
use crate::cpu::rows::{map, piece, pieces, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use crate::cpu::{Cpu, math};
use std::ops::Range;

/// Scores and what they are to be.
#[derive(Clone, Copy)]
struct Operands<'a> {
    logits: &'a [f32],
    targets: &'a [f32],
    weights: Option<&'a [f32]>,
}

impl<'a> Operands<'a> {
    fn new(logits: &'a Buffer<f32>, targets: Targets<'a>) -> Self {
        let weights = targets.weights.map(Buffer::as_slice);
        Self { logits: logits.as_slice(), targets: targets.values.as_slice(), weights }
    }

    /// Weighs the numbers of a place and clears those whose target does not count.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, place: Range<usize>, numbers: &mut [f32]) {
        if let Some(weights) = self.weights {
            update(
                s,
                [&weights[place.clone()]],
                numbers,
                #[inline(always)]
                |[weight], number| s.mul(weight, number),
            );
        }
        // Half way to the targets that count.
        let border = s.splat(IGNORE / 2.0);
        update(
            s,
            [&self.targets[place]],
            numbers,
            #[inline(always)]
            |[target], number| s.keep_if_less(border, target, number),
        );
    }
}

struct Forward<'a> {
    operands: Operands<'a>,
    losses: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.losses.len());
        let place = first..first + count;
        // SAFETY: every task writes its own piece.
        let losses = unsafe { self.losses.part(first, count) };
        let zero = s.splat(0.0);
        map(
            s,
            [&self.operands.logits[place.clone()], &self.operands.targets[place.clone()]],
            losses,
            #[inline(always)]
            |[z, t]| {
                let minus = s.sub(zero, z);
                let above = s.fma(minus, t, s.max(zero, z));
                s.add(above, math::softplus(s, s.min(z, minus)))
            },
        );
        self.operands.finish(s, place, losses);
    }
}

struct Backward<'a> {
    operands: Operands<'a>,
    scale: f32,
    dlogits: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.dlogits.len());
        let place = first..first + count;
        // SAFETY: every task writes its own piece.
        let dlogits = unsafe { self.dlogits.part(first, count) };
        let scale = s.splat(self.scale);
        map(
            s,
            [&self.operands.logits[place.clone()], &self.operands.targets[place.clone()]],
            dlogits,
            #[inline(always)]
            |[z, t]| s.mul(scale, s.sub(math::logistic(s, z), t)),
        );
        self.operands.finish(s, place, dlogits);
    }
}

pub(super) fn forward(cpu: &Cpu, logits: &Buffer<f32>, targets: Targets<'_>, losses: &mut Buffer<f32>) {
    let (operands, tasks) = (Operands::new(logits, targets), pieces(logits.len()));
    cpu.run(tasks, &Forward { operands, losses: Shared::new(losses.as_mut_slice()) });
}

pub(super) fn backward(
    cpu: &Cpu,
    logits: &Buffer<f32>,
    targets: Targets<'_>,
    scale: f32,
    dlogits: &mut Buffer<f32>,
) {
    let (operands, tasks) = (Operands::new(logits, targets), pieces(logits.len()));
    cpu.run(tasks, &Backward { operands, scale, dlogits: Shared::new(dlogits.as_mut_slice()) });
}

//! Squared error over vectors.

use super::Targets;
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{map, piece, pieces, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};

/// Which of both passes.
#[derive(Clone, Copy)]
enum Pass {
    /// `(x - t)²`
    Forward,
    /// `factor · (x - t)`
    Backward { factor: f32 },
}

struct Squares<'a> {
    pass: Pass,
    x: &'a [f32],
    targets: &'a [f32],
    weights: Option<&'a [f32]>,
    to: Shared<'a, f32>,
}

impl Work for Squares<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.to.len());
        let place = first..first + count;
        // SAFETY: every task writes its own piece.
        let to = unsafe { self.to.part(first, count) };
        let from = [&self.x[place.clone()], &self.targets[place.clone()]];
        match self.pass {
            Pass::Forward => map(
                s,
                from,
                to,
                #[inline(always)]
                |[x, t]| s.mul(s.sub(x, t), s.sub(x, t)),
            ),
            Pass::Backward { factor } => map(
                s,
                from,
                to,
                #[inline(always)]
                |[x, t]| s.mul(s.splat(factor), s.sub(x, t)),
            ),
        }
        if let Some(weights) = self.weights {
            update(
                s,
                [&weights[place]],
                to,
                #[inline(always)]
                |[weight], number| s.mul(weight, number),
            );
        }
    }
}

fn run(cpu: &Cpu, pass: Pass, x: &Buffer<f32>, targets: Targets<'_>, to: &mut Buffer<f32>) {
    let (targets, weights) = (targets.values.as_slice(), targets.weights.map(Buffer::as_slice));
    let (tasks, to) = (pieces(x.len()), Shared::new(to.as_mut_slice()));
    cpu.run(tasks, &Squares { pass, x: x.as_slice(), targets, weights, to });
}

pub(super) fn forward(cpu: &Cpu, x: &Buffer<f32>, targets: Targets<'_>, losses: &mut Buffer<f32>) {
    run(cpu, Pass::Forward, x, targets, losses);
}

pub(super) fn backward(cpu: &Cpu, x: &Buffer<f32>, targets: Targets<'_>, scale: f32, dx: &mut Buffer<f32>) {
    run(cpu, Pass::Backward { factor: 2.0 * scale }, x, targets, dx);
}

//! Dropout over pieces of numbers.

use super::Mask;
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

/// Numbers of one piece of work: 64 KiB, a multiple of a block.
const PIECE: usize = 16 * 1024;

/// Numbers whose random words are made at once: four words of each of sixteen counters.
const BLOCK: usize = 4 * LANES;

struct Apply<'a> {
    mask: Mask,
    x: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Apply<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, _: S, task: Task) {
        let first = task.task * PIECE;
        let count = PIECE.min(self.x.len() - first);
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        let x = &self.x[first..first + count];
        let (limit, factor) = (self.mask.limit(), self.mask.factor());
        for (block, (x, y)) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)).enumerate() {
            let words = self.mask.stream.words::<LANES>(((first + block * BLOCK) / 4) as u64);
            for (place, (x, y)) in x.iter().zip(y).enumerate() {
                *y = if words[place % 4][place / 4] >= limit { x * factor } else { 0.0 };
            }
        }
    }
}

pub(super) fn apply(cpu: &Cpu, mask: Mask, x: &Buffer<f32>, y: &mut Buffer<f32>) {
    let (tasks, x) = (x.len().div_ceil(PIECE), x.as_slice());
    cpu.run(tasks, &Apply { mask, x, y: Shared::new(y.as_mut_slice()) });
}

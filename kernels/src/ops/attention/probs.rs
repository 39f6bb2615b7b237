//! Attention maps of one sequence, whole.

use super::Sizes;
use super::rows::{QUERIES, Rows, Scratch};
use crate::buffer::{Buffer, Input};
use crate::cpu::Cpu;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use std::ops::Range;

pub(super) fn probs(
    cpu: &Cpu,
    sizes: Sizes,
    tokens: Range<usize>,
    operands: (Input<'_>, Input<'_>),
    out: &mut Buffer<f32>,
) {
    let mut scratch = Scratch::new(cpu, sizes, tokens.len());
    let rows = Rows::new(cpu, sizes, tokens, operands, &mut scratch);
    let blocks = rows.length.div_ceil(QUERIES);
    cpu.run(sizes.heads * blocks, &Maps { rows: &rows, out: Shared::new(out.as_mut_slice()) });
}

/// Some queries of one head.
struct Maps<'a> {
    rows: &'a Rows<'a>,
    out: Shared<'a, f32>,
}

impl Work for Maps<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        if S::ROWS >= 12 {
            self.maps::<S, 12, 2>(s, task);
        } else if S::ROWS >= 6 {
            self.maps::<S, 6, 1>(s, task);
        } else {
            self.maps::<S, 4, 1>(s, task);
        }
    }
}

impl Maps<'_> {
    #[inline(always)]
    fn maps<S: Simd, const R: usize, const V: usize>(&self, s: S, task: Task) {
        let length = self.rows.length;
        let blocks = length.div_ceil(QUERIES);
        let (head, first) = (task.task / blocks, task.task % blocks * QUERIES);
        for row in (first..length.min(first + QUERIES)).step_by(R) {
            let count = R.min(length - row);
            // SAFETY: one task owns these rows of the map.
            let out = unsafe { self.out.part((head * length + row) * length, count * length) };
            self.rows.fill::<S, R, V>(s, task.worker, (head, row), out);
        }
    }
}

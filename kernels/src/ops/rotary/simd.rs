//! Rotary position embedding over vectors.
//!
//! Half a head is often no whole number of vectors (8 or 12 elements in small models). Full vectors are
//! read and written all the same: the lanes beyond the half hold nonsense, and what they write is written
//! again by the piece that owns the place, because pieces are done in such an order that the owner comes
//! later. Only where a full vector would leave the rows of a task is it cut.

use super::{Sizes, Table};
use crate::buffer::{Buffer, Output};
use crate::cpu::Cpu;
use crate::cpu::rows::{Cell, ROWS, load, store};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

struct Rotate<'a, T> {
    sizes: Sizes,
    offsets: &'a [usize],
    table: &'a Table,
    /// Sign of the sine: -1 turns back.
    direction: f32,
    scale: f32,
    x: &'a [f32],
    y: Shared<'a, T>,
}

impl<T: Cell> Work for Rotate<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let width = self.sizes.heads * self.sizes.head_width;
        let first = task.task * ROWS;
        let count = ROWS.min(self.sizes.tokens - first);
        let x = &self.x[first * width..(first + count) * width];
        // SAFETY: every row belongs to one task.
        let y = unsafe { self.y.part(first * width, count * width) };
        // The last sequence that starts at or before the row; empty ones before it start there too.
        let mut sequence = self.offsets.partition_point(|&offset| offset <= first) - 1;
        for row in 0..count {
            while self.offsets[sequence + 1] <= first + row {
                sequence += 1;
            }
            let position = first + row - self.offsets[sequence];
            for head in 0..self.sizes.heads {
                self.head(s, position, row * width + head * self.sizes.head_width, x, y);
            }
        }
    }
}

impl<T: Cell> Rotate<'_, T> {
    /// Turns the head that starts at element `start` of the task's rows.
    #[inline(always)]
    fn head<S: Simd>(&self, s: S, position: usize, start: usize, x: &[f32], y: &mut [T]) {
        let half = self.table.half;
        let (scale, ahead, back) = (s.splat(self.scale), s.splat(self.direction), s.splat(-self.direction));
        // From the last piece to the first: a piece of the first half may run over into the second, whose
        // first piece is written after it, and the second may run over into the next head.
        for j in (0..half).step_by(LANES).rev() {
            let (first, second) = (start + j, start + half + j);
            let place = position * half + j;
            let cos = load(s, &self.table.cos.as_slice()[place..place + LANES], 0.0);
            let sin = load(s, &self.table.sin.as_slice()[place..place + LANES], 0.0);
            let a = s.mul(scale, load(s, &x[first..], 0.0));
            let b = s.mul(scale, load(s, &x[second..], 0.0));
            store(s, s.fma(a, cos, s.mul(b, s.mul(sin, back))), &mut y[first..]);
            store(s, s.fma(b, cos, s.mul(a, s.mul(sin, ahead))), &mut y[second..]);
        }
    }
}

fn rotate<T: Cell>(cpu: &Cpu, work: &Rotate<'_, T>) {
    cpu.run(work.sizes.tokens.div_ceil(ROWS), work);
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, offsets, table): (Sizes, &[usize], &Table),
    x: &Buffer<f32>,
    scale: f32,
    y: Output<'_>,
) {
    let x = x.as_slice();
    match y {
        Output::F32(y) => {
            let y = Shared::new(y.as_mut_slice());
            rotate(cpu, &Rotate { sizes, offsets, table, direction: 1.0, scale, x, y });
        }
        Output::Bf16(y) => {
            let y = Shared::new(y.as_mut_slice());
            rotate(cpu, &Rotate { sizes, offsets, table, direction: 1.0, scale, x, y });
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, offsets, table): (Sizes, &[usize], &Table),
    dy: &Buffer<f32>,
    scale: f32,
    dx: &mut Buffer<f32>,
) {
    let y = Shared::new(dx.as_mut_slice());
    rotate(cpu, &Rotate { sizes, offsets, table, direction: -1.0, scale, x: dy.as_slice(), y });
}

//! Rows over vectors.

use super::Columns;
use crate::buffer::{Buffer, Element};
use crate::cpu::Cpu;
use crate::cpu::rows::{ROWS, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};

struct Gather<'a, T> {
    width: usize,
    rows: &'a [usize],
    x: &'a [T],
    y: Shared<'a, T>,
}

impl<T: Element> Work for Gather<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&self, _: S, task: Task) {
        let (width, first) = (self.width, task.task * ROWS);
        for (place, &row) in self.rows.iter().enumerate().skip(first).take(ROWS) {
            // SAFETY: every picked row belongs to one task.
            let y = unsafe { self.y.part(place * width, width) };
            y.copy_from_slice(&self.x[row * width..(row + 1) * width]);
        }
    }
}

struct Scatter<'a> {
    width: usize,
    rows: &'a [usize],
    dy: &'a [f32],
    dx: Shared<'a, f32>,
}

impl Work for Scatter<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (width, first) = (self.width, task.task * ROWS);
        for (place, &row) in self.rows.iter().enumerate().skip(first).take(ROWS) {
            // SAFETY: no row comes twice, and every picked row belongs to one task.
            let dx = unsafe { self.dx.part(row * width, width) };
            update(
                s,
                [&self.dy[place * width..(place + 1) * width]],
                dx,
                #[inline(always)]
                |[dy], dx| s.add(dx, dy),
            );
        }
    }
}

pub(super) fn gather<T: Element>(cpu: &Cpu, width: usize, rows: &[usize], x: &Buffer<T>, y: &mut Buffer<T>) {
    let y = Shared::new(y.as_mut_slice());
    cpu.run(rows.len().div_ceil(ROWS), &Gather { width, rows, x: x.as_slice(), y });
}

pub(super) fn scatter(cpu: &Cpu, width: usize, rows: &[usize], dy: &Buffer<f32>, dx: &mut Buffer<f32>) {
    let dx = Shared::new(dx.as_mut_slice());
    cpu.run(rows.len().div_ceil(ROWS), &Scatter { width, rows, dy: dy.as_slice(), dx });
}

struct Copy<'a> {
    columns: Columns,
    x: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Copy<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, _: S, task: Task) {
        let Columns { rows, width, from, to } = self.columns;
        let first = task.task * ROWS;
        for row in first..rows.min(first + ROWS) {
            // SAFETY: every row belongs to one task.
            let y = unsafe { self.y.part(row * to.0 + to.1, width) };
            y.copy_from_slice(&self.x[row * from.0 + from.1..][..width]);
        }
    }
}

pub(super) fn copy_columns(cpu: &Cpu, columns: Columns, x: &Buffer<f32>, y: &mut Buffer<f32>) {
    let y = Shared::new(y.as_mut_slice());
    cpu.run(columns.rows.div_ceil(ROWS), &Copy { columns, x: x.as_slice(), y });
}

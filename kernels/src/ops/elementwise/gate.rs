//! Gates over vectors.

use super::simd::pieces;
use crate::buffer::{Buffer, Output};
use crate::cpu::rows::{Cell, load, map, piece, store};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};
use std::ops::Range;

/// What is let through: `a`, or the sum of two.
#[derive(Clone, Copy)]
struct Passing<'a> {
    a: &'a [f32],
    b: Option<&'a [f32]>,
}

impl<'a> Passing<'a> {
    fn new((a, b): (&'a Buffer<f32>, Option<&'a Buffer<f32>>)) -> Self {
        Self { a: a.as_slice(), b: b.map(Buffer::as_slice) }
    }

    /// Up to sixteen sums of a place; missing lanes are zero.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, place: Range<usize>) -> S::F {
        let a = load(s, &self.a[place.clone()], 0.0);
        match self.b {
            Some(b) => s.add(a, load(s, &b[place], 0.0)),
            None => a,
        }
    }
}

/// `y = (a + b) · SiLU(z)`.
struct Forward<'a, T> {
    passing: Passing<'a>,
    z: &'a [f32],
    y: Shared<'a, T>,
}

impl<T: Cell> Work for Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        let place = first..first + count;
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        let (a, z) = (&self.passing.a[place.clone()], &self.z[place.clone()]);
        match self.passing.b {
            Some(b) => map(
                s,
                [a, &b[place], z],
                y,
                #[inline(always)]
                |[a, b, z]| s.mul(s.add(a, b), math::silu(s, z)),
            ),
            None => map(
                s,
                [a, z],
                y,
                #[inline(always)]
                |[a, z]| s.mul(a, math::silu(s, z)),
            ),
        }
    }
}

/// `da = dy · SiLU(z)`, `dz = dy · (a + b) · SiLU'(z)`.
struct Backward<'a> {
    passing: Passing<'a>,
    z: &'a [f32],
    dy: &'a [f32],
    da: Shared<'a, f32>,
    dz: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.z.len());
        // SAFETY: every task writes its own piece.
        let da = unsafe { self.da.part(first, count) };
        // SAFETY: as above.
        let dz = unsafe { self.dz.part(first, count) };
        for start in (0..count).step_by(LANES) {
            let end = count.min(start + LANES);
            let place = first + start..first + end;
            let (value, slope) = math::silu_and_slope(s, load(s, &self.z[place.clone()], 0.0));
            let dy = load(s, &self.dy[place.clone()], 0.0);
            let passing = self.passing.load(s, place);
            store(s, s.mul(dy, value), &mut da[start..end]);
            store(s, s.mul(s.mul(dy, passing), slope), &mut dz[start..end]);
        }
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    passing: (&Buffer<f32>, Option<&Buffer<f32>>),
    z: &Buffer<f32>,
    y: Output<'_>,
) {
    let (passing, tasks, z) = (Passing::new(passing), pieces(z), z.as_slice());
    match y {
        Output::F32(y) => cpu.run(tasks, &Forward { passing, z, y: Shared::new(y.as_mut_slice()) }),
        Output::Bf16(y) => cpu.run(tasks, &Forward { passing, z, y: Shared::new(y.as_mut_slice()) }),
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    passing: (&Buffer<f32>, Option<&Buffer<f32>>),
    (z, dy): (&Buffer<f32>, &Buffer<f32>),
    (da, dz): (&mut Buffer<f32>, &mut Buffer<f32>),
) {
    let (passing, tasks) = (Passing::new(passing), pieces(z));
    let (z, dy) = (z.as_slice(), dy.as_slice());
    let (da, dz) = (Shared::new(da.as_mut_slice()), Shared::new(dz.as_mut_slice()));
    cpu.run(tasks, &Backward { passing, z, dy, da, dz });
}

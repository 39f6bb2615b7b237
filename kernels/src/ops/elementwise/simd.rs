//! Operations on single numbers over vectors.

use crate::buffer::{Buffer, Element};
use crate::cpu::rows::{self, map, piece, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};
use half::bf16;

/// What is made of two operands.
trait Kernel: Sync {
    /// Sixteen results from the numbers at the same places of both.
    fn apply<S: Simd>(&self, s: S, a: S::F, b: S::F) -> S::F;
}

/// `y = kernel(a, b)`.
struct Binary<'a, K> {
    kernel: K,
    a: &'a [f32],
    b: &'a [f32],
    y: Shared<'a, f32>,
}

impl<K: Kernel> Work for Binary<'_, K> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        let from = [&self.a[first..first + count], &self.b[first..first + count]];
        map(
            s,
            from,
            y,
            #[inline(always)]
            |[a, b]| self.kernel.apply(s, a, b),
        );
    }
}

/// `y += x`.
struct AddInto<'a> {
    x: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for AddInto<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        update(
            s,
            [&self.x[first..first + count]],
            y,
            #[inline(always)]
            |[x], y| s.add(x, y),
        );
    }
}

/// `x *= factor`.
struct Scale<'a> {
    factor: f32,
    x: Shared<'a, f32>,
}

impl Work for Scale<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.x.len());
        // SAFETY: every task writes its own piece.
        let x = unsafe { self.x.part(first, count) };
        let factor = s.splat(self.factor);
        update(
            s,
            [],
            x,
            #[inline(always)]
            |[], x| s.mul(x, factor),
        );
    }
}

/// `y = x`, widened.
struct Widen<'a> {
    x: &'a [bf16],
    y: Shared<'a, f32>,
}

impl Work for Widen<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        let (from, from_rest) = self.x[first..first + count].as_chunks::<LANES>();
        let (to, to_rest) = y.as_chunks_mut::<LANES>();
        for (from, to) in from.iter().zip(to) {
            s.store(s.load_bf16(from), to);
        }
        s.store_part(s.load_part_bf16(from_rest), to_rest);
    }
}

/// `y = x`, rounded.
struct Narrow<'a> {
    x: &'a [f32],
    y: Shared<'a, bf16>,
}

impl Work for Narrow<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        map(
            s,
            [&self.x[first..first + count]],
            y,
            #[inline(always)]
            |[x]| x,
        );
    }
}

/// Number of pieces.
pub(super) fn pieces<T: Element>(buffer: &Buffer<T>) -> usize {
    rows::pieces(buffer.len())
}

struct GeluSlope;
impl Kernel for GeluSlope {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, sum: S::F, dy: S::F) -> S::F {
        s.mul(dy, math::gelu_slope(s, sum))
    }
}

struct Add;
impl Kernel for Add {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, a: S::F, b: S::F) -> S::F {
        s.add(a, b)
    }
}

struct Multiply;
impl Kernel for Multiply {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, a: S::F, b: S::F) -> S::F {
        s.mul(a, b)
    }
}

struct Distance;
impl Kernel for Distance {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, a: S::F, b: S::F) -> S::F {
        s.max(s.sub(a, b), s.sub(b, a))
    }
}

pub(super) fn gelu_backward(cpu: &Cpu, sums: &Buffer<f32>, dy: &Buffer<f32>, dx: &mut Buffer<f32>) {
    let (a, b) = (sums.as_slice(), dy.as_slice());
    cpu.run(pieces(sums), &Binary { kernel: GeluSlope, a, b, y: Shared::new(dx.as_mut_slice()) });
}

pub(super) fn add(cpu: &Cpu, a: &Buffer<f32>, b: &Buffer<f32>, y: &mut Buffer<f32>) {
    let tasks = pieces(a);
    let (a, b) = (a.as_slice(), b.as_slice());
    cpu.run(tasks, &Binary { kernel: Add, a, b, y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn multiply(cpu: &Cpu, a: &Buffer<f32>, b: &Buffer<f32>, y: &mut Buffer<f32>) {
    let tasks = pieces(a);
    let (a, b) = (a.as_slice(), b.as_slice());
    cpu.run(tasks, &Binary { kernel: Multiply, a, b, y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn distance(cpu: &Cpu, a: &Buffer<f32>, b: &Buffer<f32>, y: &mut Buffer<f32>) {
    let tasks = pieces(a);
    let (a, b) = (a.as_slice(), b.as_slice());
    cpu.run(tasks, &Binary { kernel: Distance, a, b, y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn add_into(cpu: &Cpu, x: &Buffer<f32>, y: &mut Buffer<f32>) {
    cpu.run(pieces(x), &AddInto { x: x.as_slice(), y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn scale(cpu: &Cpu, factor: f32, x: &mut Buffer<f32>) {
    cpu.run(pieces(x), &Scale { factor, x: Shared::new(x.as_mut_slice()) });
}

pub(super) fn to_bf16(cpu: &Cpu, x: &Buffer<f32>, y: &mut Buffer<bf16>) {
    cpu.run(pieces(x), &Narrow { x: x.as_slice(), y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn to_f32(cpu: &Cpu, x: &Buffer<bf16>, y: &mut Buffer<f32>) {
    cpu.run(pieces(x), &Widen { x: x.as_slice(), y: Shared::new(y.as_mut_slice()) });
}

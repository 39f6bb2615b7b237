//! Operations on single numbers over vectors.

use crate::buffer::{Buffer, Element};
use crate::cpu::rows::{load, store};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};
use half::bf16;

/// Numbers of one piece of work: 64 KiB of f32, which stay in a second-level cache.
const PIECE: usize = 16 * 1024;

/// What is done with sixteen numbers from two places.
trait Kernel: Sync {
    /// The new numbers from those at the same place of the first and the second operand.
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
        let (a, b) = (&self.a[first..first + count], &self.b[first..first + count]);
        for ((a, b), y) in a.chunks(LANES).zip(b.chunks(LANES)).zip(y.chunks_mut(LANES)) {
            store(s, self.kernel.apply(s, load(s, a, 0.0), load(s, b, 0.0)), y);
        }
    }
}

/// `y = kernel(x, y)` in place.
struct InPlace<'a, K> {
    kernel: K,
    x: Option<&'a [f32]>,
    y: Shared<'a, f32>,
}

impl<K: Kernel> Work for InPlace<'_, K> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        match self.x {
            Some(x) => {
                for (x, y) in x[first..first + count].chunks(LANES).zip(y.chunks_mut(LANES)) {
                    store(s, self.kernel.apply(s, load(s, x, 0.0), load(s, y, 0.0)), y);
                }
            }
            None => {
                for y in y.chunks_mut(LANES) {
                    store(s, self.kernel.apply(s, s.splat(0.0), load(s, y, 0.0)), y);
                }
            }
        }
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
        for (x, y) in self.x[first..first + count].chunks(LANES).zip(y.chunks_mut(LANES)) {
            let value = match x.first_chunk::<LANES>() {
                Some(x) => s.load_bf16(x),
                None => s.load_part_bf16(x),
            };
            store(s, value, y);
        }
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
        for (x, y) in self.x[first..first + count].chunks(LANES).zip(y.chunks_mut(LANES)) {
            store(s, load(s, x, 0.0), y);
        }
    }
}

/// First number and count of a piece of `length` numbers.
#[inline(always)]
fn piece(task: Task, length: usize) -> (usize, usize) {
    let first = task.task * PIECE;
    (first, PIECE.min(length - first))
}

fn pieces<T: Element>(buffer: &Buffer<T>) -> usize {
    buffer.len().div_ceil(PIECE)
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

struct Scale(f32);
impl Kernel for Scale {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, _: S::F, x: S::F) -> S::F {
        s.mul(x, s.splat(self.0))
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

pub(super) fn add_into(cpu: &Cpu, x: &Buffer<f32>, y: &mut Buffer<f32>) {
    let x = Some(x.as_slice());
    cpu.run(pieces(y), &InPlace { kernel: Add, x, y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn scale(cpu: &Cpu, factor: f32, x: &mut Buffer<f32>) {
    cpu.run(pieces(x), &InPlace { kernel: Scale(factor), x: None, y: Shared::new(x.as_mut_slice()) });
}

pub(super) fn to_bf16(cpu: &Cpu, x: &Buffer<f32>, y: &mut Buffer<bf16>) {
    cpu.run(pieces(x), &Narrow { x: x.as_slice(), y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn to_f32(cpu: &Cpu, x: &Buffer<bf16>, y: &mut Buffer<f32>) {
    cpu.run(pieces(x), &Widen { x: x.as_slice(), y: Shared::new(y.as_mut_slice()) });
}

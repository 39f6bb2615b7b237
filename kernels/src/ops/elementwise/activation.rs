//! Activations and their slopes, GELU, and the slope of distances, over vectors.

use super::Activation;
use super::simd::pieces;
use crate::buffer::Buffer;
use crate::cpu::rows::{map, piece};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use crate::cpu::{Cpu, math};

struct Forward<'a> {
    activation: Activation,
    x: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        let x = [&self.x[first..first + count]];
        match self.activation {
            Activation::Relu => map(
                s,
                x,
                y,
                #[inline(always)]
                |[x]| s.max(s.splat(0.0), x),
            ),
            Activation::Tanh => map(
                s,
                x,
                y,
                #[inline(always)]
                |[x]| math::tanh(s, x),
            ),
            Activation::Logistic => map(
                s,
                x,
                y,
                #[inline(always)]
                |[x]| math::logistic(s, x),
            ),
        }
    }
}

struct Gelu<'a> {
    sums: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Gelu<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.y.len());
        // SAFETY: every task writes its own piece.
        let y = unsafe { self.y.part(first, count) };
        map(
            s,
            [&self.sums[first..first + count]],
            y,
            #[inline(always)]
            |[sum]| math::gelu(s, sum),
        );
    }
}

struct Backward<'a> {
    activation: Activation,
    y: &'a [f32],
    dy: &'a [f32],
    dx: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.dx.len());
        // SAFETY: every task writes its own piece.
        let dx = unsafe { self.dx.part(first, count) };
        let from = [&self.y[first..first + count], &self.dy[first..first + count]];
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        match self.activation {
            Activation::Relu => map(
                s,
                from,
                dx,
                #[inline(always)]
                |[y, dy]| s.keep_if_less(zero, y, dy),
            ),
            Activation::Tanh => map(
                s,
                from,
                dx,
                #[inline(always)]
                |[y, dy]| s.mul(dy, s.fma(s.sub(zero, y), y, one)),
            ),
            Activation::Logistic => map(
                s,
                from,
                dx,
                #[inline(always)]
                |[y, dy]| s.mul(s.mul(dy, y), s.sub(one, y)),
            ),
        }
    }
}

struct Sides<'a> {
    a: &'a [f32],
    b: &'a [f32],
    dy: &'a [f32],
    da: Shared<'a, f32>,
}

impl Work for Sides<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (first, count) = piece(task, self.da.len());
        // SAFETY: every task writes its own piece.
        let da = unsafe { self.da.part(first, count) };
        let place = first..first + count;
        map(
            s,
            [&self.a[place.clone()], &self.b[place.clone()], &self.dy[place]],
            da,
            #[inline(always)]
            |[a, b, dy]| s.sub(s.keep_if_less(b, a, dy), s.keep_if_less(a, b, dy)),
        );
    }
}

pub(super) fn forward(cpu: &Cpu, activation: Activation, x: &Buffer<f32>, y: &mut Buffer<f32>) {
    let y = Shared::new(y.as_mut_slice());
    cpu.run(pieces(x), &Forward { activation, x: x.as_slice(), y });
}

pub(super) fn gelu(cpu: &Cpu, sums: &Buffer<f32>, y: &mut Buffer<f32>) {
    cpu.run(pieces(sums), &Gelu { sums: sums.as_slice(), y: Shared::new(y.as_mut_slice()) });
}

pub(super) fn backward(
    cpu: &Cpu,
    activation: Activation,
    (y, dy): (&Buffer<f32>, &Buffer<f32>),
    dx: &mut Buffer<f32>,
) {
    let dx = Shared::new(dx.as_mut_slice());
    cpu.run(pieces(y), &Backward { activation, y: y.as_slice(), dy: dy.as_slice(), dx });
}

pub(super) fn distance_backward(
    cpu: &Cpu,
    (a, b): (&Buffer<f32>, &Buffer<f32>),
    dy: &Buffer<f32>,
    da: &mut Buffer<f32>,
) {
    let da = Shared::new(da.as_mut_slice());
    cpu.run(pieces(a), &Sides { a: a.as_slice(), b: b.as_slice(), dy: dy.as_slice(), da });
}

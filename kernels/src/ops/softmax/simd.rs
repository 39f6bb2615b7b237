//! Softmax over vectors.

use super::{Kind, Sizes};
use crate::buffer::Buffer;
use crate::cpu::rows::{ROWS, fold, largest, map, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use crate::cpu::{Cpu, math};

struct Forward<'a> {
    sizes: Sizes,
    kind: Kind,
    x: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { rows, classes } = self.sizes;
        let first = task.task * ROWS;
        for row in first..(first + ROWS).min(rows) {
            let x = &self.x[row * classes..(row + 1) * classes];
            // SAFETY: every row belongs to one task.
            let y = unsafe { self.y.part(row * classes, classes) };
            let Some(largest) = largest(s, x) else {
                y.fill(f32::NAN);
                continue;
            };
            match self.kind {
                Kind::Probabilities => probabilities(s, largest, x, y),
                Kind::Logarithms => logarithms(s, largest, x, y),
            }
        }
    }
}

#[inline(always)]
fn probabilities<S: Simd>(s: S, largest: f32, x: &[f32], y: &mut [f32]) {
    let shift = s.splat(largest);
    map(
        s,
        [x],
        y,
        #[inline(always)]
        |[x]| math::exp(s, s.sub(x, shift)),
    );
    let sum = fold(
        s,
        [y],
        0.0,
        s.splat(0.0),
        #[inline(always)]
        |sum, [power]| s.add(sum, power),
    );
    let sum = s.splat(s.sum(sum));
    update(
        s,
        [],
        y,
        #[inline(always)]
        |[], power| s.div(power, sum),
    );
}

#[inline(always)]
fn logarithms<S: Simd>(s: S, largest: f32, x: &[f32], y: &mut [f32]) {
    let shift = s.splat(largest);
    // Missing lanes add 2^-126 each, which vanishes in a sum of at least one.
    let sum = fold(
        s,
        [x],
        f32::NEG_INFINITY,
        s.splat(0.0),
        #[inline(always)]
        |sum, [x]| s.add(sum, math::exp(s, s.sub(x, shift))),
    );
    let sum = s.splat(libm::log(f64::from(s.sum(sum))) as f32);
    map(
        s,
        [x],
        y,
        #[inline(always)]
        |[x]| s.sub(s.sub(x, shift), sum),
    );
}

struct Backward<'a> {
    sizes: Sizes,
    kind: Kind,
    y: &'a [f32],
    dy: &'a [f32],
    dx: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { rows, classes } = self.sizes;
        let first = task.task * ROWS;
        for row in first..(first + ROWS).min(rows) {
            let place = row * classes..(row + 1) * classes;
            let (y, dy) = (&self.y[place.clone()], &self.dy[place]);
            // SAFETY: every row belongs to one task.
            let dx = unsafe { self.dx.part(row * classes, classes) };
            self.row(s, (y, dy), dx);
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, (y, dy): (&[f32], &[f32]), dx: &mut [f32]) {
        let kind = self.kind;
        let sum = fold(
            s,
            [y, dy],
            0.0,
            s.splat(0.0),
            #[inline(always)]
            |sum, [y, dy]| match kind {
                Kind::Probabilities => s.fma(y, dy, sum),
                Kind::Logarithms => s.add(sum, dy),
            },
        );
        let sum = s.splat(s.sum(sum));
        map(
            s,
            [y, dy],
            dx,
            #[inline(always)]
            |[y, dy]| match kind {
                Kind::Probabilities => s.mul(y, s.sub(dy, sum)),
                Kind::Logarithms => s.sub(dy, s.mul(math::exp(s, y), sum)),
            },
        );
    }
}

pub(super) fn forward(cpu: &Cpu, sizes: Sizes, kind: Kind, x: &Buffer<f32>, y: &mut Buffer<f32>) {
    let (x, y) = (x.as_slice(), Shared::new(y.as_mut_slice()));
    cpu.run(sizes.rows.div_ceil(ROWS), &Forward { sizes, kind, x, y });
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    kind: Kind,
    (y, dy): (&Buffer<f32>, &Buffer<f32>),
    dx: &mut Buffer<f32>,
) {
    let (y, dy, dx) = (y.as_slice(), dy.as_slice(), Shared::new(dx.as_mut_slice()));
    cpu.run(sizes.rows.div_ceil(ROWS), &Backward { sizes, kind, y, dy, dx });
}

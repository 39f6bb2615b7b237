//! Features of pairs over vectors: a task takes all pairs of one residue.

use super::Sizes;
use crate::buffer::{Buffer, Output};
use crate::cpu::Cpu;
use crate::cpu::rows::{Cell, map, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};

struct Forward<'a, T> {
    sizes: Sizes,
    z: &'a [f32],
    features: Shared<'a, T>,
}

impl<T: Cell> Work for Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { length, width } = self.sizes;
        let own = &self.z[task.task * width..(task.task + 1) * width];
        let count = 2 * length * width;
        // SAFETY: every residue belongs to one task.
        let features = unsafe { self.features.part(task.task * count, count) };
        for (other, to) in self.z.chunks_exact(width).zip(features.chunks_exact_mut(2 * width)) {
            let (apart, product) = to.split_at_mut(width);
            map(
                s,
                [own, other],
                apart,
                #[inline(always)]
                |[a, b]| s.abs(s.sub(a, b)),
            );
            map(
                s,
                [own, other],
                product,
                #[inline(always)]
                |[a, b]| s.mul(a, b),
            );
        }
    }
}

pub(super) fn forward(cpu: &Cpu, sizes: Sizes, z: &Buffer<f32>, features: Output<'_>) {
    let (tasks, z) = (if sizes.width == 0 { 0 } else { sizes.length }, z.as_slice());
    match features {
        Output::F32(features) => {
            cpu.run(tasks, &Forward { sizes, z, features: Shared::new(features.as_mut_slice()) });
        }
        Output::Bf16(features) => {
            cpu.run(tasks, &Forward { sizes, z, features: Shared::new(features.as_mut_slice()) });
        }
    }
}

struct Backward<'a> {
    sizes: Sizes,
    z: &'a [f32],
    dfeatures: &'a [f32],
    dz: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { length, width } = self.sizes;
        let i = task.task;
        let own = &self.z[i * width..(i + 1) * width];
        // SAFETY: every residue belongs to one task.
        let dz = unsafe { self.dz.part(i * width, width) };
        dz.fill(0.0);
        for (j, other) in self.z.chunks_exact(width).enumerate() {
            let [here, there] = [i * length + j, j * length + i]
                .map(|row| self.dfeatures[row * 2 * width..(row + 1) * 2 * width].split_at(width));
            update(
                s,
                [own, other, here.0, there.0, here.1, there.1],
                dz,
                #[inline(always)]
                |[a, b, apart, back, product, turned], sum| {
                    let slope = s.add(apart, back);
                    let signed = s.sub(s.keep_if_less(b, a, slope), s.keep_if_less(a, b, slope));
                    s.fma(s.add(product, turned), b, s.add(sum, signed))
                },
            );
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    z: &Buffer<f32>,
    dfeatures: &Buffer<f32>,
    dz: &mut Buffer<f32>,
) {
    let (z, dfeatures) = (z.as_slice(), dfeatures.as_slice());
    let tasks = if sizes.width == 0 { 0 } else { sizes.length };
    cpu.run(tasks, &Backward { sizes, z, dfeatures, dz: Shared::new(dz.as_mut_slice()) });
}

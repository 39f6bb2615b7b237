//! Fast path of contacts: tiles of sixteen by sixteen residues.

use super::{Evidence, Sizes};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::math;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

pub(super) fn forward(cpu: &Cpu, sizes: Sizes, evidence: Evidence<'_>, y: &mut Buffer<f32>) {
    let mut factors = Buffer::<f32>::scratch(cpu.pool(), sizes.channels);
    cpu.run(1, &Factors { sizes, evidence, factors: Shared::new(factors.as_mut_slice()) });
    let (factors, y) = (factors.as_slice(), Shared::new(y.as_mut_slice()));
    cpu.run(sizes.length.div_ceil(LANES), &Tiles { sizes, evidence, factors, y });
}

/// `-weight_c / t_c`, or zero where there is no attention.
struct Factors<'a> {
    sizes: Sizes,
    evidence: Evidence<'a>,
    factors: Shared<'a, f32>,
}

impl Work for Factors<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, _: Task) {
        let Evidence { sums, weights, .. } = self.evidence;
        // SAFETY: there is one task.
        let factors = unsafe { self.factors.part(0, self.sizes.channels) };
        for (channel, factor) in factors.iter_mut().enumerate() {
            let sums = &sums.as_slice()[channel * self.sizes.length..(channel + 1) * self.sizes.length];
            let mut total = s.splat(0.0);
            for part in sums.chunks(LANES) {
                total = s.add(total, s.load_any(part));
            }
            let total = s.sum(total);
            *factor = if total > 0.0 { -weights.as_slice()[channel] / total } else { 0.0 };
        }
    }
}

/// Sixteen rows of the result.
struct Tiles<'a> {
    sizes: Sizes,
    evidence: Evidence<'a>,
    factors: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let length = self.sizes.length;
        let first = task.task * LANES;
        let rows = LANES.min(length - first);
        // SAFETY: every task owns its rows.
        let y = unsafe { self.y.part(first * length, rows * length) };
        for column in (0..length).step_by(LANES) {
            let columns = LANES.min(length - column);
            let tile = self.tile(s, first, column);
            for (row, logits) in tile.into_iter().enumerate().take(rows) {
                s.store_any(math::logistic(s, logits), &mut y[row * length + column..][..columns]);
            }
        }
    }
}

impl Tiles<'_> {
    /// Logits of sixteen rows from `first` on in sixteen columns from `column` on.
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, first: usize, column: usize) -> [S::F; LANES] {
        let Evidence { map, sums, bias, .. } = self.evidence;
        let (across, down) = (self.square(s, map.as_slice(), first, column), column);
        let turned = s.transpose(self.square(s, map.as_slice(), down, first));
        let bias = s.splat(bias);
        let mut logits = [bias; LANES];
        for row in 0..LANES {
            logits[row] = s.add(bias, s.add(across[row], turned[row]));
        }
        let (length, sums) = (self.sizes.length, sums.as_slice());
        for (channel, &factor) in self.factors.iter().enumerate() {
            let sums = &sums[channel * length..(channel + 1) * length];
            let with = s.load_any(&sums[column..length.min(column + LANES)]);
            let factor = s.splat(factor);
            let rows = &sums[first..length.min(first + LANES)];
            for row in 0..rows.len() {
                let product = s.mul(s.splat(rows[row]), with);
                logits[row] = s.fma(factor, product, logits[row]);
            }
        }
        logits
    }

    /// Sixteen rows of a map from `first` on, their numbers from `column` on; what lies outside is zero.
    #[inline(always)]
    fn square<S: Simd>(&self, s: S, map: &[f32], first: usize, column: usize) -> [S::F; LANES] {
        let length = self.sizes.length;
        let mut rows = [s.splat(0.0); LANES];
        for row in 0..LANES.min(length - first) {
            rows[row] = s.load_any(&map[(first + row) * length + column..][..LANES.min(length - column)]);
        }
        rows
    }
}

//! Reductions in lanes of 64 bits, which compilers make vectors of.

use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{piece, pieces};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

/// The sum of squares of every piece.
struct Squares<'a> {
    x: &'a [f32],
    sums: Shared<'a, f64>,
}

impl Work for Squares<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, _: S, task: Task) {
        let (first, count) = piece(task, self.x.len());
        let (blocks, rest) = self.x[first..first + count].as_chunks::<LANES>();
        let mut lanes = [0.0_f64; LANES];
        for block in blocks {
            for lane in 0..LANES {
                let x = f64::from(block[lane]);
                lanes[lane] += x * x;
            }
        }
        for lane in 0..rest.len() {
            let x = f64::from(rest[lane]);
            lanes[lane] += x * x;
        }
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
            half /= 2;
        }
        // SAFETY: every task has one place.
        unsafe { self.sums.part(task.task, 1) }.fill(lanes[0]);
    }
}

pub(super) fn sum_of_squares(cpu: &Cpu, x: &Buffer<f32>) -> f64 {
    let mut sums = vec![0.0; pieces(x.len())];
    cpu.run(sums.len(), &Squares { x: x.as_slice(), sums: Shared::new(&mut sums) });
    sums.iter().sum()
}

//! Rotary position embedding over vectors.
//!
//! Half a head is often no whole number of vectors (8 or 12 elements in small models). Full vectors are
//! read and written all the same: the lanes beyond the half hold nonsense, and what they write is written
//! again by the piece that owns the place, because pieces are done in such an order that the owner comes
//! later. Only the last heads of a task, whose vectors would leave its rows, have theirs cut.

use super::{Sizes, Table};
use crate::buffer::{Buffer, Output};
use crate::cpu::Cpu;
use crate::cpu::rows::{Cell, ROWS, lanes, lanes_mut, load, store};
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
        let Sizes { tokens, heads, head_width } = self.sizes;
        let first = task.task * ROWS;
        let count = ROWS.min(tokens - first);
        let range = first * heads * head_width..(first + count) * heads * head_width;
        let x = &self.x[range.clone()];
        // SAFETY: every row belongs to one task.
        let y = unsafe { self.y.part(range.start, range.len()) };
        // Heads of this task, of all its rows, whose vectors all lie inside its rows.
        let reach = self.table.half + self.table.half.next_multiple_of(LANES);
        let whole = if reach > x.len() { 0 } else { (x.len() - reach) / head_width + 1 };
        let mut sequence = self.sequence(first);
        for row in 0..count {
            while self.offsets[sequence + 1] <= first + row {
                sequence += 1;
            }
            let position = first + row - self.offsets[sequence];
            let turned = row * heads..((row + 1) * heads).min(whole);
            // From the last piece to the first: a piece of the first half may run over into the second, whose
            // first piece is written after it, and the second may run over into the next head.
            for piece in (0..self.table.half.div_ceil(LANES)).rev() {
                let angles = self.angles(s, position, piece);
                for head in turned.clone() {
                    self.turn::<S, true>(s, angles, head * head_width + piece * LANES, x, y);
                }
            }
        }
        for head in whole..count * heads {
            let token = first + head / heads;
            let position = token - self.offsets[self.sequence(token)];
            for piece in (0..self.table.half.div_ceil(LANES)).rev() {
                let angles = self.angles(s, position, piece);
                self.turn::<S, false>(s, angles, head * head_width + piece * LANES, x, y);
            }
        }
    }
}

/// Cosines, and sines with the sign that they have in the first and in the second half of a head.
type Angles<S> = [<S as Simd>::F; 3];

impl<T: Cell> Rotate<'_, T> {
    /// The sequence of a token: the last one that starts at or before it, since empty ones come first.
    #[inline(always)]
    fn sequence(&self, token: usize) -> usize {
        self.offsets.partition_point(|&offset| offset <= token) - 1
    }

    #[inline(always)]
    fn angles<S: Simd>(&self, s: S, position: usize, piece: usize) -> Angles<S> {
        let place = position * self.table.half + piece * LANES;
        let sin = s.load(lanes(self.table.sin.as_slice(), place));
        let (first, second) = (s.mul(sin, s.splat(-self.direction)), s.mul(sin, s.splat(self.direction)));
        [s.load(lanes(self.table.cos.as_slice(), place)), first, second]
    }

    /// Turns the piece that starts at element `first` of the task's rows with the one half a head further;
    /// `WHOLE` when both lie inside them.
    #[inline(always)]
    fn turn<S: Simd, const WHOLE: bool>(
        &self,
        s: S,
        [cos, first_sin, second_sin]: Angles<S>,
        first: usize,
        x: &[f32],
        y: &mut [T],
    ) {
        let second = first + self.table.half;
        let (a, b) = if WHOLE {
            (s.load(lanes(x, first)), s.load(lanes(x, second)))
        } else {
            (load(s, &x[first..], 0.0), load(s, &x[second..], 0.0))
        };
        let scale = s.splat(self.scale);
        let (a, b) = (s.mul(scale, a), s.mul(scale, b));
        let (a, b) = (s.fma(a, cos, s.mul(b, first_sin)), s.fma(b, cos, s.mul(a, second_sin)));
        if WHOLE {
            T::store(s, a, lanes_mut(y, first));
            T::store(s, b, lanes_mut(y, second));
        } else {
            store(s, a, &mut y[first..]);
            store(s, b, &mut y[second..]);
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

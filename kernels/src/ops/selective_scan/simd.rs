//! What both directions of the scan over vectors share. Lanes are channels, a task takes a group of four vectors.

use super::{Operands, Sizes};
use crate::buffer::Buffer;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};
use crate::sequences::Sequences;
use std::ops::Range;

/// Vectors of a group: the sums over channels are joined once for all of them.
pub(super) const VECTORS: usize = 4;

/// Channels of a group.
pub(super) const GROUP: usize = VECTORS * LANES;

/// One number of every channel of a group.
pub(super) type Channels = [[f32; LANES]; VECTORS];

/// The numbers as those of groups of channels.
#[inline(always)]
pub(super) fn channels(values: &[f32]) -> &[Channels] {
    values.as_chunks().0.as_chunks().0
}

/// The same, to be written.
#[inline(always)]
pub(super) fn channels_mut(values: &mut [f32]) -> &mut [Channels] {
    values.as_chunks_mut().0.as_chunks_mut().0
}

/// The `M` values from `at` on.
#[inline(always)]
pub(super) fn some<const M: usize, T>(values: &[T], at: usize) -> &[T; M] {
    &values[at..at + M].as_chunks().0[0]
}

/// Calls `body` with 0 to `M`-1, written out for whole blocks: the compiler does not unroll bodies of this
/// length by itself, and only with constant places are the states of a block held in registers.
#[inline(always)]
pub(super) fn unrolled<const M: usize>(mut body: impl FnMut(usize)) {
    match M {
        16 => {
            four(0, &mut body);
            four(4, &mut body);
            four(8, &mut body);
            four(12, &mut body);
        }
        4 => four(0, &mut body),
        _ => {
            for m in 0..M {
                body(m);
            }
        }
    }
}

#[inline(always)]
fn four(first: usize, body: &mut impl FnMut(usize)) {
    body(first);
    body(first + 1);
    body(first + 2);
    body(first + 3);
}

/// The scan of a pack.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) sizes: Sizes,
    pub(super) sequences: Sequences<'a>,
    pub(super) operands: Operands<'a, [f32]>,
    /// `A·log2 e`, `[groups][N]`; what lies beyond the last channel is of no account.
    pub(super) rates: &'a [Channels],
}

impl Scan<'_> {
    pub(super) fn groups(&self) -> usize {
        self.sizes.width.div_ceil(GROUP)
    }

    /// Channels of a group.
    #[inline(always)]
    pub(super) fn columns(&self, group: usize) -> Range<usize> {
        group * GROUP..((group + 1) * GROUP).min(self.sizes.width)
    }

    /// Rates of a group, `[N]`.
    #[inline(always)]
    pub(super) fn rates(&self, group: usize) -> &[Channels] {
        &self.rates[group * self.sizes.states..][..self.sizes.states]
    }

    /// Input and output weights of the `M` states from `n` on for the token in `row`.
    #[inline(always)]
    pub(super) fn weights<const M: usize>(&self, row: usize, n: usize) -> (&[f32; M], &[f32; M]) {
        let states = self.sizes.states;
        let weights = &self.operands.bc[2 * row * states..][..2 * states];
        (some(weights, n), some(weights, states + n))
    }

    /// Numbers of the borders before each sequence, of which every sequence has one less than chunks.
    pub(super) fn first_borders(&self) -> Vec<usize> {
        let mut next = 0;
        let count = |sequence| {
            let first = next;
            next += self.sequences.span(sequence).len().div_ceil(self.sizes.chunk()).saturating_sub(1);
            first
        };
        (0..self.sequences.count()).map(count).collect()
    }
}

/// Some steps of a sequence, for a group of channels.
#[derive(Clone)]
pub(super) struct Steps {
    pub(super) span: Range<usize>,
    /// First step.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Channels of the group.
    pub(super) columns: Range<usize>,
}

impl Steps {
    /// Chunk `chunk` of the sequence in the rows `span`.
    #[inline(always)]
    pub(super) fn of_chunk(sizes: Sizes, span: &Range<usize>, chunk: usize, columns: &Range<usize>) -> Self {
        let first = chunk * sizes.chunk();
        let count = sizes.chunk().min(span.len() - first);
        Self { span: span.clone(), first, count, columns: columns.clone() }
    }

    /// Row of step `i` of these.
    #[inline(always)]
    pub(super) fn row(&self, scan: &Scan<'_>, i: usize) -> usize {
        scan.sequences.direction.row(&self.span, self.first + i)
    }

    /// Channels of vector `v`.
    #[inline(always)]
    pub(super) fn lanes(&self, v: usize) -> Range<usize> {
        let first = (self.columns.start + v * LANES).min(self.columns.end);
        first..(first + LANES).min(self.columns.end)
    }

    /// Places of vector `v` of step `i` in a matrix `[T,E]`.
    #[inline(always)]
    pub(super) fn place(&self, scan: &Scan<'_>, i: usize, v: usize) -> Range<usize> {
        let (row, lanes) = (self.row(scan, i) * scan.sizes.width, self.lanes(v));
        row + lanes.start..row + lanes.end
    }

    /// Vectors that hold channels.
    #[inline(always)]
    pub(super) fn vectors(&self) -> usize {
        self.columns.len().div_ceil(LANES)
    }
}

/// `A·log2 e` as [`Scan`] wants it; a task takes a group.
struct Rates<'a> {
    sizes: Sizes,
    a_log: &'a [f32],
    rates: Shared<'a, f32>,
}

impl Work for Rates<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { width, states, .. } = self.sizes;
        // SAFETY: every group belongs to one task.
        let rates = unsafe { self.rates.part(task.task * states * GROUP, states * GROUP) };
        for (n, rates) in channels_mut(rates).iter_mut().enumerate() {
            for (v, rates) in rates.iter_mut().enumerate() {
                let first = task.task * GROUP + v * LANES;
                let mut logarithms = [0.0; LANES];
                for (lane, logarithm) in logarithms.iter_mut().enumerate().take(width.saturating_sub(first)) {
                    *logarithm = self.a_log[(first + lane) * states + n];
                }
                let power = math::exp(s, s.load(&logarithms));
                s.store(s.mul(power, s.splat(-std::f32::consts::LOG2_E)), rates);
            }
        }
    }
}

pub(super) fn rates(cpu: &Cpu, sizes: Sizes, a_log: &[f32]) -> Buffer<f32> {
    let groups = sizes.width.div_ceil(GROUP);
    let mut rates = Buffer::scratch(cpu.pool(), groups * sizes.states * GROUP);
    cpu.run(groups, &Rates { sizes, a_log, rates: Shared::new(rates.as_mut_slice()) });
    rates
}

/// `e^(Δ A)`, and the state that it and the input `Δ u` weighted by `weight` make of `state`.
#[inline(always)]
pub(super) fn advance<S: Simd>(
    s: S,
    (time, rate): (S::F, S::F),
    (input, weight): (S::F, f32),
    state: S::F,
) -> (S::F, S::F) {
    let decay = math::exp2(s, s.mul(time, rate));
    (decay, s.fma(decay, state, s.mul(input, s.splat(weight))))
}

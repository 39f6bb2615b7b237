//! Rows of attention maps of one sequence: keys are packed once per head, then queries meet them strip by strip.

use super::Sizes;
use crate::buffer::{Buffer, Input};
use crate::cpu::Cpu;
use crate::cpu::math;
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use std::ops::Range;

/// Queries of one task: whole strips on every path.
pub(super) const QUERIES: usize = 48;

/// Queries of the largest strip.
pub(super) const STRIP_MAX: usize = 12;

/// Lanes of one vector in memory.
type Lanes = [f32; LANES];

/// The queries and packed keys of one sequence.
pub(super) struct Rows<'a> {
    pub(super) sizes: Sizes,
    /// First token of the sequence, and L.
    start: usize,
    pub(super) length: usize,
    query: Values<'a>,
    key: Values<'a>,
    /// Keys `[H][vector of 16 keys][D][16]`.
    keys: Shared<'a, f32>,
    /// Packed queries of each thread, `[D][12]` at most.
    strips: Shared<'a, f32>,
}

/// Memory that [`Rows`] works in.
pub(super) struct Scratch {
    keys: Buffer<f32>,
    strips: Buffer<f32>,
}

impl Scratch {
    pub(super) fn new(cpu: &Cpu, sizes: Sizes, length: usize) -> Self {
        let keys = sizes.heads * length.div_ceil(LANES) * LANES * sizes.head_width;
        let strips = cpu.threads().count() * STRIP_MAX * sizes.head_width;
        Self { keys: Buffer::scratch(cpu.pool(), keys), strips: Buffer::scratch(cpu.pool(), strips) }
    }
}

impl<'a> Rows<'a> {
    /// Packs the keys of the sequence of these `tokens`.
    pub(super) fn new(
        cpu: &Cpu,
        sizes: Sizes,
        tokens: Range<usize>,
        (query, key): (Input<'a>, Input<'a>),
        scratch: &'a mut Scratch,
    ) -> Self {
        let rows = Self {
            sizes,
            start: tokens.start,
            length: tokens.len(),
            query: query.into(),
            key: key.into(),
            keys: Shared::new(scratch.keys.as_mut_slice()),
            strips: Shared::new(scratch.strips.as_mut_slice()),
        };
        cpu.run(sizes.heads * rows.length.div_ceil(LANES), &Pack(&rows));
        rows
    }

    /// The `[L,D]` matrix of one head inside `[T,H·D]`.
    #[inline(always)]
    fn head_rows<'v>(&self, values: Values<'v>, head: usize) -> Matrix<'v> {
        let Sizes { heads, head_width } = self.sizes;
        let first = (self.start * heads + head) * head_width;
        Matrix::rows(values.from(first), self.length, head_width, heads * head_width)
    }

    /// Probabilities of the `out.len() / L`, at most `R`, queries from `row` on.
    #[inline(always)]
    pub(super) fn fill<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        worker: usize,
        (head, row): (usize, usize),
        out: &mut [f32],
    ) {
        let (length, head_width) = (self.length, self.sizes.head_width);
        let size = length.div_ceil(LANES) * head_width;
        // SAFETY: packing has ended, all tasks only read.
        let keys = unsafe { self.keys.read(head * size * LANES, size * LANES) }.as_chunks::<LANES>().0;
        // SAFETY: the strip belongs to this worker, which runs one task at a time.
        let strip = unsafe { self.strips.part(worker * STRIP_MAX * head_width, R * head_width) };
        let strip = strip.as_chunks_mut::<R>().0;
        self.head_rows(self.query, head).pack(s, row..row + out.len() / length, strip);
        let mut vectors = keys.chunks_exact(head_width * V);
        for (index, columns) in vectors.by_ref().enumerate() {
            score::<S, R, V>(s, strip, columns, (out, length, index * V * LANES));
        }
        let done = length.div_ceil(LANES) / V * V;
        if V > 1 && !vectors.remainder().is_empty() {
            score::<S, R, 1>(s, strip, vectors.remainder(), (out, length, done * LANES));
        }
        out.chunks_exact_mut(length).for_each(
            #[inline(always)]
            |row| softmax(s, row),
        );
    }
}

/// One vector of keys of one head.
struct Pack<'a>(&'a Rows<'a>);

impl Work for Pack<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let rows = self.0;
        let vectors = rows.length.div_ceil(LANES);
        let (head, first) = (task.task / vectors, task.task % vectors * LANES);
        let size = LANES * rows.sizes.head_width;
        // SAFETY: every task packs its own vector of keys.
        let to = unsafe { rows.keys.part(task.task * size, size) };
        let found = first..rows.length.min(first + LANES);
        rows.head_rows(rows.key, head).pack(s, found, to.as_chunks_mut::<LANES>().0);
    }
}

/// Scores of a strip of queries against `V` vectors of keys `[V][D]`, stored from column `first` on.
#[inline(always)]
fn score<S: Simd, const R: usize, const V: usize>(
    s: S,
    strip: &[[f32; R]],
    columns: &[Lanes],
    (out, length, first): (&mut [f32], usize, usize),
) {
    let columns: [&[Lanes]; V] = std::array::from_fn(
        #[inline(always)]
        |v| &columns[v * strip.len()..(v + 1) * strip.len()],
    );
    let mut sums = [[s.splat(0.0); V]; R];
    for (d, queries) in strip.iter().enumerate() {
        let with: [S::F; V] = std::array::from_fn(
            #[inline(always)]
            |v| s.load(&columns[v][d]),
        );
        for r in 0..R {
            let query = s.splat(queries[r]);
            for v in 0..V {
                sums[r][v] = s.fma(query, with[v], sums[r][v]);
            }
        }
    }
    for (row, sums) in out.chunks_exact_mut(length).zip(&sums) {
        for v in 0..V {
            let column = first + v * LANES;
            s.store_any(sums[v], &mut row[column..length.min(column + LANES)]);
        }
    }
}

/// Turns a row of scores into probabilities.
#[inline(always)]
fn softmax<S: Simd>(s: S, row: &mut [f32]) {
    let mut largest = s.splat(f32::NEG_INFINITY);
    for part in row.chunks(LANES) {
        largest = s.max(s.load_part(part, f32::NEG_INFINITY), largest);
    }
    let largest = s.splat(s.largest(largest));
    let mut sum = s.splat(0.0);
    for part in row.chunks_mut(LANES) {
        let weight = math::exp(s, s.sub(s.load_any(part), largest));
        s.store_any(weight, part);
        // Read again: beyond the last key there are zeros.
        sum = s.add(s.load_any(part), sum);
    }
    let sum = s.splat(s.sum(sum));
    for part in row.chunks_mut(LANES) {
        s.store_any(s.div(s.load_any(part), sum), part);
    }
}

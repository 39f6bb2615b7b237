//! Attention maps of one sequence: keys are packed once per head, then every task takes some queries.

use super::Sizes;
use crate::buffer::{Buffer, Input};
use crate::cpu::Cpu;
use crate::cpu::math;
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use std::ops::Range;

/// Queries of one task: whole strips on every path.
const QUERIES: usize = 48;

/// Lanes of one vector in memory.
type Lanes = [f32; LANES];

struct Job<'a> {
    sizes: Sizes,
    /// First token of the sequence, and L.
    start: usize,
    length: usize,
    query: Values<'a>,
    key: Values<'a>,
    /// Keys `[H][vector of 16 keys][D][16]`.
    keys: Shared<'a, f32>,
    /// Packed queries of each thread, `[D][14]` at most.
    scratch: Shared<'a, f32>,
    out: Shared<'a, f32>,
}

/// Words of one thread's packed queries.
const fn strip_words(sizes: Sizes) -> usize {
    const ROWS_MAX: usize = 16;
    ROWS_MAX * sizes.head_width
}

pub(super) fn probs(
    cpu: &Cpu,
    sizes: Sizes,
    tokens: Range<usize>,
    (query, key): (Input<'_>, Input<'_>),
    out: &mut Buffer<f32>,
) {
    let length = tokens.len();
    let vectors = length.div_ceil(LANES);
    let mut keys = Buffer::scratch(cpu.pool(), sizes.heads * vectors * LANES * sizes.head_width);
    let mut scratch = Buffer::scratch(cpu.pool(), cpu.threads().count() * strip_words(sizes));
    let job = Job {
        sizes,
        start: tokens.start,
        length,
        query: query.into(),
        key: key.into(),
        keys: Shared::new(keys.as_mut_slice()),
        scratch: Shared::new(scratch.as_mut_slice()),
        out: Shared::new(out.as_mut_slice()),
    };
    cpu.run(sizes.heads * vectors, &Pack(&job));
    cpu.run(sizes.heads * length.div_ceil(QUERIES), &Maps(&job));
}

impl Job<'_> {
    /// The `[L,D]` matrix of one head inside `[T,H·D]`.
    #[inline(always)]
    fn head_rows<'a>(&self, values: Values<'a>, head: usize) -> Matrix<'a> {
        let Sizes { heads, head_width } = self.sizes;
        let first = (self.start * heads + head) * head_width;
        Matrix::rows(values.from(first), self.length, head_width, heads * head_width)
    }
}

/// First step: one vector of keys of one head.
struct Pack<'a>(&'a Job<'a>);

impl Work for Pack<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let job = self.0;
        let vectors = job.length.div_ceil(LANES);
        let (head, first) = (task.task / vectors, task.task % vectors * LANES);
        let size = LANES * job.sizes.head_width;
        // SAFETY: every task packs its own vector of keys.
        let to = unsafe { job.keys.part(task.task * size, size) };
        let rows = first..job.length.min(first + LANES);
        job.head_rows(job.key, head).pack(s, rows, to.as_chunks_mut::<LANES>().0);
    }
}

/// Second step: some queries of one head.
struct Maps<'a>(&'a Job<'a>);

impl Work for Maps<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        if S::ROWS >= 12 {
            self.0.maps::<S, 12, 2>(s, task);
        } else if S::ROWS >= 6 {
            self.0.maps::<S, 6, 1>(s, task);
        } else {
            self.0.maps::<S, 4, 1>(s, task);
        }
    }
}

impl Job<'_> {
    #[inline(always)]
    fn maps<S: Simd, const R: usize, const V: usize>(&self, s: S, task: Task) {
        let (length, head_width) = (self.length, self.sizes.head_width);
        let blocks = length.div_ceil(QUERIES);
        let (head, first) = (task.task / blocks, task.task % blocks * QUERIES);
        let size = length.div_ceil(LANES) * head_width;
        // SAFETY: packing has ended, all tasks only read.
        let keys = unsafe { self.keys.read(head * size * LANES, size * LANES) }.as_chunks::<LANES>().0;
        // SAFETY: the strip belongs to this worker, which runs one task at a time.
        let strip = unsafe { self.scratch.part(task.worker * strip_words(self.sizes), R * head_width) };
        let strip = strip.as_chunks_mut::<R>().0;
        for row in (first..length.min(first + QUERIES)).step_by(R) {
            let count = R.min(length - row);
            self.head_rows(self.query, head).pack(s, row..row + count, strip);
            // SAFETY: one task owns these rows of the map.
            let out = unsafe { self.out.part((head * length + row) * length, count * length) };
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

//! The backward on tiles: 48 queries against 96 keys at a time, in 32 bits. Memory is linear in the length.
//!
//! One task owns one sequence and head. It walks over blocks of keys and, inside, over blocks of queries;
//! weights and their slopes of one pair of blocks are computed again and spent at once on all three
//! gradients. Every gradient is one chain of fused multiply-adds: `dk` and `dv` take queries in ascending
//! order, `dq` takes keys in ascending order, whatever the blocks are.

mod block;
mod space;

use super::{Grads, Saved, Sizes};
use crate::buffer::{Buffer, Input};
use crate::cpu::Cpu;
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use space::{Block, KEYS, Lanes, QUERIES, Space};
use std::ops::Range;

struct Job<'a> {
    sizes: Sizes,
    /// First token and length of every sequence, longest first, so that no long one starts last.
    sequences: &'a [(usize, usize)],
    q: Input<'a>,
    k: Input<'a>,
    v: Input<'a>,
    out: Input<'a>,
    lse: &'a [f32],
    dout: Input<'a>,
    dq: Shared<'a, f32>,
    dk: Shared<'a, f32>,
    dv: Shared<'a, f32>,
    scratch: Shared<'a, f32>,
    scratch_length: usize,
}

pub(super) fn backward(
    cpu: &Cpu,
    sizes: Sizes,
    offsets: &[usize],
    saved: &Saved<'_>,
    dout: &Buffer<f32>,
    grads: Grads<'_>,
) {
    let pairs = offsets.windows(2).filter(|pair| pair[1] > pair[0]);
    let mut sequences: Vec<(usize, usize)> = pairs.map(|pair| (pair[0], pair[1] - pair[0])).collect();
    sequences.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    let Some(&(_, longest)) = sequences.first() else { return };
    let scratch_length = Space::<1>::length(sizes.head_width, longest);
    let mut scratch = Buffer::scratch(cpu.pool(), cpu.threads().count() * scratch_length);
    let job = Job {
        sizes,
        sequences: &sequences,
        q: saved.q,
        k: saved.k,
        v: saved.v,
        out: saved.out,
        lse: saved.lse.as_slice(),
        dout: Input::F32(dout),
        dq: Shared::new(grads.dq.as_mut_slice()),
        dk: Shared::new(grads.dk.as_mut_slice()),
        dv: Shared::new(grads.dv.as_mut_slice()),
        scratch: Shared::new(scratch.as_mut_slice()),
        scratch_length,
    };
    cpu.run(sequences.len() * sizes.heads, &job);
}

impl Work for Job<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (start, length) = self.sequences[task.task / self.sizes.heads];
        let head = Head { job: self, start, length, head: task.task % self.sizes.heads };
        // Strips as high as the registers allow; their heights divide the blocks.
        if S::ROWS >= 12 {
            head.run::<S, 12, 2>(s, task.worker);
        } else if S::ROWS >= 6 {
            head.run::<S, 6, 1>(s, task.worker);
        } else {
            head.run::<S, 4, 1>(s, task.worker);
        }
    }
}

/// One sequence and head.
#[derive(Clone, Copy)]
struct Head<'a> {
    job: &'a Job<'a>,
    /// First token of the sequence.
    start: usize,
    /// L
    length: usize,
    head: usize,
}

impl Head<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, s: S, worker: usize) {
        let job = self.job;
        let head_width = job.sizes.head_width;
        // SAFETY: the scratch belongs to this worker, which runs one task at a time.
        let scratch = unsafe { job.scratch.part(worker * job.scratch_length, job.scratch_length) };
        let mut space = Space::<R>::new(scratch, head_width, self.length);
        self.load_queries(s, &mut space);
        space.dq.as_flattened_mut().fill(0.0);
        for first in (0..self.length).step_by(KEYS) {
            let keys = first..self.length.min(first + KEYS);
            self.load_keys(s, keys.clone(), &mut space.block);
            for row in (0..self.length).step_by(QUERIES) {
                let queries = row..self.length.min(row + QUERIES);
                space.weigh::<S, V>(s, head_width, queries.clone(), keys.len());
                space.spend::<S, V>(s, queries, keys.len());
            }
            self.store(s, &job.dk, keys.clone(), (space.block.dk, KEYS));
            self.store(s, &job.dv, keys, (space.block.dv, KEYS));
        }
        let rows = self.length.next_multiple_of(QUERIES);
        self.store(s, &job.dq, 0..self.length, (space.dq, rows));
    }

    /// Copies queries and the result's gradients, and computes delta.
    #[inline(always)]
    fn load_queries<S: Simd, const R: usize>(self, s: S, space: &mut Space<'_, R>) {
        let job = self.job;
        let rows = self.length.next_multiple_of(QUERIES);
        self.load(s, job.q, 0..self.length, (space.queries, rows));
        self.load(s, job.dout, 0..self.length, (space.slopes, rows));
        strips(s, job.sizes.head_width, self.length, (space.queries, rows), space.query_strips);
        strips(s, job.sizes.head_width, self.length, (space.slopes, rows), space.slope_strips);
        // The product of gradient and result passes through the memory of the queries' gradient.
        self.load(s, job.out, 0..self.length, (space.dq, rows));
        for row in 0..rows {
            let inside = row < self.length;
            let at = (self.start + row) * job.sizes.heads + self.head;
            space.lse[row] = if inside { job.lse[at] } else { 0.0 };
            let mut sum = s.splat(0.0);
            for (slopes, outs) in space.slopes.chunks_exact(rows).zip(space.dq.chunks_exact(rows)) {
                sum = s.fma(s.load(&slopes[row]), s.load(&outs[row]), sum);
            }
            space.delta[row] = if inside { s.sum(sum) } else { 0.0 };
        }
    }

    /// Copies a block of keys and values and clears their gradients.
    #[inline(always)]
    fn load_keys<S: Simd>(self, s: S, keys: Range<usize>, block: &mut Block<'_>) {
        let (job, count) = (self.job, keys.len());
        self.load(s, job.k, keys.clone(), (block.keys, KEYS));
        self.load(s, job.v, keys, (block.values, KEYS));
        strips(s, job.sizes.head_width, count, (block.keys, KEYS), block.key_columns);
        strips(s, job.sizes.head_width, count, (block.values, KEYS), block.value_columns);
        block.dk.as_flattened_mut().fill(0.0);
        block.dv.as_flattened_mut().fill(0.0);
    }

    /// Place of a row's columns from `group` on in `[T,H·D]`, and how many there are.
    #[inline(always)]
    fn place(self, row: usize, group: usize) -> (usize, usize) {
        let Sizes { heads, head_width } = self.job.sizes;
        let first = group * LANES;
        (((self.start + row) * heads + self.head) * head_width + first, LANES.min(head_width - first))
    }

    /// Widens `rows` of this head into groups of `height` rows.
    #[inline(always)]
    fn load<S: Simd>(self, s: S, from: Input<'_>, rows: Range<usize>, (to, height): (&mut [Lanes], usize)) {
        for (group, to) in to.chunks_exact_mut(height).enumerate() {
            for (row, to) in rows.clone().zip(to) {
                let (at, lanes) = self.place(row, group);
                let value = match from {
                    Input::F32(from) => s.load_any(&from.as_slice()[at..at + lanes]),
                    Input::Bf16(from) => {
                        let from = &from.as_slice()[at..at + lanes];
                        match from.first_chunk::<LANES>() {
                            Some(from) => s.load_bf16(from),
                            None => s.load_part_bf16(from),
                        }
                    }
                };
                s.store(value, to);
            }
        }
    }

    /// Writes `rows` of this head from groups of `height` rows.
    #[inline(always)]
    fn store<S: Simd>(
        self,
        s: S,
        to: &Shared<'_, f32>,
        rows: Range<usize>,
        (from, height): (&[Lanes], usize),
    ) {
        for (group, from) in from.chunks_exact(height).enumerate() {
            for (row, from) in rows.clone().zip(from) {
                let (at, lanes) = self.place(row, group);
                // SAFETY: one task owns the columns of a head in the rows of a sequence.
                s.store_any(s.load(from), unsafe { to.part(at, lanes) });
            }
        }
    }
}

/// Cuts `count` rows, in groups of `height`, into strips of `W` rows: `[strip][D][W]`. Missing rows of
/// the last strip are zero; strips beyond it are left alone.
#[inline(always)]
fn strips<S: Simd, const W: usize>(
    s: S,
    head_width: usize,
    count: usize,
    (from, height): (&[Lanes], usize),
    to: &mut [[f32; W]],
) {
    for (strip, to) in to.chunks_exact_mut(head_width).take(count.div_ceil(W)).enumerate() {
        for (group, to) in to.chunks_mut(LANES).enumerate() {
            let rows = Values::F32(from[group * height..(group + 1) * height].as_flattened());
            let matrix = Matrix::rows(rows, height, to.len(), LANES);
            matrix.pack(s, strip * W..count.min((strip + 1) * W), to);
        }
    }
}

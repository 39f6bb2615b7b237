//! Attention maps of one sequence mixed to one, and their margins; no map is ever held whole.
//!
//! A task owns some queries of all heads: it adds their rows to the mixture, heads ascending, and leaves the sums of
//! its rows and, for each head, the sum of its rows column by column. Those partial columns are then added with
//! the blocks of queries ascending, so that no sum depends on the threads.

use super::rows::{QUERIES, Rows, STRIP_MAX, Scratch};
use super::{Mixture, Sizes};
use crate::buffer::{Buffer, Input};
use crate::cpu::Cpu;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use std::ops::Range;

pub(super) fn mix(
    cpu: &Cpu,
    sizes: Sizes,
    (tokens, residues): (Range<usize>, Range<usize>),
    operands: (Input<'_>, Input<'_>),
    mixture: &mut Mixture<'_>,
) {
    let (length, blocks) = (residues.len(), tokens.len().div_ceil(QUERIES));
    let mut scratch = Scratch::new(cpu, sizes, tokens.len());
    let mut strips = Buffer::scratch(cpu.pool(), cpu.threads().count() * STRIP_MAX * tokens.len());
    let mut columns = Buffer::<f32>::zeros(cpu.pool(), blocks * sizes.heads * length);
    let first = residues.start - tokens.start;
    let rows = Rows::new(cpu, sizes, tokens, operands, &mut scratch);
    let job = Job {
        rows: &rows,
        residues: first..first + length,
        weights: mixture.weights.as_slice(),
        strips: Shared::new(strips.as_mut_slice()),
        columns: Shared::new(columns.as_mut_slice()),
        map: Shared::new(mixture.map.as_mut_slice()),
        sums: Shared::new(mixture.sums.as_mut_slice()),
    };
    cpu.run(blocks, &Mix(&job));
    cpu.run(sizes.heads, &Margins(&job));
}

struct Job<'a> {
    rows: &'a Rows<'a>,
    /// Rows and columns of the maps that count.
    residues: Range<usize>,
    weights: &'a [f32],
    /// Rows of maps of each thread.
    strips: Shared<'a, f32>,
    /// Sums of the rows of each block, `[blocks,H,L]`.
    columns: Shared<'a, f32>,
    map: Shared<'a, f32>,
    sums: Shared<'a, f32>,
}

/// First step: some queries of all heads.
struct Mix<'a>(&'a Job<'a>);

impl Work for Mix<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        if S::ROWS >= 12 {
            self.0.mix::<S, 12, 2>(s, task);
        } else if S::ROWS >= 6 {
            self.0.mix::<S, 6, 1>(s, task);
        } else {
            self.0.mix::<S, 4, 1>(s, task);
        }
    }
}

impl Job<'_> {
    #[inline(always)]
    fn mix<S: Simd, const R: usize, const V: usize>(&self, s: S, task: Task) {
        let tokens = self.rows.length;
        let first = task.task * QUERIES;
        // SAFETY: the rows belong to this worker, which runs one task at a time.
        let strip = unsafe { self.strips.part(task.worker * STRIP_MAX * tokens, R * tokens) };
        for head in 0..self.rows.sizes.heads {
            for row in (first..tokens.min(first + QUERIES)).step_by(R) {
                let strip = &mut strip[..R.min(tokens - row) * tokens];
                self.rows.fill::<S, R, V>(s, task.worker, (head, row), strip);
                for (query, found) in (row..).zip(strip.chunks_exact(tokens)) {
                    if self.residues.contains(&query) {
                        let at = (task.task, head, query - self.residues.start);
                        self.add_row(s, at, &found[self.residues.clone()]);
                    }
                }
            }
        }
    }

    /// Adds row `row` of the map of a head to everything it is part of.
    #[inline(always)]
    fn add_row<S: Simd>(&self, s: S, (block, head, row): (usize, usize, usize), found: &[f32]) {
        let (length, heads) = (self.residues.len(), self.rows.sizes.heads);
        // SAFETY: one task owns this row of the mixture, its sums, and the columns of its block.
        let (map, sum, columns) = unsafe {
            (
                self.map.part(row * length, length),
                self.sums.part(head * length + row, 1),
                self.columns.part((block * heads + head) * length, length),
            )
        };
        let weight = s.splat(self.weights[head]);
        let mut total = s.splat(0.0);
        let places = map.chunks_mut(LANES).zip(columns.chunks_mut(LANES));
        for (found, (map, columns)) in found.chunks(LANES).zip(places) {
            let found = s.load_any(found);
            total = s.add(total, found);
            s.store_any(s.fma(weight, found, s.load_any(map)), map);
            s.store_any(s.add(s.load_any(columns), found), columns);
        }
        sum[0] = s.sum(total);
    }
}

/// Second step: the sums of one head, rows and columns together.
struct Margins<'a>(&'a Job<'a>);

impl Work for Margins<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let job = self.0;
        let (length, heads) = (job.residues.len(), job.rows.sizes.heads);
        // SAFETY: every task owns the sums of one head.
        let sums = unsafe { job.sums.part(task.task * length, length) };
        for block in 0..job.rows.length.div_ceil(QUERIES) {
            // SAFETY: the first step has ended, all tasks only read.
            let columns = unsafe { job.columns.read((block * heads + task.task) * length, length) };
            for (sum, column) in sums.chunks_mut(LANES).zip(columns.chunks(LANES)) {
                s.store_any(s.add(s.load_any(sum), s.load_any(column)), sum);
            }
        }
    }
}

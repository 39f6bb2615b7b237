//! The filter over vectors: a task takes some rows and some columns, lanes are channels.

use super::{FILTER_MAX, Grads, Sizes};
use crate::buffer::Buffer;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};
use crate::sequences::{Direction, Sequences};
use std::ops::Range;

/// Rows of one task, and of one sum of weight gradients: the K-1 rows computed twice stay few.
const ROWS: usize = 64;

/// Columns of one task: what it works on fits a second-level cache.
const COLUMNS: usize = 256;

/// Rows whose gradients one task computes.
const SLOPES: usize = ROWS + FILTER_MAX - 1;

/// What stands before a sequence.
static ZEROS: [f32; COLUMNS] = [0.0; COLUMNS];

/// One row of every tap, of which the first K count.
type Taps<'a> = [&'a [f32]; FILTER_MAX];

/// What both directions read.
#[derive(Clone, Copy)]
struct Filter<'a> {
    sizes: Sizes,
    sequences: Sequences<'a>,
    x: &'a [f32],
    /// `[K,E]`
    w: &'a [f32],
    b: &'a [f32],
    /// What came before the first row, for the sequence with that number.
    carry: Option<(usize, &'a [f32])>,
}

/// The filter turned over, so that lanes are channels.
fn turned(cpu: &Cpu, sizes: Sizes, w: &[f32]) -> Buffer<f32> {
    let mut taps = Buffer::scratch(cpu.pool(), w.len());
    for (k, tap) in taps.as_mut_slice().chunks_exact_mut(sizes.width).enumerate() {
        let column = w.iter().skip(k).step_by(sizes.filter);
        tap.iter_mut().zip(column).for_each(|(to, &from)| *to = from);
    }
    taps
}

/// Rows and columns of a task.
#[inline(always)]
fn piece(sizes: Sizes, task: Task) -> (Range<usize>, Range<usize>) {
    let blocks = sizes.width.div_ceil(COLUMNS);
    let (row, column) = (task.task / blocks * ROWS, task.task % blocks * COLUMNS);
    (row..(row + ROWS).min(sizes.tokens), column..(column + COLUMNS).min(sizes.width))
}

fn pieces(sizes: Sizes) -> usize {
    sizes.tokens.div_ceil(ROWS) * sizes.width.div_ceil(COLUMNS)
}

impl<'a> Filter<'a> {
    /// The filter's taps in some columns.
    #[inline(always)]
    fn taps(&self, columns: &Range<usize>) -> Taps<'a> {
        let mut taps: Taps<'a> = [&[]; FILTER_MAX];
        for (k, tap) in taps.iter_mut().enumerate().take(self.sizes.filter) {
            let first = k * self.sizes.width;
            *tap = &self.w[first + columns.start..first + columns.end];
        }
        taps
    }

    /// What each tap of `row` reads in some columns.
    #[inline(always)]
    fn sources(&self, row: usize, columns: &Range<usize>) -> Taps<'a> {
        let Sizes { width, filter, .. } = self.sizes;
        let sequence = self.sequences.of_row(row);
        let span = self.sequences.span(sequence);
        let step = self.sequences.direction.step(&span, row);
        let mut sources: Taps<'a> = [&[]; FILTER_MAX];
        for (k, source) in sources.iter_mut().enumerate().take(filter) {
            let (values, row) = match ((step + k + 1).checked_sub(filter), self.carry) {
                (Some(step), _) => (self.x, self.sequences.direction.row(&span, step)),
                (None, Some((first, carry))) if first == sequence => (carry, step + k),
                (None, _) => {
                    *source = &ZEROS[..columns.len()];
                    continue;
                }
            };
            *source = &values[row * width + columns.start..row * width + columns.end];
        }
        sources
    }

    /// The sums before SiLU from column `c` on.
    #[inline(always)]
    fn sums<S: Simd, const K: usize>(&self, s: S, bias: &[f32], taps: &[Taps<'_>; 2], c: usize) -> S::F {
        let mut sum = s.load_any(&bias[c..]);
        for k in 0..self.count::<K>() {
            sum = s.fma(s.load_any(&taps[0][k][c..]), s.load_any(&taps[1][k][c..]), sum);
        }
        sum
    }

    /// Number of taps, which the compiler knows where it is not 0.
    #[inline(always)]
    fn count<const K: usize>(&self) -> usize {
        if K == 0 { self.sizes.filter.min(FILTER_MAX) } else { K }
    }
}

struct Forward<'a> {
    filter: Filter<'a>,
    u: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        match self.filter.sizes.filter {
            4 => self.block::<S, 4>(s, task),
            _ => self.block::<S, 0>(s, task),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn block<S: Simd, const K: usize>(&self, s: S, task: Task) {
        let (rows, columns) = piece(self.filter.sizes, task);
        let (taps, bias) = (self.filter.taps(&columns), &self.filter.b[columns.clone()]);
        for row in rows {
            let taps = [taps, self.filter.sources(row, &columns)];
            // SAFETY: every row and column belongs to one task.
            let u = unsafe { self.u.part(row * self.filter.sizes.width + columns.start, columns.len()) };
            for (piece, u) in u.chunks_mut(LANES).enumerate() {
                let sums = self.filter.sums::<S, K>(s, bias, &taps, piece * LANES);
                s.store_any(math::silu(s, sums), u);
            }
        }
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, sequences): (Sizes, Sequences<'_>),
    x: &Buffer<f32>,
    (w, b): (&Buffer<f32>, &Buffer<f32>),
    carry: Option<&mut Buffer<f32>>,
    u: &mut Buffer<f32>,
) {
    let Some((first, last)) = sequences.ends() else { return };
    let (taps, x) = (turned(cpu, sizes, w.as_slice()), x.as_slice());
    let before = carry.as_deref().map(|carry| (first, carry.as_slice()));
    let filter = Filter { sizes, sequences, x, w: taps.as_slice(), b: b.as_slice(), carry: before };
    cpu.run(pieces(sizes), &Forward { filter, u: Shared::new(u.as_mut_slice()) });
    if let Some(carry) = carry {
        if first != last {
            carry.as_mut_slice().fill(0.0);
        }
        leave((sizes, sequences), sequences.span(last), x, carry.as_mut_slice());
    }
}

/// Moves the last rows of the sequence in the rows `span` into the carry.
fn leave((sizes, sequences): (Sizes, Sequences<'_>), span: Range<usize>, x: &[f32], carry: &mut [f32]) {
    let (width, rows) = (sizes.width, sizes.filter - 1);
    let new = span.len().min(rows);
    carry.copy_within(new * width.., 0);
    for back in 1..=new {
        let row = sequences.direction.row(&span, span.len() - back);
        carry[(rows - back) * width..][..width].copy_from_slice(&x[row * width..][..width]);
    }
}

/// A task writes its rows of `dx` and its sums for the weights.
struct Backward<'a> {
    filter: Filter<'a>,
    du: &'a [f32],
    dx: Shared<'a, f32>,
    /// Sums over the rows of a task, `[tasks of rows][K+1,E]`: the taps, then the bias.
    sums: Shared<'a, f32>,
    /// Gradients before SiLU of each thread, `[SLOPES, COLUMNS]`.
    slopes: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        match self.filter.sizes.filter {
            4 => self.block::<S, 4>(s, task),
            _ => self.block::<S, 0>(s, task),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn block<S: Simd, const K: usize>(&self, s: S, task: Task) {
        let Sizes { tokens, filter, .. } = self.filter.sizes;
        let (rows, columns) = piece(self.filter.sizes, task);
        // Gradients come to a row from up to K-1 steps after it.
        let reached = match self.filter.sequences.direction {
            Direction::Forward => rows.start..(rows.end + filter - 1).min(tokens),
            Direction::Reverse => (rows.start + 1).saturating_sub(filter)..rows.end,
        };
        let length = SLOPES * COLUMNS;
        // SAFETY: this memory belongs to this thread, which runs one task at a time.
        let slopes = unsafe { self.slopes.part(task.worker * length, length) };
        self.clear(&rows, &columns);
        for (row, slopes) in reached.clone().zip(slopes.chunks_exact_mut(COLUMNS)) {
            let sources = self.filter.sources(row, &columns);
            self.slopes::<S, K>(s, row, &columns, &sources, slopes);
            if rows.contains(&row) {
                self.add_weights::<S, K>(s, &columns, &sources, (slopes, rows.start / ROWS));
            }
        }
        for row in rows {
            self.input::<S, K>(s, row, &columns, (slopes, reached.start));
        }
    }

    /// Sums of weight gradients for one piece of rows, tap `k` (the bias for K).
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "every piece of rows and columns belongs to one task")]
    fn sums(&self, block: usize, k: usize, columns: &Range<usize>) -> &mut [f32] {
        let Sizes { width, filter, .. } = self.filter.sizes;
        // SAFETY: every piece of rows and columns belongs to one task, which holds one such part at a time.
        unsafe { self.sums.part((block * (filter + 1) + k) * width + columns.start, columns.len()) }
    }

    #[inline(always)]
    fn clear(&self, rows: &Range<usize>, columns: &Range<usize>) {
        for k in 0..=self.filter.sizes.filter {
            self.sums(rows.start / ROWS, k, columns).fill(0.0);
        }
    }

    /// `g = du ⊙ SiLU'(a)` of one row.
    #[inline(always)]
    fn slopes<S: Simd, const K: usize>(
        &self,
        s: S,
        row: usize,
        columns: &Range<usize>,
        sources: &Taps<'_>,
        slopes: &mut [f32],
    ) {
        let width = self.filter.sizes.width;
        let (taps, bias) = ([self.filter.taps(columns), *sources], &self.filter.b[columns.clone()]);
        let du = &self.du[row * width + columns.start..row * width + columns.end];
        for (piece, slopes) in slopes[..columns.len()].chunks_mut(LANES).enumerate() {
            let sums = self.filter.sums::<S, K>(s, bias, &taps, piece * LANES);
            s.store_any(s.mul(s.load_any(&du[piece * LANES..]), math::silu_and_slope(s, sums).1), slopes);
        }
    }

    /// Adds a row's part of the weight gradients.
    #[inline(always)]
    fn add_weights<S: Simd, const K: usize>(
        &self,
        s: S,
        columns: &Range<usize>,
        sources: &Taps<'_>,
        (slopes, block): (&[f32], usize),
    ) {
        for k in 0..=self.filter.count::<K>() {
            for (piece, sums) in self.sums(block, k, columns).chunks_mut(LANES).enumerate() {
                let (c, old) = (piece * LANES, s.load_any(sums));
                let g = s.load_any(&slopes[c..][..sums.len()]);
                let new = match sources[..self.filter.count::<K>()].get(k) {
                    Some(source) => s.fma(g, s.load_any(&source[c..]), old),
                    None => s.add(old, g),
                };
                s.store_any(new, sums);
            }
        }
    }

    /// `dx` of one row from the gradients `slopes`, whose first row is `first`.
    #[inline(always)]
    fn input<S: Simd, const K: usize>(
        &self,
        s: S,
        row: usize,
        columns: &Range<usize>,
        (slopes, first): (&[f32], usize),
    ) {
        let Sizes { width, filter, .. } = self.filter.sizes;
        let (sequences, taps) = (self.filter.sequences, self.filter.taps(columns));
        let span = sequences.span(sequences.of_row(row));
        let step = sequences.direction.step(&span, row);
        let mut sources: Taps<'_> = [&ZEROS; FILTER_MAX];
        for (k, source) in sources.iter_mut().enumerate().take(filter) {
            let after = step + filter - 1 - k;
            if after < span.len() {
                *source = &slopes[(sequences.direction.row(&span, after) - first) * COLUMNS..][..COLUMNS];
            }
        }
        // SAFETY: every row and column belongs to one task.
        let dx = unsafe { self.dx.part(row * width + columns.start, columns.len()) };
        for (piece, dx) in dx.chunks_mut(LANES).enumerate() {
            let (c, mut sum) = (piece * LANES, s.splat(0.0));
            for k in (0..self.filter.count::<K>()).rev() {
                let source = &sources[k][c..][..dx.len()];
                sum = s.fma(s.load_any(&taps[k][c..]), s.load_any(source), sum);
            }
            s.store_any(sum, dx);
        }
    }
}

/// Adds the sums of all pieces of rows, in order; a task takes some columns.
struct Weights<'a> {
    sizes: Sizes,
    sums: &'a [f32],
    dw: Shared<'a, f32>,
    db: Shared<'a, f32>,
}

impl Work for Weights<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { width, filter, .. } = self.sizes;
        let first = task.task * LANES;
        let columns = LANES.min(width - first);
        // SAFETY: every column belongs to one task.
        let dw = unsafe { self.dw.part(first * filter, columns * filter) };
        // SAFETY: as above.
        let db = unsafe { self.db.part(first, columns) };
        for k in 0..=filter {
            let mut sum = s.splat(0.0);
            for sums in self.sums.chunks_exact((filter + 1) * width) {
                sum = s.add(sum, s.load_any(&sums[k * width + first..][..columns]));
            }
            let sums = s.to_array(sum);
            if k == filter {
                db.iter_mut().zip(sums).for_each(|(db, sum)| *db += sum);
            } else {
                dw.iter_mut().skip(k).step_by(filter).zip(sums).for_each(|(dw, sum)| *dw += sum);
            }
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, sequences): (Sizes, Sequences<'_>),
    x: &Buffer<f32>,
    (w, b): (&Buffer<f32>, &Buffer<f32>),
    du: &Buffer<f32>,
    grads: Grads<'_>,
) {
    let taps = turned(cpu, sizes, w.as_slice());
    let (x, w, b) = (x.as_slice(), taps.as_slice(), b.as_slice());
    let filter = Filter { sizes, sequences, x, w, b, carry: None };
    let blocks = sizes.tokens.div_ceil(ROWS);
    let mut sums = Buffer::scratch(cpu.pool(), blocks * (sizes.filter + 1) * sizes.width);
    let mut slopes = Buffer::scratch(cpu.pool(), cpu.threads().count() * SLOPES * COLUMNS);
    let work = Backward {
        filter,
        du: du.as_slice(),
        dx: Shared::new(grads.dx.as_mut_slice()),
        sums: Shared::new(sums.as_mut_slice()),
        slopes: Shared::new(slopes.as_mut_slice()),
    };
    cpu.run(pieces(sizes), &work);
    let (dw, db) = (Shared::new(grads.dw.as_mut_slice()), Shared::new(grads.db.as_mut_slice()));
    cpu.run(sizes.width.div_ceil(LANES), &Weights { sizes, sums: sums.as_slice(), dw, db });
}

//! Pooling over vectors: a task takes some columns of one sequence and holds their sums in registers.

use super::{Kind, Sizes};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{load, load_block, store, store_block};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

/// Vectors that a task holds at once: rows are read in runs of cache lines, and the sums fit the
/// registers of every path.
const VECTORS: usize = 4;

/// Columns of one task.
const COLUMNS: usize = VECTORS * LANES;

struct Forward<'a> {
    sizes: Sizes,
    kind: Kind,
    spans: &'a [(usize, usize)],
    x: &'a [f32],
    y: Shared<'a, f32>,
    argmax: Option<Shared<'a, u32>>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let width = self.sizes.width;
        let blocks = width.div_ceil(COLUMNS);
        let (b, first) = (task.task / blocks, task.task % blocks * COLUMNS);
        let columns = COLUMNS.min(width - first);
        if columns == COLUMNS {
            self.block::<S, VECTORS>(s, b, first, columns);
        } else {
            for piece in (first..width).step_by(LANES) {
                self.block::<S, 1>(s, b, piece, LANES.min(width - piece));
            }
        }
    }
}

impl Forward<'_> {
    /// Pools sequence `b` in `columns` columns from `first`, which `V` vectors hold.
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&self, s: S, b: usize, first: usize, columns: usize) {
        let width = self.sizes.width;
        let (start, end) = self.spans[b];
        let rows = Rows { values: &self.x[start * width..end * width], width, first };
        // SAFETY: every column of a sequence belongs to one task.
        let y = unsafe { self.y.part(b * width + first, columns) };
        let result: [S::F; V] = match self.kind {
            // The one row, unchanged.
            Kind::Cls => rows.join(
                s,
                0.0,
                #[inline(always)]
                |_, x| x,
            ),
            Kind::Mean => {
                let count = s.splat((end - start) as f32);
                let sums: [S::F; V] = rows.join(
                    s,
                    0.0,
                    #[inline(always)]
                    |sum, x| s.add(sum, x),
                );
                sums.map(
                    #[inline(always)]
                    |sum| s.div(sum, count),
                )
            }
            Kind::Sum => rows.join(
                s,
                0.0,
                #[inline(always)]
                |sum, x| s.add(sum, x),
            ),
            Kind::Max => rows.join(
                s,
                f32::NEG_INFINITY,
                #[inline(always)]
                |best, x| s.max(x, best),
            ),
        };
        store_block(s, result, y);
        if let (Kind::Max, Some(argmax)) = (self.kind, &self.argmax) {
            // SAFETY: as above.
            rows.find_first(y, unsafe { argmax.part(b * width + first, columns) }, start);
        }
    }
}

/// The rows of one sequence, seen from column `first`.
struct Rows<'a> {
    values: &'a [f32],
    width: usize,
    first: usize,
}

impl Rows<'_> {
    /// Joins the rows, tokens ascending.
    #[inline(always)]
    fn join<S: Simd, const V: usize>(
        &self,
        s: S,
        start: f32,
        join: impl Fn(S::F, S::F) -> S::F,
    ) -> [S::F; V] {
        let mut result = [s.splat(start); V];
        for row in self.values.chunks_exact(self.width) {
            let row = load_block::<S, V>(s, &row[self.first..]);
            for v in 0..V {
                result[v] = join(result[v], row[v]);
            }
        }
        result
    }

    /// Tokens, counted from `start`, at which the columns first hold their maxima `best`.
    #[inline(always)]
    fn find_first(&self, best: &[f32], argmax: &mut [u32], start: usize) {
        argmax.fill(start as u32);
        for (token, row) in self.values.chunks_exact(self.width).enumerate().rev() {
            let row = &row[self.first..][..best.len()];
            for ((place, value), best) in argmax.iter_mut().zip(row).zip(best) {
                if value == best {
                    *place = (start + token) as u32;
                }
            }
        }
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, kind, spans): (Sizes, Kind, &[(usize, usize)]),
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
    argmax: Option<&mut Buffer<u32>>,
) {
    let argmax = argmax.map(|argmax| Shared::new(argmax.as_mut_slice()));
    let y = Shared::new(y.as_mut_slice());
    let tasks = spans.len() * sizes.width.div_ceil(COLUMNS);
    cpu.run(tasks, &Forward { sizes, kind, spans, x: x.as_slice(), y, argmax });
}

/// A task takes some columns of all sequences, so that ranges may overlap.
struct Backward<'a> {
    sizes: Sizes,
    kind: Kind,
    spans: &'a [(usize, usize)],
    argmax: &'a [u32],
    dy: &'a [f32],
    dx: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let width = self.sizes.width;
        for first in (task.task * COLUMNS..((task.task + 1) * COLUMNS).min(width)).step_by(LANES) {
            let lanes = LANES.min(width - first);
            for (b, &span) in self.spans.iter().enumerate() {
                let place = b * width + first..b * width + first + lanes;
                if self.kind == Kind::Max {
                    self.scatter(first, place);
                } else {
                    self.spread(s, first, span, &self.dy[place]);
                }
            }
        }
    }
}

impl Backward<'_> {
    /// Adds the gradient to every token of the range, that of a mean shared evenly.
    #[inline(always)]
    fn spread<S: Simd>(&self, s: S, first: usize, (start, end): (usize, usize), dy: &[f32]) {
        let mut share = load(s, dy, 0.0);
        if self.kind == Kind::Mean {
            share = s.div(share, s.splat((end - start) as f32));
        }
        for token in start..end {
            // SAFETY: every column belongs to one task.
            let dx = unsafe { self.dx.part(token * self.sizes.width + first, dy.len()) };
            store(s, s.add(load(s, dx, 0.0), share), dx);
        }
    }

    /// Adds each column's gradient where its maximum stood.
    #[inline(always)]
    fn scatter(&self, first: usize, place: std::ops::Range<usize>) {
        for (lane, (&row, &dy)) in self.argmax[place.clone()].iter().zip(&self.dy[place]).enumerate() {
            let at = row as usize * self.sizes.width + first + lane;
            // SAFETY: every column belongs to one task.
            let dx = unsafe { self.dx.part(at, 1) };
            dx[0] += dy;
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, kind, spans): (Sizes, Kind, &[(usize, usize)]),
    argmax: &[u32],
    dy: &Buffer<f32>,
    dx: &mut Buffer<f32>,
) {
    let dx = Shared::new(dx.as_mut_slice());
    let work = Backward { sizes, kind, spans, argmax, dy: dy.as_slice(), dx };
    cpu.run(sizes.width.div_ceil(COLUMNS), &work);
}

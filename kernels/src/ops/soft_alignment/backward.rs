//! The backward over vectors: matrices again, slopes of the similarities in their place, then sixteen columns of both sides
//! at a time.

use super::Pairs;
use super::forward::{Lanes, Matrices, ROWS, Shape, cut, order, weight};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{fold, load, store, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

struct Backward<'a> {
    pairs: Pairs<'a>,
    order: &'a [usize],
    dscores: &'a [f32],
    da: Shared<'a, f32>,
    db: Shared<'a, f32>,
    space: Shared<'a, f32>,
    words: usize,
}

impl Shape {
    /// Words that a thread needs for the backward of the pair: sums of columns, and sixteen columns of a, of b and of its
    /// gradient.
    fn words_backward(self) -> usize {
        self.words() + self.columns + LANES * (self.rows + 2 * self.columns)
    }
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (pair, width) = (self.order[task.task], self.pairs.width);
        let (a, b) = self.pairs.pair(pair);
        let shape = Shape::new(width, (a, b));
        // SAFETY: the memory belongs to this worker, which runs one task at a time.
        let space = unsafe { self.space.part(task.worker * self.words, self.words) };
        let (space, rest) = space.split_at_mut(shape.words());
        let rest = &mut &mut rest[..];
        let sums = cut(rest, shape.columns);
        let (left, right) = (cut(rest, LANES * shape.rows), cut(rest, LANES * shape.columns));
        let slopes = cut(rest, LANES * shape.columns).as_chunks_mut::<LANES>().0;
        let mut matrices = Matrices::of(s, shape, (a, b), space);
        similarity_slopes(s, shape, &mut matrices, self.dscores[pair], sums);
        let (start, first) = (self.pairs.a.offsets[pair] * width, self.pairs.b.offsets[pair] * width);
        // SAFETY: every pair belongs to one task.
        let da = unsafe { self.da.part(start, a.len()) };
        // SAFETY: as above.
        let db = unsafe { self.db.part(first, b.len()) };
        let (left, right) = (left.as_chunks_mut::<LANES>().0, right.as_chunks_mut::<LANES>().0);
        for columns in (0..width).step_by(LANES) {
            gather(s, a, (width, columns), left);
            gather(s, b, (width, columns), right);
            slopes.fill([0.0; LANES]);
            let pull = Pull { similarities: matrices.similarities, left, right };
            pull.all(s, slopes, (width, columns), da);
            for (row, slope) in db.chunks_exact_mut(width).zip(slopes.iter()) {
                let end = width.min(columns + LANES);
                store(s, s.load(slope), &mut row[columns..end]);
            }
        }
    }
}

/// `e = (s - y)/W`
#[inline(always)]
fn apart<S: Simd>(s: S, x: S::F, (score, share): (S::F, S::F)) -> S::F {
    s.mul(s.sub(x, score), share)
}

/// Puts `ds` in the place of the similarities; `sums` has room for a number of every column.
#[inline(always)]
fn similarity_slopes<S: Simd>(
    s: S,
    shape: Shape,
    matrices: &mut Matrices<'_>,
    dscore: f32,
    sums: &mut [f32],
) {
    let score = matrices.score(s);
    let (centre, one) = ((s.splat(score.value), s.splat(1.0 / score.total)), s.splat(1.0));
    sums.fill(0.0);
    for row in 0..shape.rows {
        let [similarities, by_row, by_column] = matrices.row(row);
        update(
            s,
            [similarities, by_row, by_column],
            sums,
            #[inline(always)]
            |[x, row, column], sum| s.fma(column, s.mul(apart(s, x, centre), s.sub(one, row)), sum),
        );
    }
    let dscore = s.splat(dscore);
    for row in 0..shape.rows {
        let sum = fold(
            s,
            matrices.row(row),
            0.0,
            s.splat(0.0),
            #[inline(always)]
            |sum, [x, row, column]| s.fma(row, s.mul(apart(s, x, centre), s.sub(one, column)), sum),
        );
        let sum = s.splat(s.sum(sum));
        let place = row * shape.columns..(row + 1) * shape.columns;
        let [by_row, by_column] = [&matrices.by_row[place.clone()], &matrices.by_column[place.clone()]];
        update(
            s,
            [by_row, by_column, sums],
            &mut matrices.similarities[place],
            #[inline(always)]
            |[row, column, of_column], x| {
                let apart = apart(s, x, centre);
                let through_row = s.sub(s.mul(apart, s.sub(one, column)), sum);
                let through_column = s.sub(s.mul(apart, s.sub(one, row)), of_column);
                let direct = s.mul(weight(s, row, column), centre.1);
                s.mul(dscore, s.fma(column, through_column, s.fma(row, through_row, direct)))
            },
        );
    }
}

/// Sixteen columns of all rows, missing ones zero.
#[inline(always)]
fn gather<S: Simd>(s: S, from: &[f32], (width, columns): (usize, usize), to: &mut [Lanes]) {
    for (row, to) in from.chunks_exact(width).zip(to) {
        s.store(load(s, &row[columns..], 0.0), to);
    }
}

/// Slopes of the similarities on their way to sixteen columns of both sides.
struct Pull<'a> {
    /// `ds [n,m]`
    similarities: &'a [f32],
    left: &'a [Lanes],
    right: &'a [Lanes],
}

impl Pull<'_> {
    /// Writes the columns of `da`, and adds those of `db` to `slopes`.
    #[inline(always)]
    fn all<S: Simd>(&self, s: S, slopes: &mut [Lanes], place: (usize, usize), da: &mut [f32]) {
        let rows = self.left.len();
        let first = rows / ROWS * ROWS;
        for row in (0..first).step_by(ROWS) {
            self.rows::<S, ROWS>(s, row, slopes, place, da);
        }
        for row in first..rows {
            self.rows::<S, 1>(s, row, slopes, place, da);
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize>(
        &self,
        s: S,
        first: usize,
        slopes: &mut [Lanes],
        (width, columns): (usize, usize),
        da: &mut [f32],
    ) {
        let count = self.right.len();
        let ds: [&[f32]; R] = std::array::from_fn(
            #[inline(always)]
            |r| &self.similarities[(first + r) * count..(first + r + 1) * count],
        );
        let a: [S::F; R] = std::array::from_fn(
            #[inline(always)]
            |r| s.load(&self.left[first + r]),
        );
        let mut sums = [s.splat(0.0); R];
        for (j, (right, slope)) in self.right.iter().zip(slopes).enumerate() {
            let (b, mut sum) = (s.load(right), s.load(slope));
            for r in 0..R {
                let value = s.splat(ds[r][j]);
                let signed = s.sub(s.keep_if_less(b, a[r], value), s.keep_if_less(a[r], b, value));
                sums[r] = s.sub(sums[r], signed);
                sum = s.add(sum, signed);
            }
            s.store(sum, slope);
        }
        let end = width.min(columns + LANES);
        for (r, sum) in sums.into_iter().enumerate() {
            store(s, sum, &mut da[(first + r) * width..][columns..end]);
        }
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    pairs: Pairs<'_>,
    dscores: &Buffer<f32>,
    (da, db): (&mut Buffer<f32>, &mut Buffer<f32>),
) {
    let order = order(&pairs);
    let shapes = order.iter().map(|&pair| Shape::new(pairs.width, pairs.pair(pair)).words_backward());
    let words = shapes.max().unwrap_or(0);
    let mut space = Buffer::scratch(cpu.pool(), cpu.threads().count() * words);
    let work = Backward {
        pairs,
        order: &order,
        dscores: dscores.as_slice(),
        da: Shared::new(da.as_mut_slice()),
        db: Shared::new(db.as_mut_slice()),
        space: Shared::new(space.as_mut_slice()),
        words,
    };
    cpu.run(order.len(), &work);
}

//! From a block of logits to the tally: which pairs are kept, and the moments of each protein's logits.
//!
//! Every thread takes some columns of the block, and with them the proteins of those columns. What concerns the proteins of
//! the rows, which are those of every thread, is gathered and added when all are done.

use std::ops::Range;

use super::asked::{Asked, Side};
use super::tally::{Moments, Partner, Slice, Step, Tally, offer};
use super::{Edge, tally};

/// Pairs that are looked at together.
const LANES: usize = 16;

/// A block of pairs: each protein of the rows with those of the columns that come after it.
pub struct Block<'a> {
    /// The proteins of the rows.
    pub rows: Range<usize>,
    /// Those of the columns.
    pub columns: Range<usize>,
    /// Logits `[R,N]`.
    pub logits: &'a [f32],
}

/// What a thread found for the proteins of the rows, and pairs where all are kept.
#[derive(Default)]
struct Gathered {
    /// `[R]`
    moments: Vec<Moments>,
    /// Row of the block and partner.
    partners: Vec<(usize, Partner)>,
    edges: Vec<Edge>,
}

/// Takes all pairs of a block that are asked for.
pub fn sift(tally: &mut Tally, asked: &Asked, step: Step, block: &Block<'_>, threads: usize) {
    let Block { rows, columns, .. } = block;
    let least: Vec<f32> = tally.least[rows.clone()].to_vec();
    let size = columns.len().div_ceil(threads.max(1)).next_multiple_of(LANES);
    let best = tally.keep.best;
    let sifter = Sifter { asked, block, least: &least, inverse: step.inverse(), best };
    let mut slices = tally.slices(columns.clone(), size);
    let gathered: Vec<Gathered> = if let [only] = slices.as_mut_slice() {
        vec![sifter.columns(only)]
    } else {
        std::thread::scope(|scope| {
            let sifter = &sifter;
            let workers: Vec<_> =
                slices.iter_mut().map(|slice| scope.spawn(move || sifter.columns(slice))).collect();
            let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            // What went wrong in a thread goes wrong here.
            joined.map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    };
    for Gathered { moments, partners, edges } in gathered {
        for (row, moments) in moments.iter().enumerate() {
            tally.moments[rows.start + row].add(moments);
        }
        for (row, partner) in partners {
            let own = rows.start + row;
            offer(&mut tally.best[own], &mut tally.least[own], best.unwrap_or(1), partner);
        }
        tally.edges.extend(edges);
    }
}

/// Takes a pair alone.
pub fn take(tally: &mut Tally, step: Step, edge: Edge) {
    let steps = Step::count(edge.logit, step.inverse());
    for own in [edge.first, edge.second] {
        tally.moments[own as usize].push(steps);
    }
    if edge.logit >= tally.keep.least {
        tally.push(edge);
    }
}

/// Moments of the columns of a slice from groups that were taken together, each number by itself, so that neighbours are added
/// together. A block has no more rows than a unit of work, and so many numbers of 22 bits add up to less than 32.
struct Columns {
    /// How often each group was taken.
    counts: Vec<u32>,
    sums: Vec<i32>,
    squares: Vec<i64>,
}

struct Sifter<'a> {
    asked: &'a Asked,
    block: &'a Block<'a>,
    /// `[R]` what a pair must reach for the protein of its row.
    least: &'a [f32],
    inverse: f32,
    best: Option<usize>,
}

/// A pair of a block.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    /// Among those of the slice.
    column: usize,
    logit: f32,
}

impl Sifter<'_> {
    /// All rows with the columns of a slice.
    fn columns(&self, slice: &mut Slice<'_>) -> Gathered {
        let Block { rows, columns, logits } = self.block;
        let mut gathered = Gathered { moments: vec![Moments::default(); rows.len()], ..Gathered::default() };
        let (first, width) = (slice.first - columns.start, slice.least.len());
        let mut added =
            Columns { counts: vec![0; width / LANES], sums: vec![0; width], squares: vec![0; width] };
        for row in 0..rows.len() {
            let own = &logits[row * columns.len() + first..][..width];
            // Columns up to this one are no partners that come after the row's protein.
            let begin = (rows.start + row + 1).saturating_sub(slice.first).min(width);
            let whole = begin.next_multiple_of(LANES).min(width);
            self.each(slice, &mut gathered, row, (own, begin..whole));
            let end = width - width % LANES;
            for at in (whole..end).step_by(LANES) {
                if self.all_meet(row, slice.first + at) {
                    self.together((&mut *slice, &mut added), &mut gathered, row, (own, at));
                } else {
                    self.each(slice, &mut gathered, row, (own, at..at + LANES));
                }
            }
            self.each(slice, &mut gathered, row, (own, end.max(whole)..width));
        }
        for (column, moments) in slice.moments.iter_mut().enumerate() {
            let count = added.counts.get(column / LANES).copied().unwrap_or_default();
            let (sum, squares) = (i64::from(added.sums[column]), added.squares[column]);
            moments.add(&Moments { count, sum, squares });
        }
        gathered
    }

    /// Whether the protein of a row is asked for with every one of a group of columns.
    fn all_meet(&self, row: usize, first: usize) -> bool {
        let Asked::Between(sides) = self.asked else { return true };
        let own = sides[self.block.rows.start + row];
        own == Side::Both || sides[first..first + LANES].iter().all(|side| own.meets(*side))
    }

    /// Pairs one by one, as some of them may not be asked for.
    fn each(
        &self,
        slice: &mut Slice<'_>,
        gathered: &mut Gathered,
        row: usize,
        (own, range): (&[f32], Range<usize>),
    ) {
        for column in range {
            if !self.asked.holds(self.block.rows.start + row, slice.first + column) {
                continue;
            }
            let logit = own[column];
            let steps = Step::count(logit, self.inverse);
            gathered.moments[row].push(steps);
            slice.moments[column].push(steps);
            self.keep(slice, gathered, Place { row, column, logit });
        }
    }

    /// A group of pairs that all are asked for.
    #[inline]
    fn together(
        &self,
        (slice, added): (&mut Slice<'_>, &mut Columns),
        gathered: &mut Gathered,
        row: usize,
        (own, at): (&[f32], usize),
    ) {
        let (Some(logits), Some(least)) =
            (own[at..].first_chunk::<LANES>(), slice.least[at..].first_chunk::<LANES>())
        else {
            return;
        };
        let bar = self.least[row];
        let is_any =
            (0..LANES).fold(false, |any, lane| any | (logits[lane] >= bar) | (logits[lane] >= least[lane]));
        let steps = logits.map(|logit| Step::count(logit, self.inverse));
        let squares = steps.map(|steps| {
            let size = u64::from(steps.unsigned_abs());
            (size * size) as i64
        });
        let (Some(sums), Some(square_sums)) =
            (added.sums[at..].first_chunk_mut::<LANES>(), added.squares[at..].first_chunk_mut::<LANES>())
        else {
            return;
        };
        for lane in 0..LANES {
            sums[lane] += steps[lane];
            square_sums[lane] += squares[lane];
        }
        added.counts[at / LANES] += 1;
        // Sixteen numbers of 22 bits stay within 32.
        let (sum, squares) = (i64::from(steps.iter().sum::<i32>()), squares.iter().sum());
        gathered.moments[row].add(&Moments { count: LANES as u32, sum, squares });
        if is_any {
            for (lane, &logit) in logits.iter().enumerate() {
                self.keep(slice, gathered, Place { row, column: at + lane, logit });
            }
        }
    }

    /// Keeps a pair for the protein of its row, for that of its column, or as one of all.
    fn keep(&self, slice: &mut Slice<'_>, gathered: &mut Gathered, place: Place) {
        let Place { row, column, logit } = place;
        let [first, second] = [self.block.rows.start + row, slice.first + column].map(|number| number as u32);
        let Some(count) = self.best else {
            if logit >= self.least[row] {
                gathered.edges.push(Edge { first, second, logit });
            }
            return;
        };
        if logit >= self.least[row] {
            gathered.partners.push((row, tally::Partner { logit, number: second }));
        }
        if logit >= slice.least[column] {
            let partner = Partner { logit, number: first };
            offer(&mut slice.best[column], &mut slice.least[column], count, partner);
        }
    }
}

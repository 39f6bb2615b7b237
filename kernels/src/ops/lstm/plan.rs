//! Which rows of a pack make which steps.
//!
//! A step is one product of as many rows as there are lanes, and a lane holds one sequence after the other. With a lane for
//! every sequence the last steps of long sequences would be products of a row or two that still read all weights; with
//! fewer lanes every step is a product of about as many rows. A sequence begins with zeros wherever its lane takes it up,
//! so that what becomes of it does not depend on its lane.

use super::GATES;
use crate::Precision;
use crate::cpu::Cpu;
use crate::cpu::gemm::{PANEL, rows_of_strips, strip_rows};
use crate::sequences::Direction;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// A lane's place at a step.
#[derive(Clone, Copy)]
struct Place {
    sequence: usize,
    /// The step of the sequence itself.
    step: usize,
}

/// What a step costs, in rows of a product.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// Rows of a full strip.
    full: usize,
    /// Rows whose multiplication takes as long as reading the weights.
    reading: usize,
    /// Rows whose multiplication takes as long as what a step of any number of rows has to do.
    step: usize,
}

/// Multiply-adds of a thread in the time in which several wait for each other, about a microsecond.
const MEETING: usize = 100_000;

impl Cost {
    /// Measured with 1024 units, of which steps in f32 read the weights from memory and those in bf16 from a cache.
    pub(super) fn on(cpu: &Cpu, precision: Precision, hidden: usize, members: usize) -> Self {
        let reading = if precision == Precision::F32 { 10 } else { 4 };
        // What a thread of the team does for a row.
        let row = GATES * hidden * PANEL * hidden.div_ceil(PANEL).div_ceil(members);
        let meeting = if members > 1 { MEETING / row } else { 0 };
        // And one, as gates begin when the sums of all rows are there.
        Self { full: strip_rows(cpu), reading, step: 1 + meeting }
    }

    fn of(self, live: &[usize]) -> usize {
        live.iter().map(|&rows| rows_of_strips(rows, self.full).max(self.reading) + self.step).sum()
    }
}

/// Sequences of a pack in lanes, the lane with most steps first; those without tokens are left out.
pub(super) struct Plan {
    /// Rows of each sequence, longest first.
    spans: Vec<Range<usize>>,
    /// What each lane does at its steps, lane by lane.
    places: Vec<Place>,
    /// Where each lane's places begin.
    starts: Vec<usize>,
    /// How many lanes make each step.
    live: Vec<usize>,
}

impl Plan {
    /// Every sequence in a lane of its own.
    pub(super) fn apart(offsets: &[usize]) -> Self {
        let spans = sorted(offsets);
        let lanes = (0..spans.len()).map(|sequence| vec![sequence]).collect();
        Self::of(spans, lanes)
    }

    /// As many lanes as make all steps together cheapest.
    pub(super) fn lanes(offsets: &[usize], cost: Cost) -> Self {
        let spans = sorted(offsets);
        let lengths: Vec<usize> = spans.iter().map(Range::len).collect();
        let several = [4, 8].into_iter().chain((1..=8).map(|strips| strips * cost.full));
        let counts = several.filter(|&count| count < lengths.len()).chain([lengths.len()]);
        let tried = counts.map(|count| {
            let (lanes, steps) = shared_out(&lengths, count);
            (cost.of(&live(&steps)), steps.first().copied().unwrap_or(0), lanes)
        });
        let (_, _, lanes) = tried.min_by_key(|&(cost, steps, _)| (cost, steps)).unwrap_or_default();
        Self::of(spans, lanes)
    }

    fn of(spans: Vec<Range<usize>>, lanes: Vec<Vec<usize>>) -> Self {
        let (mut places, mut starts, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for lane in lanes {
            starts.push(places.len());
            for sequence in lane {
                places.extend((0..spans[sequence].len()).map(|step| Place { sequence, step }));
            }
            steps.push(places.len() - starts[starts.len() - 1]);
        }
        let live = live(&steps);
        Self { spans, places, starts, live }
    }

    /// Rows of each sequence, which is a lane's where every sequence has its own.
    pub(super) fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// Steps of the longest lane.
    #[inline(always)]
    pub(super) fn steps(&self) -> usize {
        self.live.len()
    }

    /// Number of lanes.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// How many lanes make a step: the first ones. None where there is no such step.
    #[inline(always)]
    pub(super) fn live(&self, step: usize) -> usize {
        self.live.get(step).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn place(&self, lane: usize, step: usize) -> Place {
        self.places[self.starts[lane] + step]
    }

    /// The row of a lane at a step.
    #[inline(always)]
    pub(super) fn row(&self, direction: Direction, lane: usize, step: usize) -> usize {
        let place = self.place(lane, step);
        direction.row(&self.spans[place.sequence], place.step)
    }

    /// Whether a lane's step is the first of a sequence.
    #[inline(always)]
    pub(super) fn begins(&self, lane: usize, step: usize) -> bool {
        self.place(lane, step).step == 0
    }

    /// Whether a lane's step is the last of a sequence.
    #[inline(always)]
    pub(super) fn ends(&self, lane: usize, step: usize) -> bool {
        let place = self.place(lane, step);
        place.step + 1 == self.spans[place.sequence].len()
    }
}

/// Rows of the sequences that have any, longest first.
fn sorted(offsets: &[usize]) -> Vec<Range<usize>> {
    let mut spans: Vec<_> =
        offsets.windows(2).map(|pair| pair[0]..pair[1]).filter(|span| !span.is_empty()).collect();
    spans.sort_by_key(|span| Reverse(span.len()));
    spans
}

/// Sequences of these lengths, longest first, in `count` lanes, each where fewest steps are: those of every lane and how
/// many steps they make, most first.
fn shared_out(lengths: &[usize], count: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut lanes: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); count];
    let mut shortest: BinaryHeap<_> = (0..count).map(|lane| Reverse((0, lane))).collect();
    for (sequence, length) in lengths.iter().enumerate() {
        let Some(Reverse((steps, lane))) = shortest.pop() else { break };
        lanes[lane].1.push(sequence);
        lanes[lane].0 = steps + length;
        shortest.push(Reverse((steps + length, lane)));
    }
    lanes.sort_by_key(|&(steps, _)| Reverse(steps));
    let (steps, lanes) = lanes.into_iter().unzip();
    (lanes, steps)
}

/// How many lanes of so many steps, most first, make each step.
fn live(steps: &[usize]) -> Vec<usize> {
    let mut count = steps.len();
    let longest = steps.first().copied().unwrap_or(0);
    let still = |step: usize| {
        while count > 0 && steps[count - 1] <= step {
            count -= 1;
        }
        count
    };
    (0..longest).map(still).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost { full: 4, reading: 4, step: 1 };

    #[test]
    fn the_longest_go_first_and_the_others_drop_out() {
        let plan = Plan::apart(&[0, 2, 2, 5, 6, 9]);
        assert_eq!((plan.steps(), plan.count()), (3, 4));
        assert_eq!([0, 1, 2, 3].map(|step| plan.live(step)), [4, 3, 2, 0]);
        assert_eq!([0, 1, 2, 3].map(|lane| plan.row(Direction::Forward, lane, 0)), [2, 6, 0, 5]);
        assert_eq!([0, 1, 2].map(|lane| plan.row(Direction::Reverse, lane, 1)), [3, 7, 0]);
        assert_eq!(Plan::apart(&[0, 0]).steps(), 0);
        assert_eq!(Plan::lanes(&[0, 0], COST).count(), 0);
    }

    #[test]
    fn sequences_follow_each_other_in_lanes() {
        // Lengths 10, 6, 4, 4, 3, 3: in four lanes ten steps of four rows, apart ten of which three are of a row alone.
        let plan = Plan::lanes(&[0, 4, 14, 17, 21, 27, 30], COST);
        assert_eq!((plan.steps(), plan.count()), (10, 4));
        assert_eq!([0, 6, 7, 9].map(|step| plan.live(step)), [4, 3, 1, 1]);
        let rows = |lane, direction| (0..7).map(|step| plan.row(direction, lane, step)).collect::<Vec<_>>();
        assert_eq!(rows(1, Direction::Forward), [0, 1, 2, 3, 14, 15, 16]);
        assert_eq!(rows(1, Direction::Reverse), [3, 2, 1, 0, 16, 15, 14]);
        let of = |test: &dyn Fn(usize) -> bool| (0..7).filter(|&step| test(step)).collect::<Vec<_>>();
        assert_eq!(of(&|step| plan.begins(1, step)), [0, 4]);
        assert_eq!(of(&|step| plan.ends(1, step)), [3, 6]);
    }

    #[test]
    fn where_steps_are_dear_there_are_few() {
        // Lengths 8, 6, 5, 5, 4, 3, 2: nine steps of four rows, or eight of which the first are of eight.
        let offsets = [0, 8, 14, 19, 24, 28, 31, 33];
        let made = |step| {
            let plan = Plan::lanes(&offsets, Cost { step, ..COST });
            (plan.steps(), plan.count())
        };
        assert_eq!((made(1), made(20)), ((9, 4), (8, 7)));
    }

    #[test]
    fn every_row_is_made_once() {
        let lengths: Vec<usize> = (0..60).map(|sequence| sequence * sequence % 37).collect();
        let offsets: Vec<usize> = std::iter::once(0)
            .chain(lengths.iter().scan(0, |sum, length| {
                *sum += length;
                Some(*sum)
            }))
            .collect();
        for (plan, most) in [(Plan::apart(&offsets), 60), (Plan::lanes(&offsets, COST), 32)] {
            assert!(plan.count() <= most, "{}", plan.count());
            for direction in Direction::BOTH {
                let made =
                    (0..plan.steps()).flat_map(|step| (0..plan.live(step)).map(move |lane| (lane, step)));
                let mut rows: Vec<_> = made.map(|(lane, step)| plan.row(direction, lane, step)).collect();
                rows.sort_unstable();
                assert_eq!(rows, (0..offsets[60]).collect::<Vec<_>>());
            }
        }
    }
}

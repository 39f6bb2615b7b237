//! Which sequences make which steps.

use crate::sequences::Direction;
use std::ops::Range;

/// Sequences of a pack, longest first; those without tokens are left out.
pub(super) struct Plan {
    /// Rows of each.
    spans: Vec<Range<usize>>,
    /// How many make each step.
    live: Vec<usize>,
}

impl Plan {
    pub(super) fn new(offsets: &[usize]) -> Self {
        let mut spans: Vec<_> =
            offsets.windows(2).map(|pair| pair[0]..pair[1]).filter(|span| !span.is_empty()).collect();
        spans.sort_by_key(|span| std::cmp::Reverse(span.len()));
        let steps = spans.first().map_or(0, Range::len);
        let (mut live, mut count) = (Vec::with_capacity(steps), spans.len());
        for step in 0..steps {
            while count > 0 && spans[count - 1].len() <= step {
                count -= 1;
            }
            live.push(count);
        }
        Self { spans, live }
    }

    /// Rows of each sequence.
    pub(super) fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// Steps of the longest sequence.
    #[inline(always)]
    pub(super) fn steps(&self) -> usize {
        self.live.len()
    }

    /// Number of sequences.
    #[inline(always)]
    pub(super) fn sequences(&self) -> usize {
        self.spans.len()
    }

    /// How many sequences make a step: the first ones. None where there is no such step.
    #[inline(always)]
    pub(super) fn live(&self, step: usize) -> usize {
        self.live.get(step).copied().unwrap_or(0)
    }

    /// The row of a sequence at a step.
    #[inline(always)]
    pub(super) fn row(&self, direction: Direction, sequence: usize, step: usize) -> usize {
        direction.row(&self.spans[sequence], step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_go_first_and_the_others_drop_out() {
        let plan = Plan::new(&[0, 2, 2, 5, 6, 9]);
        assert_eq!((plan.steps(), plan.sequences()), (3, 4));
        assert_eq!([0, 1, 2, 3].map(|step| plan.live(step)), [4, 3, 2, 0]);
        assert_eq!([0, 1, 2, 3].map(|sequence| plan.row(Direction::Forward, sequence, 0)), [2, 6, 0, 5]);
        assert_eq!([0, 1, 2].map(|sequence| plan.row(Direction::Reverse, sequence, 1)), [3, 7, 0]);
        assert_eq!(Plan::new(&[0, 0]).steps(), 0);
    }
}

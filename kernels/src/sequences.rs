//! Sequences laid end to end and the direction in which an operation walks through each of them.

use crate::error::{KernelError, check_offsets};
use std::ops::Range;

/// The way through a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From its first token to its last.
    Forward,
    /// From its last token to its first, within its own length; nothing is copied or flipped.
    Reverse,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Forward, Self::Reverse];

    /// Name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
        }
    }

    /// The row that step `step` of the sequence in the rows `span` works on.
    #[inline(always)]
    #[must_use]
    pub fn row(self, span: &Range<usize>, step: usize) -> usize {
        match self {
            Self::Forward => span.start + step,
            Self::Reverse => span.end - 1 - step,
        }
    }

    /// The step of the sequence in the rows `span` that works on `row`: its own inverse.
    #[inline(always)]
    #[must_use]
    pub fn step(self, span: &Range<usize>, row: usize) -> usize {
        match self {
            Self::Forward => row - span.start,
            Self::Reverse => span.end - 1 - row,
        }
    }
}

/// The sequences of a pack as an operation walks through them.
#[derive(Debug, Clone, Copy)]
pub struct Sequences<'a> {
    /// B+1 borders from 0 to T that never fall.
    pub offsets: &'a [usize],
    /// The way through every sequence.
    pub direction: Direction,
}

impl Sequences<'_> {
    /// Number of sequences, B.
    #[inline(always)]
    #[must_use]
    pub fn count(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Rows of a sequence.
    ///
    /// # Panics
    /// When there is no such sequence.
    #[inline(always)]
    #[must_use]
    pub fn span(&self, sequence: usize) -> Range<usize> {
        self.offsets[sequence]..self.offsets[sequence + 1]
    }

    /// The sequence that holds `row`.
    #[inline(always)]
    #[must_use]
    pub fn of_row(&self, row: usize) -> usize {
        self.offsets.partition_point(|&offset| offset <= row) - 1
    }

    /// The sequences whose rows an endless run meets first and last when it is walked in this direction;
    /// `None` where there are none.
    #[inline(always)]
    #[must_use]
    pub fn ends(&self) -> Option<(usize, usize)> {
        let last = self.count().checked_sub(1)?;
        Some(match self.direction {
            Direction::Forward => (0, last),
            Direction::Reverse => (last, 0),
        })
    }

    /// Checks the borders of `tokens` tokens.
    ///
    /// # Errors
    /// [`KernelError::Size`] naming the offset that does not fit.
    pub fn check(&self, op: &'static str, tokens: usize) -> Result<(), KernelError> {
        check_offsets(op, self.offsets, tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_steps_are_each_others_inverse() {
        for direction in Direction::BOTH {
            let rows: Vec<usize> = (0..4).map(|step| direction.row(&(3..7), step)).collect();
            assert_eq!(rows, if direction == Direction::Forward { [3, 4, 5, 6] } else { [6, 5, 4, 3] });
            for (step, &row) in rows.iter().enumerate() {
                assert_eq!(direction.step(&(3..7), row), step);
            }
        }
    }

    #[test]
    fn rows_know_their_sequence() {
        let sequences = Sequences { offsets: &[0, 2, 2, 5], direction: Direction::Reverse };
        let found: Vec<usize> = (0..5).map(|row| sequences.of_row(row)).collect();
        assert_eq!(found, [0, 0, 2, 2, 2]);
        assert_eq!(sequences.ends(), Some((2, 0)));
        assert_eq!(Sequences { offsets: &[0], ..sequences }.ends(), None);
    }
}

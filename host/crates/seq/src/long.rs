//! What to do with a sequence longer than a model was trained on.

use std::fmt;
use std::ops::Range;

use crate::error::SettingError;

/// Overlapping windows over a sequence, all of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    window: usize,
    stride: usize,
}

/// One window of a sequence and the part of the result that is taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Residues that are computed together, 0-based.
    pub residues: Range<usize>,
    /// Residues whose states are taken from this window: those that stand farther from the edges of this
    /// window than of any other, the left window where two are equal. Never empty; the owned parts tile the
    /// sequence.
    pub owned: Range<usize>,
}

impl Windows {
    /// Windows of `window` residues, one every `stride` residues.
    ///
    /// # Errors
    /// [`SettingError::Stride`] unless `1 <= stride <= window`.
    pub fn new(window: usize, stride: usize) -> Result<Self, SettingError> {
        if (1..=window).contains(&stride) {
            Ok(Self { window, stride })
        } else {
            Err(SettingError::Stride { window, stride })
        }
    }

    /// Residues of a window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Residues between the starts of neighbouring windows; the last one may stand closer.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The windows over a sequence of `length` residues, from left to right. The last ends with the sequence
    /// and is as long as the others, so that it gives its residues as much context. A sequence no longer than
    /// a window is one window; an empty one has none.
    pub fn over(&self, length: usize) -> Vec<Span> {
        if length == 0 {
            return Vec::new();
        }
        let last = length.saturating_sub(self.window);
        let starts: Vec<usize> = (0..last).step_by(self.stride).chain([last]).collect();
        let mut owned_from = 0;
        let mut spans = Vec::with_capacity(starts.len());
        for (number, &start) in starts.iter().enumerate() {
            let end = length.min(start + self.window);
            let owned_to = match starts.get(number + 1) {
                // The middle of the overlap; of an odd overlap the middle residue is the left window's.
                Some(&next) => (next + end).div_ceil(2),
                None => length,
            };
            spans.push(Span { residues: start..end, owned: owned_from..owned_to });
            owned_from = owned_to;
        }
        spans
    }
}

/// The policy for sequences longer than the training length of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LongPolicy {
    /// Computed whole, as any other.
    #[default]
    Whole,
    /// A failed record.
    Error,
    /// Left out and counted.
    Skip,
    /// Computed in overlapping windows whose results are stitched.
    Window(Windows),
    /// Its first residues alone, as many as the training length.
    Truncate,
}

/// What becomes of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Computed whole.
    Whole,
    /// A failed record: [`RecordError::OverTrained`](crate::RecordError::OverTrained).
    Refused,
    /// Left out.
    Skipped,
    /// Computed window by window.
    Windows(Vec<Span>),
    /// Only this beginning is computed.
    Beginning(Range<usize>),
}

impl LongPolicy {
    /// What becomes of a sequence of `length` residues with a model trained on `trained` residues. One that
    /// is not longer is computed whole under every policy.
    pub fn cut(&self, length: usize, trained: usize) -> Cut {
        if length <= trained {
            return Cut::Whole;
        }
        match self {
            Self::Whole => Cut::Whole,
            Self::Error => Cut::Refused,
            Self::Skip => Cut::Skipped,
            Self::Window(windows) => Cut::Windows(windows.over(length)),
            Self::Truncate => Cut::Beginning(0..trained),
        }
    }
}

impl fmt::Display for LongPolicy {
    /// Everything of the policy that can change a number, for provenance and cache keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => formatter.write_str("whole"),
            Self::Error => formatter.write_str("error"),
            Self::Skip => formatter.write_str("skip"),
            Self::Window(windows) => write!(formatter, "window:{}:{}", windows.window, windows.stride),
            Self::Truncate => formatter.write_str("truncate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owner by its definition: the window in which the residue stands farthest from both edges, ties to
    /// the left.
    fn owner(spans: &[Span], residue: usize) -> usize {
        let mut best = None;
        for (number, span) in spans.iter().enumerate() {
            if span.residues.contains(&residue) {
                let distance = (residue - span.residues.start).min(span.residues.end - 1 - residue);
                if best.is_none_or(|(_, farthest)| distance > farthest) {
                    best = Some((number, distance));
                }
            }
        }
        best.unwrap().0
    }

    #[test]
    fn owners_tile_every_small_sequence() {
        for window in 1..=12 {
            for stride in 1..=window {
                let windows = Windows::new(window, stride).unwrap();
                for length in 1..=50 {
                    let spans = windows.over(length);
                    let mut next = 0;
                    for (number, span) in spans.iter().enumerate() {
                        let case = format!("window {window} stride {stride} length {length} span {span:?}");
                        assert_eq!(span.residues.len(), window.min(length), "{case}");
                        assert_eq!(span.owned.start, next, "{case}");
                        assert!(!span.owned.is_empty(), "{case}");
                        assert!(span.owned.start >= span.residues.start, "{case}");
                        assert!(span.owned.end <= span.residues.end, "{case}");
                        for residue in span.owned.clone() {
                            assert_eq!(owner(&spans, residue), number, "{case} residue {residue}");
                        }
                        next = span.owned.end;
                    }
                    assert_eq!(next, length);
                }
            }
        }
    }

    #[test]
    fn windows_begin_where_they_should() {
        let windows = Windows::new(1022, 511).unwrap();
        let starts = |length| windows.over(length).iter().map(|span| span.residues.start).collect::<Vec<_>>();
        assert_eq!(starts(1022), [0]);
        assert_eq!(starts(1023), [0, 1]);
        assert_eq!(starts(1533), [0, 511]);
        assert_eq!(starts(1534), [0, 511, 512]);
        assert_eq!(windows.over(35_213).last().map(|span| span.residues.clone()), Some(34_191..35_213));
        assert_eq!(windows.over(0), []);
    }

    #[test]
    fn a_stride_that_leaves_residues_out_is_refused() {
        for (window, stride) in [(10, 0), (10, 11), (0, 0)] {
            assert_eq!(Windows::new(window, stride), Err(SettingError::Stride { window, stride }));
        }
        assert!(Windows::new(10, 10).is_ok());
    }

    #[test]
    fn policies_touch_only_what_is_longer() {
        let windows = Windows::new(4, 2).unwrap();
        let policies = [
            (LongPolicy::Whole, Cut::Whole, "whole"),
            (LongPolicy::Error, Cut::Refused, "error"),
            (LongPolicy::Skip, Cut::Skipped, "skip"),
            (LongPolicy::Window(windows), Cut::Windows(windows.over(5)), "window:4:2"),
            (LongPolicy::Truncate, Cut::Beginning(0..4), "truncate"),
        ];
        for (policy, longer, name) in policies {
            assert_eq!(policy.cut(4, 4), Cut::Whole);
            assert_eq!(policy.cut(5, 4), longer);
            assert_eq!(policy.to_string(), name);
        }
    }
}

//! Which residues of a record are hidden from the model, one after the other.

use std::ops::Range;
use std::sync::Arc;

use pliant_seq::{Sampler, Span};

/// Which residues are hidden in turn. Each costs a pass over its record, or over the window that owns it, in which its
/// token is the mask; the row of the result is then that residue's. Those that are drawn are hidden all at once.
#[derive(Debug, Clone, Default)]
pub enum Masks {
    /// None: one pass has the rows of all residues.
    #[default]
    None,
    /// Every residue.
    Each,
    /// Those of each record, by [`Record::index`](pliant_seq::Record::index): ascending, counted from 0. The result has
    /// their rows alone.
    Chosen(Vec<Vec<usize>>),
    /// Those that are drawn for the sequence, by the mask or by what else the sampler puts there, in one pass. The result
    /// has their rows alone.
    Drawn(Arc<Sampler>),
}

impl Masks {
    /// Rows of the result of a record of `length` residues; of drawn ones all that they are drawn from.
    pub fn rows(&self, index: u64, length: usize) -> usize {
        match self {
            Self::None | Self::Each | Self::Drawn(_) => length,
            Self::Chosen(_) => self.chosen(index).len(),
        }
    }

    /// Passes over the part of a record that owns the residues `owned`.
    pub fn passes(&self, index: u64, owned: &Range<usize>) -> usize {
        match self {
            Self::None | Self::Drawn(_) => 1,
            Self::Each => owned.len(),
            Self::Chosen(_) => self.within(index, owned).len(),
        }
    }

    /// The passes themselves: each owns one masked residue, or all of `span`. With each the number of its first row.
    pub(super) fn spans(&self, index: u64, span: &Span) -> Vec<(usize, Span)> {
        let hide = |row: usize, place: usize| {
            (row, Span { residues: span.residues.clone(), owned: place..place + 1 })
        };
        match self {
            Self::None | Self::Drawn(_) => vec![(span.owned.start, span.clone())],
            Self::Each => span.owned.clone().map(|place| hide(place, place)).collect(),
            Self::Chosen(_) => {
                let rows = self.within(index, &span.owned);
                let places = &self.chosen(index)[rows.clone()];
                rows.zip(places).map(|(row, &place)| hide(row, place)).collect()
            }
        }
    }

    /// The residues that were chosen of a record of `length` residues; nothing where all are.
    pub(super) fn part(&self, index: u64, length: usize) -> Option<&[usize]> {
        match self {
            Self::None | Self::Each | Self::Drawn(_) => None,
            Self::Chosen(_) => Some(self.chosen(index)).filter(|places| places.len() != length),
        }
    }

    /// Whether each pass hides the residue whose row it gives.
    pub(super) fn one_by_one(&self) -> bool {
        matches!(self, Self::Each | Self::Chosen(_))
    }

    fn chosen(&self, index: u64) -> &[usize] {
        let Self::Chosen(records) = self else { return &[] };
        usize::try_from(index).ok().and_then(|index| records.get(index)).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the chosen residues that are in `owned`.
    fn within(&self, index: u64, owned: &Range<usize>) -> Range<usize> {
        let places = self.chosen(index);
        let before = |end: usize| places.partition_point(|&place| place < end);
        before(owned.start)..before(owned.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_residues_are_found_in_the_window_that_owns_them() {
        let masks = Masks::Chosen(vec![vec![], vec![0, 3, 4, 9]]);
        assert_eq!((masks.rows(1, 10), masks.rows(0, 10), masks.rows(7, 10)), (4, 0, 0));
        let span = Span { residues: 2..8, owned: 3..6 };
        let found: Vec<(usize, Range<usize>)> =
            masks.spans(1, &span).into_iter().map(|(row, span)| (row, span.owned)).collect();
        assert_eq!(found, [(1, 3..4), (2, 4..5)]);
        assert_eq!(masks.passes(1, &span.owned), 2);
        assert_eq!(masks.part(1, 10), Some(&[0, 3, 4, 9][..]));
        assert_eq!(masks.part(1, 4), None, "all of them");
        assert_eq!((Masks::Each.passes(0, &(3..6)), Masks::None.passes(0, &(3..6))), (3, 1));
        let rows: Vec<usize> = Masks::Each.spans(0, &span).into_iter().map(|(row, _)| row).collect();
        assert_eq!(rows, [3, 4, 5]);
    }
}

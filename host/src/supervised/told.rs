//! The numbers of a head for examples that were encoded.

use pliant_seq::tables::{LabelledSet, Members};

use super::card::HeadFolder;
use super::stored::Stored;
use crate::engine::Judge;

/// The numbers of the head for the sequences of an example.
///
/// # Errors
/// What the device cannot do.
pub fn told_of(
    judge: &Judge,
    head: &HeadFolder,
    stored: &Stored,
    sequences: &[usize],
) -> anyhow::Result<Vec<f32>> {
    let (mut rows, mut spans, mut first) = (Vec::new(), Vec::new(), 0);
    for &sequence in sequences {
        stored.read(sequence, &mut rows)?;
        spans.push((first, first + stored.rows(sequence)));
        first += stored.rows(sequence);
    }
    judge.answer(&rows, head.card.head.reads_states().then_some(spans.as_slice()))
}

/// The numbers of the head for every example of a set.
///
/// # Errors
/// What the device cannot do.
pub fn told(
    judge: &Judge,
    head: &HeadFolder,
    stored: &Stored,
    set: &LabelledSet,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let of = |example| match set.members(example) {
        Members::One(sequence) => told_of(judge, head, stored, &[sequence]),
        Members::Two(both) => told_of(judge, head, stored, &both),
    };
    (0..set.len()).map(of).collect()
}

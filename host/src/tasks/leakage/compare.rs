//! What a test shares with a training.

use std::collections::BTreeMap;

use pliant_seq::tables::{Label, LabelledSet, Members};
use pliant_seq::{Nearest, WordIndex};

/// A protein of the test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protein {
    /// The training protein with the very same residues.
    pub(super) same: Option<usize>,
    /// The training protein that is most alike.
    pub(super) nearest: Option<Nearest>,
    /// Whether its id stands in the training.
    pub(super) id_known: bool,
}

impl Protein {
    /// The identity with the nearest training protein; 0 where none is alike.
    pub(super) fn identity(&self) -> f64 {
        match (self.same, self.nearest) {
            (Some(_), _) => 1.0,
            (None, nearest) => nearest.map_or(0.0, |nearest| nearest.identity),
        }
    }

    /// The number of the nearest training protein.
    pub(super) fn nearest_number(&self) -> Option<usize> {
        self.same.or(self.nearest.map(|nearest| nearest.number))
    }
}

/// Whether the training has an example of the same proteins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeated {
    /// It has none.
    No,
    /// With the same label.
    Same,
    /// With another one.
    Other,
}

/// Everything that is compared.
pub(super) struct Comparison<'a> {
    pub(super) train: &'a LabelledSet,
    pub(super) test: &'a LabelledSet,
    /// `[sequences of the test]`
    pub(super) proteins: Vec<Protein>,
    /// `[examples of the test]`
    pub(super) repeated: Vec<Repeated>,
}

impl<'a> Comparison<'a> {
    /// Compares `test` with `train`, proteins by words of `kmer` residues.
    pub(super) fn of(train: &'a LabelledSet, test: &'a LabelledSet, kmer: usize) -> Self {
        let sequences = (0..train.sequences()).map(|number| train.sequence(number));
        let mut numbers = BTreeMap::new();
        for (number, residues) in sequences.clone().enumerate() {
            numbers.entry(residues).or_insert(number);
        }
        let ids: std::collections::BTreeSet<&str> =
            (0..train.sequences()).map(|number| train.id(number)).collect();
        let index = WordIndex::new(sequences, kmer);
        let protein = |number: usize| {
            let residues = test.sequence(number);
            let same = numbers.get(residues).copied();
            let nearest = if same.is_some() { None } else { index.nearest(residues) };
            Protein { same, nearest, id_known: ids.contains(test.id(number)) }
        };
        let proteins = (0..test.sequences()).map(protein).collect();
        let repeated = repeated(train, test);
        Self { train, test, proteins, repeated }
    }

    /// How many proteins of an example are known, by `known`: 1 or 2 of pairs.
    pub(super) fn known(&self, example: usize, known: impl Fn(&Protein) -> bool) -> usize {
        let is = |sequence: usize| usize::from(known(&self.proteins[sequence]));
        match self.test.members(example) {
            Members::One(sequence) => is(sequence),
            Members::Two([first, second]) => is(first) + is(second),
        }
    }
}

/// The residues of an example, those of pairs in one order.
fn key(set: &LabelledSet, example: usize) -> [&[u8]; 2] {
    match set.members(example) {
        Members::One(sequence) => [set.sequence(sequence), &[]],
        Members::Two(both) => {
            let mut both = both.map(|sequence| set.sequence(sequence));
            both.sort_unstable();
            both
        }
    }
}

fn repeated(train: &LabelledSet, test: &LabelledSet) -> Vec<Repeated> {
    let mut known: BTreeMap<[&[u8]; 2], Vec<usize>> = BTreeMap::new();
    for example in 0..train.len() {
        known.entry(key(train, example)).or_default().push(example);
    }
    let of = |example: usize| match known.get(&key(test, example)) {
        None => Repeated::No,
        Some(examples) => {
            let same = |&other: &usize| labels_equal(train.label(other), test.label(example));
            if examples.iter().any(same) { Repeated::Same } else { Repeated::Other }
        }
    };
    (0..test.len()).map(of).collect()
}

/// Classes of both sets have the same numbers.
fn labels_equal(one: Label<'_>, other: Label<'_>) -> bool {
    one == other
}

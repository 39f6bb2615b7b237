//! Parts of a set.

use super::error::{CLASSES, TableError};
use super::labels::{Label, Labels};
use super::set::{LabelledSet, Members, Place, Texts};
use crate::random::{self, Purpose};

/// A set in two.
#[derive(Debug, Clone, PartialEq)]
pub struct Sides {
    /// What is left to train on.
    pub train: LabelledSet,
    /// What is held out.
    pub held_out: LabelledSet,
    /// Pairs in neither: one of their proteins is held out and the other is not.
    pub dropped: usize,
}

/// Where an example falls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Train,
    HeldOut,
    Between,
}

impl LabelledSet {
    /// These examples, in this order; nothing of none.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn select(&self, examples: &[usize]) -> Option<Self> {
        if examples.is_empty() {
            return None;
        }
        let mut picked = Self {
            letters: Vec::new(),
            offsets: vec![0],
            ids: Texts::default(),
            pairs: self.pairs.as_ref().map(|_| Vec::new()),
            labels: emptied(&self.labels),
            weights: self.weights.as_ref().map(|weights| examples.iter().map(|&at| weights[at]).collect()),
            parts: self.parts.clone().map(|(names, of)| (names, examples.iter().map(|&at| of[at]).collect())),
            groups: self.groups.as_ref().map(|_| Texts::default()),
            files: self.files.clone(),
            places: examples.iter().map(|&at| self.places[at]).collect::<Vec<Place>>(),
            digest: [0; 32],
        };
        let mut numbers: Vec<Option<u32>> = vec![None; if self.are_pairs() { self.sequences() } else { 0 }];
        for &example in examples {
            match self.members(example) {
                Members::One(sequence) => {
                    picked.take_sequence(self, sequence);
                }
                Members::Two(both) => {
                    let pair = both.map(|old| match numbers[old] {
                        Some(number) => number,
                        None => *numbers[old].insert(picked.take_sequence(self, old)),
                    });
                    picked.pairs.get_or_insert_default().push(pair);
                }
            }
            picked.take_label(self.label(example));
        }
        Some(picked.sealed())
    }

    pub(super) fn take_sequence(&mut self, from: &Self, number: usize) -> u32 {
        self.letters.extend_from_slice(from.sequence(number));
        self.offsets.push(self.letters.len());
        self.ids.push(from.id(number));
        if let (Some(groups), Some(group)) = (&mut self.groups, from.group(number)) {
            groups.push(group);
        }
        // Not more than there were, which u32 numbers.
        self.offsets.len() as u32 - 2
    }

    fn take_label(&mut self, label: Label<'_>) {
        match (&mut self.labels, label) {
            (Labels::Class { of, .. }, Label::Class(class)) => of.push(class),
            (Labels::Classes { of, .. }, Label::Classes(flags)) => of.extend_from_slice(flags),
            (Labels::Number { of }, Label::Number(number)) => of.push(number),
            (Labels::Level { of, .. }, Label::Level(level)) => of.push(level),
            (Labels::Residues { of, .. }, Label::Residues(classes)) => of.extend_from_slice(classes),
            // The labels were emptied of the same kind.
            _ => {}
        }
    }

    /// The examples of a part.
    ///
    /// # Errors
    /// [`TableError::NoPart`] naming those that are there.
    pub fn of_part(&self, part: &str) -> Result<Self, TableError> {
        let examples: Vec<usize> =
            (0..self.len()).filter(|&example| self.part(example) == Some(part)).collect();
        let found = || match self.parts() {
            [] => "none: no column says so".to_owned(),
            parts => parts.join(", "),
        };
        self.select(&examples).ok_or_else(|| TableError::NoPart { part: part.to_owned(), found: found() })
    }

    /// Two sets: what to train on, and about the share `fraction` held out. What decides is the hash of `seed` and of the
    /// group of a sequence, or of its residues where there are no groups; so like stays with like, and a protein falls on
    /// the same side whatever else is in the set. A pair is held out where both of its proteins are, so that no protein
    /// stands on both sides; pairs of two sides are in neither. With pairs about the share of the *proteins* is held out,
    /// and its square of the pairs.
    ///
    /// # Errors
    /// [`TableError::Fraction`] unless `0 < fraction < 1`, [`TableError::OneSided`] when a side has no example.
    pub fn hold_out(&self, fraction: f64, seed: u64) -> Result<Sides, TableError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(TableError::Fraction { fraction });
        }
        // 2⁶⁴ hashes; the product lies below 2⁶⁴, so nothing is cut off.
        let limit = (fraction * 2f64.powi(64)) as u64;
        self.divide(|sequence| {
            let what = self.group(sequence).map_or_else(|| self.sequence(sequence), str::as_bytes);
            let mut first = [0; 8];
            first.copy_from_slice(&random::digest(seed, Purpose::HoldOut, what)[..8]);
            u64::from_le_bytes(first) < limit
        })
    }

    /// Two sets by which sequences are held out, as [`hold_out`](Self::hold_out).
    ///
    /// # Errors
    /// [`TableError::OneSided`] when a side has no example.
    pub fn divide(&self, held_out: impl Fn(usize) -> bool) -> Result<Sides, TableError> {
        let out: Vec<bool> = (0..self.sequences()).map(held_out).collect();
        let side = |example: usize| match self.members(example) {
            Members::One(sequence) if out[sequence] => Side::HeldOut,
            Members::One(_) => Side::Train,
            Members::Two([first, second]) => match (out[first], out[second]) {
                (true, true) => Side::HeldOut,
                (false, false) => Side::Train,
                _ => Side::Between,
            },
        };
        let of =
            |wanted: Side| (0..self.len()).filter(|&example| side(example) == wanted).collect::<Vec<usize>>();
        let (train, held, dropped) = (of(Side::Train), of(Side::HeldOut), of(Side::Between).len());
        match (self.select(&train), self.select(&held)) {
            (Some(train), Some(held_out)) => Ok(Sides { train, held_out, dropped }),
            _ => Err(TableError::OneSided {
                examples: self.len(),
                kept: train.len(),
                held_out: held.len(),
                dropped,
            }),
        }
    }

    /// Refuses a set whose labels are all the same: nothing can be learnt of it, and most measures have no value.
    ///
    /// # Errors
    /// [`TableError::OneClass`], also for numbers and levels.
    pub fn varied(&self) -> Result<(), TableError> {
        let what = match &self.labels {
            Labels::Number { .. } => ["number", "numbers"],
            Labels::Level { .. } => ["level", "levels"],
            _ => CLASSES,
        };
        let first = match &self.labels {
            Labels::Number { of } => of.iter().all(|number| *number == of[0]).then(|| of[0].to_string()),
            Labels::Classes { classes, of } => {
                let row = &of[..classes.len()];
                of.chunks(classes.len()).all(|other| other == row).then(|| "the same for all".to_owned())
            }
            Labels::Level { .. } => one_of(&self.counts()).map(|level| level.to_string()),
            _ => one_of(&self.counts()).map(|class| self.classes().get(class).cloned().unwrap_or_default()),
        };
        let mut names: Vec<&str> = self.files.iter().map(AsRef::as_ref).collect();
        names.dedup();
        match first {
            None => Ok(()),
            Some(class) => {
                Err(TableError::OneClass { inputs: names.join(", "), what, class, examples: self.len() })
            }
        }
    }
}

/// The only one that is counted, where there is no other.
fn one_of(counts: &[u64]) -> Option<usize> {
    let mut found = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let first = found.next().map_or(0, |(place, _)| place);
    found.next().is_none().then_some(first)
}

/// Labels of the same kind of no example.
fn emptied(labels: &Labels) -> Labels {
    match labels {
        Labels::Class { classes, .. } => Labels::Class { classes: classes.clone(), of: Vec::new() },
        Labels::Classes { classes, .. } => Labels::Classes { classes: classes.clone(), of: Vec::new() },
        Labels::Number { .. } => Labels::Number { of: Vec::new() },
        Labels::Level { highest, .. } => Labels::Level { highest: *highest, of: Vec::new() },
        Labels::Residues { alphabet, .. } => Labels::Residues { alphabet: alphabet.clone(), of: Vec::new() },
    }
}

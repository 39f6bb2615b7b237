//! Records to a corpus: what is kept, what is left out, and the account of it.

use std::collections::HashSet;
use std::fmt;

use super::{Builder, Corpus, ExcludeList};
use crate::error::CorpusError;
use crate::reader::{RecordReader, Totals, short_hash};
use crate::record::{Failure, Item};
use crate::vocabulary::Vocabulary;

/// Sequences are numbered by u32.
pub(crate) const MOST_SEQUENCES: u64 = u32::MAX as u64;

/// What is kept of the good records.
#[derive(Debug, Clone, Copy)]
pub struct CorpusOptions<'a> {
    /// Of the model: a sequence without any letter that it knows teaches nothing and is left out.
    pub vocabulary: &'static Vocabulary,
    /// Sequences to leave out.
    pub exclude: &'a ExcludeList,
    /// Shorter sequences are left out.
    pub min_residues: usize,
}

/// Records and their residues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Records.
    pub records: u64,
    /// Their residues.
    pub residues: u64,
}

impl Count {
    pub(crate) fn add(&mut self, residues: &[u8]) {
        self.records += 1;
        self.residues += residues.len() as u64;
    }
}

/// Good records that are not in the corpus. Each is counted once, under the first reason that holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Shorter than [`CorpusOptions::min_residues`].
    pub short: Count,
    /// Without any letter that the vocabulary knows.
    pub unknown: Count,
    /// On the [`ExcludeList`].
    pub excluded: Count,
    /// With the sequence of an earlier record, under another id.
    pub identical: Count,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { short, unknown, excluded, identical } = self;
        let (short, unknown) = (short.records, unknown.records);
        let (excluded, identical) = (excluded.records, identical.records);
        write!(
            f,
            "{short} too short, {unknown} without a known letter, {excluded} on the exclude list and {identical} \
             with the sequence of an earlier record"
        )
    }
}

/// What was read and what became of it: `totals.records` are the sequences of the corpus and those left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorpusReport {
    /// Counts of the reader; its duplicates are records with the id and the sequence of an earlier one.
    pub totals: Totals,
    /// Records that failed, in input order. They are not in the corpus; whether to go on is the caller's decision.
    pub failures: Vec<Failure>,
    /// Good records left out.
    pub left_out: LeftOut,
}

impl Corpus {
    /// Reads `reader` to its end. For progress, take [`RecordReader::progress`] before.
    ///
    /// # Errors
    /// [`CorpusError::Input`] when the input cannot be read to its end, [`CorpusError::Empty`] when nothing is kept,
    /// [`CorpusError::TooMany`] over 2³²-1 sequences.
    pub fn read(
        mut reader: RecordReader,
        options: &CorpusOptions<'_>,
    ) -> Result<(Self, CorpusReport), CorpusError> {
        let mut intake = Intake::new(options);
        let (mut kept, mut failures) = (Builder::new(), Vec::new());
        for item in reader.by_ref() {
            match item? {
                Item::Record(record) if intake.admits(&record.residues) => kept.push(&record.residues),
                Item::Record(_) | Item::Duplicate(_) => {}
                Item::Failure(failure) => failures.push(failure),
            }
            if kept.sequences() as u64 > MOST_SEQUENCES {
                return Err(CorpusError::TooMany { limit: MOST_SEQUENCES });
            }
        }
        let (totals, left_out) = (*reader.totals(), intake.left_out);
        let Totals { headers, failures: failed, duplicates, .. } = totals;
        let empty = CorpusError::Empty { headers, failures: failed, duplicates, left_out };
        Ok((kept.finish().ok_or(empty)?, CorpusReport { totals, failures, left_out }))
    }
}

/// The decision about each record.
pub(crate) struct Intake<'a> {
    options: &'a CorpusOptions<'a>,
    /// Hashes instead of sequences, which would double the memory.
    seen: HashSet<[u8; 16]>,
    pub(crate) left_out: LeftOut,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(options: &'a CorpusOptions<'a>) -> Self {
        Self { options, seen: HashSet::new(), left_out: LeftOut::default() }
    }

    pub(crate) fn admits(&mut self, residues: &[u8]) -> bool {
        let CorpusOptions { vocabulary, exclude, min_residues } = self.options;
        let left_out = &mut self.left_out;
        let count = if residues.len() < *min_residues {
            &mut left_out.short
        } else if !residues.iter().any(|&residue| vocabulary.knows(residue)) {
            &mut left_out.unknown
        } else if exclude.holds(residues) {
            &mut left_out.excluded
        } else if !self.seen.insert(short_hash(residues)) {
            &mut left_out.identical
        } else {
            return true;
        };
        count.add(residues);
        false
    }
}

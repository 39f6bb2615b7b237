//! The door of the room: one protein, or the reason why there is none.

use std::sync::Arc;

use crate::error::RecordError;

/// One protein to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Number of this record among the good, unique ones of the whole input, from 0, without gaps.
    pub index: u64,
    /// Its name, by the [`IdStyle`](crate::IdStyle) of the reader: 1 to 1,024 bytes, no control characters.
    pub id: String,
    /// `[L]` upper-case letters `A..=Z`, at least one and at most `max_residues`.
    pub residues: Vec<u8>,
    /// The input it came from, as it was given.
    pub file: Arc<str>,
    /// 1-based line of its header.
    pub line: u64,
    /// 1-based number of its header in the whole input, every header counted.
    pub record: u64,
}

impl Record {
    /// This record's failure, for what goes wrong after it was read.
    pub fn failure(&self, reason: RecordError) -> Failure {
        let Self { file, line, record, id, .. } = self;
        Failure { file: Arc::clone(file), line: *line, record: *record, id: id.clone(), reason }
    }
}

/// A record that is not computed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The input it stands in, as it was given.
    pub file: Arc<str>,
    /// 1-based line of its header.
    pub line: u64,
    /// 1-based number of its header in the whole input, every header counted.
    pub record: u64,
    /// Its id as far as it can be shown: control characters escaped, overlong ids cut with `…`.
    pub id: String,
    /// What is wrong with it.
    pub reason: RecordError,
}

/// A record with the id and the sequence of an earlier one. It is counted and not computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The input it stands in.
    pub file: Arc<str>,
    /// 1-based line of its header.
    pub line: u64,
    /// 1-based number of its header in the whole input, every header counted.
    pub record: u64,
    /// Its id.
    pub id: String,
    /// [`Record::index`] of the record it repeats.
    pub of: u64,
}

/// What the reader yields for each header of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A protein to compute.
    Record(Record),
    /// A record that cannot be computed.
    Failure(Failure),
    /// A repetition of an earlier record.
    Duplicate(Duplicate),
}

/// Repairs made while reading, counted over the good, unique records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warnings {
    /// Records from which gaps were removed.
    pub gap_records: u64,
    /// Gap characters (`-` and `.`) removed.
    pub gaps: u64,
    /// Records from which one stop `*` at the end was dropped.
    pub stop_records: u64,
}

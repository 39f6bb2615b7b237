//! A full pass over the input before anything is computed: is it sound, how much is it, which one is it.

use crate::error::InputError;
use crate::reader::{RecordReader, Totals};
use crate::record::{Failure, Item};

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts of everything.
    pub totals: Totals,
    /// `[records]` residues of each record, by [`Record::index`](crate::Record::index).
    pub lengths: Vec<u32>,
    /// The longest record, the first of them where several are longest.
    pub longest: Option<Longest>,
    /// Every record that failed, in input order.
    pub failures: Vec<Failure>,
    /// [`RecordReader::input_hash`] at the end.
    pub input_hash: String,
}

/// The longest record of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Longest {
    /// Its id.
    pub id: String,
    /// Its residues.
    pub residues: u32,
}

/// Reads `reader` to its end.
///
/// # Errors
/// [`InputError`] when the input cannot be read to its end.
pub fn scan(mut reader: RecordReader) -> Result<Summary, InputError> {
    let mut summary = Summary::default();
    for item in reader.by_ref() {
        match item? {
            Item::Record(record) => {
                // The reader admits no record longer than a u32 says.
                let residues = u32::try_from(record.residues.len()).unwrap_or(u32::MAX);
                summary.lengths.push(residues);
                if summary.longest.as_ref().is_none_or(|longest| longest.residues < residues) {
                    summary.longest = Some(Longest { id: record.id, residues });
                }
            }
            Item::Failure(failure) => summary.failures.push(failure),
            Item::Duplicate(_) => {}
        }
    }
    summary.totals = *reader.totals();
    summary.input_hash = reader.input_hash();
    Ok(summary)
}

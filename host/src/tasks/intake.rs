//! What every task with FASTA input says of it: what fails, what is repaired, what changed while it was read.

use std::path::Path;

use pliant_seq::{Failure, Totals};
use pliant_store::StoreError;
use serde_json::{Value, json};

use super::files;
use crate::exit::TaskError;

/// Failures that are shown one by one; the file lists all.
const SHOWN_FAILURES: usize = 10;

/// Something that is not wrong and may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warning {
    /// Its kind, for programs.
    pub(super) kind: &'static str,
    /// Records or letters that it concerns.
    pub(super) count: u64,
    /// Its words.
    pub(super) message: String,
}

impl Warning {
    /// For the summary.
    pub(super) fn json(&self) -> Value {
        json!({ "kind": self.kind, "count": self.count, "message": self.message })
    }
}

/// Warnings in the order in which they are given; nothing is said of what did not happen.
#[derive(Debug, Default)]
pub(super) struct Warnings(pub(super) Vec<Warning>);

impl Warnings {
    /// The kind of that of repeated records.
    pub(super) const DUPLICATES: &str = "duplicates";

    /// Of how many things there is a warning of that kind.
    pub(super) fn count_of(&self, kind: &str) -> u64 {
        self.0.iter().filter(|warning| warning.kind == kind).map(|warning| warning.count).sum()
    }

    /// Adds one of `count` things, unless there are none.
    pub(super) fn add(&mut self, kind: &'static str, count: u64, message: impl FnOnce() -> String) {
        if count > 0 {
            self.0.push(Warning { kind, count, message: message() });
        }
    }

    /// Adds those of repeated and repaired records; `done` is what happens once to a repeated one.
    pub(super) fn add_repairs(&mut self, totals: &Totals, done: &str) {
        self.add(Self::DUPLICATES, totals.duplicates, || {
            let times = counted(totals.duplicates, "record repeats", "records repeat");
            format!("{times} the id and the sequence of an earlier one: each is {done} once")
        });
        let repairs = &totals.warnings;
        self.add("gaps", repairs.gap_records, || {
            let records = counted(repairs.gap_records, "record", "records");
            format!("{} ('-' or '.') removed from {records}", counted(repairs.gaps, "gap", "gaps"))
        });
        self.add("stops", repairs.stop_records, || {
            format!("a final '*' dropped from {}", counted(repairs.stop_records, "record", "records"))
        });
    }

    /// Adds that of records left out.
    pub(super) fn add_left_out(&mut self, left_out: u64) {
        self.add("left_out", left_out, || {
            let records = counted(left_out, "record is", "records are");
            format!("{records} left out because of errors")
        });
    }
}

/// A number with the word that goes with it.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What is said of records or pairs that a head has no answer to.
pub(super) fn unanswered(count: usize) -> String {
    format!("no answer to {}, left out and listed", counted(count as u64, "record", "records"))
}

/// Failures with file, line, id and reason, one line each, as many as are shown.
pub(super) fn shown(failures: &[Failure]) -> Vec<String> {
    let line = |failure: &Failure| {
        let Failure { file, line, id, reason, .. } = failure;
        format!("{file}:{line} {id}: {reason}")
    };
    failures.iter().take(SHOWN_FAILURES).map(line).collect()
}

/// The same for programs.
pub(super) fn shown_json(failures: &[Failure]) -> Vec<Value> {
    let object = |failure: &Failure| {
        json!({
            "file": &*failure.file, "line": failure.line, "record": failure.record, "id": failure.id,
            "reason": failure.reason.to_string(),
        })
    };
    failures.iter().take(SHOWN_FAILURES).map(object).collect()
}

/// Ends a run for its failures among `headers` records, after listing them in `list`.
///
/// # Errors
/// Always: [`TaskError::BadRecords`], or why they cannot be listed.
pub(super) fn refuse(failures: &[Failure], headers: u64, list: Option<&Path>) -> anyhow::Result<()> {
    Err(refusal(failures, headers, list)?.into())
}

/// The error that ends a run for its failures among `headers` records, which are listed in `list`.
///
/// # Errors
/// Why they cannot be listed.
pub(super) fn refusal(
    failures: &[Failure],
    headers: u64,
    list: Option<&Path>,
) -> Result<TaskError, StoreError> {
    if let Some(path) = list {
        files::failure_list(path, failures)?.commit()?;
    }
    Ok(TaskError::BadRecords {
        failed: failures.len(),
        headers,
        shown: shown(failures),
        list: list.map(Path::to_path_buf),
    })
}

/// Checks that a second reading found the records of the first.
///
/// # Errors
/// [`TaskError::InputChanged`].
pub(super) fn same_input(wanted: &str, found: &str) -> Result<(), TaskError> {
    if found == wanted {
        return Ok(());
    }
    Err(TaskError::InputChanged { found: found.to_owned(), wanted: wanted.to_owned() })
}

//! Mutants of one protein, written as differences from it.

use std::path::Path;
use std::sync::Arc;

use super::error::TableError;
use super::intake::cell;
use crate::error::RecordError;
use crate::input::Source;
use crate::reader::{ReadOptions, RecordReader};
use crate::record::Item;

/// The word for the wild type itself.
const WILD_TYPE: &[u8] = b"WT";

/// What is wrong with a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    found: String,
    wanted: String,
}

impl Wrong {
    /// As the reason why an example fails.
    pub(super) fn reason(self, column: &str) -> RecordError {
        cell(&format!("column '{column}'"), &self.found, &self.wanted)
    }
}

/// Residues of the mutant that `text` describes: mutations with `:` between, each S, residue of the wild type, place from
/// 0, new residue; `WT` is the wild type.
pub(super) fn mutated(text: &[u8], wild_type: &[u8]) -> Result<Vec<u8>, Wrong> {
    let mut residues = wild_type.to_vec();
    if text == WILD_TYPE {
        return Ok(residues);
    }
    let mut places = Vec::new();
    for word in text.split(|&byte| byte == b':') {
        let shown = super::intake::shown(word);
        let form = || Wrong {
            found: shown.clone(),
            wanted: "S, the residue of the wild type, its place from 0 and the new residue, as SA108D, or WT"
                .to_owned(),
        };
        let [b'S', old, digits @ .., new] = word else { return Err(form()) };
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let place: usize = digits.and_then(|digits| digits.parse().ok()).ok_or_else(form)?;
        if !old.is_ascii_uppercase() || !new.is_ascii_uppercase() {
            return Err(form());
        }
        let wrong = |wanted: String| Wrong { found: shown.clone(), wanted };
        let last = wild_type.len().saturating_sub(1);
        match wild_type.get(place) {
            None => return Err(wrong(format!("a place of the wild type, from 0 to {last}"))),
            Some(here) if here != old => {
                return Err(wrong(format!("{} at place {place}, as the wild type has", char::from(*here))));
            }
            Some(_) if places.contains(&place) => {
                return Err(wrong(format!("one mutation at place {place}")));
            }
            Some(_) => residues[place] = *new,
        }
        places.push(place);
    }
    Ok(residues)
}

/// The one protein of a FASTA, as the wild type of mutants.
///
/// # Errors
/// [`TableError::WildType`] unless there is one good record, and [`TableError::Input`].
pub fn wild_type(path: &Path) -> Result<Arc<[u8]>, TableError> {
    let sources = Source::from_arguments(&[path])?;
    let refused = |found: String| TableError::WildType { file: path.display().to_string(), found };
    let mut found = Vec::new();
    for item in RecordReader::new(&sources, ReadOptions::default()) {
        match item? {
            Item::Record(record) => found.push(record.residues),
            Item::Duplicate(_) => {}
            Item::Failure(failure) => {
                return Err(refused(format!(
                    "on line {} a record that fails: {}",
                    failure.line, failure.reason
                )));
            }
        }
    }
    match (found.pop(), found.len()) {
        (Some(residues), 0) => Ok(residues.into()),
        (last, others) => Err(refused(format!("{} proteins", others + usize::from(last.is_some())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_nought() {
        let mutant = |text: &str| {
            mutated(text.as_bytes(), b"MKVA").map(|residues| String::from_utf8(residues).unwrap())
        };
        assert_eq!(mutant("WT").unwrap(), "MKVA");
        assert_eq!(mutant("SM0A").unwrap(), "AKVA");
        assert_eq!(mutant("SK1R:SA3G").unwrap(), "MRVG");
        for (text, wanted) in [
            ("SK0R", "M at place 0, as the wild type has"),
            ("SA4G", "a place of the wild type, from 0 to 3"),
            ("SK1R:SK1G", "one mutation at place 1"),
            ("K1R", "S, the residue"),
            ("SK+1R", "S, the residue"),
            ("SKR", "S, the residue"),
            ("", "S, the residue"),
            ("SK1*", "S, the residue"),
            ("SK99999999999999999999R", "S, the residue"),
        ] {
            let wrong = mutant(text).unwrap_err();
            assert!(wrong.wanted.starts_with(wanted), "{text}: {wrong:?}");
        }
    }
}

//! What can be wrong with mutants and wild types.

use pliant_seq::RecordError;

/// Why mutants are not scored.
#[derive(Debug, thiserror::Error)]
pub enum VariantError {
    /// A table without a column.
    #[error("{file} has no column {column}: found the columns {found}")]
    NoColumn {
        /// The table.
        file: String,
        /// The column that was asked for.
        column: String,
        /// Those that are there.
        found: String,
    },
    /// A table with two columns of one name.
    #[error("{file} has more than one column {column}: give each a name of its own")]
    TwoColumns {
        /// The table.
        file: String,
        /// The name.
        column: String,
    },
    /// A protein that the model, or the policy for long ones, does not compute.
    #[error("{place}: {what}: {reason}")]
    Refused {
        /// The file, and the line where there are several.
        place: String,
        /// Which protein.
        what: &'static str,
        /// Why.
        reason: RecordError,
    },
    /// A table that has a column of the name of the one to be added.
    #[error("{file} has a column {column} already, which is to be added: rename it, or leave it out")]
    Taken {
        /// The table.
        file: String,
        /// The column.
        column: &'static str,
    },
    /// A table without rows.
    #[error("{file} names no mutant: found a table without rows, wanted at least one")]
    Empty {
        /// The table.
        file: String,
    },
    /// A cell that is wrong.
    #[error("{file}:{line}, column {column}: found {found}, wanted {wanted}")]
    Cell {
        /// The table.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The name of the column.
        column: String,
        /// What was found.
        found: String,
        /// What would be right.
        wanted: String,
        /// Whether it is about a place of the wild type.
        place: bool,
    },
    /// A FASTA that does not hold one protein.
    #[error("{file}: found {found}, wanted one protein, the wild type")]
    WildType {
        /// The file.
        file: String,
        /// What is there.
        found: String,
    },
    /// A wild type with a residue that the model does not tell.
    #[error("{file}: found {found}, wanted {wanted}")]
    Untold {
        /// The file.
        file: String,
        /// What is there.
        found: String,
        /// What would be right.
        wanted: &'static str,
    },
}

impl VariantError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoColumn { .. } => "--mutant-column and --sequence-column name the columns",
            Self::Cell { place: true, .. } => {
                "--offset is the number of the first residue of the wild type; is it the wild type of these mutants?"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

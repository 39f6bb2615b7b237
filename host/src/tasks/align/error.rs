//! What can be wrong with the proteins of a pair.

use pliant_seq::RecordError;

/// Why two proteins are not compared.
#[derive(Debug, thiserror::Error)]
pub enum AlignError {
    /// An input with another number of proteins than a pair takes from it.
    #[error("{file}: found {found} {}, wanted {wanted}", if *found == 1 { "protein" } else { "proteins" })]
    Count {
        /// The input.
        file: String,
        /// Its records.
        found: u64,
        /// The records of a pair that it should hold.
        wanted: u64,
    },
    /// A record that cannot be read.
    #[error("{file}:{line} {id}: {reason}")]
    Record {
        /// The input.
        file: String,
        /// The line of its header, from 1.
        line: u64,
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: RecordError,
    },
    /// A score that is no number.
    #[error("the score of the pair is {score}, which is no number: the model cannot compare these proteins")]
    NotFinite {
        /// The score.
        score: f32,
    },
}

impl AlignError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Count { wanted: 1, .. } => {
                "two inputs hold one protein each; name one input alone to compare the two proteins in it"
            }
            Self::Count { .. } => "one input holds both proteins; name two inputs where each holds one",
            Self::Record { .. } => "correct the record: both proteins of a pair are needed",
            Self::NotFinite { .. } => return None,
        };
        Some(text.to_owned())
    }
}

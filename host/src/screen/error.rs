//! What can be wrong with a screen.

use std::io;
use std::path::{Path, PathBuf};

use super::Shard;
use crate::exit::Code;

/// Why a screen ends without an answer.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// Another process works on the same answer.
    #[error("another screen is at work in {}", folder.display())]
    Busy {
        /// The folder of its checkpoint.
        folder: PathBuf,
    },
    /// No pair to score.
    #[error("there is no pair to score: found {proteins} proteins in {inputs}")]
    NoPairs {
        /// Proteins that were read.
        proteins: usize,
        /// Where.
        inputs: String,
    },
    /// One id for two proteins.
    #[error("the id {id:?} has one sequence or vector in {first} and another in {second}")]
    Clash {
        /// The id.
        id: String,
        /// One input.
        first: String,
        /// The other.
        second: String,
    },
    /// A protein for which the hidden layer gives no number.
    #[error("protein {id:?}: unit {unit} of the head's hidden layer is {value}, which is no finite number")]
    NotFinite {
        /// The protein.
        id: String,
        /// The unit.
        unit: usize,
        /// What was found.
        value: f32,
    },
    /// A number of a head that was brought which no logit can be.
    #[error("{pair}: the head says {value}, wanted a number from -{most} to {most}")]
    Beyond {
        /// Both ids.
        pair: String,
        /// What it says.
        value: f32,
        /// The largest size.
        most: f32,
    },
    /// Something that only a calibrated head can tell.
    #[error("{asked} needs a calibration of the head, and there is none at {}", path.display())]
    NotCalibrated {
        /// What was asked for.
        asked: &'static str,
        /// Where one would be.
        path: PathBuf,
    },
    /// A calibration that cannot be used.
    #[error("{}: {reason}", path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Labelled pairs that calibrate nothing.
    #[error("{pairs} labelled pairs with {positives} positive ones do not calibrate a head: {reason}")]
    TooFew {
        /// Pairs.
        pairs: usize,
        /// Positive ones.
        positives: usize,
        /// What would do.
        reason: &'static str,
    },
    /// An expected precision that no cut has.
    #[error(
        "no cut of the scores is expected to have a precision of {wanted} where {prevalence} of the pairs interact: the best \
         has {best:.4}, at logits of at least {logit}"
    )]
    Unreachable {
        /// What was asked for.
        wanted: f64,
        /// The share of true pairs.
        prevalence: f64,
        /// The highest that there is.
        best: f64,
        /// Where.
        logit: f64,
    },
    /// A probability that no logit has.
    #[error(
        "no logit has a probability of {wanted} where {prevalence} of the pairs interact: the highest has {best:.4}"
    )]
    Improbable {
        /// What was asked for.
        wanted: f64,
        /// The share of true pairs.
        prevalence: f64,
        /// The highest that there is.
        best: f64,
    },
    /// More pairs than memory admits.
    #[error("at least {found} pairs are to be kept, and memory admits {most}")]
    TooMany {
        /// Pairs so far.
        found: u64,
        /// Pairs at most.
        most: u64,
    },
    /// A file of a part that is damaged or none.
    #[error("{} is no part of a screen: {reason}", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Parts of two screens.
    #[error("{} and {} are parts of different screens", first.display(), second.display())]
    Foreign {
        /// One part.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two files with one part.
    #[error("{} and {} are the same part {shard}", first.display(), second.display())]
    Doubled {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// Which.
        shard: Shard,
    },
    /// Parts that are not there.
    #[error("{} of {count} parts are missing: {}", missing.len(), listed(missing))]
    Missing {
        /// Their numbers, from 1.
        missing: Vec<usize>,
        /// How many there are.
        count: usize,
    },
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn listed(numbers: &[usize]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = numbers.iter().take(SHOWN).map(ToString::to_string).collect();
    shown.join(", ") + if numbers.len() > SHOWN { ", …" } else { "" }
}

impl ScreenError {
    /// Names the file in what the system said.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The exit code, where it does not lie in the cause.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Busy { .. } => Some(Code::TryAgain),
            Self::NotCalibrated { .. } => Some(Code::Usage),
            Self::TooMany { .. } => Some(Code::Memory),
            Self::Io { .. } => None,
            _ => Some(Code::Data),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Busy { .. } => "wait for it, or name another --out",
            Self::NoPairs { .. } => "give at least two proteins with different ids, or pairs of them",
            Self::Clash { .. } => "give the proteins different ids, or --id full",
            Self::NotFinite { .. } => "check the weights of the head, and the vectors",
            Self::Beyond { .. } => {
                "let the head tell logits, probabilities, or numbers of about the size of 1"
            }
            Self::NotCalibrated { .. } => {
                "'pliant evaluate --task TASK PAIRS --head DIR --calibration DIR/calibration.json' makes one from labelled \
                 pairs that the head was not taught; --min-logit and --top-k need none"
            }
            Self::TooMany { .. } => "keep fewer with a higher cut or --top-k, or admit more --memory",
            Self::Calibration { .. } => "make it anew with 'pliant evaluate --calibration'",
            Self::Unreachable { .. } | Self::Improbable { .. } => {
                "ask for less, name another --prevalence, or keep the --top-k of every protein"
            }
            Self::Part { .. } | Self::Foreign { .. } | Self::Doubled { .. } | Self::Missing { .. } => {
                "give one file of 'pliant screen --shard N/COUNT' for every N, all with the same words otherwise"
            }
            Self::TooFew { .. } | Self::Io { .. } => return None,
        };
        Some(text.to_owned())
    }
}

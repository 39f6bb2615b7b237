//! What can be wrong with a head, or with what it is given.

use std::io;
use std::path::PathBuf;

use crate::exit::Code;

/// Why a head cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// A folder without a head.
    #[error("{} holds no head: found no head.json", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A description that is none.
    #[error("{}: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Weights that are not those that the description goes with.
    #[error("{} has other bytes than {} says: found {found}, wanted {wanted}", weights.display(), card.display())]
    Weights {
        /// The weights.
        weights: PathBuf,
        /// The description.
        card: PathBuf,
        /// Digest of the weights.
        found: String,
        /// The one that was written down.
        wanted: String,
    },
    /// Another encoder than the head was taught on.
    #[error(
        "the head {} was taught on the encoder {wanted} ({family}), and {} is {found}", folder.display(), model.display()
    )]
    Encoder {
        /// The head.
        folder: PathBuf,
        /// The encoder that was named.
        model: PathBuf,
        /// Its identity.
        found: String,
        /// The one of the head.
        wanted: String,
        /// The family of that one.
        family: String,
    },
    /// Another adapter than the head was taught with.
    #[error("the head {} was taught with the adapter {wanted}, and what is there is {found}", folder.display())]
    Adapter {
        /// The head.
        folder: PathBuf,
        /// The identity of what is there.
        found: String,
        /// The one of the head.
        wanted: String,
    },
    /// No encoder at all.
    #[error("the head {} has no encoder of its own: it needs {wanted} ({family})", folder.display())]
    NoEncoder {
        /// The head.
        folder: PathBuf,
        /// The encoder of the head.
        wanted: String,
        /// Its family.
        family: String,
    },
    /// Another task than the head knows.
    #[error("the head {} was taught the task {wanted}, not {found}", folder.display())]
    Task {
        /// The head.
        folder: PathBuf,
        /// The task that was asked for.
        found: String,
        /// The one of the head.
        wanted: String,
    },
    /// A name that no task has.
    #[error("there is no task {found:?}; the tasks are {known}")]
    NoTask {
        /// The name.
        found: String,
        /// The names of all.
        known: String,
    },
    /// Vectors of something else than the head reads.
    #[error("{}: its vectors are not what the head {} reads: {what} is {found}, wanted {wanted}", path.display(), folder.display())]
    Vectors {
        /// The file of vectors.
        path: PathBuf,
        /// The head.
        folder: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it is in the file.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// Something that this head or task does not do.
    #[error("{what}")]
    Unfit {
        /// What, and what would do.
        what: String,
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

impl HeadError {
    /// The exit code, where it does not lie in the cause.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Missing { .. } => Some(Code::MissingInput),
            Self::NoEncoder { .. } | Self::NoTask { .. } | Self::Task { .. } | Self::Unfit { .. } => {
                Some(Code::Usage)
            }
            Self::Text { .. }
            | Self::Weights { .. }
            | Self::Encoder { .. }
            | Self::Adapter { .. }
            | Self::Vectors { .. } => Some(Code::Data),
            Self::Io { .. } => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => {
                "name the folder that 'pliant finetune --out' made; where its run was stopped, --resume ends it"
            }
            Self::Weights { .. } | Self::Adapter { .. } => "copy the whole folder again, or train again",
            Self::Encoder { .. } | Self::NoEncoder { .. } => {
                "name with --model the encoder that the head was taught on; 'pliant model verify' tells identities"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

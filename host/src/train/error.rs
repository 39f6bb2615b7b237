//! What can end a pretraining.

use std::io;
use std::path::{Path, PathBuf};

use crate::exit::Code;

/// Why a pretraining ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Another process trains in this folder.
    #[error("another run is at work in {}", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder that holds a run, where a new one was asked for.
    #[error("{} holds a run already", folder.display())]
    HoldsRun {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder with something else in it.
    #[error("{} holds {found:?}, which is of no run: name a new folder", folder.display())]
    Stranger {
        /// The folder.
        folder: PathBuf,
        /// One of the files.
        found: String,
    },
    /// A run that goes on with something else than it began with.
    #[error("the run in {} cannot go on: {what} is {found}, but it began with {wanted}", folder.display())]
    Changed {
        /// The folder.
        folder: PathBuf,
        /// A key of the configuration, or what else decides the numbers.
        what: String,
        /// What is there now.
        found: String,
        /// What was there at the beginning.
        wanted: String,
    },
    /// A run that has done more than is asked for.
    #[error(
        "the run in {} has done {step} steps already, and the configuration asks for {steps}", folder.display()
    )]
    Beyond {
        /// The folder.
        folder: PathBuf,
        /// Steps done.
        step: u64,
        /// Steps asked for.
        steps: u64,
    },
    /// Checkpoints of which none is whole.
    #[error("no checkpoint in {} is whole; the newest: {reason}", folder.display())]
    NoneWhole {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// What is wrong with the newest.
        reason: String,
    },
    /// A loss or a gradient that is no number.
    #[error("step {step}: {what} is not finite in pack {pack}, which holds {records}")]
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// The loss, or a gradient.
        what: String,
        /// The pack, counted from 0; the first of an update where only its sum is known.
        pack: String,
        /// The sequences of the pack.
        records: String,
    },
    /// A held-out loss that is no number.
    #[error("step {step}: the held-out loss is {value}: the weights have grown out of all bounds")]
    HeldOutNotFinite {
        /// The step, counted from 1.
        step: u64,
        /// What was found.
        value: f64,
    },
    /// A signal or the clock has ended the run, which can go on.
    #[error("stopped by {by} after step {step} of {steps}; a checkpoint of it is in {}", folder.display())]
    Stopped {
        /// What ended it.
        by: &'static str,
        /// Steps done.
        step: u64,
        /// Steps to do.
        steps: u64,
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl TrainError {
    /// What was tried with `path` and refused.
    pub(in crate::train) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The exit code, where it does not lie in the cause.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Busy { .. } | Self::Stopped { .. } => Some(Code::TryAgain),
            Self::HoldsRun { .. } | Self::Stranger { .. } => Some(Code::Usage),
            Self::Changed { .. }
            | Self::Beyond { .. }
            | Self::NoneWhole { .. }
            | Self::NotFinite { .. }
            | Self::HeldOutNotFinite { .. } => Some(Code::Data),
            Self::Io { .. } => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Busy { .. } => "wait for it, or name another folder with --out",
            Self::HoldsRun { .. } => "--resume goes on with it; another --out begins anew",
            Self::Changed { .. } => {
                "go on with what the run began with, or begin another one in a new folder"
            }
            Self::NoneWhole { .. } => "begin anew in another folder; the files are left as they are",
            Self::NotFinite { .. } | Self::HeldOutNotFinite { .. } => {
                "the last checkpoint is from before it: lower optimizer.learning_rate or set optimizer.clip, and begin \
                 anew, or try run.precision = \"f32\""
            }
            Self::Stopped { .. } => "the same command with --resume goes on",
            Self::Beyond { .. } | Self::Stranger { .. } | Self::Io { .. } => return None,
        };
        Some(text.to_owned())
    }
}

//! What can be wrong with a cache. None of it ends a task: a fault is a warning and a miss.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::key::Key;

/// How an entry is known to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A column is missing, too long, or of another type.
    #[error("its column {column} has another type or length")]
    Column {
        /// The column.
        column: &'static str,
    },
    /// The columns are not those that were written.
    #[error("its checksum does not fit its columns")]
    Checksum,
    /// Kind, rows, width and data contradict each other, or what was asked for.
    #[error("its shape is another")]
    Shape,
    /// Its file of states is not there.
    #[error("its file of states is missing")]
    NoFile,
    /// Its file of states is not the one that was written.
    #[error("its file of states has another content")]
    Content,
    /// A value that is no number, which is never written.
    #[error("it holds values that are not finite")]
    NotFinite,
}

/// Why a cache, or an entry of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheFault {
    /// There is no such file.
    #[error("there is no cache at {}: name an existing one", path.display())]
    Missing {
        /// The path as the user gave it.
        path: PathBuf,
    },
    /// The folder of the cache is not there.
    #[error("the folder {} of the cache {} does not exist: create it", folder.display(), path.display())]
    MissingFolder {
        /// The path as the user gave it.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// A file that is something else. It is never touched.
    #[error("{} is no Pliant cache ({found}): it is left as it is, choose another path", path.display())]
    NotACache {
        /// The path as the user gave it.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// A cache of a later version of the program.
    #[error(
        "the cache {} has schema {found}, and this version knows none above {known}: use a newer pliant or another path",
        path.display()
    )]
    Newer {
        /// The path as the user gave it.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The cache can be read and not be written.
    #[error("the cache {} may not be written: what it holds is used, and nothing is added", path.display())]
    ReadOnly {
        /// The path as the user gave it.
        path: PathBuf,
    },
    /// Another process kept the cache locked.
    #[error("the cache {} was locked by another process for {seconds} s: try again later", path.display())]
    Locked {
        /// The path as the user gave it.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// SQLite refused an operation.
    #[error("cannot {action} the cache {}{}: {source}", path.display(), hint(source))]
    Database {
        /// What was tried.
        action: &'static str,
        /// The path as the user gave it.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The system refused an operation on a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An entry that is not what was written. It is computed anew.
    #[error("entry {key} of the cache {} is damaged: {damage}", path.display())]
    Damaged {
        /// The path as the user gave it.
        path: PathBuf,
        /// The entry.
        key: Key,
        /// How.
        damage: Damage,
    },
}

/// What an action on a cache came to be stopped by, in kinds that a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not there.
    Missing,
    /// It is there and wrong.
    Data,
    /// Somebody else has it for now.
    Busy,
    /// The system or the disk refused.
    Io,
}

impl CacheFault {
    pub(super) fn database(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(rusqlite::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Database { action, path, source }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Missing { .. } => FaultKind::Missing,
            Self::NotACache { .. } | Self::Newer { .. } | Self::Damaged { .. } => FaultKind::Data,
            Self::MissingFolder { .. } | Self::ReadOnly { .. } | Self::Io { .. } => FaultKind::Io,
            Self::Locked { .. } => FaultKind::Busy,
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FaultKind::Data,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FaultKind::Busy,
                Some(_) => FaultKind::Io,
                // What SQLite gave is not of the kind that was written.
                None => FaultKind::Data,
            },
        }
    }
}

/// What a user can do about a refusal of SQLite, as a part of a sentence.
fn hint(source: &rusqlite::Error) -> &'static str {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            " (pliant cache verify --repair mends it)"
        }
        Some(ErrorCode::DiskFull) => " (no space is left on its disk)",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => " (another process holds it)",
        _ => "",
    }
}

//! The one error type of this crate.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was being done to a file when the system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Making the file, its temporary twin or a scratch file.
    Create,
    /// Writing to it, or making what was written durable.
    Write,
    /// Renaming the finished temporary file over the target.
    Replace,
    /// Opening or reading it.
    Read,
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Replace => "replace",
            Self::Read => "read",
        })
    }
}

/// Why something could not be kept or read back.
///
/// The text names what was found and what to do; the system's own words are the `source()` of
/// [`StoreError::Io`] and are not repeated in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation on a file.
    #[error("cannot {action} {}{}", path.display(), hint(*action, source.kind()))]
    Io {
        /// What was tried.
        action: Action,
        /// The path as the user gave it.
        path: PathBuf,
        /// What the system said; kind and raw code are those of the failed call.
        source: io::Error,
    },
    /// The folder of an output is not there.
    #[error(
        "the folder {} of the output {} does not exist: create it or choose another path",
        folder.display(), path.display()
    )]
    MissingFolder {
        /// The output as the user gave it.
        path: PathBuf,
        /// The folder that is missing, or is no folder.
        folder: PathBuf,
    },
    /// An output path that is a folder.
    #[error("the output {} is a folder: name a file in it", path.display())]
    IsFolder {
        /// The output as the user gave it.
        path: PathBuf,
    },
    /// Two outputs of one run lead to one file.
    #[error(
        "the outputs {} and {} are the same file: give each its own path",
        first.display(), second.display()
    )]
    SameTarget {
        /// The output named first.
        first: PathBuf,
        /// The output that would overwrite it.
        second: PathBuf,
    },
    /// The format cannot be told from the name of the file.
    #[error("cannot tell the format of {} by its suffix: known are {known}", path.display())]
    UnknownFormat {
        /// The path as the user gave it.
        path: PathBuf,
        /// The known suffixes, separated by commas.
        known: String,
    },
    /// A format that holds pooled vectors only.
    #[error("{format} cannot hold per-residue states of {}: formats that can are {able}", path.display())]
    NoResidues {
        /// The path as the user gave it.
        path: PathBuf,
        /// The format asked for.
        format: &'static str,
        /// The suffixes of formats that can, separated by commas.
        able: String,
    },
    /// A format that does not hold maps of pairs of residues.
    #[error("{format} cannot hold the maps of {}: formats that can are {able}", path.display())]
    NoMaps {
        /// The path as the user gave it.
        path: PathBuf,
        /// The format asked for.
        format: &'static str,
        /// The suffixes of formats that can, separated by commas.
        able: String,
    },
    /// Several layers for a format with one file per layer, to a place that takes one stream.
    #[error(
        "{} takes one table, but {layers} layers were asked for, one table each: \
         name a regular file or choose one layer", path.display()
    )]
    OneTable {
        /// The path as the user gave it.
        path: PathBuf,
        /// Number of layers.
        layers: usize,
    },
    /// A plan that no file can follow.
    #[error("the plan of {} is impossible: {reason}", path.display())]
    Plan {
        /// The path as the user gave it.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A writer that is used further after one of its records failed.
    #[error("an earlier record of {} could not be written, so it cannot be finished", path.display())]
    Broken {
        /// The path as the user gave it.
        path: PathBuf,
    },
    /// The number of rows pushed is not the number declared.
    #[error("{}: {wanted} {unit} were announced, but {found} came: the file is not written", path.display())]
    Count {
        /// The path as the user gave it.
        path: PathBuf,
        /// What was counted: `records` or `residues`.
        unit: &'static str,
        /// Number declared.
        wanted: usize,
        /// Number pushed.
        found: usize,
    },
    /// The values of one record do not have the planned shape.
    #[error("record {id:?}: {wanted} values per layer were announced, but layer {layer} has {found}")]
    Shape {
        /// The record.
        id: String,
        /// The layer.
        layer: usize,
        /// Values wanted: C, or a multiple of it that is the same for every layer.
        wanted: usize,
        /// Values found.
        found: usize,
    },
    /// The number of layers pushed is not the number planned.
    #[error("record {id:?}: {wanted} layers were announced, but {found} came")]
    Layers {
        /// The record.
        id: String,
        /// Layers wanted.
        wanted: usize,
        /// Layers found.
        found: usize,
    },
    /// A value that half precision cannot hold.
    #[error(
        "record {id:?}: value {value:e} (column {column} of layer {layer}) does not fit f16, \
         which ends at 65504: use --out-dtype f32"
    )]
    Narrow {
        /// The record.
        id: String,
        /// The layer.
        layer: usize,
        /// Column of the value, below C.
        column: usize,
        /// The value.
        value: f32,
    },
    /// An id that the strings of a format cannot give back.
    #[error(
        "record {id:?}: its id contains a NUL character, which {format} cannot hold: remove it from the header"
    )]
    NulInId {
        /// The record.
        id: String,
        /// The format.
        format: &'static str,
    },
    /// Two records of one id, in a format that finds records by their ids.
    #[error("{}: the id {id:?} came twice, but it is the name of one dataset", path.display())]
    Twice {
        /// The path as the user gave it.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// Results that a format cannot hold.
    #[error("cannot write {}: {reason}; choose another format, for instance .npz", path.display())]
    TooLarge {
        /// The path as the user gave it.
        path: PathBuf,
        /// What is too large for what.
        reason: &'static str,
    },
    /// Stored results that cannot serve as one vector per protein.
    #[error("{} holds {reason}, one vector per protein was wanted", path.display())]
    NotVectors {
        /// The file.
        path: PathBuf,
        /// What it holds.
        reason: &'static str,
    },
    /// Stored vectors of another model, or of another layer of it.
    #[error(
        "the vectors in {} have {found} numbers, {wanted} were wanted: were they made by another model?",
        path.display()
    )]
    WrongWidth {
        /// The file.
        path: PathBuf,
        /// C wanted.
        wanted: usize,
        /// C found.
        found: usize,
    },
    /// A file that is no table of text.
    #[error("{} is not a table that can be read: {reason}", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// What was found and what was wanted, with the line.
        reason: String,
    },
    /// A file that is not what its name says.
    #[error("{} cannot be used: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found and what was wanted.
        reason: String,
    },
}

impl StoreError {
    /// Names the file and the action in an error of the system.
    pub fn io(action: Action, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// The error of the system behind this one, if there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What a user can do about a failed write, as the end of a sentence; empty where the cause says it all.
fn hint(action: Action, kind: io::ErrorKind) -> &'static str {
    if action == Action::Read {
        return "";
    }
    match kind {
        io::ErrorKind::StorageFull => {
            ": no space left on the device, free some space or choose another output path"
        }
        io::ErrorKind::QuotaExceeded => {
            ": your quota is used up, free some space or choose another output path"
        }
        io::ErrorKind::FileTooLarge => {
            ": it would exceed a size limit, raise it (ulimit -f) or choose another file system"
        }
        io::ErrorKind::PermissionDenied => ": no permission, choose an output path that you may write to",
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is read-only, choose another output path",
        io::ErrorKind::BrokenPipe => ": the program that reads it has ended",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_says_what_to_do() {
        let text = |code| {
            let cause = io::Error::from_raw_os_error(code);
            StoreError::io(Action::Write, Path::new("out.npz"), cause).to_string()
        };
        assert!(text(28).contains("cannot write out.npz: no space left"), "ENOSPC");
        assert!(text(27).contains("ulimit -f"), "EFBIG");
        assert!(text(13).contains("no permission"), "EACCES");
        assert!(text(122).contains("quota"), "EDQUOT");
        assert_eq!(text(5), "cannot write out.npz", "EIO: the cause says it all");
    }
}

//! What can be wrong with weights; what can go wrong with a step stands in [`crate::optim`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use pliant_tensor::TensorError;

use crate::checkpoint::PickleProblem;

/// Longest piece of a name from a file that an error repeats.
const SHOWN_CHARACTERS: usize = 120;

/// A name as it stands in a file: quoted, escaped and cut, since a file can hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(SHOWN_CHARACTERS).collect();
        let rest = if shown.len() < self.0.len() { "…" } else { "" };
        write!(formatter, "\"{}{rest}\"", shown.escape_debug())
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// Why weights could not be read, made or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused an operation on a file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: open, read, write.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A model path that is neither a folder nor a file.
    #[error("{} is no folder: a model is a folder with config.json and model.safetensors", path.display())]
    NotAFolder {
        /// The path given.
        path: PathBuf,
    },
    /// A model folder without a file that it must have.
    #[error("the model folder {} has no {wanted}{}", folder.display(), found_instead(found))]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// Files of weights in forms that are not read, by name.
        found: Vec<String>,
    },
    /// More than one file that could be meant.
    #[error(
        "the model folder {} has neither model.safetensors nor model.safetensors.index.json but several \
         others ({}): leave one, or name it model.safetensors",
        folder.display(), files.join(", ")
    )]
    SeveralFiles {
        /// The folder.
        folder: PathBuf,
        /// The safetensors files, by name.
        files: Vec<String>,
    },
    /// A file that is damaged as a whole.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<FileProblem>,
    },
    /// A tensor that is damaged or is not what is wanted.
    #[error("{}: tensor {tensor}: {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: Name,
        /// What is wrong with it.
        problem: Box<TensorProblem>,
    },
    /// A tensor that the model needs is not there.
    #[error("{}: no tensor \"{tensor}\", nor any other spelling of it", folder.display())]
    MissingTensor {
        /// The model folder.
        folder: PathBuf,
        /// Its canonical name.
        tensor: String,
    },
    /// A tensor could not be made from the numbers.
    #[error("parameter {name}")]
    Parameter {
        /// The parameter's canonical name.
        name: String,
        /// What stood in the way.
        source: Box<TensorError>,
    },
}

/// What is wrong with a file of weights as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// Something that is no regular file.
    #[error("is no regular file")]
    NotAFile,
    /// A text file longer than any real one.
    #[error("has {found} bytes, at most {limit} are read")]
    TooLong {
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A text file that is no text.
    #[error("is no UTF-8 text")]
    NotText,
    /// A text file that is not the JSON wanted.
    #[error("is not the JSON wanted: {reason}")]
    Json {
        /// The parser's words.
        reason: String,
    },
    /// Too short for the length that begins a safetensors file.
    #[error("has {found} bytes, too few for a safetensors file: truncated?")]
    TooShort {
        /// Bytes found.
        found: u64,
    },
    /// A header that would be longer than the file or than the limit.
    #[error(
        "its safetensors header says it is {found} bytes long, but {available} follow and at most {limit} are \
         allowed: truncated, or no safetensors file"
    )]
    HeaderLength {
        /// Bytes the header claims.
        found: u64,
        /// Bytes after the length.
        available: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A header that is not the JSON wanted.
    #[error("its safetensors header is damaged: {reason}")]
    Header {
        /// The parser's words.
        reason: String,
    },
    /// Less data than the header promises.
    #[error("is truncated: its header promises {wanted} bytes of tensors, {found} are there")]
    Truncated {
        /// Bytes there.
        found: u64,
        /// Bytes promised.
        wanted: u64,
    },
    /// More data than the header promises.
    #[error("is too long: its header promises {wanted} bytes of tensors, {found} are there")]
    Extended {
        /// Bytes there.
        found: u64,
        /// Bytes promised.
        wanted: u64,
    },
    /// The same name twice.
    #[error("names {name} twice")]
    Duplicate {
        /// The name.
        name: Name,
    },
    /// A shard name that would leave the folder.
    #[error("names the shard {shard}, wanted the name of a {ending} file in the same folder")]
    ShardName {
        /// The name found.
        shard: Name,
        /// How names of shards end.
        ending: &'static str,
    },
    /// Index and shard disagree.
    #[error("says tensor {tensor} is in {wanted}, but it is {}", where_found(found.as_ref()))]
    Misplaced {
        /// The tensor.
        tensor: Name,
        /// Where the index puts it; the index itself where it does not know the tensor.
        wanted: Name,
        /// Where it is.
        found: Option<Name>,
    },
    /// Something that is no file of `torch.save`, or a damaged one.
    #[error(transparent)]
    Pickle(#[from] PickleProblem),
    /// Two tensors of one file mean the same parameter.
    #[error("holds both {first} and {second}, which are two spellings of one parameter")]
    Spellings {
        /// One name.
        first: Name,
        /// The other.
        second: Name,
    },
}

/// What is wrong with one tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorProblem {
    /// A number type that does not exist or is not known here.
    #[error("unknown dtype {found}")]
    UnknownDtype {
        /// The name found.
        found: Name,
    },
    /// A number type that weights are not read from.
    #[error("has dtype {found}, wanted F32, F16 or BF16")]
    Dtype {
        /// The dtype found.
        found: &'static str,
    },
    /// More elements than can be counted.
    #[error("shape {found:?} overflows")]
    ShapeOverflow {
        /// The shape found.
        found: Vec<u64>,
    },
    /// Offsets that end before they begin.
    #[error("data offsets {begin}..{end} run backwards")]
    Offsets {
        /// First byte.
        begin: u64,
        /// Byte after the last.
        end: u64,
    },
    /// Offsets and shape disagree.
    #[error("has {found} bytes of data, its shape and dtype want {wanted}")]
    Size {
        /// Bytes between the offsets.
        found: u64,
        /// Bytes of shape times dtype.
        wanted: u64,
    },
    /// A tensor that does not begin where the one before it ends.
    #[error("begins at byte {found} of the data, wanted {wanted}, where the one before it ends")]
    NotAdjacent {
        /// First byte.
        found: u64,
        /// End of the tensor before it.
        wanted: u64,
    },
    /// Another shape than the model's.
    #[error("has shape {found:?}, wanted {wanted:?} after config.json or the file's own settings")]
    Shape {
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape of the parameter.
        wanted: Vec<usize>,
    },
    /// A tensor of a kind that is not read.
    #[error("is made by {made_by}, wanted a dense tensor of plain numbers")]
    Unread {
        /// The function or class of PyTorch that makes it.
        made_by: Name,
    },
    /// Other bytes than a moment ago.
    #[error("changed while it was read: run again when nothing writes to the file any more")]
    Changed,
    /// A name that the model in memory does not have.
    #[error("is no tensor of this model")]
    Unknown,
    /// Other numbers than the model in memory has and never changes.
    #[error("differs from this model's: the file is one of another model")]
    OfAnother,
    /// A weight that is no number.
    #[error("element {index} is {value}: damaged, or training diverged")]
    NotFinite {
        /// Position in the tensor, counted from 0.
        index: usize,
        /// The value: NaN or an infinity.
        value: String,
    },
}

impl CheckpointError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn file(path: &Path, problem: FileProblem) -> Self {
        Self::File { path: path.to_owned(), problem: Box::new(problem) }
    }

    pub(crate) fn tensor(path: &Path, tensor: &str, problem: TensorProblem) -> Self {
        Self::Tensor { path: path.to_owned(), tensor: tensor.into(), problem: Box::new(problem) }
    }
}

fn found_instead(found: &[String]) -> String {
    if found.is_empty() {
        return String::new();
    }
    format!(", only {}: wanted model.safetensors or pytorch_model.bin", found.join(", "))
}

fn where_found(found: Option<&Name>) -> String {
    found.map_or_else(|| "not there".to_owned(), |name| format!("in {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cut() {
        assert_eq!(Name::from("a.weight").to_string(), "\"a.weight\"");
        assert_eq!(Name::from("a\u{1b}\n\"").to_string(), r#""a\u{1b}\n\"""#);
        let long = Name("é".repeat(1000)).to_string();
        assert!(long.ends_with("…\"") && long.chars().count() == SHOWN_CHARACTERS + 3, "{long}");
    }
}

//! What can be wrong with an ONNX file, its sidecar, or what comes of them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an ONNX file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
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
    /// A sidecar that is not there.
    #[error(
        "{} has no sidecar: found no {}, which says its vocabulary or labels, its inputs and its output", model.display(),
        path.display()
    )]
    NoSidecar {
        /// The ONNX file.
        model: PathBuf,
        /// Where its sidecar would be.
        path: PathBuf,
    },
    /// A sidecar that says something that cannot be.
    #[error("{}: {reason}", path.display())]
    Sidecar {
        /// The sidecar.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that is no ONNX.
    #[error("{} is no ONNX file that can be read: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// More than is allowed.
    #[error("{}: {what} is {found}, more than the {limit} that are allowed", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
        /// How large.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A tensor that is not what it says.
    #[error("{}: tensor {tensor:?}: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// An operator that is not supported.
    #[error("{}: node {node:?} is the operator {operator}, {reason}", path.display())]
    Operator {
        /// The file.
        path: PathBuf,
        /// The node.
        node: String,
        /// The operator, with its domain where it has one.
        operator: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// Inputs or outputs that are not those of the sidecar.
    #[error("{}: {reason}", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// What does not go together.
        reason: String,
    },
    /// What tract says while it reads or runs a file.
    #[error("{}: {stage}: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What was done.
        stage: &'static str,
        /// What tract says.
        reason: String,
    },
    /// A call that takes too long.
    #[error("{}: running it took more than {} s", path.display(), time.as_secs_f64())]
    Slow {
        /// The file.
        path: PathBuf,
        /// How long it may take.
        time: Duration,
    },
    /// A file that a process of its own could not read.
    #[error("{}: reading it, tried out in a process of its own, {reason}", path.display())]
    Apart {
        /// The file.
        path: PathBuf,
        /// How that process ended.
        reason: String,
    },
    /// Another shape than was to be expected.
    #[error("{}: output {output:?} has the shape {found:?}, wanted {wanted}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The output.
        output: String,
        /// Its shape.
        found: Vec<usize>,
        /// What was wanted.
        wanted: String,
    },
    /// A number that is none.
    #[error("{}: output {output:?} is {value} in row {row}, column {column}", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The output.
        output: String,
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// What was found.
        value: f32,
    },
    /// A head whose answer for one row depends on others.
    #[error(
        "{}: the answer for a row changes with the rows beside it (row {row}, column {column}), so it would depend on the \
         batch", path.display()
    )]
    Mixes {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
    },
    /// A variable that changes what tract computes.
    #[error(
        "the variable {name} is set, which changes what tract computes: found {value:?}, wanted it unset"
    )]
    Environment {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
    },
}

impl OnnxError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSidecar { .. } => {
                "write it as the README's section 'ONNX' says; 'pliant model export --onnx' writes one"
            }
            Self::Operator { .. } => {
                "export the model again with other settings, as with attn_implementation=\"eager\""
            }
            Self::Mixes { .. } => "export the head in its mode for inference (model.eval())",
            Self::Environment { .. } => "unset it",
            _ => return None,
        })
    }
}

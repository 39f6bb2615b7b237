//! Heads: small networks that turn the states of any encoder into the numbers of a task.
//!
//! ```text
//! states [T,W] of B sequences ─► sequence: pool ─► MLP ─► [B,N]
//!                             ─► residue:         MLP ─► [T,N]
//! states of pairs             ─► alignment: project ─► soft alignment ─► ordered levels [B,N]
//! states of pairs             ─► symmetric: pool both ─► |a - b|, a·b ─► MLP ─► [B,N]
//! ```
//!
//! A head knows widths and parameter names and nothing of labels; what its numbers mean is the task's business. Names are
//! those of PLUS (`hidden.*`, `output.*`), so that its files are read.

mod alignment;
mod residue;
mod sequence;
mod symmetric;

use std::path::Path;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::{
    Checkpoint, CheckpointError, Init, Linear, Live, Meaning, Take, TensorProblem, Weights, read_live,
    write_live,
};
use pliant_tensor::ops::{Epilogue, Kind, dropout, relu};
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
pub use alignment::AlignmentHead;
pub use residue::ResidueHead;
pub use sequence::SequenceHead;
pub use symmetric::SymmetricHead;

/// What a head is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// What it is asked about.
    pub kind: HeadKind,
    /// W, numbers of a state.
    pub inputs: usize,
    /// N, numbers that it gives.
    pub outputs: usize,
    /// How the states of a sequence become one vector; nothing where every residue is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Width of a hidden layer; none for a linear head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// D, width of what states are projected to before they are aligned; of heads of alignments alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Part of the hidden numbers that is dropped in training.
    #[serde(default)]
    pub dropout: f32,
}

/// What a head is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// A sequence.
    Sequence,
    /// Every residue of it.
    Residue,
    /// Two sequences, whichever comes first: their pooled vectors.
    Symmetric,
    /// The same by a soft alignment of their residues, as PLUS: it gives ordered levels.
    Alignment,
}

impl HeadKind {
    /// Whether it is asked about pairs.
    #[must_use]
    pub fn takes_pairs(self) -> bool {
        matches!(self, Self::Symmetric | Self::Alignment)
    }
}

/// How the states of a sequence become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean of its residues.
    Mean,
    /// The state of the token before its residues.
    Cls,
    /// The largest value of its residues, column by column.
    Max,
    /// The sum of its residues: PLUS as it was published.
    Sum,
    /// A mean of its residues, each as much as a layer of the head says.
    Attention,
}

impl Pooling {
    /// The name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Attention => "attention",
        }
    }

    /// The pooling that has no weights; attention has.
    fn kind(self) -> Kind {
        match self {
            Self::Mean | Self::Attention => Kind::Mean,
            Self::Cls => Kind::Cls,
            Self::Max => Kind::Max,
            Self::Sum => Kind::Sum,
        }
    }
}

/// What a head is given of S sequences; where it is asked about pairs, all first ones stand before all second ones.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    /// `[S,W]` a pooled vector each.
    Vectors(&'a Tensor),
    /// `[T,W]` states, and from where to where those of each sequence stand: of its residues, and with [`Pooling::Cls`] of
    /// the token before them.
    States(&'a Tensor, &'a [(usize, usize)]),
}

/// A head of any kind.
#[derive(Debug)]
pub enum Head {
    /// Of sequences.
    Sequence(SequenceHead),
    /// Of residues.
    Residue(ResidueHead),
    /// Of pairs, by their vectors.
    Symmetric(SymmetricHead),
    /// Of pairs, by their residues.
    Alignment(AlignmentHead),
}

/// A head that is ready to run.
#[derive(Debug)]
pub struct LoadedHead {
    /// The head.
    pub head: Head,
    params: Vec<Arc<Param>>,
    live: Vec<Live>,
}

impl LoadedHead {
    /// A head with random weights that can be trained.
    ///
    /// # Errors
    /// [`ModelError::Head`] for sizes that cannot be.
    pub fn random(
        config: &HeadConfig,
        seed: u64,
        (device, precision): (&Device, Precision),
    ) -> Result<Self, ModelError> {
        let weights = Weights::random(seed, device, precision).take(Take::Values { trainable: true });
        Self::new(config, &weights)
    }

    /// The head of a file of weights, as [`LoadedHead::save`] or PLUS wrote it. A tensor `attention.*` of the latter, which
    /// changes nothing in it, is left out.
    ///
    /// # Errors
    /// [`ModelError::Head`] for sizes that cannot be, and [`ModelError::Checkpoint`] naming the file and the tensor for one
    /// that is missing, of another shape, no number or not of the head.
    pub fn load(
        path: &Path,
        config: &HeadConfig,
        (device, precision): (&Device, Precision),
        trainable: bool,
    ) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open_files(path, None)?;
        let attends = config.pooling == Some(Pooling::Attention);
        let meaning = |name: &&str| match name.starts_with("attention.") && !attends {
            true => Meaning::Extra,
            false => Meaning::Parameter((*name).to_owned()),
        };
        let weights =
            Weights::stored(checkpoint, |names| names.iter().map(meaning).collect(), (device, precision))?
                .take(Take::Values { trainable });
        let loaded = Self::new(config, &weights)?;
        match weights.report().unexpected.into_iter().next() {
            Some(name) => {
                let (tensor, problem) = (name.as_str().into(), Box::new(TensorProblem::Unknown));
                Err(CheckpointError::Tensor { path: path.to_owned(), tensor, problem }.into())
            }
            None => Ok(loaded),
        }
    }

    fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, ModelError> {
        config.check()?;
        let head = match config.kind {
            HeadKind::Sequence => Head::Sequence(SequenceHead::new(config, weights)?),
            HeadKind::Residue => Head::Residue(ResidueHead::new(config, weights)?),
            HeadKind::Symmetric => Head::Symmetric(SymmetricHead::new(config, weights)?),
            HeadKind::Alignment => Head::Alignment(AlignmentHead::new(config, weights)?),
        };
        Ok(Self { head, params: weights.params(), live: weights.live() })
    }

    /// Every parameter once.
    #[must_use]
    pub fn params(&self) -> &[Arc<Param>] {
        &self.params
    }

    /// Numbers `[S,N]` of the sequences, `[R,N]` of their R residues one after the other, or `[S/2,N]` of the pairs.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] for what does not fit.
    pub fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, ModelError> {
        Ok(match &self.head {
            Head::Sequence(head) => head.forward(tape, given)?,
            Head::Residue(head) => head.forward(tape, given)?,
            Head::Symmetric(head) => head.forward(tape, given)?,
            Head::Alignment(head) => head.forward(tape, given)?,
        })
    }

    /// Writes the weights as they are now as one safetensors file.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        Ok(write_live(path, &self.live)?)
    }

    /// Gives a head for training the weights of a file that [`LoadedHead::save`] wrote of the same one.
    ///
    /// # Errors
    /// As [`LoadedHead::load`].
    pub fn restore(&self, path: &Path) -> Result<(), ModelError> {
        Ok(read_live(path, &self.live)?)
    }
}

impl HeadConfig {
    /// Widest layer, far above any that makes sense.
    const WIDTH_MAX: usize = 1 << 20;

    /// Whether it reads the states of all residues, and no pooled vector will do.
    #[must_use]
    pub fn reads_states(&self) -> bool {
        let attends = self.pooling == Some(Pooling::Attention);
        attends || matches!(self.kind, HeadKind::Residue | HeadKind::Alignment)
    }

    /// Refuses sizes that cannot be.
    ///
    /// # Errors
    /// [`ModelError::Head`] naming what does not fit.
    pub fn check(&self) -> Result<(), ModelError> {
        let refuse = |what, found: String, wanted| Err(ModelError::Head { what, found, wanted });
        let widths = [
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("hidden", self.hidden.unwrap_or(1)),
            ("embedding", self.embedding.unwrap_or(1)),
        ];
        if let Some((what, found)) =
            widths.into_iter().find(|(_, width)| !(1..=Self::WIDTH_MAX).contains(width))
        {
            return refuse(what, found.to_string(), "a whole number from 1 to 1048576");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse("dropout", self.dropout.to_string(), "a number from 0 to below 1");
        }
        match (self.kind, self.pooling) {
            (HeadKind::Residue | HeadKind::Alignment, Some(_)) => {
                refuse("pooling", "set".to_owned(), "none in a head of residues or alignments")
            }
            (HeadKind::Symmetric, Some(Pooling::Attention)) => refuse(
                "pooling",
                "\"attention\"".to_owned(),
                "\"mean\", \"cls\", \"max\" or \"sum\" of pairs",
            ),
            (HeadKind::Sequence | HeadKind::Symmetric, None) => refuse(
                "pooling",
                "missing".to_owned(),
                "\"mean\", \"cls\", \"max\", \"sum\" or \"attention\"",
            ),
            _ => Ok(()),
        }
    }
}

/// A linear layer, with another before it where there is a hidden one: `output(drop(ReLU(hidden(x))))`.
///
/// Keys: `hidden.weight [H,W]`, `hidden.bias [H]`, `output.weight [N,·]`, `output.bias [N]`.
#[derive(Debug)]
pub(crate) struct Perceptron {
    hidden: Option<Linear>,
    output: Linear,
    dropout: f32,
}

/// Names what is dropped in a head among all that is dropped on a tape.
const DROPOUT: u32 = 0x4845_4144;

impl Perceptron {
    pub(crate) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let &HeadConfig { inputs, outputs, hidden, dropout, .. } = config;
        let layer = |name: &str, inputs, outputs| {
            Linear::new(&weights.at(name), inputs, outputs, Init::kaiming(inputs))
        };
        let output_inputs = hidden.unwrap_or(inputs);
        let hidden = hidden.map(|width| layer("hidden", inputs, width)).transpose()?;
        Ok(Self { hidden, output: layer("output", output_inputs, outputs)?, dropout })
    }

    /// `[R,N]` of `x [R,W]`.
    pub(crate) fn forward(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let Some(hidden) = &self.hidden else {
            return self.output.forward(tape, x, Epilogue::Store, Dtype::F32);
        };
        let x = hidden.forward(tape, x, Epilogue::Store, Dtype::F32)?;
        self.after_hidden(tape, &x)
    }

    /// The same of the sums of the hidden layer.
    fn after_hidden(&self, tape: &Tape, sums: &Tensor) -> Result<Tensor, TensorError> {
        let x = relu(tape, sums)?;
        let x = dropout(tape, &x, self.dropout, DROPOUT)?;
        self.output.forward(tape, &x, Epilogue::Store, Dtype::F32)
    }
}

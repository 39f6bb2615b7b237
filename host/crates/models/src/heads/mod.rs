//! Heads: small networks that turn the states of any encoder into the numbers of a task.
//!
//! ```text
//! states [T,W] of B sequences ─► sequence: pool ─► MLP ─► [B,N]
//!                             ─► residue:         MLP ─► [T,N]
//! states of pairs             ─► alignment: project ─► soft alignment ─► ordered levels [B,N]
//! states of pairs             ─► symmetric: pool both ─► |a - b|, a·b ─► MLP ─► [B,N]
//!                             ─► average:   pool both ─► (a + b)/2     ─► MLP ─► [B,N]
//! ```
//!
//! A head knows widths and parameter names and nothing of labels; what its numbers mean is the task's business. Names are
//! those of PLUS (`hidden.*`, `output.*`), so that its files are read.

mod alignment;
mod average;
mod contact_map;
mod perceptron;
mod pooler;
mod published;
mod residue;
mod sequence;
mod standard;
mod symmetric;

use std::path::Path;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::{
    Checkpoint, CheckpointError, Live, Meaning, Take, TensorProblem, Weights, read_live, write_live,
};
use pliant_tensor::ops::{Kind, pool, relu, tanh};
use pliant_tensor::{Param, Tape, Tensor, TensorError};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
pub use alignment::AlignmentHead;
pub use average::AverageHead;
pub use contact_map::ContactMapHead;
use pooler::Pooler;
pub use published::{PublishedHead, take_published};
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
    /// What becomes of the sums of the hidden layer.
    #[serde(default, skip_serializing_if = "Activation::is_relu")]
    pub activation: Activation,
    /// Part of the hidden numbers that is dropped in training; with [`Activation::Tanh`], as published, of the numbers
    /// before the hidden layer too.
    #[serde(default)]
    pub dropout: f32,
    /// Whether every number of a pooled vector is put on one scale before the first layer: [`LoadedHead::standardize`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub standardized: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What becomes of the sums of a hidden layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The sum where it is above 0, else 0: PLUS.
    #[default]
    Relu,
    /// Its hyperbolic tangent: the classifier of transformers, and the published heads of pairs and of symmetry.
    Tanh,
}

impl Activation {
    /// Whether it is what is meant where nothing is said.
    #[must_use]
    pub fn is_relu(&self) -> bool {
        *self == Self::Relu
    }

    /// Of sums.
    pub(crate) fn of(self, tape: &Tape, sums: &Tensor) -> Result<Tensor, TensorError> {
        match self {
            Self::Relu => relu(tape, sums),
            Self::Tanh => tanh(tape, sums),
        }
    }
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
    /// The same by the mean of both vectors: with a hidden layer of 128 and [`Activation::Tanh`] the published head of
    /// interactions.
    Average,
    /// The same by a soft alignment of their residues, as PLUS: it gives ordered levels.
    Alignment,
}

impl HeadKind {
    /// Whether the states of a sequence become one vector before anything else.
    #[must_use]
    pub fn pools(self) -> bool {
        matches!(self, Self::Sequence | Self::Symmetric | Self::Average)
    }

    /// Whether it is asked about pairs.
    #[must_use]
    pub fn takes_pairs(self) -> bool {
        matches!(self, Self::Symmetric | Self::Average | Self::Alignment)
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
    /// `tanh(W·h + b)` of the state of the token before its residues, with numbers that were drawn once and never learn: what
    /// transformers puts on ESM-2, as published. They are kept with the head.
    Random,
    /// The same of a token that no other sees: what the published code computes.
    Published,
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
            Self::Random => "random",
            Self::Published => "published",
        }
    }

    /// Whether it reads the token before the residues and not the residues.
    #[must_use]
    pub fn reads_cls(self) -> bool {
        matches!(self, Self::Cls | Self::Random | Self::Published)
    }

    /// The vector `[S,W]` that it makes of the states of each span before any weights of a head, which then takes them as
    /// [`Given::Vectors`]; not of [`Pooling::Attention`], which has nothing before its weights.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] for spans that do not fit.
    pub fn choose(
        self,
        tape: &Tape,
        states: &Tensor,
        spans: &[(usize, usize)],
    ) -> Result<Tensor, ModelError> {
        Ok(pool(tape, states, self.kind(), spans)?)
    }

    /// The part of the pooling that has no weights.
    fn kind(self) -> Kind {
        match self {
            Self::Mean | Self::Attention => Kind::Mean,
            Self::Cls | Self::Random | Self::Published => Kind::Cls,
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
    /// `[T,W]` states, and from where to where those of each sequence stand: of its residues, or where
    /// [`Pooling::reads_cls`] of the token before them. With [`Pooling::Attention`] each span begins where the one before it
    /// has ended or later.
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
    /// Of pairs, by the mean of their vectors.
    Average(AverageHead),
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
            HeadKind::Average => Head::Average(AverageHead::new(config, weights)?),
            HeadKind::Alignment => Head::Alignment(AlignmentHead::new(config, weights)?),
        };
        let mut params = weights.params();
        params.retain(|param| !standard::is_part(param.name()));
        Ok(Self { head, params, live: weights.live() })
    }

    /// Every parameter once, without the scale of a standardized head, which no gradient moves.
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
            Head::Average(head) => head.forward(tape, given)?,
            Head::Alignment(head) => head.forward(tape, given)?,
        })
    }

    /// The vector `[S,W]` of each sequence that the layers of the head read: states pooled as the head says.
    ///
    /// # Errors
    /// [`ModelError::Head`] where the head pools nothing, [`ModelError::Tensor`] for what does not fit.
    pub fn vectors(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, ModelError> {
        Ok(self.pooler()?.vectors(tape, given)?)
    }

    fn pooler(&self) -> Result<&Pooler, ModelError> {
        match &self.head {
            Head::Sequence(head) => Ok(&head.pooler),
            Head::Symmetric(head) => Ok(&head.pooler),
            Head::Average(head) => Ok(&head.pooler),
            Head::Residue(_) | Head::Alignment(_) => {
                let found = "a head of residues or alignments".to_owned();
                Err(ModelError::Head { what: "kind", found, wanted: "one that pools" })
            }
        }
    }

    /// Gives a standardized head that can be trained the means and standard deviations of the pooled vectors that it will be
    /// given: from now on its layers read `(x - mean) / deviation`, of a number without deviation `x - mean`.
    ///
    /// # Errors
    /// [`ModelError::Head`] where the head is not standardized, [`ModelError::Tensor`] for numbers that do not fit.
    pub fn standardize(&self, means: &[f64], deviations: &[f64]) -> Result<(), ModelError> {
        let pooler = self.pooler()?;
        let Some(standard) = &pooler.standard else {
            let found = "a head as it is".to_owned();
            return Err(ModelError::Head { what: "standardized", found, wanted: "one with a scale" });
        };
        Ok(standard.set(means, deviations)?)
    }

    /// Writes the weights as they are now as one safetensors file.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        Ok(write_live(path, &self.live)?)
    }

    /// Its weights as they are now, under the names of files.
    #[must_use]
    pub fn weights(&self) -> &[Live] {
        &self.live
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
        if self.standardized && !self.kind.pools() {
            return refuse("standardized", "true".to_owned(), "false in a head of residues or alignments");
        }
        match (self.kind, self.pooling) {
            (HeadKind::Residue | HeadKind::Alignment, Some(_)) => {
                refuse("pooling", "set".to_owned(), "none in a head of residues or alignments")
            }
            (HeadKind::Sequence | HeadKind::Symmetric | HeadKind::Average, None) => refuse(
                "pooling",
                "missing".to_owned(),
                "\"mean\", \"cls\", \"max\", \"sum\", \"attention\", \"random\" or \"published\"",
            ),
            _ => Ok(()),
        }
    }
}

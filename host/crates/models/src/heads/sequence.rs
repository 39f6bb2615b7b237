//! A head of sequences: pooled states, then a perceptron.

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, attention_pool, pool};
use pliant_tensor::{Dtype, Tape, Tensor, TensorError};

use super::{Given, HeadConfig, Perceptron, Pooling};

/// Numbers `[S,N]` of S sequences. Keys: those of the perceptron; with attention `attention.weight [1,W]`,
/// `attention.bias [1]`, whose softmax over the residues of a sequence says how much each counts.
#[derive(Debug)]
pub struct SequenceHead {
    pooling: Pooling,
    attention: Option<Linear>,
    perceptron: Perceptron,
}

impl SequenceHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let pooling = config.pooling.unwrap_or(Pooling::Mean);
        let inputs = config.inputs;
        let attention = (pooling == Pooling::Attention)
            .then(|| Linear::new(&weights.at("attention"), inputs, 1, Init::kaiming(inputs)))
            .transpose()?;
        Ok(Self { pooling, attention, perceptron: Perceptron::new(config, weights)? })
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        let vectors = match (&self.attention, given) {
            (Some(attention), Given::States(states, spans)) => {
                let scores = attention.forward(tape, states, Epilogue::Store, Dtype::F32)?;
                attention_pool(tape, states, &scores, spans)?
            }
            _ => pooled(tape, given, self.pooling)?,
        };
        self.perceptron.forward(tape, &vectors)
    }
}

/// A vector `[S,W]` for each sequence.
pub(super) fn pooled(tape: &Tape, given: Given<'_>, pooling: Pooling) -> Result<Tensor, TensorError> {
    match given {
        Given::Vectors(vectors) => Ok(vectors.clone()),
        Given::States(states, spans) => pool(tape, states, pooling.kind(), spans),
    }
}

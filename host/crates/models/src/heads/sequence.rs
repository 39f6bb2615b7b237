//! A head of sequences: pooled states, then a perceptron.

use pliant_nn::{CheckpointError, Weights};
use pliant_tensor::{Tape, Tensor, TensorError};

use super::perceptron::Perceptron;
use super::pooler::Pooler;
use super::{Given, HeadConfig};

/// Numbers `[S,N]` of S sequences. Keys: those of the pooler and of the perceptron.
#[derive(Debug)]
pub struct SequenceHead {
    pub(super) pooler: Pooler,
    perceptron: Perceptron,
}

impl SequenceHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        Ok(Self { pooler: Pooler::new(config, weights)?, perceptron: Perceptron::new(config, weights)? })
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        self.perceptron.forward(tape, &self.pooler.vectors(tape, given)?)
    }
}

//! A head of pairs by the mean of both vectors, whichever of the two comes first.
//!
//! ```text
//! m = (a + b)/2
//! y = output(drop(tanh(hidden(drop(m)))))
//! ```
//!
//! With a hidden layer of 128 and one output this is the published head of interactions. Keys: those of the pooler, and
//! `hidden.weight [H,W]`, `hidden.bias [H]`, `output.weight [N,H]`, `output.bias [N]`; without a hidden layer `output.*` is on
//! the mean alone.

use pliant_nn::{CheckpointError, Linear, Weights};
use pliant_tensor::ops::{add, gather_rows, scale};
use pliant_tensor::{Tape, Tensor, TensorError};

use super::perceptron::Perceptron;
use super::pooler::Pooler;
use super::{Activation, Given, HeadConfig};

/// Numbers `[S/2,N]` of pairs of S sequences.
#[derive(Debug)]
pub struct AverageHead {
    pub(super) pooler: Pooler,
    perceptron: Perceptron,
}

impl AverageHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        Ok(Self { pooler: Pooler::new(config, weights)?, perceptron: Perceptron::new(config, weights)? })
    }

    /// The hidden layer, where there is one, and that of the outputs.
    #[must_use]
    pub fn layers(&self) -> (Option<&Linear>, &Linear) {
        (self.perceptron.hidden.as_ref(), &self.perceptron.output)
    }

    /// What becomes of the sums of the hidden layer.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.perceptron.activation
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        let vectors = self.pooler.vectors(tape, given)?;
        let [a, b] = sides(tape, &vectors)?;
        let mean = scale(tape, &add(tape, &a, &b)?, 0.5)?;
        self.perceptron.forward(tape, &mean)
    }
}

/// The vectors of the first ones and of the second ones, of pairs whose first ones stand before all second ones.
pub(super) fn sides(tape: &Tape, vectors: &Tensor) -> Result<[Tensor; 2], TensorError> {
    let pairs = vectors.rows() / 2;
    let [first, second] = [0, pairs].map(|from| (from..from + pairs).collect::<Vec<_>>());
    Ok([gather_rows(tape, vectors, &first)?, gather_rows(tape, vectors, &second)?])
}

//! A head of residues: a perceptron on every state.

use pliant_nn::{CheckpointError, Weights};
use pliant_tensor::ops::gather_rows;
use pliant_tensor::{Tape, Tensor, TensorError};

use super::perceptron::Perceptron;
use super::{Given, HeadConfig};

/// Numbers `[R,N]` of the R residues of all sequences. Keys: those of the perceptron.
#[derive(Debug)]
pub struct ResidueHead {
    perceptron: Perceptron,
}

impl ResidueHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        Ok(Self { perceptron: Perceptron::new(config, weights)? })
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        match given {
            Given::Vectors(rows) => self.perceptron.forward(tape, rows),
            Given::States(states, spans) => {
                let rows: Vec<usize> = spans.iter().flat_map(|&(start, end)| start..end).collect();
                if rows.len() == states.rows() {
                    return self.perceptron.forward(tape, states);
                }
                self.perceptron.forward(tape, &gather_rows(tape, states, &rows)?)
            }
        }
    }
}

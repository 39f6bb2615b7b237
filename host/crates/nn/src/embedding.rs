//! Embedding: row `ids[t]` of a table for each token, rescaled where masked tokens are dropped.
//!
//! Shapes: `ids [T]`, `y [T,C]`. Keys: `weight [V,C]`.

use std::sync::Arc;

use pliant_tensor::ops::{TokenDropout, embedding, embedding_with_still_row};
use pliant_tensor::{Ids, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::weights::Weights;

/// A table with one row for each token of the vocabulary.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `[V,C]`
    pub weight: Arc<Param>,
}

impl Embedding {
    /// Takes `weight [vocabulary, width]`, begun by `init`.
    ///
    /// # Errors
    /// [`CheckpointError`] when it cannot be had.
    pub fn new(
        weights: &Weights,
        vocabulary: usize,
        width: usize,
        init: Init,
    ) -> Result<Self, CheckpointError> {
        Ok(Self { weight: weights.table("weight", [vocabulary, width], init)? })
    }

    /// `y [T,C]` of the pack `ids [T]` with its `offsets`.
    ///
    /// # Errors
    /// [`TensorError`] for ids outside the vocabulary and offsets that do not fit.
    pub fn forward(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        dropout: Option<TokenDropout>,
    ) -> Result<Tensor, TensorError> {
        embedding(tape, ids, offsets, &self.weight, dropout)
    }

    /// The same without dropout, where row `still` of the table is never trained.
    ///
    /// # Errors
    /// As [`Embedding::forward`].
    pub fn forward_with_still_row(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        still: u32,
    ) -> Result<Tensor, TensorError> {
        embedding_with_still_row(tape, ids, offsets, &self.weight, still)
    }
}

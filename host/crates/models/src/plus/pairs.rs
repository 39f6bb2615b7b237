//! The projection of the recurrent models of PLUS, and their head for pairs, which is built on it.
//!
//! ```text
//! z     = fc(hidden)                                       [T,E]
//! score = alignment(z of one, z of the other)              [B,1]   never positive
//! pair  = score · ordinal_weight + ordinal_bias            [B,K]
//! ```
//!
//! K is one less than the number of ordered classes: 1 where families are told apart, 4 for levels of homology.

use std::sync::Arc;

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, ordinal, soft_alignment};
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};

use crate::error::ModelError;
use crate::model::Member;

/// Names of the two parameters of levels.
pub(super) const ORDINAL: [&str; 2] = ["ordinal_weight", "ordinal_bias"];

/// Where the biases of levels begin, as published (after Bepler and Berger, ICLR 2019).
const BIAS: f32 = 10.0;

/// Projection and levels.
#[derive(Debug)]
pub(crate) struct PairHead {
    fc: Linear,
    /// `ordinal_weight [1,K]` and `ordinal_bias [K]`.
    levels: Option<[Arc<Param>; 2]>,
}

impl PairHead {
    /// Takes the projection from `width` to `projected` numbers, and `levels` levels where there are any.
    pub(crate) fn new(
        weights: &Weights,
        width: usize,
        projected: usize,
        levels: usize,
    ) -> Result<Self, CheckpointError> {
        let fc = Linear::pytorch(&weights.at("fc"), width, projected)?;
        let [weight, bias] = ORDINAL;
        if levels == 0 {
            // Stored for one class, they are empty.
            ORDINAL.iter().for_each(|name| weights.pass_over(name));
            return Ok(Self { fc, levels: None });
        }
        let weight = weights.constants(weight, [1, levels], Init::Ones)?;
        let bias = weights.vector(bias, levels, Init::Repeated(vec![BIAS]))?;
        Ok(Self { fc, levels: Some([weight, bias]) })
    }

    /// z `[R,E]` of states `[R,C]`.
    pub(crate) fn project(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, TensorError> {
        self.fc.forward(tape, hidden, Epilogue::Store, Dtype::F32)
    }

    /// What nothing but pairs reaches.
    pub(crate) fn params(&self) -> Vec<Arc<Param>> {
        let of_fc = [Some(&self.fc.weight), self.fc.bias.as_ref()];
        of_fc.into_iter().flatten().chain(self.levels.iter().flatten()).map(Arc::clone).collect()
    }

    /// Whether there are levels.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        self.levels.as_ref().map(drop).ok_or(ModelError::NoPairs)
    }

    /// Logits `[B,K]` of pairs.
    pub(crate) fn logits(
        &self,
        tape: &Tape,
        first: Member<'_>,
        second: Member<'_>,
    ) -> Result<Tensor, ModelError> {
        self.check()?;
        let [one, other] = [self.project(tape, first.0)?, self.project(tape, second.0)?];
        self.levels(tape, &soft_alignment(tape, &one, first.1, &other, second.1)?)
    }

    /// Logits `[B,K]` of scores `[B,1]`.
    pub(crate) fn levels(&self, tape: &Tape, scores: &Tensor) -> Result<Tensor, ModelError> {
        let [weight, bias] = self.levels.as_ref().ok_or(ModelError::NoPairs)?;
        Ok(ordinal(tape, scores, weight, bias)?)
    }
}

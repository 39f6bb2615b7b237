//! From the states of a sequence to one vector.
//!
//! Keys: with attention `attention.weight [1,W]`, `attention.bias [1]`, whose softmax over the residues of a sequence says how
//! much each counts; with the random pooler `pooler.weight [W,W]`, `pooler.bias [W]`, which never learn; those of the scale
//! where there is one.

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, attention_pool, pool, tanh};
use pliant_tensor::{Dtype, Tape, Tensor, TensorError};

use super::standard::Standard;
use super::{Given, HeadConfig, Pooling};

/// What transformers draws the matrix of a pooler with.
const DEVIATION: f32 = 0.02;

/// How a head pools, with what of it has weights.
#[derive(Debug)]
pub(super) struct Pooler {
    pooling: Pooling,
    attention: Option<Linear>,
    random: Option<Linear>,
    pub(super) standard: Option<Standard>,
}

impl Pooler {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let (pooling, inputs) = (config.pooling.unwrap_or(Pooling::Mean), config.inputs);
        let attention = (pooling == Pooling::Attention)
            .then(|| Linear::new(&weights.at("attention"), inputs, 1, Init::kaiming(inputs)))
            .transpose()?;
        let init = Init::Normal { deviation: DEVIATION };
        let random = matches!(pooling, Pooling::Random | Pooling::Published)
            .then(|| Linear::new(&weights.at("pooler").frozen(), inputs, inputs, init))
            .transpose()?;
        let standard = config.standardized.then(|| Standard::new(inputs, weights)).transpose()?;
        Ok(Self { pooling, attention, random, standard })
    }

    /// A vector `[S,W]` for each sequence. Of vectors only what comes after the choice of states is still done.
    pub(super) fn vectors(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        let vectors = match (&self.attention, given) {
            (Some(attention), Given::States(states, spans)) => {
                let scores = attention.forward(tape, states, Epilogue::Store, Dtype::F32)?;
                attention_pool(tape, states, &scores, spans)?
            }
            (_, Given::Vectors(vectors)) => vectors.clone(),
            (None, Given::States(states, spans)) => pool(tape, states, self.pooling.kind(), spans)?,
        };
        let vectors = match &self.random {
            Some(layer) => tanh(tape, &layer.forward(tape, &vectors, Epilogue::Store, Dtype::F32)?)?,
            None => vectors,
        };
        match &self.standard {
            Some(standard) => standard.of(tape, &vectors),
            None => Ok(vectors),
        }
    }
}

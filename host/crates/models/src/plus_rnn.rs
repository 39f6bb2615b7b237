//! PLUS-RNN: a recurrent masked language model of proteins that also tells whether two of them are of one family (Min et
//! al., IEEE Access 9, 2021; mswzeus/PLUS `plus/model/plus_rnn.py`).
//!
//! For a pack of T tokens, width C = 2H of two directions of H numbers, V classes, pairs of B proteins:
//!
//! ```text
//! x       = embed[ids]                             [T,21]
//! x       = rnn(x), forward beside reverse         [T,C]   layers 1..
//! hidden  = x                                      [T,C]   last layer
//! z       = fc(hidden)                             [T,E]
//! logits  = decoder(hidden)                        [T,V]
//! pair    = alignment(z of one, z of the other) · ordinal_weight + ordinal_bias    [B,K]
//! ```
//!
//! The embedding is narrower than the layers and no layer of its own. Its row of X, which is the mask too, is zero and stays
//! zero. A token of 0 stands before and behind the residues. The V classes are the tokens but for X.

mod blueprint;
mod config;

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_nn::{BiLstm, CheckpointError, Embedding, Init, Linear, Weights};
use pliant_tensor::ops::Epilogue;
use pliant_tensor::{Dtype, Ids, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::ModelError;
use crate::model::{Encoder, Kept, Member, step};
use crate::plus::PairHead;

pub(crate) use blueprint::FAMILY;
pub use config::{Config, Parts};

/// Tokens of the vocabulary.
pub(crate) const VOCABULARY: usize = 22;

/// The token of X and of the mask, whose row is never trained.
pub(crate) const MASK: u32 = 21;

/// Width of the embedding, and V.
pub(crate) const CLASSES: usize = 21;

/// One layer of the recurrent network.
#[derive(Debug)]
pub(crate) struct Layer {
    rnn: Arc<BiLstm>,
    number: usize,
}

impl Layer {
    /// All layers of a network.
    pub(crate) fn all(rnn: BiLstm, layers: usize) -> Vec<Arc<Self>> {
        let rnn = Arc::new(rnn);
        (0..layers).map(|number| Arc::new(Self { rnn: Arc::clone(&rnn), number })).collect()
    }

    /// States `[T,C]` after this layer.
    pub(crate) fn forward(&self, tape: &Tape, x: Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        self.rnn.layer(tape, &x, offsets, self.number)
    }
}

/// A PLUS-RNN model.
#[derive(Debug)]
pub struct PlusRnn {
    config: Config,
    parts: Parts,
    embed: Embedding,
    rnn: Vec<Arc<Layer>>,
    pairs: PairHead,
    decoder: Option<Linear>,
    params: Vec<Arc<Param>>,
}

impl PlusRnn {
    /// Takes every parameter that config and parts name from `weights`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(config: &Config, parts: Parts, weights: &Weights) -> Result<Self, CheckpointError> {
        // A recurrence adds its rounding up along the chain.
        let fine = weights.without_bytes();
        let (layers, hidden, width) = (config.num_layers, config.hidden_dim, 2 * config.hidden_dim);
        let zero = Init::NormalWithZeroRow { deviation: 1.0, row: MASK as usize, width: CLASSES };
        let embed = Embedding::new(&fine.at("embed"), VOCABULARY, CLASSES, zero)?;
        let rnn = BiLstm::new(&fine.at("rnn"), CLASSES, hidden, layers)?;
        let pairs = PairHead::new(&fine, width, config.embedding_dim, parts.levels)?;
        let decoder = parts.decoder.then(|| Linear::pytorch(&fine.at("decoder"), width, CLASSES));
        let decoder = decoder.transpose()?;
        let (config, params, rnn) = (config.clone(), weights.params(), Layer::all(rnn, layers));
        Ok(Self { config, parts, embed, rnn, pairs, decoder, params })
    }

    /// What it is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the checkpoint decided.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.parts
    }
}

/// Bytes that a layer of H numbers in each direction holds for each token: what it reads, what the gates are made of in both
/// directions, and what it gives.
pub(crate) fn bytes_per_token(hidden: usize) -> usize {
    4 * (2 * hidden + 2 * 4 * hidden + 2 * hidden)
}

impl Encoder for PlusRnn {
    fn layers(&self) -> usize {
        self.rnn.len()
    }

    fn first_layer(&self) -> usize {
        1
    }

    fn width(&self) -> usize {
        2 * self.config.hidden_dim
    }

    fn params(&self) -> &[Arc<Param>] {
        &self.params
    }

    fn encode(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        let x = self.embed.forward_with_still_row(tape, ids, offsets, MASK)?;
        self.encode_above(tape, x, offsets, (0, layers))
    }

    fn continues(&self) -> bool {
        true
    }

    fn encode_above(
        &self,
        tape: &Tape,
        mut x: Tensor,
        offsets: &Offsets,
        (from, layers): (usize, &[usize]),
    ) -> Result<Vec<Tensor>, ModelError> {
        let mut kept = Kept::new(layers);
        kept.keep(from, &x);
        for (below, layer) in self.rnn.iter().take(kept.top()).enumerate().skip(from) {
            x = step(tape, layer, x, offsets, Layer::forward)?;
            kept.keep(below + 1, &x);
        }
        Ok(kept.finish())
    }

    fn has_lm_head(&self) -> bool {
        self.decoder.is_some()
    }

    fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let decoder = self.decoder.as_ref().ok_or(ModelError::NoHead)?;
        Ok(decoder.forward(tape, hidden, Epilogue::Store, Dtype::F32)?)
    }

    fn projection(&self) -> Option<usize> {
        Some(self.config.embedding_dim)
    }

    fn project(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.pairs.project(tape, hidden)?)
    }

    fn pair_params(&self) -> Vec<Arc<Param>> {
        self.pairs.params()
    }

    fn check_pairs(&self) -> Result<(), ModelError> {
        self.pairs.check()
    }

    fn pair_logits(&self, tape: &Tape, first: Member<'_>, second: Member<'_>) -> Result<Tensor, ModelError> {
        self.pairs.logits(tape, first, second)
    }

    fn pair_levels(&self, tape: &Tape, scores: &Tensor) -> Result<Tensor, ModelError> {
        self.pairs.levels(tape, scores)
    }

    fn check_contacts(&self) -> Result<(), ModelError> {
        Err(ModelError::NoContacts { family: FAMILY.name })
    }

    fn contacts(
        &self,
        _: &Tape,
        _: &Ids,
        _: &Offsets,
        _: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        Err(ModelError::NoContacts { family: FAMILY.name })
    }

    fn memory_per_token(&self, _: Precision) -> usize {
        bytes_per_token(self.config.hidden_dim)
    }
}

//! P-ELMo: a recurrent model of proteins that reads the states of a frozen language model (after Bepler and Berger, ICLR
//! 2019; mswzeus/PLUS `plus/model/p_elmo.py`, `P_ELMo`).
//!
//! For the R residues of a pack, width C = 2H, W the joined widths of all layers of the language model:
//!
//! ```text
//! told    = all layers of the language model, side by side       [R,W]
//! x       = relu(x_embed[id - 1] + fc_lm(told))                   [R,P]
//! x       = rnn(x), forward beside reverse                       [R,C]   layers 1..
//! hidden  = x                                                    [R,C]   last layer
//! z       = fc(hidden)                                           [R,E]
//! pair    = alignment(z of one, z of the other) · ordinal_weight + ordinal_bias    [B,K]
//! ```
//!
//! The language model reads the tokens of 0 before and behind the residues; the layers of this model see residues alone, and
//! the rows of these two tokens are zero. The language model is part of it, under `lm.`, and never trained. The published
//! code has a decoder that nothing trains and nothing asks: it is passed over.

mod blueprint;
mod config;

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_nn::{BiLstm, CheckpointError, Embedding, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, beside, gather_rows, relu, spread_rows};
use pliant_tensor::{Dtype, Ids, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::ModelError;
use crate::model::{Encoder, Kept, Member, step};
use crate::p_elmo_lm::{self, Reader};
use crate::plus::PairHead;
use crate::plus_rnn::{self, CLASSES, Layer};

pub(crate) use blueprint::FAMILY;
pub use config::Config;

/// Row of X, which is never trained.
const UNKNOWN: u32 = 20;

/// A P-ELMo model.
#[derive(Debug)]
pub struct PElmo {
    config: Config,
    lm: Reader,
    fc_lm: Linear,
    x_embed: Embedding,
    rnn: Vec<Arc<Layer>>,
    pairs: PairHead,
    params: Vec<Arc<Param>>,
}

impl PElmo {
    /// Takes every parameter that the config names from `weights`, and `levels` levels of pairs.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(config: &Config, levels: usize, weights: &Weights) -> Result<Self, CheckpointError> {
        let fine = weights.without_bytes();
        let Config { num_layers, hidden_dim, lm_proj_dim, embedding_dim, .. } = *config;
        let lm = Reader::new(&config.lm, &fine.at("lm").frozen())?;
        ["decoder.weight", "decoder.bias", "lm.decoder.weight", "lm.decoder.bias"]
            .iter()
            .for_each(|name| weights.pass_over(name));
        let fc_lm = Linear::pytorch(&fine.at("fc_lm"), config.told(), lm_proj_dim)?;
        let zero = Init::NormalWithZeroRow { deviation: 1.0, row: UNKNOWN as usize, width: lm_proj_dim };
        let x_embed = Embedding::new(&fine.at("x_embed"), CLASSES, lm_proj_dim, zero)?;
        let rnn = Layer::all(BiLstm::new(&fine.at("rnn"), lm_proj_dim, hidden_dim, num_layers)?, num_layers);
        let pairs = PairHead::new(&fine, 2 * hidden_dim, embedding_dim, levels)?;
        Ok(Self { config: config.clone(), lm, fc_lm, x_embed, rnn, pairs, params: weights.params() })
    }

    /// What it is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the layers read, of the residues in the rows `residues` of the pack.
    fn read(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        (residues, borders): (&[usize], &Offsets),
    ) -> Result<Tensor, ModelError> {
        let layers: Vec<usize> = (1..=self.config.lm.num_layers).collect();
        let told = self.lm.encode(tape, ids, offsets, &layers)?;
        let told = told.iter().map(|layer| gather_rows(tape, layer, residues));
        let told = told.collect::<Result<Vec<_>, _>>()?;
        let told = beside(tape, &told.iter().collect::<Vec<_>>())?;
        let tokens = ids.as_slice();
        let letters: Vec<u32> = residues.iter().map(|&row| tokens[row].saturating_sub(1)).collect();
        let letters = Ids::new(tape.device(), &letters);
        let x = self.x_embed.forward_with_still_row(tape, &letters, borders, UNKNOWN)?;
        Ok(relu(tape, &self.fc_lm.forward(tape, &told, Epilogue::Residual(&x), Dtype::F32)?)?)
    }
}

/// The rows of a pack that hold residues, and where those of each chain begin among them.
fn residues(offsets: &Offsets) -> Result<(Vec<usize>, Offsets), TensorError> {
    let (mut rows, mut borders) = (Vec::with_capacity(offsets.tokens()), vec![0]);
    for sequence in 0..offsets.sequences() {
        let Range { start, end } = offsets.range(sequence);
        rows.extend(start + 1..end.max(start + 2) - 1);
        borders.push(rows.len());
    }
    Ok((rows, Offsets::new(&borders)?))
}

impl Encoder for PElmo {
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
        offsets.check_tokens("embedding", ids.len())?;
        let (rows, borders) = residues(offsets)?;
        let mut kept = Kept::new(layers);
        let mut x = self.read(tape, ids, offsets, (&rows, &borders))?;
        for (below, layer) in self.rnn.iter().take(kept.top()).enumerate() {
            x = step(tape, layer, x, &borders, Layer::forward)?;
            if kept.wants(below + 1) {
                kept.keep(below + 1, &spread_rows(tape, &x, &rows, offsets.tokens())?);
            }
        }
        Ok(kept.finish())
    }

    fn has_lm_head(&self) -> bool {
        false
    }

    fn lm_logits(&self, _: &Tape, _: &Tensor) -> Result<Tensor, ModelError> {
        Err(ModelError::NoHead)
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
        bytes_per_token(&self.config)
    }
}

/// Bytes held for each token at the peak: all layers of the language model twice, and what one layer holds.
fn bytes_per_token(config: &Config) -> usize {
    let layer = p_elmo_lm::bytes_per_token(config.lm.hidden_dim);
    let own = plus_rnn::bytes_per_token(config.hidden_dim) + 4 * 2 * config.lm_proj_dim;
    4 * 2 * config.told() + layer.max(own)
}

//! LC-PLM: a masked language model of proteins without attention (Wang et al., arXiv 2411.08909;
//! amazon-science/LC-PLM `modeling_lcplm.py`).
//!
//! For a pack of T tokens, width C, V rows of the table:
//!
//! ```text
//! x       = embedding[ids]                         [T,C]   layer 0
//! x       = x + mixer(norm(x))                     [T,C]   layers 1..
//! hidden  = norm_f(x)                              [T,C]   last layer
//! logits  = hidden · lm_headᵀ                      [T,V]
//! ```
//!
//! Norms are root mean square norms, the stream x is f32, the mixer is [`BiMamba`]. Layer `i` is the stream after block
//! `i`, as in ESM-2, and the last is after the final norm. The published code numbers its hidden states otherwise: all
//! but its last are what a block adds to the stream, before it is added. A sequence is walked within itself from both
//! ends, which is what the published code computes of one sequence alone; it scans the padding of a batch. Of the V
//! rows only those of the vocabulary's tokens are trained; the others are part of its softmax as published.
//!
//! Without a tape a pack is computed tile by tile, so that memory grows with its tokens by the stream, one input and one
//! result of the scans alone. Field names are segments of the canonical parameter names.

mod blueprint;
mod config;
mod keys;
mod tiles;

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_nn::{BiMamba, CheckpointError, Embedding, Init, Linear, RmsNorm, Weights};
use pliant_tensor::ops::Epilogue;
use pliant_tensor::{Dtype, Ids, Offsets, Param, Tape, Tensor, TensorError};

use keys::{BACKBONE, EMBEDDING, LM_HEAD};
use tiles::{TILE_TOKENS, Tiles};

use crate::error::ModelError;
use crate::family::LmHeadKind;
use crate::model::{Encoder, Kept, step};

pub(crate) use blueprint::FAMILY;
pub use config::{Config, SsmConfig};

/// One block: what its tokens tell each other is added to the stream.
#[derive(Debug)]
struct Block {
    norm: RmsNorm,
    mixer: BiMamba,
}

impl Block {
    fn new(config: &Config, weights: &Weights) -> Result<Self, CheckpointError> {
        let (sizes, strategy) = (config.sizes(), config.bidirectional_strategy);
        Ok(Self {
            norm: RmsNorm::new(&weights.at("norm"), config.d_model, config.norm_epsilon)?,
            mixer: BiMamba::new(&weights.at("mixer"), sizes, strategy, config.n_layer)?,
        })
    }

    /// The stream `[T,C]` after this block.
    fn forward(&self, tape: &Tape, x: Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        let normed = self.norm.forward(tape, &x, tape.operand())?;
        self.mixer.forward(tape, &normed, &x, offsets)
    }
}

/// An LC-PLM model.
#[derive(Debug)]
pub struct LcPlm {
    config: Config,
    embedding: Embedding,
    layers: Vec<Arc<Block>>,
    norm_f: RmsNorm,
    lm_head: Option<Linear>,
    params: Vec<Arc<Param>>,
}

impl LcPlm {
    /// Takes every parameter that the config names from `weights`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(config: &Config, head: LmHeadKind, weights: &Weights) -> Result<Self, CheckpointError> {
        let (rows, width) = (config.rows(), config.d_model);
        let backbone = weights.at(BACKBONE);
        // The head may be the embedding, and few columns are no work worth rounding logits for.
        let fine = weights.without_bytes();
        let init = Init::Normal { deviation: config.initializer_range };
        let embedding = Embedding { weight: fine.table(EMBEDDING, [rows, width], init)? };
        let block = |layer| Ok(Arc::new(Block::new(config, &backbone.at(&format!("layers.{layer}")))?));
        let layers = (0..config.n_layer).map(block).collect::<Result<Vec<_>, CheckpointError>>()?;
        let norm_f = RmsNorm::new(&backbone.at("norm_f"), width, config.norm_epsilon)?;
        let lm_head = match head {
            LmHeadKind::Absent => None,
            LmHeadKind::Tied => Some(Arc::clone(&embedding.weight)),
            LmHeadKind::Own => Some(fine.table(LM_HEAD, [rows, width], Init::kaiming(width))?),
        };
        let lm_head = lm_head.map(|weight| Linear { weight, bias: None });
        let (config, params) = (config.clone(), weights.params());
        Ok(Self { config, embedding, layers, norm_f, lm_head, params })
    }

    /// What it is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// States as [`crate::Model::encode`], by packs of `tile_tokens` without a tape; the number changes no bit.
    ///
    /// # Errors
    /// As [`crate::Model::encode`], and for a tape that records.
    pub fn encode_tiled(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
        tile_tokens: usize,
    ) -> Result<Vec<Tensor>, ModelError> {
        let (last, mut kept) = (self.layers.len(), Kept::new(layers));
        let tiles = Tiles::new(tape.device(), ids, offsets, tile_tokens)?;
        let mut stream = tiles.embed(tape, &self.embedding)?;
        if kept.wants(0) {
            kept.keep(0, &tiles::joined(tape.device(), &stream)?);
        }
        for (below, block) in self.layers.iter().take(kept.top()).enumerate() {
            tiles.pass(tape, block, &mut stream)?;
            if below + 1 < last && kept.wants(below + 1) {
                kept.keep(below + 1, &tiles::joined(tape.device(), &stream)?);
            }
        }
        if kept.top() == last {
            for tile in &mut stream {
                *tile = self.norm_f.forward(tape, tile, Dtype::F32)?;
            }
            kept.keep(last, &tiles::joined(tape.device(), &stream)?);
        }
        Ok(kept.finish())
    }
}

impl Encoder for LcPlm {
    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn width(&self) -> usize {
        self.config.d_model
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
        if !tape.is_on() {
            let tile_tokens = tape.device().rows_at_once(TILE_TOKENS);
            return self.encode_tiled(tape, ids, offsets, layers, tile_tokens);
        }
        let x = self.embedding.forward(tape, ids, offsets, None)?;
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
        let (last, mut kept) = (self.layers.len(), Kept::new(layers));
        kept.keep(from, &x);
        for (below, block) in self.layers.iter().take(kept.top()).enumerate().skip(from) {
            x = step(tape, block, x, offsets, Block::forward)?;
            if below + 1 < last {
                kept.keep(below + 1, &x);
            }
        }
        if kept.top() == last {
            kept.keep(last, &self.norm_f.forward(tape, &x, Dtype::F32)?);
        }
        Ok(kept.finish())
    }

    fn has_lm_head(&self) -> bool {
        self.lm_head.is_some()
    }

    fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let head = self.lm_head.as_ref().ok_or(ModelError::NoHead)?;
        Ok(head.forward(tape, hidden, Epilogue::Store, Dtype::F32)?)
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

    /// What is held of every token, for packs of many tiles.
    fn memory_per_token(&self, _: Precision) -> usize {
        self.config.bytes_per_token()
    }
}

//! What an ESM-2 model is: its published `config.json`, and what that leaves open.

use std::collections::BTreeMap;

use pliant_kernels::ops::attention::HEAD_WIDTH_MAX;
use pliant_nn::Weights;
use serde_json::Value;

use super::keys::layer_inv_freq;
use super::{MASK_ID, PADDING_ID, VOCABULARY};
use crate::config::{Fields, LAYERS_MAX, WIDTH_MAX, shortest};
use crate::error::ModelError;
use crate::family::LmHeadKind;
use crate::identity::SHARED_INV_FREQ;
use crate::rope::{ROPE_BASE, RopeInvFreq};

/// What a model is, named as in the published `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// C
    pub hidden_size: usize,
    /// N
    pub num_hidden_layers: usize,
    /// H
    pub num_attention_heads: usize,
    /// F
    pub intermediate_size: usize,
    /// ε of every norm.
    pub layer_norm_eps: f32,
    /// Whether masks are dropped from the embedding and the rest is rescaled.
    pub token_dropout: bool,
    /// Tokens of the longest training crop, two more than the real number (a habit of fairseq).
    pub max_position_embeddings: usize,
    /// Standard deviation of random weights.
    pub initializer_range: f32,
    /// Whether a decoder, where there is one, is the embedding.
    pub tie_word_embeddings: bool,
    /// Where rotary frequencies come from; `None`: stored where the checkpoint has them, else exact.
    pub rope_inv_freq: Option<RopeInvFreq>,
}

impl Config {
    /// Reads and checks a config. Where a key is absent the defaults of transformers' `EsmConfig` hold.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        fields.must_be("position_embedding_type", "absolute", "rotary")?;
        fields.must_be("hidden_act", "gelu", "gelu")?;
        for key in ["emb_layer_norm_before", "is_folding_model", "is_decoder", "add_cross_attention"] {
            fields.must_be_off(key)?;
        }
        fields.must_be_number("rope_theta", ROPE_BASE)?;
        fields.count("vocab_size", VOCABULARY..=VOCABULARY, None)?;
        fields.count("mask_token_id", MASK_ID..=MASK_ID, Some(MASK_ID))?;
        fields.count("pad_token_id", PADDING_ID..=PADDING_ID, Some(PADDING_ID))?;
        let rope = match fields.get("rope_inv_freq") {
            None => None,
            Some(found) => Some(Self::rope(fields, found)?),
        };
        let config = Self {
            hidden_size: fields.count("hidden_size", 1..=WIDTH_MAX, None)?,
            num_hidden_layers: fields.count("num_hidden_layers", 1..=LAYERS_MAX, None)?,
            num_attention_heads: fields.count("num_attention_heads", 1..=WIDTH_MAX, None)?,
            intermediate_size: fields.count("intermediate_size", 1..=WIDTH_MAX, None)?,
            layer_norm_eps: fields.positive("layer_norm_eps", 1e-12)?,
            token_dropout: fields.flag("token_dropout", false)?,
            max_position_embeddings: fields.count("max_position_embeddings", 5..=1 << 30, Some(1026))?,
            initializer_range: fields.positive("initializer_range", 0.02)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings", true)?,
            rope_inv_freq: rope,
        };
        config.check_heads(fields)?;
        Ok(config)
    }

    fn rope(fields: &Fields, found: &Value) -> Result<RopeInvFreq, ModelError> {
        let wanted = || "\"stored\", \"exact\" or \"f16\"".to_owned();
        let named = |source: &RopeInvFreq| found.as_str() == Some(source.name());
        RopeInvFreq::ALL.into_iter().find(named).ok_or_else(|| fields.refuse("rope_inv_freq", wanted()))
    }

    fn check_heads(&self, fields: &Fields) -> Result<(), ModelError> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if !width.is_multiple_of(heads) {
            let wanted = format!("a divisor of \"hidden_size\", which is {width}");
            return Err(fields.refuse("num_attention_heads", wanted));
        }
        let head_width = self.head_width();
        if head_width.is_multiple_of(8) && head_width <= HEAD_WIDTH_MAX {
            return Ok(());
        }
        let wanted = format!(
            "heads of a width that is a multiple of 8 and at most {HEAD_WIDTH_MAX}: \"hidden_size\" {width} makes \
             them {head_width} wide"
        );
        Err(fields.refuse("num_attention_heads", wanted))
    }

    /// D
    #[must_use]
    pub fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Residues of the longest training crop: `max_position_embeddings` counts the start and end tokens
    /// and two positions that fairseq keeps for padding.
    #[must_use]
    pub fn training_length(&self) -> usize {
        self.max_position_embeddings - 4
    }

    /// Everything that changes a number of this model with its head, by key, in canonical form.
    pub(crate) fn semantics(&self, parts: Parts) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("family", "esm2".into()),
            ("hidden_size", self.hidden_size.into()),
            ("num_hidden_layers", self.num_hidden_layers.into()),
            ("num_attention_heads", self.num_attention_heads.into()),
            ("intermediate_size", self.intermediate_size.into()),
            ("layer_norm_eps", shortest(self.layer_norm_eps)),
            ("token_dropout", self.token_dropout.into()),
            ("vocab_size", VOCABULARY.into()),
            ("hidden_act", "gelu".into()),
            ("position_embedding_type", "rotary".into()),
            ("rope_inv_freq", parts.rope_inv_freq.name().into()),
            ("lm_head", parts.lm_head.name().into()),
        ])
    }
}

/// What a config leaves open and the checkpoint decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Where rotary frequencies come from.
    pub rope_inv_freq: RopeInvFreq,
    /// Where the decoder comes from.
    pub lm_head: LmHeadKind,
}

impl Parts {
    /// The parts of a checkpoint.
    #[must_use]
    pub fn of(config: &Config, weights: &Weights) -> Self {
        let stored = weights.has(SHARED_INV_FREQ) || weights.has(&layer_inv_freq(0));
        let found = if stored { RopeInvFreq::Stored } else { RopeInvFreq::Exact };
        let rope_inv_freq = config.rope_inv_freq.unwrap_or(found);
        let lm_head =
            if weights.has("lm_head.dense.weight") { Self::decoder(config) } else { LmHeadKind::Absent };
        Self { rope_inv_freq, lm_head }
    }

    /// The parts of a new model, which has a language-model head.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let rope_inv_freq = config.rope_inv_freq.unwrap_or(RopeInvFreq::Exact);
        Self { rope_inv_freq, lm_head: Self::decoder(config) }
    }

    fn decoder(config: &Config) -> LmHeadKind {
        if config.tie_word_embeddings { LmHeadKind::Tied } else { LmHeadKind::Own }
    }
}

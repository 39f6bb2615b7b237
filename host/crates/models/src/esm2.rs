//! ESM-2: a masked language model of proteins (Lin et al., Science 379, 2023; facebookresearch/esm
//! `esm/model/esm2.py`; Hugging Face transformers `EsmForMaskedLM`).
//!
//! For a pack of T tokens, width C, H heads of width D, feed-forward width F, vocabulary V:
//!
//! ```text
//! x       = dropout(embedding[ids])                                          [T,C]   layer 0
//! x      += output(attention(rotary(query(n)·D^-½), rotary(key(n)), value(n)))   n = norm(x)
//! x      += output(gelu(intermediate(n)))                                        n = norm(x)   layers 1..N
//! hidden  = emb_layer_norm_after(x)                                          [T,C]   layer N
//! logits  = decoder(layer_norm(gelu(dense(hidden))))                         [T,V]
//! ```
//!
//! The last layer is the one after the final norm; the states before it have no number. Token dropout
//! rescales embeddings at inference too: without masks by 0.88. Field names are segments of the
//! canonical parameter names, which stand in `esm2/keys.rs`.

mod apart;
mod blueprint;
mod config;
mod contacts;
pub(crate) mod fair_esm;
mod keys;

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_nn::linear::together;
use pliant_nn::{CheckpointError, Embedding, Init, LayerNorm, Linear, Weights};
use pliant_tensor::ops::{Epilogue, TokenDropout, attention, attention_probs, rotary};
use pliant_tensor::{Dtype, Ids, Offsets, Param, Tape, Tensor, TensorError};

use contacts::ContactHead;
use keys::{DECODER, layer_inv_freq};

use crate::error::ModelError;
use crate::family::LmHeadKind;
use crate::identity::SHARED_INV_FREQ;
use crate::model::{Encoder, Kept, step};
use crate::rope::{Rope, RopeInvFreq};

pub(crate) use blueprint::FAMILY;
pub use config::{Config, Parts};

/// Tokens of the vocabulary.
const VOCABULARY: usize = 33;

/// Id of the token that hides a residue.
const MASK_ID: usize = 32;

/// Id of the padding token, whose embedding begins as zero.
const PADDING_ID: usize = 1;

/// Fraction of tokens that were masks in training: 15 % chosen, 80 % of those masked.
const TRAIN_FRACTION: f32 = 0.15 * 0.8;

/// One block: attention, then feed-forward, each on normalised states and added to them.
#[derive(Debug)]
struct Block {
    attention_layer_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    rope: Arc<Rope>,
    attention_output: Linear,
    layer_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    heads: usize,
}

impl Block {
    fn new(config: &Config, weights: &Weights, rope: Arc<Rope>) -> Result<Self, CheckpointError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let linear = |name: &str, inputs, outputs| {
            let init = Init::Normal { deviation: config.initializer_range };
            Linear::new(&weights.at(name), inputs, outputs, init)
        };
        Ok(Self {
            attention_layer_norm: LayerNorm::new(&weights.at("attention.LayerNorm"), width, epsilon)?,
            query: linear("attention.self.query", width, width)?,
            key: linear("attention.self.key", width, width)?,
            value: linear("attention.self.value", width, width)?,
            rope,
            attention_output: linear("attention.output.dense", width, width)?,
            layer_norm: LayerNorm::new(&weights.at("LayerNorm"), width, epsilon)?,
            intermediate: linear("intermediate.dense", width, inner)?,
            output: linear("output.dense", inner, width)?,
            heads: config.num_attention_heads,
        })
    }

    /// Queries (scaled), keys (both turned by their positions) and values `[T,C]` of the states `x [T,C]`.
    fn queries_keys_values(
        &self,
        tape: &Tape,
        x: &Tensor,
        offsets: &Offsets,
    ) -> Result<[Tensor; 3], TensorError> {
        let operand = tape.operand();
        let normed = self.attention_layer_norm.forward(tape, x, operand)?;
        let parts = [
            self.query.part(Epilogue::Store, Dtype::F32),
            self.key.part(Epilogue::Store, Dtype::F32),
            self.value.part(Epilogue::Store, operand),
        ];
        let [query, key, value] = together(tape, &normed, parts)?;
        let table = self.rope.table(tape.device(), offsets);
        let scale = 1.0 / ((x.columns() / self.heads) as f32).sqrt();
        let query = rotary(tape, &query, offsets, &table, self.heads, scale, operand)?;
        let key = rotary(tape, &key, offsets, &table, self.heads, 1.0, operand)?;
        Ok([query, key, value])
    }

    /// `x [T,C]` with what its tokens tell each other.
    fn attend(&self, tape: &Tape, x: &Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        let parts = self.queries_keys_values(tape, x, offsets)?;
        self.tell(tape, x, &parts, offsets)
    }

    /// `x [T,C]` with the values that its queries find by their keys.
    fn tell(
        &self,
        tape: &Tape,
        x: &Tensor,
        [query, key, value]: &[Tensor; 3],
        offsets: &Offsets,
    ) -> Result<Tensor, TensorError> {
        let mixed = attention(tape, query, key, value, offsets, self.heads, tape.operand())?;
        self.attention_output.forward(tape, &mixed, Epilogue::Residual(x), Dtype::F32)
    }

    /// `x [T,C]` with what each token makes of itself.
    fn feed(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let normed = self.layer_norm.forward(tape, x, tape.operand())?;
        let inner = self.intermediate.forward(tape, &normed, Epilogue::Gelu, tape.operand())?;
        self.output.forward(tape, &inner, Epilogue::Residual(x), Dtype::F32)
    }

    /// States `[T,C]` after this block; those before it are let go as soon as they are used.
    fn forward(&self, tape: &Tape, x: Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        let attended = self.attend(tape, &x, offsets)?;
        drop(x);
        self.feed(tape, &attended)
    }
}

/// States to logits of tokens.
#[derive(Debug)]
struct LmHead {
    dense: Linear,
    layer_norm: LayerNorm,
    decoder: Linear,
}

impl LmHead {
    fn new(
        config: &Config,
        weights: &Weights,
        kind: LmHeadKind,
        embedding: &Embedding,
    ) -> Result<Option<Self>, CheckpointError> {
        let (width, head) = (config.hidden_size, weights.at("lm_head").without_bytes());
        let init = || Init::Normal { deviation: config.initializer_range };
        let shape = [VOCABULARY, width];
        let weight = match kind {
            LmHeadKind::Absent => return Ok(None),
            LmHeadKind::Own => weights.without_bytes().table(DECODER, shape, init())?,
            LmHeadKind::Tied => {
                if weights.has(DECODER) {
                    weights.note(DECODER, &shape)?;
                }
                Arc::clone(&embedding.weight)
            }
        };
        Ok(Some(Self {
            dense: Linear::new(&head.at("dense"), width, width, init())?,
            layer_norm: LayerNorm::new(&head.at("layer_norm"), width, config.layer_norm_eps)?,
            decoder: Linear { weight, bias: Some(head.vector("bias", VOCABULARY, Init::Zeros)?) },
        }))
    }

    fn forward(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, TensorError> {
        let x = self.dense.forward(tape, hidden, Epilogue::Gelu, Dtype::F32)?;
        let normed = self.layer_norm.forward(tape, &x, tape.operand())?;
        self.decoder.forward(tape, &normed, Epilogue::Store, Dtype::F32)
    }
}

/// An ESM-2 model.
#[derive(Debug)]
pub struct Esm2 {
    config: Config,
    parts: Parts,
    word_embeddings: Embedding,
    layer: Vec<Arc<Block>>,
    emb_layer_norm_after: LayerNorm,
    lm_head: Option<LmHead>,
    contact_head: Option<ContactHead>,
    params: Vec<Arc<Param>>,
}

impl Esm2 {
    /// Takes every parameter that config and parts name from `weights`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(config: &Config, parts: Parts, weights: &Weights) -> Result<Self, CheckpointError> {
        let (width, encoder) = (config.hidden_size, weights.at("esm.encoder"));
        let deviation = config.initializer_range;
        let init = Init::NormalWithZeroRow { deviation, row: PADDING_ID, width };
        // The decoder may be the embedding, and few columns are no work worth rounding logits for.
        let embeddings = weights.at("esm.embeddings.word_embeddings").without_bytes();
        let word_embeddings = Embedding::new(&embeddings, VOCABULARY, width, init)?;
        let ropes = ropes(config, parts.rope_inv_freq, weights)?;
        let block =
            |(layer, rope)| Ok(Arc::new(Block::new(config, &encoder.at(&format!("layer.{layer}")), rope)?));
        let layer = ropes.into_iter().enumerate().map(block).collect::<Result<Vec<_>, CheckpointError>>()?;
        let norm = encoder.at("emb_layer_norm_after");
        let emb_layer_norm_after = LayerNorm::new(&norm, width, config.layer_norm_eps)?;
        let lm_head = LmHead::new(config, weights, parts.lm_head, &word_embeddings)?;
        let contact_head = ContactHead::new(config, weights)?;
        let (config, params) = (config.clone(), weights.params());
        Ok(Self {
            config,
            parts,
            word_embeddings,
            layer,
            emb_layer_norm_after,
            lm_head,
            contact_head,
            params,
        })
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

    /// Attention maps `[H,L,L]` of block `layer` (the first is 0) for one `sequence` of the pack; rows are
    /// queries, each row sums to one.
    ///
    /// # Errors
    /// [`ModelError::Layer`] for a block that does not exist, and those of [`Model::encode`](crate::Model::encode).
    pub fn attention_maps(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        (layer, sequence): (usize, usize),
    ) -> Result<Vec<f32>, ModelError> {
        let missing = ModelError::Layer { found: layer + 1, first: 1, last: self.layer.len() };
        let block = self.layer.get(layer).ok_or(missing)?;
        let mut x = self.embed(tape, ids, offsets)?;
        for below in &self.layer[..layer] {
            x = below.forward(tape, x, offsets)?;
        }
        let [query, key, _] = block.queries_keys_values(tape, &x, offsets)?;
        Ok(attention_probs(tape, &query, &key, offsets, block.heads, sequence)?)
    }

    fn embed(&self, tape: &Tape, ids: &Ids, offsets: &Offsets) -> Result<Tensor, TensorError> {
        let dropout = TokenDropout { mask_id: MASK_ID as u32, train_fraction: TRAIN_FRACTION };
        let dropout = self.config.token_dropout.then_some(dropout);
        self.word_embeddings.forward(tape, ids, offsets, dropout)
    }
}

impl Encoder for Esm2 {
    fn layers(&self) -> usize {
        self.layer.len()
    }

    fn width(&self) -> usize {
        self.config.hidden_size
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
        let x = self.embed(tape, ids, offsets)?;
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
        let (last, mut kept) = (self.layer.len(), Kept::new(layers));
        kept.keep(from, &x);
        for (below, block) in self.layer.iter().take(kept.top()).enumerate().skip(from) {
            x = step(tape, block, x, offsets, Block::forward)?;
            if below + 1 < last {
                kept.keep(below + 1, &x);
            }
        }
        if kept.top() == last {
            kept.keep(last, &self.emb_layer_norm_after.forward(tape, &x, Dtype::F32)?);
        }
        Ok(kept.finish())
    }

    fn check_apart(&self) -> Result<(), ModelError> {
        Ok(())
    }

    fn encode_apart(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        self.states_apart(tape, ids, offsets, layers)
    }

    fn has_lm_head(&self) -> bool {
        self.lm_head.is_some()
    }

    fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let head = self.lm_head.as_ref().ok_or(ModelError::NoHead)?;
        Ok(head.forward(tape, hidden)?)
    }

    fn check_contacts(&self) -> Result<(), ModelError> {
        self.contact_head.as_ref().map(drop).ok_or(ModelError::NoContactHead)
    }

    fn contacts(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        residues: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.tell_contacts(tape, ids, offsets, residues)
    }

    /// Counts the tensors that live together inside a block; states that are kept are apart.
    fn memory_per_token(&self, precision: Precision) -> usize {
        let operand = match precision {
            Precision::F32 => 4,
            Precision::Bf16 | Precision::Int8 => 2,
        };
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let turning = width * (3 * 4 + 4 * operand);
        let feeding = width * (2 * 4 + operand) + inner * operand;
        turning.max(feeding) + width * 4
    }
}

/// The frequencies of every layer; layers with equal numbers share a table.
fn ropes(config: &Config, source: RopeInvFreq, weights: &Weights) -> Result<Vec<Arc<Rope>>, CheckpointError> {
    let computed = || source.compute(config.head_width());
    let read = |name: &str| weights.list(name, &[config.head_width() / 2], Init::List(computed()));
    let layers = config.num_hidden_layers;
    let shared = |inv_freq| {
        let rope = Arc::new(Rope::new(inv_freq));
        vec![rope; layers]
    };
    if source != RopeInvFreq::Stored {
        return Ok(shared(computed()));
    }
    if weights.has(SHARED_INV_FREQ) {
        return Ok(shared(read(SHARED_INV_FREQ)?));
    }
    let mut ropes: Vec<Arc<Rope>> = Vec::with_capacity(layers);
    for layer in 0..layers {
        let inv_freq = read(&layer_inv_freq(layer))?;
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let same = ropes.iter().find(|rope| bits(rope.inv_freq()) == bits(&inv_freq)).map(Arc::clone);
        ropes.push(same.unwrap_or_else(|| Arc::new(Rope::new(inv_freq))));
    }
    Ok(ropes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fields;
    use pliant_kernels::Device;
    use std::path::Path;

    fn config(layers: usize, width: usize, heads: usize) -> Config {
        let text = format!(
            r#"{{"hidden_size": {width}, "num_hidden_layers": {layers}, "num_attention_heads": {heads},
                "intermediate_size": {}, "vocab_size": 33, "position_embedding_type": "rotary"}}"#,
            4 * width
        );
        Config::read(&Fields::parse(Path::new("config.json"), &text).unwrap()).unwrap()
    }

    /// Published numbers of parameters (counted from fair-esm 2.0.0, table tied, contact head included).
    #[test]
    fn published_sizes_have_the_published_number_of_parameters() {
        let device = Device::cpu(1).unwrap();
        for (layers, width, heads, published) in [
            (6, 320, 20, 7_512_474usize),
            (12, 480, 20, 33_501_394),
            (30, 640, 20, 148_140_154),
            (33, 1280, 20, 651_043_254),
            (36, 2560, 40, 2_839_005_634),
            (48, 5120, 40, 15_129_100_194),
        ] {
            let config = config(layers, width, heads);
            let plan = Weights::random(0, &device, Precision::F32);
            Esm2::new(&config, Parts::new(&config), &plan).unwrap();
            let planned: usize =
                plan.planned().iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
            assert_eq!(planned + layers * heads + 1, published);
        }
    }

    #[test]
    fn absent_keys_mean_what_transformers_means() {
        let config = config(2, 32, 2);
        assert_eq!((config.layer_norm_eps, config.token_dropout), (1e-12, false));
        assert_eq!((config.tie_word_embeddings, config.training_length()), (true, 1022));
        assert_eq!((config.head_width(), config.rope_inv_freq), (16, None));
    }
}

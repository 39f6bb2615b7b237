//! PLUS-TFM: a masked language model of proteins that also tells whether two of them are of one family (Min et al., IEEE
//! Access 9, 2021; mswzeus/PLUS `plus/model/plus_tfm.py`, `transformer.py`).
//!
//! For a pack of T tokens, width C, H heads of width D, feed-forward width F, vocabulary V:
//!
//! ```text
//! x       = norm(tok_embed[ids] + pos_embed[place] + seg_embed[segment])         [T,C]   layer 0
//! y       = norm1(x + proj(attention(proj_q(x)·D^-½, proj_k(x), proj_v(x))))
//! x       = norm2(y + fc2(gelu(fc1(y))))                                         [T,C]   layers 1..
//! hidden  = x                                                                    [T,C]   last layer
//! logits  = tok_embed · norm_lm(gelu(fc_lm(hidden))) + decoder_bias              [T,V]
//! pair    = cls(hidden of the first token)                                       [B,K]
//! ```
//!
//! Every norm divides by the root of the unbiased standard deviation, and not by the deviation itself. Places count from the
//! start of a chain; a chain may be one protein or two, `CLS a SEP b SEP`, whose tokens after the first `SEP` are of the
//! second segment. The table of places is a sinusoid that is stored with the weights, or learnt, and is as long as no chain
//! may surpass. In training numbers are dropped after norm and products, as published; those of attention's probabilities
//! are not.

mod blueprint;
mod config;
mod keys;

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_nn::linear::together;
use pliant_nn::{CheckpointError, Embedding, Init, LayerNorm, Linear, Weights};
use pliant_tensor::ops::{Epilogue, add, attention, dropout, reshape, rotary};
use pliant_tensor::{Dtype, Ids, Offsets, Param, Tape, Tensor, TensorError};

use keys::{DECODER, DECODER_BIAS, PLACES_LEARNT, SEGMENTS, TOKENS};

use crate::error::ModelError;
use crate::model::{Encoder, Kept, step};
use crate::rope::Rope;

pub(crate) use blueprint::FAMILY;
pub use config::{Config, Parts};
pub(crate) use keys::PLACES;

/// Tokens of the vocabulary.
const VOCABULARY: usize = 25;

/// The token between and behind proteins.
const SEPARATOR: u32 = 24;

/// ε of every norm.
const EPSILON: f32 = 1e-12;

/// Numbers of the operations of a block that drop numbers; those of the embedding have the first.
const DROPOUTS: u32 = 2;

/// One block: attention, then feed-forward, each added to what it read and normalised.
#[derive(Debug)]
struct Block {
    proj_q: Linear,
    proj_k: Linear,
    proj_v: Linear,
    proj: Linear,
    norm1: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    norm2: LayerNorm,
    heads: usize,
    /// Where heads are narrower than attention takes them.
    frame: Option<Frame>,
    /// Turns nothing: it scales queries and rounds them to operands.
    still: Rope,
    drop: Drop,
}

/// Heads of D columns in frames of as many as attention takes, the others zero, which changes no product.
#[derive(Debug)]
struct Frame {
    /// `[frame,D]`, ones on the diagonal.
    into: Arc<Param>,
    /// `[D,frame]`, the same turned around.
    out_of: Arc<Param>,
}

impl Frame {
    /// Frames for heads of `width` columns; none where they fit as they are.
    fn new(weights: &Weights, width: usize) -> Result<Option<Self>, CheckpointError> {
        let frame = config::frame(width);
        if frame == width {
            return Ok(None);
        }
        let diagonal = |rows: usize, columns: usize| -> Vec<f32> {
            let ones = |at: usize| if at / columns == at % columns { 1.0 } else { 0.0 };
            (0..rows * columns).map(ones).collect()
        };
        let into = weights.fixed("frame of heads", [frame, width], &diagonal(frame, width))?;
        let out_of = weights.fixed("heads in frames", [width, frame], &diagonal(width, frame))?;
        Ok(Some(Self { into, out_of }))
    }

    /// Every head of `x` multiplied with `matrix`.
    fn change(tape: &Tape, x: &Tensor, matrix: &Arc<Param>, out: Dtype) -> Result<Tensor, TensorError> {
        let [to, from] = matrix.shape() else { return Ok(x.clone()) };
        let heads = x.columns() / from;
        let linear = Linear { weight: Arc::clone(matrix), bias: None };
        let y = linear.forward(tape, &reshape(tape, x, *from)?, Epilogue::Store, out)?;
        reshape(tape, &y, to * heads)
    }
}

/// What is dropped in training.
#[derive(Debug, Clone, Copy)]
struct Drop {
    probability: f32,
    /// Number of the first operation.
    first: u32,
}

impl Drop {
    /// `x` with numbers dropped by the operation of this number.
    fn of(self, tape: &Tape, x: &Tensor, number: u32) -> Result<Tensor, TensorError> {
        if tape.is_on() { dropout(tape, x, self.probability, self.first + number) } else { Ok(x.clone()) }
    }

    /// `x + linear(inner)`, of which numbers are dropped before they are added.
    fn residual(
        self,
        tape: &Tape,
        (linear, inner): (&Linear, &Tensor),
        x: &Tensor,
        number: u32,
    ) -> Result<Tensor, TensorError> {
        if !tape.is_on() || self.probability == 0.0 {
            return linear.forward(tape, inner, Epilogue::Residual(x), Dtype::F32);
        }
        let y = linear.forward(tape, inner, Epilogue::Store, Dtype::F32)?;
        add(tape, x, &self.of(tape, &y, number)?)
    }
}

impl Block {
    fn new(config: &Config, weights: &Weights, number: usize) -> Result<Self, CheckpointError> {
        let (width, inner) = (config.hidden_dim, config.feedforward_dim);
        let linear = |name: &str, inputs, outputs| Linear::pytorch(&weights.at(name), inputs, outputs);
        let first = 1 + number as u32 * DROPOUTS;
        Ok(Self {
            proj_q: linear("attn.proj_q", width, width)?,
            proj_k: linear("attn.proj_k", width, width)?,
            proj_v: linear("attn.proj_v", width, width)?,
            proj: linear("proj", width, width)?,
            norm1: LayerNorm::root(&weights.at("norm1"), width, EPSILON)?,
            fc1: linear("pwff.fc1", width, inner)?,
            fc2: linear("pwff.fc2", inner, width)?,
            norm2: LayerNorm::root(&weights.at("norm2"), width, EPSILON)?,
            heads: config.num_heads,
            frame: Frame::new(weights, config.head_width())?,
            still: Rope::new(vec![0.0; config::frame(config.head_width()) / 2]),
            drop: Drop { probability: config.dropout, first },
        })
    }

    /// States `[T,C]` after this block.
    fn forward(&self, tape: &Tape, x: Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        let operand = tape.operand();
        let parts = [
            self.proj_q.part(Epilogue::Store, Dtype::F32),
            self.proj_k.part(Epilogue::Store, operand),
            self.proj_v.part(Epilogue::Store, operand),
        ];
        let [mut query, mut key, mut value] = together(tape, &x, parts)?;
        if let Some(Frame { into, .. }) = &self.frame {
            query = Frame::change(tape, &query, into, Dtype::F32)?;
            key = Frame::change(tape, &key, into, operand)?;
            value = Frame::change(tape, &value, into, operand)?;
        }
        let table = self.still.table(tape.device(), offsets);
        let factor = 1.0 / ((x.columns() / self.heads) as f32).sqrt();
        let query = rotary(tape, &query, offsets, &table, self.heads, factor, operand)?;
        let mut mixed = attention(tape, &query, &key, &value, offsets, self.heads, operand)?;
        if let Some(Frame { out_of, .. }) = &self.frame {
            mixed = Frame::change(tape, &mixed, out_of, operand)?;
        }
        let attended = self.drop.residual(tape, (&self.proj, &mixed), &x, 0)?;
        let attended = self.norm1.forward(tape, &attended, Dtype::F32)?;
        let inner = self.fc1.forward(tape, &attended, Epilogue::Gelu, operand)?;
        let fed = self.drop.residual(tape, (&self.fc2, &inner), &attended, 1)?;
        self.norm2.forward(tape, &fed, Dtype::F32)
    }
}

/// States to logits of tokens.
#[derive(Debug)]
struct LmHead {
    fc_lm: Linear,
    norm_lm: LayerNorm,
    decoder: Linear,
}

impl LmHead {
    fn new(config: &Config, weights: &Weights, tokens: &Embedding) -> Result<Self, CheckpointError> {
        let (width, fine) = (config.hidden_dim, weights.without_bytes());
        if weights.has(DECODER) {
            weights.note(DECODER, &[VOCABULARY, width])?;
        }
        let bias = fine.vector(DECODER_BIAS, VOCABULARY, Init::Zeros)?;
        Ok(Self {
            fc_lm: Linear::pytorch(&fine.at("fc_lm"), width, width)?,
            norm_lm: LayerNorm::root(&fine.at("norm_lm"), width, EPSILON)?,
            decoder: Linear { weight: Arc::clone(&tokens.weight), bias: Some(bias) },
        })
    }

    fn forward(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, TensorError> {
        let x = self.fc_lm.forward(tape, hidden, Epilogue::Gelu, Dtype::F32)?;
        let normed = self.norm_lm.forward(tape, &x, tape.operand())?;
        self.decoder.forward(tape, &normed, Epilogue::Store, Dtype::F32)
    }
}

/// A PLUS-TFM model.
#[derive(Debug)]
pub struct PlusTfm {
    config: Config,
    parts: Parts,
    tok_embed: Embedding,
    pos_embed: Embedding,
    seg_embed: Embedding,
    norm: LayerNorm,
    blocks: Vec<Arc<Block>>,
    lm_head: Option<LmHead>,
    cls: Option<Linear>,
    params: Vec<Arc<Param>>,
}

impl PlusTfm {
    /// Takes every parameter that config and parts name from `weights`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(config: &Config, parts: Parts, weights: &Weights) -> Result<Self, CheckpointError> {
        let (width, fine) = (config.hidden_dim, weights.without_bytes());
        let normal = || Init::Normal { deviation: 1.0 };
        let table = |name: &str, rows| {
            Ok::<_, CheckpointError>(Embedding { weight: fine.table(name, [rows, width], normal())? })
        };
        let tok_embed = table(TOKENS, VOCABULARY)?;
        let places = [parts.places, width];
        let pos_embed = match config.pos_encode {
            true => Embedding { weight: fine.buffer(PLACES, places, Init::List(config::sinusoid(places)))? },
            false => table(PLACES_LEARNT, parts.places)?,
        };
        let seg_embed = table(SEGMENTS, 2)?;
        let norm = LayerNorm::root(&weights.at("transformer.embed.norm"), width, EPSILON)?;
        let place = weights.at("transformer.blocks");
        let block = |number: usize| Ok(Arc::new(Block::new(config, &place.at(&number.to_string()), number)?));
        let blocks = (0..config.num_layers).map(block).collect::<Result<Vec<_>, CheckpointError>>()?;
        let lm_head = parts.lm_head.then(|| LmHead::new(config, weights, &tok_embed)).transpose()?;
        let cls = (parts.classes > 0).then(|| Linear::pytorch(&fine.at("cls"), width, parts.classes));
        let cls = cls.transpose()?;
        let (config, params) = (config.clone(), weights.params());
        Ok(Self { config, parts, tok_embed, pos_embed, seg_embed, norm, blocks, lm_head, cls, params })
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

    /// The sum of the three tables, normalised.
    fn embed(&self, tape: &Tape, ids: &Ids, offsets: &Offsets) -> Result<Tensor, ModelError> {
        let (tokens, limit) = (ids.as_slice(), self.parts.places);
        offsets.check_tokens("embedding", tokens.len())?;
        let (mut places, mut segments) = (Vec::with_capacity(tokens.len()), Vec::with_capacity(tokens.len()));
        for sequence in 0..offsets.sequences() {
            let chain = &tokens[offsets.range(sequence)];
            if chain.len() > limit {
                return Err(ModelError::TooLong { found: chain.len(), limit });
            }
            let first = chain.iter().position(|token| *token == SEPARATOR).unwrap_or(chain.len());
            places.extend(0..chain.len() as u32);
            segments.extend((0..chain.len()).map(|place| u32::from(place > first)));
        }
        let [places, segments] = [places, segments].map(|ids| Ids::new(tape.device(), &ids));
        let x = self.tok_embed.forward(tape, ids, offsets, None)?;
        let x = add(tape, &x, &self.pos_embed.forward(tape, &places, offsets, None)?)?;
        let x = add(tape, &x, &self.seg_embed.forward(tape, &segments, offsets, None)?)?;
        let x = self.norm.forward(tape, &x, Dtype::F32)?;
        Ok(Drop { probability: self.config.dropout, first: 0 }.of(tape, &x, 0)?)
    }
}

impl Encoder for PlusTfm {
    fn layers(&self) -> usize {
        self.blocks.len()
    }

    fn width(&self) -> usize {
        self.config.hidden_dim
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

    /// In training numbers are dropped below every layer, others each time.
    fn continues(&self) -> bool {
        self.config.dropout == 0.0
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
        for (below, block) in self.blocks.iter().take(kept.top()).enumerate().skip(from) {
            x = step(tape, block, x, offsets, Block::forward)?;
            kept.keep(below + 1, &x);
        }
        Ok(kept.finish())
    }

    fn has_lm_head(&self) -> bool {
        self.lm_head.is_some()
    }

    fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let head = self.lm_head.as_ref().ok_or(ModelError::NoHead)?;
        Ok(head.forward(tape, hidden)?)
    }

    fn chain_logits(&self, tape: &Tape, first: &Tensor) -> Result<Tensor, ModelError> {
        let cls = self.cls.as_ref().ok_or(ModelError::NoPairs)?;
        let drop = Drop { probability: self.config.dropout, first: 1 + self.blocks.len() as u32 * DROPOUTS };
        Ok(cls.forward(tape, &drop.of(tape, first, 0)?, Epilogue::Store, Dtype::F32)?)
    }

    fn pairs_in_one_chain(&self) -> bool {
        true
    }

    fn check_pairs(&self) -> Result<(), ModelError> {
        self.cls.as_ref().map(drop).ok_or(ModelError::NoPairs)
    }

    fn pair_params(&self) -> Vec<Arc<Param>> {
        let params = self.cls.iter().flat_map(|cls| [Some(&cls.weight), cls.bias.as_ref()]);
        params.flatten().map(Arc::clone).collect()
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

    /// Counts the tensors that live together inside a block; states that are kept are apart.
    fn memory_per_token(&self, precision: Precision) -> usize {
        let operand = match precision {
            Precision::F32 => 4,
            Precision::Bf16 | Precision::Int8 => 2,
        };
        let (width, inner) = (self.config.hidden_dim, self.config.feedforward_dim);
        let attending = width * (2 * 4 + 4 * operand);
        let feeding = width * 2 * 4 + inner * operand;
        attending.max(feeding) + width * 4
    }
}

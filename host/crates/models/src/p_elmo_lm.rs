//! The language model of P-ELMo: two stacks of LSTMs that tell each residue from what stands before it and from what stands
//! behind it (after Bepler and Berger, ICLR 2019; mswzeus/PLUS `plus/model/p_elmo.py`, `P_ELMo_lm`).
//!
//! For a pack of T tokens, layers of H numbers that both directions share, V classes:
//!
//! ```text
//! x            = embed[ids]                                 [T,21]
//! f, r         = rnn(f), rnn(r) from either end             [T,H] each
//! state of t   = f of the token before | r of the one behind   [T,2H]   layers 1..
//! logits of t  = decoder(f) + decoder(r)                    [T,V]
//! ```
//!
//! So the states of a residue never see it. The bias of the decoder counts twice, as published. A token of 0 stands before and
//! behind the residues; what stands in the rows of these two is nothing to be asked for.

mod blueprint;
mod config;

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_nn::linear::together;
use pliant_nn::{CheckpointError, Embedding, Init, Linear, LstmGates, Weights};
use pliant_tensor::ops::{Epilogue, add, gather_rows, lstm, reshape};
use pliant_tensor::{Dtype, Ids, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::ModelError;
use crate::model::{Encoder, Kept, step};
use crate::plus_rnn::{CLASSES, MASK, VOCABULARY};

pub(crate) use blueprint::FAMILY;
pub use config::Config;

/// One layer, which both directions share.
#[derive(Debug)]
struct Layer {
    gates: LstmGates,
    /// Whether both directions read the same.
    first: bool,
}

impl Layer {
    /// `[T,2H]`, forward beside reverse: of x `[T,21]` in the first layer, of the states before in the others.
    fn forward(&self, tape: &Tape, x: Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        let weight = &self.gates.weight_hh;
        if self.first {
            let [gates] = together(tape, &x, [self.gates.part()])?;
            return lstm(tape, [&gates, &gates], [weight, weight], offsets);
        }
        let apart = reshape(tape, &x, x.columns() / 2)?;
        let [gates] = together(tape, &apart, [self.gates.part()])?;
        let [forward, reverse] = halves(tape, &gates)?;
        lstm(tape, [&forward, &reverse], [weight, weight], offsets)
    }
}

/// The rows of even and of odd numbers.
fn halves(tape: &Tape, x: &Tensor) -> Result<[Tensor; 2], TensorError> {
    let rows = |first: usize| (first..x.rows()).step_by(2).collect::<Vec<_>>();
    Ok([gather_rows(tape, x, &rows(0))?, gather_rows(tape, x, &rows(1))?])
}

/// What each token is told by the token before it and by the one behind it, of `x [T,2H]`. The halves that the ends of a chain
/// have no neighbour for are those of the other end, which no residue reads.
fn shifted(tape: &Tape, x: &Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
    let mut rows = Vec::with_capacity(2 * x.rows());
    for sequence in 0..offsets.sequences() {
        let Range { start, end } = offsets.range(sequence);
        let before = |token: usize| if token == start { end - 1 } else { token - 1 };
        let behind = |token: usize| if token + 1 == end { start } else { token + 1 };
        rows.extend((start..end).flat_map(|token| [2 * before(token), 2 * behind(token) + 1]));
    }
    let apart = reshape(tape, x, x.columns() / 2)?;
    reshape(tape, &gather_rows(tape, &apart, &rows)?, x.columns())
}

/// The layers and what they read: all that another model takes of a language model.
#[derive(Debug)]
pub(crate) struct Reader {
    embed: Embedding,
    rnn: Vec<Arc<Layer>>,
}

impl Reader {
    /// Takes every parameter of `config` from `weights`.
    pub(crate) fn new(config: &Config, weights: &Weights) -> Result<Self, CheckpointError> {
        // A recurrence adds its rounding up along the chain.
        let fine = weights.without_bytes();
        let zero = Init::NormalWithZeroRow { deviation: 1.0, row: MASK as usize, width: CLASSES };
        let embed = Embedding::new(&fine.at("embed"), VOCABULARY, CLASSES, zero)?;
        let layer = |number: usize| {
            let inputs = if number == 0 { CLASSES } else { config.hidden_dim };
            let place = fine.at(&format!("rnn.{number}"));
            let gates = LstmGates::new(&place, (inputs, config.hidden_dim), 0, "")?;
            Ok(Arc::new(Layer { gates, first: number == 0 }))
        };
        let rnn = (0..config.num_layers).map(layer).collect::<Result<_, CheckpointError>>()?;
        Ok(Self { embed, rnn })
    }

    /// States of the layers asked for.
    pub(crate) fn encode(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        let mut kept = Kept::new(layers);
        let mut x = self.embed.forward_with_still_row(tape, ids, offsets, MASK)?;
        for (below, layer) in self.rnn.iter().take(kept.top()).enumerate() {
            x = step(tape, layer, x, offsets, Layer::forward)?;
            if kept.wants(below + 1) {
                kept.keep(below + 1, &shifted(tape, &x, offsets)?);
            }
        }
        Ok(kept.finish())
    }
}

/// A language model of P-ELMo.
#[derive(Debug)]
pub struct PElmoLm {
    config: Config,
    reader: Reader,
    decoder: Option<Linear>,
    params: Vec<Arc<Param>>,
}

impl PElmoLm {
    /// Takes every parameter that the config names from `weights`, and the decoder where there is one.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(config: &Config, decoder: bool, weights: &Weights) -> Result<Self, CheckpointError> {
        let reader = Reader::new(config, weights)?;
        let place = weights.without_bytes().at("decoder");
        let decoder = decoder.then(|| Linear::pytorch(&place, config.hidden_dim, CLASSES)).transpose()?;
        Ok(Self { config: config.clone(), reader, decoder, params: weights.params() })
    }

    /// What it is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Bytes that a layer holds for each token: what it reads, the gates of both directions and copies of them, what it gives.
pub(crate) fn bytes_per_token(hidden: usize) -> usize {
    4 * (2 * hidden + 2 * 8 * hidden + 2 * hidden)
}

impl Encoder for PElmoLm {
    fn layers(&self) -> usize {
        self.config.num_layers
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
        self.reader.encode(tape, ids, offsets, layers)
    }

    fn tells_unseen(&self) -> bool {
        true
    }

    fn has_lm_head(&self) -> bool {
        self.decoder.is_some()
    }

    fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let decoder = self.decoder.as_ref().ok_or(ModelError::NoHead)?;
        let apart = reshape(tape, hidden, hidden.columns() / 2)?;
        let told = decoder.forward(tape, &apart, Epilogue::Store, Dtype::F32)?;
        let [forward, reverse] = halves(tape, &told)?;
        Ok(add(tape, &forward, &reverse)?)
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

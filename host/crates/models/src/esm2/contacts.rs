//! The contact head: a logistic regression on the attention maps of all heads (`esm.contact_head.regression`).

use std::ops::Range;

use pliant_nn::{CheckpointError, Init, Weights};
use pliant_tensor::ops::Contacts;
use pliant_tensor::{Ids, Offsets, Tape};

use super::keys::CONTACT_HEAD;
use super::{Config, Esm2};
use crate::error::ModelError;

/// Weights and bias of the regression; channels are heads, those of the first layer first.
#[derive(Debug)]
pub(super) struct ContactHead {
    /// `[N·H]`
    weights: Vec<f32>,
    bias: f32,
}

impl ContactHead {
    /// The head of a checkpoint that has one.
    pub(super) fn new(config: &Config, weights: &Weights) -> Result<Option<Self>, CheckpointError> {
        let head = weights.at(CONTACT_HEAD);
        if !head.has("weight") {
            return Ok(None);
        }
        let channels = config.num_hidden_layers * config.num_attention_heads;
        let weights = head.list("weight", &[1, channels], Init::Zeros)?;
        let bias = head.list("bias", &[1], Init::Zeros)?.iter().sum();
        Ok(Some(Self { weights, bias }))
    }
}

impl Esm2 {
    /// Probabilities `[L,L]` that the L residues of each sequence touch, symmetric; `residues` are their tokens, one
    /// range for each sequence of the pack.
    ///
    /// Attention maps are added to one map row by row, so memory grows with `L²` and not with the number of heads.
    ///
    /// # Errors
    /// [`ModelError::NoContactHead`] for a checkpoint without the regression, and those of [`Model::encode`](crate::Model::encode).
    pub(super) fn tell_contacts(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        residues: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let head = self.contact_head.as_ref().ok_or(ModelError::NoContactHead)?;
        let start = |(sequence, residues): (usize, &Range<usize>)| {
            Contacts::new(tape.device(), sequence, residues.clone())
        };
        let mut contacts: Vec<Contacts> = residues.iter().enumerate().map(start).collect();
        let mut x = self.embed(tape, ids, offsets)?;
        let weights = head.weights.chunks_exact(self.config.num_attention_heads);
        for (number, (block, weights)) in self.layer.iter().zip(weights).enumerate() {
            let parts = block.queries_keys_values(tape, &x, offsets)?;
            for contacts in &mut contacts {
                contacts.add(tape, (&parts[0], &parts[1]), offsets, weights)?;
            }
            if number + 1 < self.layer.len() {
                let attended = block.tell(tape, &x, &parts, offsets)?;
                drop(parts);
                x = block.feed(tape, &attended)?;
            }
        }
        let finish = |contacts: Contacts| Ok(contacts.finish(tape, head.bias)?);
        contacts.into_iter().map(finish).collect()
    }
}

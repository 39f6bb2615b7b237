//! A model of any family, once its weights are there.

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_tensor::{Ids, Offsets, Param, Tape, Tensor, TensorError};

use crate::composition::Composition;
use crate::error::ModelError;
use crate::esm2::Esm2;
use crate::lc_plm::LcPlm;
use crate::p_elmo::PElmo;
use crate::p_elmo_lm::PElmoLm;
use crate::plus_rnn::PlusRnn;
use crate::plus_tfm::PlusTfm;

/// A model of any family.
#[derive(Debug)]
pub enum Model {
    /// ESM-2.
    Esm2(Esm2),
    /// LC-PLM.
    LcPlm(LcPlm),
    /// PLUS-RNN.
    PlusRnn(PlusRnn),
    /// PLUS-TFM.
    PlusTfm(PlusTfm),
    /// P-ELMo.
    PElmo(PElmo),
    /// The language model of P-ELMo.
    PElmoLm(PElmoLm),
    /// No model: letters and length.
    Composition(Composition),
}

/// What every family does.
pub(crate) trait Encoder {
    /// Number of the last layer; layer 0 is the embedding.
    fn layers(&self) -> usize;

    /// Number of the first layer that is as wide as the others.
    fn first_layer(&self) -> usize {
        0
    }

    /// C
    fn width(&self) -> usize;

    /// Every parameter once, in the order of construction.
    fn params(&self) -> &[Arc<Param>];

    /// States `[T,C]` of the `layers` asked for, none of which is above the last, in that order.
    fn encode(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError>;

    /// States of the `layers` asked for, from the states `x [T,C]` of layer `from`; asked only of a model that continues.
    fn encode_above(
        &self,
        _tape: &Tape,
        _x: Tensor,
        _offsets: &Offsets,
        (_from, _layers): (usize, &[usize]),
    ) -> Result<Vec<Tensor>, ModelError> {
        Err(ModelError::NoContinuation)
    }

    /// Whether it can go on from the states of a layer.
    fn continues(&self) -> bool {
        false
    }

    /// Whether it computes states with first tokens apart.
    fn check_apart(&self) -> Result<(), ModelError> {
        Err(ModelError::NotApart)
    }

    /// States of the `layers` asked for, with first tokens apart; asked only of a model that computes them.
    fn encode_apart(&self, _: &Tape, _: &Ids, _: &Offsets, _: &[usize]) -> Result<Vec<Tensor>, ModelError> {
        Err(ModelError::NotApart)
    }

    /// Whether there is a language-model head.
    fn has_lm_head(&self) -> bool;

    /// Logits `[R,V]` of any rows of the states of the last layer.
    fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError>;

    /// Width of z, where states are projected.
    fn projection(&self) -> Option<usize> {
        None
    }

    /// z of any rows of the states of the last layer.
    fn project(&self, _tape: &Tape, _hidden: &Tensor) -> Result<Tensor, ModelError> {
        Err(ModelError::NoProjection)
    }

    /// Why it tells no contacts, if it does not.
    fn check_contacts(&self) -> Result<(), ModelError>;

    /// Probabilities `[L,L]` for each sequence; asked only of a model that tells contacts.
    fn contacts(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        residues: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError>;

    /// Estimate of the bytes that inference needs for each token of a pack.
    fn memory_per_token(&self, precision: Precision) -> usize;

    /// Whether the states of a residue in the last layer depend on all residues but itself.
    fn tells_unseen(&self) -> bool {
        false
    }

    /// The parameters that nothing but [`Encoder::pair_logits`] reaches; none where it compares no pairs.
    fn pair_params(&self) -> Vec<Arc<Param>> {
        Vec::new()
    }

    /// Whether it compares pairs.
    fn check_pairs(&self) -> Result<(), ModelError> {
        Err(ModelError::NoPairs)
    }

    /// Whether it reads both members of a pair in one chain.
    fn pairs_in_one_chain(&self) -> bool {
        false
    }

    /// Logits `[P,K]` of P pairs from the states `[P,C]` of the first tokens of their chains.
    fn chain_logits(&self, _: &Tape, _: &Tensor) -> Result<Tensor, ModelError> {
        Err(ModelError::NoPairs)
    }

    /// Logits `[P,K]` of K ordered thresholds from the scores `[P,1]` of soft alignments of z; asked only of a model that
    /// compares pairs by them.
    fn pair_levels(&self, _: &Tape, _: &Tensor) -> Result<Tensor, ModelError> {
        Err(ModelError::NoPairs)
    }

    /// Logits `[P,K]` of P pairs from the states of the last layer of the residues of their members.
    fn pair_logits(&self, _: &Tape, _: Member<'_>, _: Member<'_>) -> Result<Tensor, ModelError> {
        Err(ModelError::NoPairs)
    }
}

/// One side of pairs: states `[T,C]` of the last layer for the residues of its P proteins, without special tokens, and
/// where each protein begins.
pub type Member<'a> = (&'a Tensor, &'a Offsets);

impl Model {
    fn encoder(&self) -> &dyn Encoder {
        match self {
            Self::Esm2(model) => model,
            Self::LcPlm(model) => model,
            Self::PlusRnn(model) => model,
            Self::PlusTfm(model) => model,
            Self::PElmo(model) => model,
            Self::PElmoLm(model) => model,
            Self::Composition(model) => model,
        }
    }

    /// Number of the last layer; layer 0 is the embedding.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.encoder().layers()
    }

    /// Number of the first layer whose states can be had: 1 where the embedding is narrower than the others.
    #[must_use]
    pub fn first_layer(&self) -> usize {
        self.encoder().first_layer()
    }

    /// C, the width of states.
    #[must_use]
    pub fn width(&self) -> usize {
        self.encoder().width()
    }

    /// States `[T,C]` (f32) of the `layers` asked for, in that order: 0 is the embedding, `i` the states after block
    /// `i`, and the last those after the final norm. Blocks above the highest one do not run. Where the tape asks for
    /// recomputation, each block is a checkpoint.
    ///
    /// # Errors
    /// [`ModelError::Layer`] for a layer the model does not have, [`ModelError::Tensor`] for a pack that does
    /// not fit.
    pub fn encode(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        let (first, last) = (self.first_layer(), self.layers());
        match layers.iter().copied().find(|layer| !(first..=last).contains(layer)) {
            Some(found) => Err(ModelError::Layer { found, first, last }),
            None => self.encoder().encode(tape, ids, offsets, layers),
        }
    }

    /// Tells whether it computes states with the first token of every sequence apart: [`Model::encode_apart`].
    ///
    /// # Errors
    /// [`ModelError::NotApart`].
    pub fn check_apart(&self) -> Result<(), ModelError> {
        self.encoder().check_apart()
    }

    /// As [`Model::encode`], but no token sees the first one of its sequence, whose state begins with zeros and is told by
    /// all others: what the published code of interactions and of symmetry pools.
    ///
    /// # Errors
    /// Those of [`Model::check_apart`] and of [`Model::encode`].
    pub fn encode_apart(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        let (first, last) = (self.first_layer(), self.layers());
        match layers.iter().copied().find(|layer| !(first..=last).contains(layer)) {
            Some(found) => Err(ModelError::Layer { found, first, last }),
            None => self.encoder().encode_apart(tape, ids, offsets, layers),
        }
    }

    /// Whether it can go on from the states of a layer: [`Model::encode_above`].
    #[must_use]
    pub fn continues(&self) -> bool {
        self.encoder().continues()
    }

    /// The same as [`Model::encode`], bit for bit, from the states `x [T,C]` that it gave of layer `from`; none of the
    /// `layers` is below that.
    ///
    /// # Errors
    /// [`ModelError::NoContinuation`] for a model that does not continue, [`ModelError::Layer`] for a layer below or above
    /// those that there are then, and those of [`Model::encode`].
    pub fn encode_above(
        &self,
        tape: &Tape,
        x: Tensor,
        offsets: &Offsets,
        (from, layers): (usize, &[usize]),
    ) -> Result<Vec<Tensor>, ModelError> {
        let last = self.layers();
        // The last states are behind the final norm, which is not to be taken twice.
        let fits = (self.first_layer()..last.max(1)).contains(&from);
        match layers.iter().copied().find(|layer| !fits || !(from..=last).contains(layer)) {
            Some(found) => Err(ModelError::Layer { found, first: from, last }),
            None => self.encoder().encode_above(tape, x, offsets, (from, layers)),
        }
    }

    /// Whether it can tell tokens from states.
    #[must_use]
    pub fn has_lm_head(&self) -> bool {
        self.encoder().has_lm_head()
    }

    /// Logits `[R,V]` (f32) of its V tokens, from any R rows `hidden [R,C]` of the states of the last layer. V may be
    /// more than the vocabulary has tokens; theirs are the first.
    ///
    /// # Errors
    /// [`ModelError::NoHead`] for a checkpoint without a language-model head.
    pub fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        self.encoder().lm_logits(tape, hidden)
    }

    /// Width of the projection z of states, where there is one.
    #[must_use]
    pub fn projection(&self) -> Option<usize> {
        self.encoder().projection()
    }

    /// The projection z `[R,width]` (f32) of any R rows `hidden [R,C]` of the states of the last layer.
    ///
    /// # Errors
    /// [`ModelError::NoProjection`] for a model without one.
    pub fn project(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        self.encoder().project(tape, hidden)
    }

    /// Tells whether it tells which residues touch.
    ///
    /// # Errors
    /// [`ModelError::NoContactHead`] for a checkpoint without the regression, [`ModelError::NoContacts`] for a family
    /// that has none.
    pub fn check_contacts(&self) -> Result<(), ModelError> {
        self.encoder().check_contacts()
    }

    /// Probabilities `[L,L]` that the L residues of each sequence touch, symmetric; `residues` are their tokens, one
    /// range for each sequence of the pack.
    ///
    /// # Errors
    /// Those of [`Model::check_contacts`] and of [`Model::encode`].
    pub fn contacts(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        residues: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.check_contacts()?;
        self.encoder().contacts(tape, ids, offsets, residues)
    }

    /// Tells whether the states of a residue in the last layer depend on all residues but itself, so that every residue
    /// can be asked for and none need be hidden.
    ///
    /// # Errors
    /// [`ModelError::SeesItself`].
    pub fn check_unseen(&self) -> Result<(), ModelError> {
        if self.encoder().tells_unseen() { Ok(()) } else { Err(ModelError::SeesItself) }
    }

    /// Tells whether it compares proteins with a head of its own.
    ///
    /// # Errors
    /// [`ModelError::NoPairs`].
    pub fn check_pairs(&self) -> Result<(), ModelError> {
        self.encoder().check_pairs()
    }

    /// Logits `[P,K]` (f32) of P pairs, whose members are in the same order on both sides: K is 1 where it tells whether
    /// they are of one family.
    ///
    /// # Errors
    /// [`ModelError::NoPairs`], and [`ModelError::Tensor`] for sides that do not fit.
    pub fn pair_logits(
        &self,
        tape: &Tape,
        first: Member<'_>,
        second: Member<'_>,
    ) -> Result<Tensor, ModelError> {
        self.check_pairs()?;
        self.encoder().pair_logits(tape, first, second)
    }

    /// Whether it reads both members of a pair in one chain, `start a end b end`, and so wants [`Model::chain_logits`] in the
    /// place of [`Model::pair_logits`].
    #[must_use]
    pub fn pairs_in_one_chain(&self) -> bool {
        self.encoder().pairs_in_one_chain()
    }

    /// Logits `[P,K]` (f32) of P pairs from the states `first [P,C]` of the last layer of the first token of each chain: of
    /// two classes the second is that of one family.
    ///
    /// # Errors
    /// [`ModelError::NoPairs`].
    pub fn chain_logits(&self, tape: &Tape, first: &Tensor) -> Result<Tensor, ModelError> {
        self.encoder().chain_logits(tape, first)
    }

    /// Logits `[P,K]` (f32) of the K thresholds between levels of kinship, lowest first, from the scores `[P,1]` of pairs
    /// that were aligned by their projections ([`Model::project`]).
    ///
    /// # Errors
    /// [`ModelError::NoPairs`] for a model that compares no pairs, or both members in one chain.
    pub fn pair_levels(&self, tape: &Tape, scores: &Tensor) -> Result<Tensor, ModelError> {
        self.encoder().pair_levels(tape, scores)
    }

    /// The parameters that language modelling reaches, and same-family prediction beside it where there are `pairs`: an
    /// optimiser takes no others, as no gradient comes to them.
    #[must_use]
    pub fn params_learning(&self, pairs: bool) -> Vec<Arc<Param>> {
        let out = if pairs { Vec::new() } else { self.encoder().pair_params() };
        let is_out = |param: &Arc<Param>| out.iter().any(|own| Arc::ptr_eq(own, param));
        self.params().iter().filter(|param| !is_out(param)).cloned().collect()
    }

    /// Every parameter once, in the order of construction.
    #[must_use]
    pub fn params(&self) -> &[Arc<Param>] {
        self.encoder().params()
    }

    /// Memory that the parameters hold now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.params().iter().map(|param| param.bytes()).sum()
    }

    /// Estimate of the memory that inference needs for each token of a pack, in bytes.
    #[must_use]
    pub fn memory_per_token(&self, precision: Precision) -> usize {
        self.encoder().memory_per_token(precision)
    }
}

/// States `[T,C]` after a block, which is computed anew for its backward where the tape asks for that.
pub(crate) fn step<B: 'static>(
    tape: &Tape,
    block: &Arc<B>,
    x: Tensor,
    offsets: &Offsets,
    forward: fn(&B, &Tape, Tensor, &Offsets) -> Result<Tensor, TensorError>,
) -> Result<Tensor, TensorError> {
    if !tape.recomputes() {
        return forward(block, tape, x, offsets);
    }
    let (block, offsets) = (Arc::clone(block), offsets.clone());
    tape.checkpoint(&[&x], move |tape, inputs| forward(&block, tape, inputs[0].clone(), &offsets))
}

/// The states that were asked for, as they come.
pub(crate) struct Kept<'a> {
    layers: &'a [usize],
    states: Vec<Option<Tensor>>,
}

impl<'a> Kept<'a> {
    /// Nothing yet of these layers.
    pub(crate) fn new(layers: &'a [usize]) -> Self {
        Self { layers, states: vec![None; layers.len()] }
    }

    /// The highest layer asked for, 0 where there is none.
    pub(crate) fn top(&self) -> usize {
        self.layers.iter().copied().max().unwrap_or(0)
    }

    /// Whether a layer is asked for.
    pub(crate) fn wants(&self, number: usize) -> bool {
        self.layers.contains(&number)
    }

    /// Keeps the states of a layer where they are asked for.
    pub(crate) fn keep(&mut self, number: usize, x: &Tensor) {
        let wanted = self.states.iter_mut().zip(self.layers).filter(|(_, layer)| **layer == number);
        wanted.for_each(|(state, _)| *state = Some(x.clone()));
    }

    /// The states in the order asked for.
    pub(crate) fn finish(self) -> Vec<Tensor> {
        self.states.into_iter().flatten().collect()
    }
}

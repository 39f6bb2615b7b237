//! A corpus to training packs: order, crops and hidden residues, all a pure function of corpus, settings and number.
//!
//! - An epoch is a permutation of the sequences, drawn from (seed, epoch). Packs are stretches of it, as long as the
//!   token budget allows; nothing is sorted, as nothing is padded. The last pack of an epoch may be small, and a
//!   sequence over the budget stands alone, as in [`plan_packs`].
//! - Where a crop begins and which residues are hidden is drawn from (seed, epoch, sequence): neither the order nor the
//!   budget changes it.
//! - Of a sequence with m residues that the vocabulary knows, 0.15·m are hidden, the fraction rounded up or down by chance
//!   so that the mean is exact, and one at least; all sets of as many residues are equally likely. ESM-2 was trained so
//!   (fairseq's `MaskTokensDataset` rounds by chance too): the number of places varies less than by one draw for each
//!   residue, and no pack is without one.
//!
//! Any pack can be asked for at any time. The number of packs of an epoch follows from its order, so the first call
//! after a resume plans all epochs before it: about 10 ns for each sequence trained on so far, a second for a hundred
//! million. The plan of the current epoch is kept.

mod epochs;
mod masking;

pub use masking::{MlmSettings, Replacement, Rounding};

use std::sync::{Mutex, PoisonError};

use crate::corpus::Corpus;
use crate::error::SettingError;
use crate::pack::{Pack, plan_packs};
use crate::random::{self, Purpose};
use crate::vocabulary::{Tokens, Vocabulary};
pub(crate) use epochs::{Cuts, Epochs};
use masking::Masking;
use rand_chacha::ChaCha8Rng;

/// How packs are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplerSettings {
    /// Seed of everything random.
    pub seed: u64,
    /// Tokens of a pack at most, special tokens counted; a longer sequence stands alone.
    pub budget_tokens: usize,
    /// Of a longer sequence, a window of so many residues is taken, another in each epoch. `None` takes it whole.
    pub crop: Option<usize>,
    /// What is hidden.
    pub masking: MlmSettings,
}

/// A pack to train on or to evaluate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingPack {
    /// Sequences with residues hidden; `rows` holds their numbers in the corpus.
    pub pack: Pack,
    /// Rows of the pack's tokens whose residue is asked for, ascending; at least one, unless [`Rounding::Down`] leaves
    /// none. Always residues, never special tokens.
    pub places: Vec<usize>,
    /// `[places]` the tokens that stood there before anything was hidden.
    pub targets: Vec<u32>,
    /// The epoch it belongs to, from 0.
    pub epoch: u64,
}

impl TrainingPack {
    /// Residues of the pack: tokens without the special ones.
    pub fn residues(&self) -> u64 {
        self.pack.residues.iter().map(|residues| residues.len() as u64).sum()
    }

    pub(crate) fn empty(epoch: u64) -> Self {
        Self { pack: Pack::new(), places: Vec::new(), targets: Vec::new(), epoch }
    }
}

/// One sequence with residues hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// What a model sees.
    pub tokens: Tokens,
    /// Rows of these tokens whose residue is asked for, ascending; none only where the vocabulary knows no residue.
    pub places: Vec<usize>,
    /// `[places]` the tokens that stood there before anything was hidden.
    pub targets: Vec<u32>,
}

/// Draws training packs. Can be shared between threads.
#[derive(Debug)]
pub struct Sampler {
    vocabulary: &'static Vocabulary,
    settings: SamplerSettings,
    masking: Masking,
    least_sequences: usize,
    /// Plans of the corpus asked for last. They save time and change nothing.
    epochs: Mutex<Option<Epochs>>,
}

impl Sampler {
    /// A sampler for models of `vocabulary`.
    ///
    /// # Errors
    /// [`SettingError::Sampler`] for a budget or a crop of 0, or shares that are none.
    pub fn new(vocabulary: &'static Vocabulary, settings: SamplerSettings) -> Result<Self, SettingError> {
        for (name, value) in
            [("budget_tokens", settings.budget_tokens), ("crop", settings.crop.unwrap_or(usize::MAX))]
        {
            if value == 0 {
                let (found, wanted) = (value.to_string(), "1 or more");
                return Err(SettingError::Sampler { name, found, wanted });
            }
        }
        let masking = Masking::new(vocabulary, settings.masking)?;
        Ok(Self { vocabulary, settings, masking, least_sequences: 1, epochs: Mutex::new(None) })
    }

    /// The same sampler with another number of residues asked for, and others in the place of those replaced.
    #[must_use]
    pub fn with_masking(self, rounding: Rounding, replacement: Replacement) -> Self {
        Self { masking: self.masking.with(rounding, replacement), ..self }
    }

    /// The same sampler with packs of so many sequences at least, whatever their tokens, as long as an epoch has so many
    /// left: a recurrent network takes its steps through all chains of a pack at once, and through few of them slowly.
    #[must_use]
    pub fn with_least_sequences(self, sequences: usize) -> Self {
        Self { least_sequences: sequences.max(1), epochs: Mutex::new(None), ..self }
    }

    /// How residues become tokens.
    pub fn vocabulary(&self) -> &'static Vocabulary {
        self.vocabulary
    }

    /// The settings in force.
    pub fn settings(&self) -> &SamplerSettings {
        &self.settings
    }

    /// Pack `number` of an endless training run over `corpus`, from 0: the epochs follow one another without a gap.
    pub fn batch(&self, corpus: &Corpus, number: u64) -> TrainingPack {
        let tokens = |_| self.lengths(corpus);
        let (epoch, place) = self.with_epochs(corpus, |epochs| epochs.locate(number, &tokens));
        let seed = self.settings.seed;
        let crops = random::of_epoch(seed, Purpose::Crop, epoch.number);
        let masks = random::of_epoch(seed, Purpose::Mask, epoch.number);
        let mut batch = TrainingPack::empty(epoch.number);
        for &sequence in epoch.pack(place) {
            let row = u64::from(sequence);
            let mut crop = random::of_sequence(&crops, row);
            let mut mask = random::of_sequence(&masks, row);
            lay(&mut batch, row, self.masked(corpus.sequence(sequence as usize), &mut crop, &mut mask));
        }
        batch
    }

    /// The number of the first pack of `epoch`: as many packs are in the epochs before it.
    pub fn epoch_start(&self, corpus: &Corpus, epoch: u64) -> u64 {
        self.with_epochs(corpus, |epochs| epochs.start(epoch, &|_| self.lengths(corpus)))
    }

    /// Every sequence of `corpus` once, longest first, with crops and masks drawn from the seed and the residues alone:
    /// a sequence is asked the same whatever the budget and whatever else is in the corpus. The epoch is 0.
    pub fn evaluation_packs<'a>(&'a self, corpus: &'a Corpus) -> impl Iterator<Item = TrainingPack> + 'a {
        let lengths = corpus.iter().map(|residues| self.tokens_of(residues.len()));
        let packs = plan_packs(lengths, self.settings.budget_tokens);
        packs.into_iter().map(move |numbers| {
            let mut batch = TrainingPack::empty(0);
            for number in numbers {
                lay(&mut batch, number as u64, self.evaluation(corpus.sequence(number)));
            }
            batch
        })
    }

    /// How a sequence of upper-case letters is evaluated, in [`Sampler::evaluation_packs`] and wherever it stands alone.
    pub fn evaluation(&self, residues: &[u8]) -> Masked {
        let seed = self.settings.seed;
        let mut crop = random::of_residues(seed, Purpose::EvaluationCrop, residues);
        let mut mask = random::of_residues(seed, Purpose::EvaluationMask, residues);
        self.masked(residues, &mut crop, &mut mask)
    }

    fn with_epochs<T>(&self, corpus: &Corpus, work: impl FnOnce(&mut Epochs) -> T) -> T {
        // A plan enters when it is whole, so a thread that panicked leaves nothing wrong behind.
        let mut slot = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Epochs::new(corpus.key(), self.settings.seed, self.cuts(self.least_sequences));
        match &mut *slot {
            Some(epochs) if epochs.key == corpus.key() => work(epochs),
            slot => work(slot.insert(fresh())),
        }
    }

    /// Where packs of items end, of which each holds `least` at least.
    pub(crate) fn cuts(&self, least: usize) -> Cuts {
        Cuts { budget: self.settings.budget_tokens as u64, least }
    }

    /// Sequences that a pack has at least.
    pub(crate) fn least_sequences(&self) -> usize {
        self.least_sequences
    }

    fn lengths(&self, corpus: &Corpus) -> Vec<u32> {
        let tokens = corpus.iter().map(|residues| {
            // Longer than u32 says is over every budget that counts: alone either way.
            u32::try_from(self.tokens_of(residues.len())).unwrap_or(u32::MAX)
        });
        tokens.collect()
    }

    /// Tokens of a sequence of so many residues, cropped where it is longer than the crop.
    pub(crate) fn tokens_of(&self, residues: usize) -> usize {
        self.vocabulary.tokens_for(residues.min(self.settings.crop.unwrap_or(usize::MAX)))
    }

    /// One sequence, cropped and with residues hidden.
    pub(crate) fn masked(&self, residues: &[u8], crop: &mut ChaCha8Rng, mask: &mut ChaCha8Rng) -> Masked {
        self.masking.hide(self.vocabulary.encode(self.window(residues, crop)), mask)
    }

    /// What is hidden, and how much of it.
    pub(crate) fn masking(&self) -> &Masking {
        &self.masking
    }

    /// The part of a sequence that is taken: evenly one of the windows in which a residue can be asked for.
    pub(crate) fn window<'a>(&self, residues: &'a [u8], random: &mut ChaCha8Rng) -> &'a [u8] {
        let Some(crop) = self.settings.crop.filter(|&crop| crop < residues.len()) else { return residues };
        let known = |residues: &[u8]| residues.iter().any(|&residue| self.vocabulary.knows(residue));
        let starts = u32::try_from(residues.len() - crop + 1).unwrap_or(u32::MAX);
        // Without it, a sequence of unknown letters alone would be searched for ever.
        let any = !known(residues);
        loop {
            let start = random::below(random, starts) as usize;
            let window = &residues[start..start + crop];
            if any || known(window) {
                return window;
            }
        }
    }
}

/// Lays one sequence behind the others.
pub(crate) fn lay(batch: &mut TrainingPack, row: u64, masked: Masked) {
    let Masked { tokens, places, targets } = masked;
    let start = batch.pack.tokens();
    batch.places.extend(places.iter().map(|place| start + place));
    batch.targets.extend(targets);
    batch.pack.push(row, &tokens);
}

impl Clone for Sampler {
    fn clone(&self) -> Self {
        let &Self { vocabulary, settings, least_sequences, .. } = self;
        let masking = self.masking.clone();
        Self { vocabulary, settings, masking, least_sequences, epochs: Mutex::new(None) }
    }
}

//! Language modelling over a corpus: of hidden residues, or, where a model sees no residue that it tells, of all.

use std::ops::Range;
use std::path::Path;

use pliant_seq::{Corpus, Sampler, TrainingPack};

use super::{Course, Findings, MASKED_LOSS, Told, save};
use crate::engine::{LearnError, Learner, Pupil, examine_mlm, mlm_loss};

/// A model that learns to tell residues.
pub struct MlmCourse<'a> {
    /// The model.
    pub pupil: &'a Pupil,
    /// How it learns.
    pub learner: &'a mut Learner,
    /// What draws packs.
    pub sampler: &'a Sampler,
    /// What they are drawn from.
    pub corpus: &'a Corpus,
    /// What it is examined with.
    pub held_out: Option<&'a Corpus>,
    /// Whether residues are hidden.
    pub hides: bool,
}

impl Course for MlmCourse<'_> {
    fn learn(&mut self, packs: Range<u64>, rate: f64) -> Result<Told, LearnError> {
        let Self { pupil, learner, sampler, corpus, .. } = self;
        let first = packs.start;
        let packs: Vec<TrainingPack> = packs.map(|number| sampler.batch(corpus, number)).collect();
        // The loss is a mean over all residues of the step, whatever pack they are in.
        let places: usize = packs.iter().map(|pack| pack.places.len()).sum();
        let lesson = learner
            .learn(packs.len(), first, rate, |tape, number| mlm_loss(pupil, tape, &packs[number], places))?;
        Ok(Told {
            loss: lesson.loss,
            places: places as u64,
            gradient_norm: lesson.gradient_norm,
            tokens: packs.iter().map(|pack| pack.pack.tokens() as u64).sum(),
            residues: packs.iter().map(TrainingPack::residues).sum(),
            epoch: packs.last().map_or(0, |pack| pack.epoch),
            parts: Vec::new(),
        })
    }

    fn sequences(&self, pack: u64) -> Vec<u64> {
        self.sampler.batch(self.corpus, pack).pack.rows
    }

    fn examine(&self) -> anyhow::Result<Option<Findings>> {
        let Some(corpus) = self.held_out else { return Ok(None) };
        let found = examine_mlm(self.pupil, &self.learner.tape(), self.sampler.evaluation_packs(corpus))?;
        let parts = if self.hides { vec![(MASKED_LOSS.into(), found.masked_loss)] } else { Vec::new() };
        Ok(Some(Findings { loss: found.loss, parts, rank: None, other: None }))
    }

    fn save(&self, folder: &Path) -> anyhow::Result<()> {
        save(self.pupil, self.learner, folder)
    }
}

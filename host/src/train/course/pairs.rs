//! Masked language modelling and same-family prediction over pairs of families.

use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use pliant_seq::{Families, PairPack, PairSampler, PairSet};

use super::{Course, Findings, MASKED_LOSS, Part, Told, save};
use crate::engine::{
    LearnError, Learner, PairCounts, PairSums, PairWeights, Pupil, examine_pairs, pair_loss,
};

/// A model that learns to tell hidden residues, and whether two proteins are of one family.
pub struct PairCourse<'a> {
    /// The model.
    pub pupil: &'a Pupil,
    /// How it learns.
    pub learner: &'a mut Learner,
    /// What draws packs.
    pub sampler: &'a PairSampler,
    /// What they are drawn from.
    pub families: &'a Families,
    /// What it is examined with.
    pub held_out: Option<&'a PairSet>,
    /// What counts how much.
    pub weights: PairWeights,
}

impl Course for PairCourse<'_> {
    fn learn(&mut self, packs: Range<u64>, rate: f64) -> Result<Told, LearnError> {
        let Self { pupil, learner, sampler, families, weights, .. } = self;
        let first = packs.start;
        let packs: Vec<PairPack> = packs.map(|number| sampler.batch(families, number)).collect();
        // Losses are means over all pairs of the step and their residues, whatever pack they are in.
        let mut sums = PairSums { counts: PairCounts::of(&packs), ..PairSums::default() };
        let lesson = learner.learn(packs.len(), first, rate, |tape, number| {
            pair_loss(pupil, tape, &packs[number], weights, &mut sums)
        })?;
        let counts = sums.counts;
        let parts = vec![
            Part { name: "mlm_loss", sum: sums.first + sums.second, count: counts.places() as u64 },
            Part { name: "sfp_accuracy", sum: sums.right as f64, count: counts.pairs as u64 },
            Part { name: "sfp_loss", sum: sums.sfp, count: counts.pairs as u64 },
        ];
        Ok(Told {
            loss: lesson.loss,
            places: counts.pairs as u64,
            gradient_norm: lesson.gradient_norm,
            tokens: packs.iter().map(|pack| pack.chains.pack.tokens() as u64).sum(),
            residues: packs.iter().map(PairPack::residues).sum(),
            epoch: packs.last().map_or(0, |pack| pack.chains.epoch),
            parts,
        })
    }

    fn sequences(&self, pack: u64) -> Vec<u64> {
        let PairPack { chains, seconds, same, .. } = self.sampler.batch(self.families, pack);
        chains.pack.rows.into_iter().take(same.len()).chain(seconds).collect()
    }

    fn examine(&self) -> anyhow::Result<Option<Findings>> {
        let Some(pairs) = self.held_out else { return Ok(None) };
        let packs = self.sampler.evaluation_packs(pairs);
        let found = examine_pairs(self.pupil, &self.learner.tape(), packs, self.weights.threshold)?;
        let loss = found.loss(&self.weights).context("there is no pair")?;
        let parts = [
            ("held_out_mlm_loss", found.mlm_loss()),
            (MASKED_LOSS, found.hidden_loss()),
            ("held_out_sfp_accuracy", found.accuracy()),
            ("held_out_sfp_loss", found.sfp_loss()),
        ];
        let parts = parts.map(|(name, value)| (name.into(), value)).to_vec();
        Ok(Some(Findings { loss, parts, rank: None, other: None }))
    }

    fn save(&self, folder: &Path) -> anyhow::Result<()> {
        save(self.pupil, self.learner, folder)
    }
}

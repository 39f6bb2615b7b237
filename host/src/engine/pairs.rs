//! Same-family prediction beside masked language modelling: losses of pairs whose residues are hidden (PLUS, Min et al.
//! 2021).
//!
//! A model that reads pairs in one chain has one mean over the residues of both, which stands for L₀, and no L₁.
//!
//! With L₀ and L₁ the mean cross-entropies of the residues that are asked of first and of second members, and S the mean
//! binary cross-entropy of being of one family, the loss is `λ·(L₀ + L₁) + μ·S`.

use std::ops::Range;

use anyhow::Context as _;
use pliant_seq::PairPack;
use pliant_tensor::ops::{IGNORE, add, bce_with_logits_over, cross_entropy_over, gather_rows, scale};
use pliant_tensor::{Ids, Offsets, Tape, Tensor};

use super::learner::number_of;
use super::pupil::Pupil;

/// What the parts of the loss of pairs count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairWeights {
    /// λ, of the residues.
    pub mlm: f64,
    /// μ, of the families.
    pub sfp: f64,
    /// As published: `λ·L₀ + λ·(λ·L₀)` stands for `λ·(L₀ + L₁)`, because the second loss was overwritten by the first.
    pub first_alone: bool,
    /// The logit over which members are said to be of one family: 0 where both are as likely.
    pub threshold: f32,
}

/// How much is asked in several packs together: what means are taken over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairCounts {
    /// Pairs.
    pub pairs: usize,
    /// Residues that are asked of first members.
    pub first_places: usize,
    /// Residues that are asked of second members.
    pub second_places: usize,
}

impl PairCounts {
    /// What is asked in these packs.
    pub fn of<'a>(packs: impl IntoIterator<Item = &'a PairPack>) -> Self {
        packs.into_iter().fold(Self::default(), |sum, pack| Self {
            pairs: sum.pairs + pack.pairs(),
            first_places: sum.first_places + pack.first_places,
            second_places: sum.second_places + pack.chains.places.len() - pack.first_places,
        })
    }

    /// All residues that are asked for.
    pub fn places(&self) -> usize {
        self.first_places + self.second_places
    }
}

/// Sums over pairs: their means are what is told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairSums {
    /// Of what they are sums.
    pub counts: PairCounts,
    /// Cross-entropies of first members, in natural units.
    pub first: f64,
    /// Those of second members.
    pub second: f64,
    /// Of the residues of both that are hidden behind the mask token.
    pub hidden: f64,
    /// The number of those.
    pub hidden_places: usize,
    /// Binary cross-entropies of families.
    pub sfp: f64,
    /// Pairs of which it is said rightly whether they are of one family.
    pub right: usize,
}

impl PairSums {
    /// The mean cross-entropy of residues; `None` of none.
    pub fn mlm_loss(&self) -> Option<f64> {
        mean(self.first + self.second, self.counts.places())
    }

    /// That of hidden residues alone.
    pub fn hidden_loss(&self) -> Option<f64> {
        mean(self.hidden, self.hidden_places)
    }

    /// The mean binary cross-entropy of families.
    pub fn sfp_loss(&self) -> Option<f64> {
        mean(self.sfp, self.counts.pairs)
    }

    /// The part of the pairs of which the right thing is said.
    pub fn accuracy(&self) -> Option<f64> {
        mean(self.right as f64, self.counts.pairs)
    }

    /// The whole loss, where there is a pair.
    pub fn loss(&self, weights: &PairWeights) -> Option<f64> {
        let PairWeights { mlm, sfp, first_alone, .. } = *weights;
        let first = mean(self.first, self.counts.first_places).unwrap_or(0.0);
        let second = mean(self.second, self.counts.second_places).unwrap_or(0.0);
        let residues = if first_alone { first + mlm * first } else { first + second };
        Some(mlm * residues + sfp * self.sfp_loss()?)
    }
}

fn mean(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// The loss `[1,1]` of a pack as a part of those of a step, of which `counts` says how much they ask, and what it adds to
/// `sums`, whose counts are those of the step.
///
/// # Errors
/// What the model or the device cannot do.
pub fn pair_loss(
    pupil: &Pupil,
    tape: &Tape,
    pack: &PairPack,
    weights: &PairWeights,
    sums: &mut PairSums,
) -> anyhow::Result<Tensor> {
    let (answers, counts) = (Answers::of(pupil, tape, pack)?, sums.counts);
    let PairWeights { mlm, sfp, first_alone, threshold } = *weights;
    let mut parts = Vec::new();
    let sides = [
        (targets_of(pack, true), counts.first_places, &mut sums.first),
        (targets_of(pack, false), counts.second_places, &mut sums.second),
    ];
    for (number, (side, denominator, sum)) in sides.into_iter().enumerate() {
        let Some(loss) = answers.residues(tape, &side, denominator)? else { continue };
        *sum += f64::from(number_of(&loss)?) * denominator as f64;
        match (first_alone, number) {
            (false, _) => parts.push(scale(tape, &loss, mlm as f32)?),
            (true, 0) => parts.push(scale(tape, &loss, (mlm + mlm * mlm) as f32)?),
            (true, _) => {}
        }
    }
    let loss = answers.families(tape, &pack.same, counts.pairs)?;
    sums.sfp += f64::from(number_of(&loss)?) * counts.pairs as f64;
    sums.right += answers.right(&pack.same, threshold);
    parts.push(scale(tape, &loss, sfp as f32)?);
    let mut parts = parts.into_iter();
    let first = parts.next().context("a loss without parts")?;
    parts.try_fold(first, |sum, part| Ok(add(tape, &sum, &part)?))
}

/// What a model knows of the pairs of `packs`; nothing is learnt.
///
/// # Errors
/// What the model or the device cannot do.
pub fn examine_pairs(
    pupil: &Pupil,
    tape: &Tape,
    packs: impl Iterator<Item = PairPack>,
    threshold: f32,
) -> anyhow::Result<PairSums> {
    let mut sums = PairSums::default();
    let mask = pupil.vocabulary().mask;
    for pack in packs {
        let (answers, own) = (Answers::of(pupil, tape, &pack)?, PairCounts::of([&pack]));
        let chains = &pack.chains;
        let hidden: Vec<u32> = chains
            .places
            .iter()
            .zip(&chains.targets)
            .map(|(place, target)| if chains.pack.ids[*place] == mask { *target } else { IGNORE })
            .collect();
        let hidden_places = hidden.iter().filter(|target| **target != IGNORE).count();
        for (targets, count, sum) in [
            (targets_of(&pack, true), own.first_places, &mut sums.first),
            (targets_of(&pack, false), own.second_places, &mut sums.second),
            (hidden, hidden_places, &mut sums.hidden),
        ] {
            if let Some(loss) = answers.residues(tape, &targets, count)? {
                *sum += f64::from(number_of(&loss)?) * count as f64;
            }
        }
        let loss = answers.families(tape, &pack.same, own.pairs)?;
        sums.sfp += f64::from(number_of(&loss)?) * own.pairs as f64;
        sums.right += answers.right(&pack.same, threshold);
        sums.hidden_places += hidden_places;
        sums.counts.pairs += own.pairs;
        sums.counts.first_places += own.first_places;
        sums.counts.second_places += own.second_places;
    }
    Ok(sums)
}

/// What a model says of a pack of pairs.
struct Answers {
    /// Logits `[R,V]` of the residues that are asked for; `None` where none is.
    residues: Option<Tensor>,
    /// Logits `[P,1]` of being of one family, or `[P,2]` of not being and of being.
    families: Tensor,
}

impl Answers {
    fn of(pupil: &Pupil, tape: &Tape, pack: &PairPack) -> anyhow::Result<Self> {
        let (chains, pairs, model) = (&pack.chains, pack.pairs(), pupil.model());
        let states = pupil.states(tape, &chains.pack)?;
        let residues = if chains.places.is_empty() {
            None
        } else {
            Some(model.lm_logits(tape, &gather_rows(tape, &states, &chains.places)?)?)
        };
        let families = if model.pairs_in_one_chain() {
            let starts = &chains.pack.offsets[..pairs];
            model.chain_logits(tape, &gather_rows(tape, &states, starts)?)?
        } else {
            let (first, first_offsets) = member(tape, &states, &chains.pack.residues[..pairs])?;
            let (second, second_offsets) = member(tape, &states, &chains.pack.residues[pairs..])?;
            model.pair_logits(tape, (&first, &first_offsets), (&second, &second_offsets))?
        };
        Ok(Self { residues, families })
    }

    /// Sum of the cross-entropies of the residues of which `targets` are to be told, divided by `denominator`; `None`
    /// where there is none.
    fn residues(&self, tape: &Tape, targets: &[u32], denominator: usize) -> anyhow::Result<Option<Tensor>> {
        let Some(logits) = self.residues.as_ref().filter(|_| targets.iter().any(|target| *target != IGNORE))
        else {
            return Ok(None);
        };
        let targets = Ids::new(tape.device(), targets);
        Ok(Some(cross_entropy_over(tape, logits, &targets, denominator)?))
    }

    /// Sum of the cross-entropies of families, divided by `denominator`.
    fn families(&self, tape: &Tape, same: &[bool], denominator: usize) -> anyhow::Result<Tensor> {
        if self.families.shape()[1] == 1 {
            let targets: Vec<f32> = same.iter().map(|same| f32::from(u8::from(*same))).collect();
            return Ok(bce_with_logits_over(tape, &self.families, &targets, None, denominator)?);
        }
        let classes: Vec<u32> = same.iter().map(|same| u32::from(*same)).collect();
        Ok(cross_entropy_over(tape, &self.families, &Ids::new(tape.device(), &classes), denominator)?)
    }

    /// How many pairs are said to be what they are: the logit of being of one family, of two classes the difference of
    /// theirs, is over the threshold or not.
    fn right(&self, same: &[bool], threshold: f32) -> usize {
        let (said, classes) = (self.families.to_vec_f32(), self.families.shape()[1]);
        let logits =
            said.chunks_exact(classes).map(|row| row[classes - 1] - if classes > 1 { row[0] } else { 0.0 });
        logits.zip(same).filter(|(logit, same)| (*logit > threshold) == **same).count()
    }
}

/// The states of the residues of one side of pairs, without what is no residue, and where each protein begins.
fn member(tape: &Tape, states: &Tensor, residues: &[Range<usize>]) -> anyhow::Result<(Tensor, Offsets)> {
    let rows: Vec<usize> = residues.iter().flat_map(Clone::clone).collect();
    let mut offsets = vec![0];
    for residues in residues {
        offsets.push(offsets[offsets.len() - 1] + residues.len());
    }
    Ok((gather_rows(tape, states, &rows)?, Offsets::new(&offsets)?))
}

/// The targets of first or of second members; those of the others do not count.
fn targets_of(pack: &PairPack, first: bool) -> Vec<u32> {
    let targets = pack.chains.targets.iter().enumerate();
    let own = |place: usize| (place < pack.first_places) == first;
    targets.map(|(place, target)| if own(place) { *target } else { IGNORE }).collect()
}

#[cfg(test)]
mod tests;

//! Masked language modelling: losses of residues that were hidden from a model.

use anyhow::Context as _;
use pliant_seq::TrainingPack;
use pliant_tensor::ops::{IGNORE, cross_entropy_over, gather_rows};
use pliant_tensor::{Ids, Tape, Tensor};

use super::learner::number_of;
use super::pupil::Pupil;

/// Mean cross-entropies of residues that were asked for, in natural units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Examination {
    /// Of all of them.
    pub loss: f64,
    /// Of those alone that were hidden behind the mask token: the others are shown or falsified, and what is shown is
    /// easily told. `None` where none was hidden.
    pub masked_loss: Option<f64>,
}

/// A sum of cross-entropies that grows pack by pack.
#[derive(Default)]
struct Sum {
    losses: f64,
    count: usize,
}

impl Sum {
    fn add(&mut self, tape: &Tape, logits: &Tensor, targets: &[u32]) -> anyhow::Result<()> {
        let count = targets.iter().filter(|target| **target != IGNORE).count();
        if count > 0 {
            let targets = Ids::new(tape.device(), targets);
            let mean = number_of(&cross_entropy_over(tape, logits, &targets, count)?)?;
            self.losses += f64::from(mean) * count as f64;
            self.count += count;
        }
        Ok(())
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.losses / self.count as f64)
    }
}

/// Sum of the cross-entropies of the residues that a pack asks for, divided by `denominator`: `[1,1]`.
///
/// # Errors
/// What the model or the device cannot do.
pub fn mlm_loss(
    pupil: &Pupil,
    tape: &Tape,
    pack: &TrainingPack,
    denominator: usize,
) -> anyhow::Result<Tensor> {
    let logits = logits(pupil, tape, pack)?;
    let targets = Ids::new(tape.device(), &pack.targets);
    Ok(cross_entropy_over(tape, &logits, &targets, denominator)?)
}

/// What a model knows of the residues that `packs` ask for; nothing is learnt.
///
/// # Errors
/// What the model or the device cannot do.
pub fn examine_mlm(
    pupil: &Pupil,
    tape: &Tape,
    packs: impl Iterator<Item = TrainingPack>,
) -> anyhow::Result<Examination> {
    let (mut asked, mut hidden) = (Sum::default(), Sum::default());
    let mask = pupil.vocabulary().mask;
    for pack in packs {
        let logits = logits(pupil, tape, &pack)?;
        asked.add(tape, &logits, &pack.targets)?;
        let shows_mask = |place: &usize| pack.pack.ids[*place] == mask;
        let told = pack.places.iter().zip(&pack.targets);
        let targets: Vec<u32> =
            told.map(|(place, target)| if shows_mask(place) { *target } else { IGNORE }).collect();
        hidden.add(tape, &logits, &targets)?;
    }
    let loss = asked.mean().context("there is no residue to tell")?;
    Ok(Examination { loss, masked_loss: hidden.mean() })
}

/// Logits `[R,V]` of the R residues that a pack asks for.
fn logits(pupil: &Pupil, tape: &Tape, pack: &TrainingPack) -> anyhow::Result<Tensor> {
    let states = pupil.states(tape, &pack.pack)?;
    // The head, whose products are as wide as the model, is for the chosen residues alone.
    let chosen = gather_rows(tape, &states, &pack.places)?;
    Ok(pupil.model().lm_logits(tape, &chosen)?)
}

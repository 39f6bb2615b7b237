//! What each objective draws from the sequences, and the course that learns from it.

use anyhow::Context as _;
use pliant_seq::{
    MlmSettings, PairForm, PairSampler, Replacement, Rounding, Sampler, SamplerSettings, Vocabulary,
};

use super::data::{Data, Sequences};
use crate::engine::{Learner, PairWeights, Pupil};
use crate::exit::TaskError;
use crate::train::config::{ObjectiveKind, TrainConfig};
use crate::train::course::Course;
use crate::train::course::mlm::MlmCourse;
use crate::train::course::pairs::PairCourse;

/// How vocabularies of PLUS are called.
const PLUS: &str = "plus-";

/// The last token that PLUS, as published, puts in the place of a replaced residue.
const PUBLISHED_LAST: u32 = 21;

/// What draws packs.
pub(super) enum Drawing {
    /// Of single sequences.
    Single(Sampler),
    /// Of pairs.
    Pairs(PairSampler),
}

impl Drawing {
    /// What draws packs of `data` for `pupil` as `config` says.
    pub(super) fn new(config: &TrainConfig, pupil: &Pupil, data: &Data) -> anyhow::Result<Self> {
        let sampler = sampler(config, pupil.vocabulary())?;
        if config.objective.kind != ObjectiveKind::MlmSfp {
            return Ok(Self::Single(sampler));
        }
        let families = data.train.families().context("sequences without families")?;
        if !pupil.model().pairs_in_one_chain() {
            return Ok(Self::Pairs(PairSampler::new(sampler, families, (PairForm::Apart, None))?));
        }
        if config.compat.pair_loss {
            let what = "compat.pair_loss is true, wanted false: the model reads a pair in one chain, and has one loss of \
                        residues for both members";
            return Err(TaskError::Usage { what: what.to_owned() }.into());
        }
        // What it was made for in residues, and the ends of a chain.
        let longest = pupil.about().training_length.map(|residues| residues + 2);
        let pairs = PairSampler::new(sampler, families, (PairForm::Joined, longest))?;
        let found = data.pairs.as_ref().map_or(0, |set| pairs.longest_of(set));
        match longest.filter(|longest| found > *longest) {
            None => Ok(Self::Pairs(pairs)),
            Some(longest) => {
                let what = format!(
                    "the longest pair to be evaluated has {found} tokens, and the model takes {longest}: set data.crop to \
                     {}, or leave longer sequences out",
                    longest.saturating_sub(3) / 2
                );
                Err(TaskError::Usage { what }.into())
            }
        }
    }

    /// The number of the first pack of `epoch`.
    pub(super) fn epoch_start(&self, train: &Sequences, epoch: u64) -> anyhow::Result<u64> {
        Ok(match self {
            Self::Single(sampler) => sampler.epoch_start(train.corpus(), epoch),
            Self::Pairs(sampler) => {
                sampler.epoch_start(train.families().context("sequences without families")?, epoch)
            }
        })
    }

    /// What learns from `data`.
    pub(super) fn course<'a>(
        &'a self,
        config: &TrainConfig,
        (pupil, learner): (&'a Pupil, &'a mut Learner),
        data: &'a Data,
    ) -> anyhow::Result<Box<dyn Course + 'a>> {
        let TrainConfig { objective, compat, .. } = config;
        Ok(match self {
            Self::Single(sampler) => Box::new(MlmCourse {
                pupil,
                learner,
                sampler,
                corpus: data.train.corpus(),
                held_out: data.evaluated.as_ref().or(data.held_out.as_ref().map(Sequences::corpus)),
                hides: objective.kind == ObjectiveKind::Mlm,
            }),
            Self::Pairs(sampler) => Box::new(PairCourse {
                pupil,
                learner,
                sampler,
                families: data.train.families().context("sequences without families")?,
                held_out: data.pairs.as_ref(),
                weights: PairWeights {
                    mlm: objective.mlm_weight,
                    sfp: objective.sfp_weight,
                    first_alone: compat.pair_loss,
                    threshold: if compat.sfp_threshold { 0.5 } else { 0.0 },
                },
            }),
        })
    }
}

/// What draws, crops and hides single sequences.
fn sampler(config: &TrainConfig, vocabulary: &'static Vocabulary) -> anyhow::Result<Sampler> {
    let TrainConfig { objective, data, masking, run, compat, .. } = config;
    let (mut rounding, mut replacement) = (masking.rounding(), Replacement::Standard);
    let mut shares = MlmSettings { choose: masking.choose, mask: masking.mask, random: masking.random };
    if objective.kind == ObjectiveKind::Bilm {
        // Every residue is asked for, and none is hidden.
        shares = MlmSettings { choose: 1.0, mask: 0.0, random: 0.0 };
        rounding = Rounding::Chance;
    }
    if compat.random_range {
        if !vocabulary.identity.starts_with(PLUS) {
            let what = format!(
                "compat.random_range is true, wanted false: the model has the vocabulary {}, and only those of PLUS \
                 were so",
                vocabulary.identity
            );
            return Err(TaskError::Usage { what }.into());
        }
        replacement = Replacement::UpTo(PUBLISHED_LAST);
    }
    let settings = SamplerSettings {
        seed: run.seed,
        budget_tokens: run.budget_tokens,
        crop: data.crop,
        masking: shares,
    };
    let sampler = Sampler::new(vocabulary, settings)?;
    Ok(sampler.with_masking(rounding, replacement).with_least_sequences(run.least_sequences))
}

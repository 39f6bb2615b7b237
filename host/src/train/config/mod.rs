//! What a pretraining is: sections of keys, as in the file, each with its value.
//!
//! A key that nobody knows is an error, and so is a value out of its range; [`read`] names the key, what it found and
//! what it wanted. Values of the optimiser have no defaults, because every program has others.

mod check;
mod error;
pub(crate) mod keys;
mod read;
mod write;

use std::path::{Path, PathBuf};

use pliant_kernels::Precision;
use pliant_nn::optim::{AdamWSettings, OptimError, Rule, Schedule};
use pliant_seq::Rounding;
use serde::{Deserialize, Serialize};

use crate::cli::reading::OnError;
pub use error::ConfigError;
pub use read::{Change, read};
pub(crate) use read::{place_of, read_as};
pub use write::template;
pub(crate) use write::{get, settings_of, written};

/// A complete configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// What is trained.
    #[serde(default)]
    pub model: ModelConfig,
    /// What it learns.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// What is learnt from.
    #[serde(default)]
    pub data: DataConfig,
    /// What is to be told.
    #[serde(default)]
    pub masking: MaskingConfig,
    /// How weights change.
    pub optimizer: OptimizerConfig,
    /// How fast, over the steps.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// How long, and in which pieces.
    #[serde(default)]
    pub run: RunConfig,
    /// What is kept on the way.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// What is told on the way.
    #[serde(default)]
    pub log: LogConfig,
    /// What is done as it was published, though otherwise was meant.
    #[serde(default)]
    pub compat: CompatConfig,
}

/// What is trained: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The configuration of a model that begins with random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// A model folder whose weights are the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
}

/// What the weights begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning<'a> {
    /// Random ones of the model of this configuration.
    Random(&'a Path),
    /// Those of this model folder, or of a model of that name.
    Weights(&'a Path),
}

impl ModelConfig {
    /// The one of the two that is set; a configuration with none or both is refused where it is read.
    pub fn beginning(&self) -> Beginning<'_> {
        match (&self.config, &self.init) {
            (Some(config), _) => Beginning::Random(config),
            (None, init) => Beginning::Weights(init.as_deref().unwrap_or(Path::new(""))),
        }
    }
}

/// What is learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Which of them.
    pub kind: ObjectiveKind,
    /// Weight of the loss of hidden residues, where there is another beside it.
    pub mlm_weight: f64,
    /// Weight of the loss of pairs beside it.
    pub sfp_weight: f64,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self { kind: ObjectiveKind::Mlm, mlm_weight: 0.7, sfp_weight: 0.3 }
    }
}

/// What can be learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveKind {
    /// To tell hidden residues.
    Mlm,
    /// That, and whether two proteins are of one family.
    #[serde(rename = "mlm+sfp")]
    MlmSfp,
    /// To tell each residue from those before and those after it.
    Bilm,
}

/// What is learnt from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// FASTA files; tables too, where the sequences are in families.
    pub train: Vec<PathBuf>,
    /// Whether records name families.
    pub families: bool,
    /// Smaller families are left out.
    pub min_family: usize,
    /// Tables of pairs that are evaluated.
    pub pairs: Vec<PathBuf>,
    /// Fraction of the sequences that is kept apart.
    pub held_out: f64,
    /// A FASTA file that is kept apart instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_file: Option<PathBuf>,
    /// Files of hashes of sequences that are left out.
    pub exclude: Vec<PathBuf>,
    /// What a failed record does.
    pub on_error: OnError,
    /// Residues of the longest stretch that is taken of a sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// Shorter sequences are left out.
    pub min_residues: u32,
    /// Longer records fail.
    pub max_residues: u32,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: Vec::new(),
            families: false,
            min_family: 1,
            pairs: Vec::new(),
            held_out: 0.0,
            held_out_file: None,
            exclude: Vec::new(),
            on_error: OnError::Fail,
            crop: None,
            min_residues: 1,
            max_residues: pliant_seq::DEFAULT_MAX_RESIDUES,
        }
    }
}

/// What is to be told: the fractions of BERT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingConfig {
    /// Fraction of the residues that is chosen.
    pub choose: f64,
    /// Fraction of the chosen that is hidden.
    pub mask: f64,
    /// Fraction of the chosen that another residue takes the place of.
    pub random: f64,
    /// What becomes of a fraction of a residue.
    pub rounding: RoundingKind,
    /// Residues of a sequence that are chosen at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
}

impl Default for MaskingConfig {
    fn default() -> Self {
        Self { choose: 0.15, mask: 0.8, random: 0.1, rounding: RoundingKind::Chance, most: None }
    }
}

impl MaskingConfig {
    /// How many residues of a sequence are chosen.
    pub fn rounding(&self) -> Rounding {
        match self.rounding {
            RoundingKind::Chance => Rounding::Chance,
            RoundingKind::Down => Rounding::Down { most: self.most.unwrap_or(usize::MAX) },
        }
    }
}

/// What becomes of a fraction of a residue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoundingKind {
    /// It is rounded up as often as it says; one is chosen at least.
    Chance,
    /// It is dropped.
    Down,
}

/// How weights change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which of the two.
    #[serde(default)]
    pub kind: OptimizerKind,
    /// Peak of the schedule.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of that.
    pub epsilon: f64,
    /// Decay of weights.
    pub weight_decay: f64,
    /// Largest norm of the gradients; 0 for any.
    pub clip: f64,
}

/// Ways of taking a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// AdamW; Adam without decay.
    #[default]
    #[serde(rename = "adamw")]
    AdamW,
    /// The optimiser of BERT and PLUS-TFM.
    BertAdam,
}

impl OptimizerConfig {
    /// What holds for all parameters.
    pub fn settings(&self) -> AdamWSettings {
        let &Self { beta1, beta2, epsilon, weight_decay, kind, .. } = self;
        let rule = match kind {
            OptimizerKind::AdamW => Rule::AdamW,
            OptimizerKind::BertAdam => Rule::Bert,
        };
        AdamWSettings { beta1, beta2, epsilon, weight_decay, rule }
    }

    /// The largest norm of gradients, where there is one.
    pub fn largest_norm(&self) -> Option<f64> {
        Some(self.clip).filter(|clip| *clip > 0.0)
    }
}

/// How the learning rate goes over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Its shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Its end, of its peak.
    pub final_fraction: f64,
    /// Descents, where it restarts.
    pub cycles: u64,
    /// Steps of each of them instead, as published for LoRA; then it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle_steps: Option<u64>,
    /// Step of its end; none: that of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Cosine,
            warmup_steps: 0,
            final_fraction: 0.1,
            cycles: 1,
            cycle_steps: None,
            steps: None,
        }
    }
}

impl ScheduleConfig {
    /// The schedule of a run of `steps` steps.
    ///
    /// # Errors
    /// [`OptimError::Setting`] where the warm-up is longer than the run.
    pub fn over(&self, steps: u64) -> Result<Schedule, OptimError> {
        let &Self { warmup_steps, final_fraction, cycles, .. } = self;
        let steps = self.steps.unwrap_or(steps);
        let schedule = match self.kind {
            ScheduleKind::Constant => Schedule::Constant { warmup_steps },
            ScheduleKind::Linear => Schedule::Linear { warmup_steps, steps, final_fraction },
            ScheduleKind::Bert => Schedule::Bert { warmup_steps, steps },
            ScheduleKind::Cosine => Schedule::Cosine { warmup_steps, steps, final_fraction },
            ScheduleKind::CosineRestarts => {
                let (steps, cycles) = self.cycle_steps.map_or((steps, cycles), |length| {
                    let cycles = steps.saturating_sub(warmup_steps).div_ceil(length.max(1)).max(1);
                    (warmup_steps.saturating_add(cycles.saturating_mul(length)), cycles)
                });
                Schedule::CosineRestarts { warmup_steps, steps, final_fraction, cycles }
            }
        };
        schedule.check()?;
        Ok(schedule)
    }

    /// Step of its end in a run of `steps` steps; 0 where it has none.
    pub fn end(&self, steps: u64) -> u64 {
        let endless = self.kind == ScheduleKind::Constant || self.cycle_steps.is_some();
        if endless { 0 } else { self.steps.unwrap_or(steps) }
    }
}

/// Shapes of schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The peak to the end.
    Constant,
    /// A straight line.
    Linear,
    /// A straight line that begins with the run and is hidden by the warm-up.
    Bert,
    /// Half a wave.
    Cosine,
    /// Several of them.
    CosineRestarts,
}

/// How long, and in which pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Updates of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Passes over the sequences instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Time after which it stops, to go on later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Tokens of a pack.
    pub budget_tokens: usize,
    /// Sequences of a pack at least, whatever their tokens.
    pub least_sequences: usize,
    /// Packs of an update.
    pub accumulate: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// The number type of matrix operands.
    pub precision: TrainPrecision,
    /// Whether blocks are computed again for their gradients.
    pub recompute: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            steps: None,
            epochs: None,
            minutes: None,
            budget_tokens: 4096,
            least_sequences: 1,
            accumulate: 1,
            seed: 1,
            precision: TrainPrecision::F32,
            recompute: false,
        }
    }
}

/// Number types of matrix operands that gradients can be taken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainPrecision {
    /// 32 bits.
    F32,
    /// bfloat16; weights, sums and moments are kept in 32 bits.
    Bf16,
}

impl From<TrainPrecision> for Precision {
    fn from(precision: TrainPrecision) -> Self {
        match precision {
            TrainPrecision::F32 => Self::F32,
            TrainPrecision::Bf16 => Self::Bf16,
        }
    }
}

/// What is kept on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps from one checkpoint to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_steps: Option<u64>,
    /// Longest time from one to the next.
    pub every_minutes: f64,
    /// Newest ones that are kept.
    pub keep_last: usize,
    /// Those of the least held-out loss that are kept beside them.
    pub keep_best: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_steps: None, every_minutes: 10.0, keep_last: 2, keep_best: 1 }
    }
}

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Steps of a line.
    pub every_steps: u64,
    /// Steps from one held-out loss to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every_steps: Option<u64>,
    /// Sequences that it is taken of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_sequences: Option<usize>,
    /// Pairs that it is taken of, where they are drawn from held-out sequences.
    pub evaluate_pairs: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { every_steps: 10, evaluate_every_steps: None, evaluate_sequences: None, evaluate_pairs: 1000 }
    }
}

/// What is done as it was published, though otherwise was meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompatConfig {
    /// The second member of a pair teaches nothing of its residues.
    pub pair_loss: bool,
    /// Pairs are said to be of one family where the logit, not its probability, is over one half.
    pub sfp_threshold: bool,
    /// Replaced residues become any token from 1 to the mask of PLUS.
    pub random_range: bool,
}

impl TrainConfig {
    /// Whether there is something to take a held-out loss of.
    pub fn holds_out(&self) -> bool {
        self.data.held_out > 0.0 || self.data.held_out_file.is_some() || !self.data.pairs.is_empty()
    }

    /// Whether what is learnt from is in families.
    pub fn has_families(&self) -> bool {
        self.data.families || self.objective.kind == ObjectiveKind::MlmSfp
    }
}

#[cfg(test)]
mod tests;

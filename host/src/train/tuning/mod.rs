//! What a fine-tuning is: sections of keys as those of a pretraining, each with a default but for what is learnt from.

mod check;
mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use super::config::keys::Key;
use super::config::{
    Change, CheckpointConfig, ConfigError, MaskingConfig, ModelConfig, OptimizerConfig, ScheduleConfig,
    TrainPrecision, get, place_of, read_as, settings_of, written,
};
use crate::cli::reading::OnError;
use keys::FINETUNE;
use pliant_models::heads::{Activation, Pooling};

/// A complete configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningConfig {
    /// What is learnt.
    pub task: TaskConfig,
    /// What encodes proteins.
    #[serde(default)]
    pub model: ModelConfig,
    /// What is learnt from.
    pub data: ExamplesConfig,
    /// What is put on the encoder.
    pub head: HeadSection,
    /// What of all of it learns.
    pub tuning: TuningSection,
    /// What is hidden where hidden residues are to be told beside the task.
    pub masking: MaskingConfig,
    /// How weights change.
    pub optimizer: OptimizerConfig,
    /// How fast, over the steps.
    pub schedule: ScheduleConfig,
    /// How long, and in which pieces.
    pub run: TuningRun,
    /// What is kept on the way.
    pub checkpoint: CheckpointConfig,
}

/// What is learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The name of the task.
    pub name: String,
}

/// What is learnt from. What is left open is as the task has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExamplesConfig {
    /// Files of examples.
    pub train: Vec<PathBuf>,
    /// Files of examples that are kept apart.
    pub valid: Vec<PathBuf>,
    /// Files of SHA-256 hashes of sequences; no example with one of them is learnt from.
    pub exclude: Vec<PathBuf>,
    /// Parts of the training files that are learnt from.
    pub train_parts: Vec<String>,
    /// Parts of them that are kept apart.
    pub valid_parts: Vec<String>,
    /// The fraction of the training examples that is kept apart instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_fraction: Option<f64>,
    /// Pairs that are drawn of the training files, which hold domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<u32>,
    /// How examples stand in their files.
    #[serde(flatten)]
    pub form: FormConfig,
    /// What a failed example does.
    pub on_error: OnError,
    /// What becomes of proteins longer than those that the model was trained on.
    pub long: LongChoice,
}

/// How examples stand in their files, where that is not as the task has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FormConfig {
    /// The sequences of proteins that pairs name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proteins: Option<PathBuf>,
    /// The protein that mutants are written as differences from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wild_type: Option<PathBuf>,
    /// The column of sequences, two of pairs.
    pub sequence_columns: Vec<String>,
    /// The column of labels; several where each says of a class whether it holds.
    pub label_columns: Vec<String>,
    /// The columns that name an example, two of pairs.
    pub id_columns: Vec<String>,
    /// The column of parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_column: Option<String>,
    /// The column of residues that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_column: Option<String>,
    /// The column of weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_column: Option<String>,
    /// The column of what stays together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_column: Option<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// What stands between the classes of one example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Letters of the classes of residues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub letters: Option<String>,
    /// Letters of residues of which nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
    /// Longer proteins fail.
    pub max_residues: u32,
}

impl Default for FormConfig {
    fn default() -> Self {
        Self {
            proteins: None,
            wild_type: None,
            sequence_columns: Vec::new(),
            label_columns: Vec::new(),
            id_columns: Vec::new(),
            part_column: None,
            mask_column: None,
            weight_column: None,
            group_column: None,
            classes: Vec::new(),
            separator: None,
            letters: None,
            ignored: None,
            max_residues: pliant_seq::DEFAULT_MAX_RESIDUES,
        }
    }
}

/// What becomes of proteins longer than those that the model was trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LongChoice {
    /// They are computed as any other.
    #[default]
    Whole,
    /// Their beginning alone.
    Truncate,
}

impl LongChoice {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Truncate => "truncate",
        }
    }
}

/// What is put on the encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSection {
    /// How the states of a protein become one vector.
    pub pooling: Pooling,
    /// What is put on pairs.
    pub pairs: PairHead,
    /// Width of what is aligned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Width of a hidden layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// What becomes of its sums.
    pub activation: Activation,
    /// Part of the hidden numbers that is dropped.
    pub dropout: f64,
    /// Whether pooled vectors are put on one scale.
    pub standardize: bool,
}

/// What is put on pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairHead {
    /// Distances and products of pooled vectors.
    Symmetric,
    /// The mean of both pooled vectors.
    Average,
    /// A soft alignment of residues, with ordered levels.
    Alignment,
}

/// What learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningSection {
    /// What of the encoder.
    pub encoder: EncoderTuning,
    /// Its last layers that learn, where only some do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_layers: Option<usize>,
    /// Words of names of what learns, where only some does.
    #[serde(default)]
    pub names: Vec<String>,
    /// The folder of an adapter to begin or to encode with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Rank of a new adapter.
    pub lora_rank: usize,
    /// α of a new adapter.
    pub lora_alpha: f64,
    /// Part of what an adapter reads that is dropped.
    pub lora_dropout: f64,
    /// Words for the matrices that a new adapter stands beside.
    #[serde(default)]
    pub lora_targets: Vec<String>,
    /// Their layers.
    #[serde(default)]
    pub lora_layers: Vec<i64>,
    /// Room for states that never change.
    pub prefix_gigabytes: f64,
    /// The layer that the head reads.
    pub layer: i64,
    /// What the learning rate is multiplied by, of the encoder.
    pub encoder_rate: f64,
    /// The same of the head.
    pub head_rate: f64,
    /// How much classes count.
    pub class_weights: ClassWeights,
    /// Weight of the loss of the task.
    pub task_weight: f64,
    /// Weight of the loss of hidden residues beside it; 0 hides none.
    pub mlm_weight: f64,
}

/// What of the encoder learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderTuning {
    /// Nothing: each protein is encoded once.
    Frozen,
    /// An adapter beside its matrices, which never change.
    Lora,
    /// The last layers.
    Top,
    /// What is named.
    Names,
    /// All of it.
    All,
}

impl EncoderTuning {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Lora => "lora",
            Self::Top => "top",
            Self::Names => "names",
            Self::All => "all",
        }
    }
}

/// How much classes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Each example as much as any other.
    None,
    /// Each class as much as any other.
    Balanced,
}

/// How long, and in which pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningRun {
    /// Passes over the examples.
    pub epochs: u64,
    /// Epochs without a better one after which the run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Examples of an epoch, drawn anew for each; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_examples: Option<usize>,
    /// By what epochs are better or worse.
    pub best_by: BestBy,
    /// The measure, where that is one; none: the main one of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The plugin of a measure that a user brings, which is told beside those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PathBuf>,
    /// Its keys, each with its value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugin_set: Vec<String>,
    /// What it may take, where that is more than usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugin_limits: Vec<String>,
    /// Time after which it stops, to go on later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Examples of an update.
    pub batch: usize,
    /// Tokens of a pack.
    pub budget_tokens: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// The number type of matrix operands.
    pub precision: TrainPrecision,
    /// Whether blocks are computed again for their gradients.
    pub recompute: bool,
}

/// By what epochs are better or worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BestBy {
    /// The loss of the examples kept apart.
    Loss,
    /// The main measure of the task on them, or the first of the plugin that is named.
    Metric,
}

/// The values of keys that nothing sets.
const DEFAULTS: &str = r#"
data = { train = [], valid = [], exclude = [], train_parts = [], valid_parts = [], on_error = "fail", long = "whole", sequence_columns = [], label_columns = [], id_columns = [], classes = [], max_residues = 100000 }
head = { pooling = "mean", pairs = "symmetric", activation = "relu", dropout = 0.0, standardize = false }
tuning = { encoder = "frozen", names = [], lora_rank = 8, lora_alpha = 16.0, lora_dropout = 0.0, lora_targets = [], lora_layers = [], prefix_gigabytes = 4.0, layer = -1, encoder_rate = 1.0, head_rate = 1.0, class_weights = "none", task_weight = 1.0, mlm_weight = 0.0 }
masking = { choose = 0.15, mask = 0.8, random = 0.1, rounding = "chance" }
optimizer = { kind = "adamw", learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.0, clip = 1.0 }
schedule = { kind = "constant", warmup_steps = 0, final_fraction = 0.1, cycles = 1 }
run = { epochs = 20, best_by = "loss", batch = 32, budget_tokens = 4096, seed = 1, precision = "f32", recompute = false }
checkpoint = { every_minutes = 10.0, keep_last = 1, keep_best = 1 }
"#;

/// The same as a table.
fn defaults() -> Table {
    let mut table: Table = DEFAULTS.parse().unwrap_or_default();
    let longest = i64::from(pliant_seq::DEFAULT_MAX_RESIDUES);
    if let Some(toml::Value::Table(data)) = table.get_mut("data") {
        data.insert("max_residues".to_owned(), longest.into());
    }
    table
}

/// Reads a configuration as that of a pretraining; a file is not needed.
///
/// # Errors
/// [`ConfigError`] naming the file and the key.
pub fn read(file: Option<&Path>, sets: &[String], changes: &[Change]) -> Result<TuningConfig, ConfigError> {
    let config: TuningConfig = read_as(FINETUNE, (file, defaults()), sets, changes)?;
    check::check(&config, &place_of(file))?;
    Ok(config)
}

/// Every key with what it may be, and its value where it has one by itself.
pub fn template() -> String {
    written(FINETUNE, &defaults())
}

impl TuningConfig {
    /// The complete configuration as TOML.
    pub fn to_toml(&self) -> String {
        written(FINETUNE, &self.table())
    }

    /// The keys that a run which goes on must not change, with their values.
    pub fn binding(&self) -> BTreeMap<String, String> {
        let table = self.table();
        let value = |key: &Key| get(&table, key).map_or_else(|| "not set".to_owned(), ToString::to_string);
        FINETUNE.all.iter().filter(|key| key.binds).map(|key| (key.path.to_owned(), value(key))).collect()
    }

    /// Everything but what names files of this machine, as JSON: sections of keys.
    pub fn settings(&self) -> serde_json::Value {
        settings_of(FINETUNE, self.table())
    }

    /// The same training of a head on another model, which does not learn; the head reads its last layer.
    #[must_use]
    pub fn on_frozen(&self, model: PathBuf) -> Self {
        let mut config = self.clone();
        config.model = ModelConfig { config: None, init: Some(model) };
        config.tuning = TuningSection {
            encoder: EncoderTuning::Frozen,
            top_layers: None,
            names: Vec::new(),
            adapter: None,
            layer: -1,
            mlm_weight: 0.0,
            ..config.tuning
        };
        config
    }

    /// Whether examples are kept apart.
    pub fn holds_out(&self) -> bool {
        let data = &self.data;
        !data.valid.is_empty() || !data.valid_parts.is_empty() || data.valid_fraction.is_some()
    }

    fn table(&self) -> Table {
        // Numbers, texts and lists of texts: there is nothing in it that TOML cannot hold.
        Table::try_from(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;

//! `pliant finetune`: what was typed, and the plan that it becomes.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use pliant_kernels::CpuPath;
use pliant_store::check_targets;
use toml::Value;

use crate::cli::cache::{CacheFlags, CachePlan};
use crate::cli::reading::{OnError, count, not_an_input, threads};
use crate::cli::shared::{DeviceChoice, cpu_path, device};
use crate::exit::TaskError;
use crate::machine;
use crate::train::config::{Change, ConfigError};
use crate::train::tuning::FormConfig;

const EXAMPLES: &str = "\
Examples:
  pliant finetune --task solubility --train train.tsv --valid valid.tsv --model esm2_t6_8M --out head
  pliant finetune --task classification --train table.csv --label-column kind --valid-fraction 0.1 \\
      --model esm2_t6_8M --out head
  pliant finetune --task secstr --train train.tsv --valid valid.tsv --model esm2_t6_8M --tune all --out head
  pliant finetune --task stability --train all.tsv --part-column split --train-part train --valid-part valid \\
      --model composition --out baseline
  pliant finetune --task solubility --train train.tsv --valid valid.tsv --model esm2_t6_8M --tune lora --lora-rank 8 \\
      --lora-alpha 16 --lora-targets key,value --out head
  pliant finetune --print-config
  pliant predict proteins.fasta --head head --model esm2_t6_8M --out labels.tsv

Tasks: homology, solubility, localization, localization-single, stability, fluorescence, secstr, transmembrane, and of any
table classification, multilabel, regression, residue and pair; of pairs of proteins ppi and interaction-types, of
homo-oligomers symmetry and oligomeric-state. Examples stand in .csv or .tsv, or in the FASTA forms of
PLUS. With a frozen encoder (--tune frozen, the default) each protein is encoded once. The model 'composition' is no model:
the letters of a protein and its length, as a baseline.";

/// The words after `pliant finetune`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct FinetuneArgs {
    /// What is learnt, in the place of task.name
    #[arg(long, env = "PLIANT_TASK", value_name = "NAME")]
    task: Option<String>,
    /// What the training is: TOML, or YAML where the suffix says so; paths in it are relative to its folder
    #[arg(long, env = "PLIANT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change a key of it, repeatable, as in --set run.epochs=10
    #[arg(long, env = "PLIANT_SET", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder of the run: checkpoints and log, and at the end the head
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Go on from the last checkpoint in that folder; where there is none, begin
    #[arg(long, env = "PLIANT_RESUME", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    resume: bool,
    /// Write the complete configuration to standard output and do nothing; without --train, all keys with what they may
    /// be
    #[arg(long, env = "PLIANT_PRINT_CONFIG", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    print_config: bool,
    /// The model to encode with, in the place of model.init and model.config: a folder, or the name of one that was
    /// pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL", conflicts_with = "model_config")]
    model: Option<PathBuf>,
    /// The config.json of a model to begin with random weights, in the place of model.config and model.init
    #[arg(long, env = "PLIANT_MODEL_CONFIG", value_name = "FILE")]
    model_config: Option<PathBuf>,
    #[command(flatten)]
    examples: ExampleFlags,
    #[command(flatten)]
    form: FormFlags,
    /// What of the encoder learns, in the place of tuning.encoder: frozen (nothing), lora (an adapter beside it), top (its
    /// last layers), names (what --tune-names says) or all
    #[arg(long, env = "PLIANT_TUNE", value_name = "WHAT")]
    tune: Option<String>,
    /// How many layers 'top' is, in the place of tuning.top_layers
    #[arg(long, env = "PLIANT_TOP_LAYERS", value_name = "N", value_parser = count::<usize>)]
    top_layers: Option<usize>,
    /// What else to measure on the examples kept apart, with commas between
    #[arg(
        long,
        env = "PLIANT_CONTROLS",
        value_name = "NAME,...",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true,
        help = "Controls to train beside it, into controls/ in the folder of the run: composition (the same head on \
                  letters and length), random (on the model with random weights), additive (of pairs: a number for each \
                  training protein)"
    )]
    controls: Vec<Control>,
    /// Words of names of parameters for 'names', with commas between, in the place of tuning.names
    #[arg(long, env = "PLIANT_TUNE_NAMES", value_name = "WORDS", value_delimiter = ',')]
    tune_names: Vec<String>,
    #[command(flatten)]
    lora: LoraFlags,
    /// A measure that you bring, the plugin.toml of a plugin, in the place of run.plugin: it is told of the examples kept
    /// apart, and --set run.best_by=metric stops by it
    #[arg(long, env = "PLIANT_METRIC", value_name = "PLUGIN.TOML")]
    metric: Option<PathBuf>,
    /// Not for training: a head that gives numbers and no gradients cannot be taught
    #[arg(long, value_name = "HEAD", hide = true)]
    head: Option<PathBuf>,
    /// Train as many times, with the seed and those after it, each in a folder seed_N of its own
    #[arg(long, env = "PLIANT_SEEDS", value_name = "N", value_parser = count::<u64>)]
    seeds: Option<u64>,
    #[command(flatten)]
    cache: CacheFlags,
    /// Where to compute: auto (says what it takes) or cpu; there is no training on GPUs
    #[arg(long, env = "PLIANT_DEVICE", value_name = "NAME", value_parser = device, default_value = "auto")]
    device: DeviceChoice,
    /// Instructions of the processor to use: portable, avx2, avx512 or avx512-bf16 [default: the fastest it has]
    #[arg(long, env = "PLIANT_CPU_PATH", value_name = "NAME", value_parser = cpu_path)]
    cpu_path: Option<CpuPath>,
    /// Threads that compute; they change no number [default: the cores that this process may use]
    #[arg(long, short, env = "PLIANT_THREADS", value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// Write what was done, with what and how fast to this JSON file
    #[arg(long, env = "PLIANT_SUMMARY", value_name = "FILE")]
    summary: Option<PathBuf>,
}

/// What is told without what was to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Control {
    /// The same head on letters and length.
    Composition,
    /// The same head on a model of the same form with random weights.
    Random,
    /// A number for each training protein of pairs.
    Additive,
}

impl Control {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Composition => "composition",
            Self::Random => "random",
            Self::Additive => "additive",
        }
    }
}

/// What an adapter is.
#[derive(Debug, Args)]
struct LoraFlags {
    /// An adapter that 'lora' begins with and 'frozen' encodes with, in the place of tuning.adapter: a folder as Hugging Face
    /// PEFT writes it
    #[arg(long, env = "PLIANT_ADAPTER", value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// The rank of a new adapter, in the place of tuning.lora_rank
    #[arg(long, env = "PLIANT_LORA_RANK", value_name = "N", value_parser = count::<usize>)]
    lora_rank: Option<usize>,
    /// An adapter counts this divided by its rank, in the place of tuning.lora_alpha
    #[arg(long, env = "PLIANT_LORA_ALPHA", value_name = "ALPHA")]
    lora_alpha: Option<f64>,
    /// The part of what an adapter reads that is dropped, in the place of tuning.lora_dropout
    #[arg(long, env = "PLIANT_LORA_DROPOUT", value_name = "P")]
    lora_dropout: Option<f64>,
    /// Matrices that are adapted, with commas between, in the place of tuning.lora_targets: of ESM-2 query, key, value,
    /// output, fc1, fc2
    #[arg(long, env = "PLIANT_LORA_TARGETS", value_name = "WORDS", value_delimiter = ',')]
    lora_targets: Vec<String>,
    /// Layers that are adapted, with commas between, in the place of tuning.lora_layers: from 1, negative ones from the last
    #[arg(
        long,
        env = "PLIANT_LORA_LAYERS",
        value_name = "N",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    lora_layers: Vec<i64>,
}

impl LoraFlags {
    /// What the flags say of the configuration.
    fn changes(&self) -> Result<Vec<Change>, ConfigError> {
        let mut changes = Vec::new();
        changes.extend(self.adapter.as_ref().map(|path| Change::path("tuning.adapter", path)).transpose()?);
        let rank = self.lora_rank.map(|rank| Value::Integer(i64::try_from(rank).unwrap_or(i64::MAX)));
        let layers = self.lora_layers.iter().copied().map(Value::Integer).collect();
        for (key, value) in [
            ("tuning.lora_rank", rank),
            ("tuning.lora_alpha", self.lora_alpha.map(Value::Float)),
            ("tuning.lora_dropout", self.lora_dropout.map(Value::Float)),
            ("tuning.lora_layers", (!self.lora_layers.is_empty()).then_some(Value::Array(layers))),
        ] {
            changes.extend(value.map(|value| Change { key, value: Some(value) }));
        }
        changes.extend(list("tuning.lora_targets", &self.lora_targets));
        Ok(changes)
    }
}

/// Which examples.
#[derive(Debug, Args)]
struct ExampleFlags {
    /// Examples to learn from, repeatable, in the place of data.train
    #[arg(long, env = "PLIANT_TRAIN", value_name = "FILE")]
    train: Vec<PathBuf>,
    /// Examples kept apart, repeatable, in the place of data.valid
    #[arg(long, env = "PLIANT_VALID", value_name = "FILE")]
    valid: Vec<PathBuf>,
    /// Files of SHA-256 hashes of sequences, one a line, repeatable, in the place of data.exclude: examples with one of
    /// them are not learnt from
    #[arg(long, env = "PLIANT_EXCLUDE", value_name = "FILE")]
    exclude: Vec<PathBuf>,
    /// Parts of the training files to learn from, with commas between, in the place of data.train_parts
    #[arg(long, env = "PLIANT_TRAIN_PART", value_name = "NAME", value_delimiter = ',')]
    train_part: Vec<String>,
    /// Parts of the training files kept apart, in the place of data.valid_parts
    #[arg(long, env = "PLIANT_VALID_PART", value_name = "NAME", value_delimiter = ',')]
    valid_part: Vec<String>,
    /// The fraction of the examples kept apart instead, in the place of data.valid_fraction
    #[arg(long, env = "PLIANT_VALID_FRACTION", value_name = "F")]
    valid_fraction: Option<f64>,
    /// What a failed example does
    #[arg(
        long,
        env = "PLIANT_ON_ERROR",
        value_name = "WHAT",
        value_enum,
        hide_possible_values = true,
        help = "What a failed example does, in the place of data.on_error: fail ends the run before anything is \
                  computed, skip leaves it out and lists it in failures.tsv in the folder of the run"
    )]
    on_error: Option<OnError>,
}

/// How examples stand in their files.
#[derive(Debug, Clone, Args)]
pub struct FormFlags {
    /// The sequences of the proteins that pairs name: FASTA or a table
    #[arg(long, env = "PLIANT_SEQUENCES", value_name = "FILE")]
    pub sequences: Option<PathBuf>,
    /// The protein that mutants are written as differences from
    #[arg(long, env = "PLIANT_WILD_TYPE", value_name = "FILE")]
    pub wild_type: Option<PathBuf>,
    /// The column of sequences; two of pairs, with a comma between
    #[arg(long, env = "PLIANT_SEQUENCE_COLUMN", value_name = "NAME", value_delimiter = ',')]
    pub sequence_column: Vec<String>,
    /// The column of labels; several, with commas between, where each says with 0 or 1 whether a class holds
    #[arg(long, env = "PLIANT_LABEL_COLUMN", value_name = "NAME", value_delimiter = ',')]
    pub label_column: Vec<String>,
    /// The columns that name an example; of pairs those of the ids of both proteins
    #[arg(long, env = "PLIANT_ID_COLUMN", value_name = "NAME", value_delimiter = ',')]
    pub id_column: Vec<String>,
    /// The column of parts, as train and test
    #[arg(long, env = "PLIANT_PART_COLUMN", value_name = "NAME")]
    pub part_column: Option<String>,
    /// The column with 1 for each residue whose label counts and 0 for the others
    #[arg(long, env = "PLIANT_MASK_COLUMN", value_name = "NAME")]
    pub mask_column: Option<String>,
    /// The column of weights of examples
    #[arg(long, env = "PLIANT_WEIGHT_COLUMN", value_name = "NAME")]
    pub weight_column: Option<String>,
    /// The column of what stays on one side where some examples are kept apart
    #[arg(long, env = "PLIANT_GROUP_COLUMN", value_name = "NAME")]
    pub group_column: Option<String>,
    /// The classes there are, with commas between [default: those that are found]
    #[arg(long, env = "PLIANT_CLASSES", value_name = "NAME", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// What stands between the classes of one example
    #[arg(long, env = "PLIANT_SEPARATOR", value_name = "CHAR")]
    pub separator: Option<char>,
    /// Letters of the classes of residues, in their order, as HEC
    #[arg(long, env = "PLIANT_LETTERS", value_name = "LETTERS")]
    pub letters: Option<String>,
}

/// What to train, and where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct FinetunePlan {
    /// The configuration, where one is in a file.
    pub config: Option<PathBuf>,
    /// Words that change it.
    pub sets: Vec<String>,
    /// What flags change of it, after them.
    pub changes: Vec<Change>,
    /// The folder of the run; where the configuration is only to be printed, perhaps none.
    pub out: Option<PathBuf>,
    /// Whether a run that is there goes on.
    pub resume: bool,
    /// Only print the configuration.
    pub print_config: bool,
    /// What else to measure.
    pub controls: Vec<Control>,
    /// Trainings with other seeds; `None`: one, in the folder itself.
    pub seeds: Option<u64>,
    /// Where results of earlier runs are, and those of this one go.
    pub cache: Option<CachePlan>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// With which instructions of the processor.
    pub cpu_path: CpuPath,
    /// Threads.
    pub threads: usize,
    /// What was done.
    pub summary: Option<PathBuf>,
}

impl FinetuneArgs {
    /// Checks what was typed, as far as that goes without opening anything.
    ///
    /// # Errors
    /// Outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<FinetunePlan> {
        if let Some(head) = &self.head {
            let what = format!(
                "the head {} cannot be taught any more: a training makes a head of its --task (see [head] of \
                 --print-config), and 'pliant predict --head' asks one that is there",
                head.display()
            );
            return Err(TaskError::Usage { what }.into());
        }
        let changes = self.changes()?;
        let summary = self.summary.as_deref();
        if let Some(summary) = summary {
            check_targets(&[summary])?;
            let ExampleFlags { train, valid, exclude, .. } = &self.examples;
            let inputs = train.iter().chain(valid).chain(exclude).chain(&self.config);
            let inputs = inputs.chain(&self.model_config).chain(&self.metric);
            let inputs = inputs.chain(&self.form.sequences).chain(&self.form.wild_type);
            not_an_input(&inputs.cloned().collect::<Vec<_>>(), summary)?;
        }
        let cache = self.cache.plan(&summary.into_iter().collect::<Vec<_>>())?;
        Ok(FinetunePlan {
            config: self.config,
            sets: self.set,
            changes,
            out: self.out,
            resume: self.resume,
            print_config: self.print_config,
            controls: self.controls,
            seeds: self.seeds,
            cache,
            device: self.device,
            cpu_path: self.cpu_path.unwrap_or_else(CpuPath::best),
            threads: self.threads.unwrap_or_else(|| machine::cores().0),
            summary: self.summary,
        })
    }

    /// What the flags say of the configuration. Of keys that exclude each other the named one stays.
    fn changes(&self) -> Result<Vec<Change>, ConfigError> {
        let mut changes = self.form.changes()?;
        let examples = &self.examples;
        if let Some(metric) = &self.metric {
            changes.push(Change::path("run.plugin", metric)?);
        }
        for (key, path, other) in
            [("model.init", &self.model, "model.config"), ("model.config", &self.model_config, "model.init")]
        {
            if let Some(path) = path {
                changes.extend([Change::path(key, path)?, Change::gone(other)]);
            }
        }
        for (key, paths) in [
            ("data.train", &examples.train),
            ("data.valid", &examples.valid),
            ("data.exclude", &examples.exclude),
        ] {
            if !paths.is_empty() {
                changes.push(Change::paths(key, paths)?);
            }
        }
        let lists = [("data.train_parts", &examples.train_part), ("data.valid_parts", &examples.valid_part)];
        changes.extend(lists.into_iter().filter_map(|(key, words)| list(key, words)));
        let on_error = examples.on_error.map(|on_error| match on_error {
            OnError::Fail => "fail".to_owned(),
            OnError::Skip => "skip".to_owned(),
        });
        let texts = [("task.name", &self.task), ("tuning.encoder", &self.tune), ("data.on_error", &on_error)];
        changes.extend(texts.into_iter().filter_map(|(key, word)| text(key, word.as_ref())));
        if let Some(fraction) = examples.valid_fraction {
            changes.push(Change { key: "data.valid_fraction", value: Some(Value::Float(fraction)) });
        }
        changes.extend(list("tuning.names", &self.tune_names));
        changes.extend(self.lora.changes()?);
        if let Some(layers) = self.top_layers {
            let layers = i64::try_from(layers).unwrap_or(i64::MAX);
            changes.push(Change { key: "tuning.top_layers", value: Some(Value::Integer(layers)) });
        }
        Ok(changes)
    }
}

impl FormFlags {
    /// What is said of files already, with what the flags say of them.
    pub fn over(&self, form: FormConfig) -> FormConfig {
        let list = |own: &[String], given: Vec<String>| if own.is_empty() { given } else { own.to_vec() };
        FormConfig {
            proteins: self.sequences.clone().or(form.proteins),
            wild_type: self.wild_type.clone().or(form.wild_type),
            sequence_columns: list(&self.sequence_column, form.sequence_columns),
            label_columns: list(&self.label_column, form.label_columns),
            id_columns: list(&self.id_column, form.id_columns),
            part_column: self.part_column.clone().or(form.part_column),
            mask_column: self.mask_column.clone().or(form.mask_column),
            weight_column: self.weight_column.clone().or(form.weight_column),
            group_column: self.group_column.clone().or(form.group_column),
            classes: list(&self.classes, form.classes),
            separator: self.separator.or(form.separator),
            letters: self.letters.clone().or(form.letters),
            ..form
        }
    }

    /// What the flags say of the configuration.
    ///
    /// # Errors
    /// Paths that are no Unicode.
    pub fn changes(&self) -> Result<Vec<Change>, ConfigError> {
        let mut changes = Vec::new();
        for (key, path) in [("data.proteins", &self.sequences), ("data.wild_type", &self.wild_type)] {
            changes.extend(path.as_ref().map(|path| Change::path(key, path)).transpose()?);
        }
        let lists = [
            ("data.sequence_columns", &self.sequence_column),
            ("data.label_columns", &self.label_column),
            ("data.id_columns", &self.id_column),
            ("data.classes", &self.classes),
        ];
        changes.extend(lists.into_iter().filter_map(|(key, words)| list(key, words)));
        let separator = self.separator.map(String::from);
        let texts = [
            ("data.part_column", &self.part_column),
            ("data.mask_column", &self.mask_column),
            ("data.weight_column", &self.weight_column),
            ("data.group_column", &self.group_column),
            ("data.separator", &separator),
            ("data.letters", &self.letters),
        ];
        changes.extend(texts.into_iter().filter_map(|(key, word)| text(key, word.as_ref())));
        Ok(changes)
    }
}

fn text(key: &'static str, word: Option<&String>) -> Option<Change> {
    word.map(|word| Change { key, value: Some(Value::String(word.clone())) })
}

fn list(key: &'static str, words: &[String]) -> Option<Change> {
    let values = words.iter().cloned().map(Value::String).collect();
    (!words.is_empty()).then_some(Change { key, value: Some(Value::Array(values)) })
}

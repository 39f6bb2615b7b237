//! `pliant pretrain`: what was typed, and the plan that it becomes.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use pliant_kernels::CpuPath;
use pliant_store::check_targets;
use toml::Value;

use crate::cli::reading::{OnError, not_an_input, threads};
use crate::cli::shared::{DeviceChoice, cpu_path, device};
use crate::machine;
use crate::train::config::{Change, ConfigError};

const EXAMPLES: &str = "\
Examples:
  pliant pretrain --config esm2_8m.toml --train uniref50.fasta.gz --out run
  pliant pretrain --config esm2_8m.toml --train uniref50.fasta.gz --out run --resume
  pliant pretrain --config esm2_8m.toml --set run.steps=100 --print-config
  pliant pretrain --print-config
  pliant embed proteins.fasta --model run --out embeddings.npz";

/// The words after `pliant pretrain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PretrainArgs {
    /// What the training is: TOML, or YAML where the suffix says so; paths in it are relative to its folder
    #[arg(long, env = "PLIANT_CONFIG", value_name = "FILE", required_unless_present = "print_config")]
    config: Option<PathBuf>,
    /// Change a key of it, repeatable, as in --set run.steps=1000
    #[arg(long, env = "PLIANT_SET", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder of the run: checkpoints and log, and at the end the model
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Go on from the last checkpoint in that folder; where there is none, begin
    #[arg(long, env = "PLIANT_RESUME", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    resume: bool,
    /// Write the complete configuration to standard output and do nothing; without --config, all keys with what they
    /// may be
    #[arg(long, env = "PLIANT_PRINT_CONFIG", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    print_config: bool,
    /// FASTA files, or tables of families, to learn from, repeatable, in the place of data.train; plain or gz, bz2, xz or
    /// zst
    #[arg(long, env = "PLIANT_TRAIN", value_name = "FILE")]
    train: Vec<PathBuf>,
    /// A FASTA file to take held-out losses of, in the place of data.held_out
    #[arg(long, env = "PLIANT_HELD_OUT", value_name = "FILE")]
    held_out: Option<PathBuf>,
    /// Tables of pairs to be evaluated with (sequence_A, sequence_B, is_samefamily), repeatable, in the place of data.pairs
    #[arg(long, env = "PLIANT_PAIRS", value_name = "FILE", conflicts_with = "held_out")]
    pairs: Vec<PathBuf>,
    /// Files of SHA-256 hashes of sequences to leave out, one a line, repeatable, in the place of data.exclude
    #[arg(long, env = "PLIANT_EXCLUDE", value_name = "FILE")]
    exclude: Vec<PathBuf>,
    /// The model to begin with, in the place of model.init and model.config: a folder, or the name of one that was
    /// pulled
    #[arg(long, env = "PLIANT_INIT", value_name = "MODEL", conflicts_with = "model_config")]
    init: Option<PathBuf>,
    /// The config.json of a model to begin with random weights, in the place of model.config and model.init
    #[arg(long, env = "PLIANT_MODEL_CONFIG", value_name = "FILE")]
    model_config: Option<PathBuf>,
    /// What a failed record does, in the place of data.on_error
    #[arg(
        long,
        env = "PLIANT_ON_ERROR",
        value_name = "WHAT",
        value_enum,
        hide_possible_values = true,
        help = "What a failed record does, in the place of data.on_error: fail ends the run before anything is \
                  computed, skip leaves the record out and lists it in failures.tsv in the folder of the run"
    )]
    on_error: Option<OnError>,
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

/// What to train, and where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct PretrainPlan {
    /// The configuration; where it is only to be printed, perhaps none.
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
    /// Where to compute.
    pub device: DeviceChoice,
    /// With which instructions of the processor.
    pub cpu_path: CpuPath,
    /// Threads.
    pub threads: usize,
    /// What was done.
    pub summary: Option<PathBuf>,
}

impl PretrainArgs {
    /// Checks what was typed, as far as that goes without opening anything.
    ///
    /// # Errors
    /// Outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<PretrainPlan> {
        let changes = self.changes()?;
        if let Some(summary) = &self.summary {
            check_targets(&[summary])?;
            let inputs = [&self.train, &self.pairs, &self.exclude].into_iter().flatten();
            let inputs = inputs.chain(&self.config).chain(&self.held_out).chain(&self.model_config);
            not_an_input(&inputs.cloned().collect::<Vec<_>>(), summary)?;
        }
        Ok(PretrainPlan {
            config: self.config,
            sets: self.set,
            changes,
            out: self.out,
            resume: self.resume,
            print_config: self.print_config,
            device: self.device,
            cpu_path: self.cpu_path.unwrap_or_else(CpuPath::best),
            threads: self.threads.unwrap_or_else(|| machine::cores().0),
            summary: self.summary,
        })
    }

    /// What the flags say of the configuration. Of keys that exclude each other the named one stays.
    fn changes(&self) -> Result<Vec<Change>, ConfigError> {
        let mut changes = Vec::new();
        if !self.train.is_empty() {
            changes.push(Change::paths("data.train", &self.train)?);
        }
        if !self.pairs.is_empty() {
            let others = ["data.held_out", "data.held_out_file"].map(Change::gone);
            changes.push(Change::paths("data.pairs", &self.pairs)?);
            changes.extend(others);
        }
        if !self.exclude.is_empty() {
            changes.push(Change::paths("data.exclude", &self.exclude)?);
        }
        if self.held_out.is_some() {
            changes.push(Change::gone("data.pairs"));
        }
        for (key, path, other) in [
            ("data.held_out_file", &self.held_out, "data.held_out"),
            ("model.init", &self.init, "model.config"),
            ("model.config", &self.model_config, "model.init"),
        ] {
            if let Some(path) = path {
                changes.extend([Change::path(key, path)?, Change::gone(other)]);
            }
        }
        if let Some(on_error) = self.on_error {
            let name = match on_error {
                OnError::Fail => "fail",
                OnError::Skip => "skip",
            };
            changes.push(Change { key: "data.on_error", value: Some(Value::String(name.to_owned())) });
        }
        Ok(changes)
    }
}

//! `pliant adapter …`: what was typed.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  pliant adapter inspect head/adapter --model esm2_t6_8M
  pliant adapter merge head/adapter --model esm2_t6_8M --out esm2_t6_8M_adapted
  pliant adapter import checkpoint.pt --model esm2_t6_8M --lora-alpha 32 --out adapter

An adapter is a folder with adapter_config.json and adapter_model.safetensors, as Hugging Face PEFT writes and reads it.";

/// The words after `pliant adapter`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AdapterArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: AdapterAction,
}

/// What to do with an adapter.
#[derive(Debug, Subcommand)]
pub enum AdapterAction {
    /// Read every byte of an adapter, check it against its model and say what it is
    Inspect(InspectArgs),
    /// Make a model folder of a model and an adapter together
    Merge(MergeArgs),
    /// Copy an adapter of any spelling, or that in a file of a whole model, into a folder of its own
    Import(ImportArgs),
}

/// The words after `pliant adapter inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The folder of the adapter
    #[arg(value_name = "ADAPTER")]
    pub folder: PathBuf,
    /// The model that it is for: a folder, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    pub model: PathBuf,
    /// Write one JSON object instead of text
    #[arg(long, env = "PLIANT_JSON", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}

/// The words after `pliant adapter merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The folder of the adapter
    #[arg(value_name = "ADAPTER")]
    pub folder: PathBuf,
    /// The model that it is for: a folder, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    pub model: PathBuf,
    /// The folder to make; it must not exist or be empty
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
}

/// The words after `pliant adapter import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The folder of an adapter, or a file of a model that holds one, as training code saves it
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// The model that it is for: a folder, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    pub model: PathBuf,
    /// The folder to make; it must not exist or be empty
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// The alpha of an adapter in a file, which does not say it
    #[arg(long, env = "PLIANT_LORA_ALPHA", value_name = "ALPHA")]
    pub lora_alpha: Option<f64>,
}

//! `pliant model …`: what was typed. There is nothing in it that could not go together.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use crate::cli::pull::{ListArgs, PullArgs};

const EXAMPLES: &str = "\
Examples:
  pliant model pull esm2_t6_8M
  pliant model inspect esm2_t6_8M
  pliant model verify esm2_t6_8M
  pliant model new --config config.json --seed 1 --out tiny";

/// The words after `pliant model`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ModelArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: ModelAction,
}

/// What to do with a model folder.
#[derive(Debug, Subcommand)]
pub enum ModelAction {
    /// Fetch a model from a hub into the model store, and check it
    Pull(PullArgs),
    /// List the models of the model store
    List(ListArgs),
    /// Say what a model folder holds
    Inspect(InspectArgs),
    /// Read every byte of a model folder, check it and print its identity
    Verify(VerifyArgs),
    /// Make a model folder with random weights
    New(NewArgs),
}

/// The words after `pliant model inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The model: a folder, or the name of one that was pulled
    #[arg(value_name = "MODEL")]
    pub folder: PathBuf,
    /// Write one JSON object instead of text
    #[arg(long, env = "PLIANT_JSON", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}

/// The words after `pliant model verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The model: a folder, or the name of one that was pulled
    #[arg(value_name = "MODEL")]
    pub folder: PathBuf,
}

/// The words after `pliant model new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The configuration of the model, a config.json
    #[arg(long, env = "PLIANT_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// The seed of the weights: the same seed and configuration give the same bytes
    #[arg(long, env = "PLIANT_SEED", value_name = "N")]
    pub seed: u64,
    /// The folder to make; it must not exist or be empty
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
}

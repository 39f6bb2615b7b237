//! `pliant model …`: what was typed. There is nothing in it that could not go together.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use pliant_onnx::apart::Kind;

use crate::cli::pull::{ListArgs, PullArgs};

const EXAMPLES: &str = "\
Examples:
  pliant model pull esm2_t6_8M
  pliant model inspect esm2_t6_8M
  pliant model verify esm2_t6_8M
  pliant model new --config config.json --seed 1 --out tiny
  pliant model import esm2_t6_8M_UR50D.pt --out esm2_t6_8M
  pliant model import PLUS-RNN_BASE.pt --config plus-rnn_base.json --out plus_rnn
  pliant model export esm2_t6_8M --hf --out esm2_t6_8M_hf
  pliant model export solubility_head --onnx --out solubility_onnx";

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
    /// Copy a model of fair-esm, PLUS or PyTorch into a model folder
    Import(ImportArgs),
    /// Copy a model into the form of another program
    Export(ExportArgs),
    /// Read an ONNX file within limits: what this program asks another process of itself to do
    #[command(hide = true)]
    Read(ReadArgs),
}

/// The words after `pliant model read`.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// What it is read as: head, states or logits
    #[arg(value_name = "KIND")]
    pub kind: Kind,
    /// The ONNX file, with its sidecar beside it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// The words after `pliant model inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The model: a folder, a .pt file of fair-esm, or the name of one that was pulled
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
    /// The model: a folder, a .pt file of fair-esm, or the name of one that was pulled
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

/// The words after `pliant model import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A .pt file of fair-esm or PLUS, or a folder with config.json and pytorch_model.bin or safetensors, in shards or not
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The folder to make; it must not exist or be empty
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// The file with the regression of the contact head; where none is named, SRC's -contact-regression.pt beside it
    #[arg(long, env = "PLIANT_CONTACT_REGRESSION", value_name = "FILE")]
    pub contact_regression: Option<PathBuf>,
    /// For a file of PLUS: the authors' JSON file that says what the model is
    #[arg(long, env = "PLIANT_CONFIG", value_name = "MODEL.json")]
    pub config: Option<PathBuf>,
    /// For P-ELMo: the file of its language model
    #[arg(long, env = "PLIANT_LM_MODEL", value_name = "FILE", requires_all = ["config", "lm_config"])]
    pub lm_model: Option<PathBuf>,
    /// For P-ELMo: the authors' JSON file that says what its language model is
    #[arg(long, env = "PLIANT_LM_CONFIG", value_name = "MODEL.json", requires = "lm_model")]
    pub lm_config: Option<PathBuf>,
    /// Write one JSON object instead of text
    #[arg(long, env = "PLIANT_JSON", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}

/// The words after `pliant model export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The model folder, or anything that can be imported; with --onnx the folder of a head
    #[arg(value_name = "MODEL")]
    pub source: PathBuf,
    /// In the form that Hugging Face transformers reads
    #[arg(long, env = "PLIANT_HF", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub hf: bool,
    /// In the form of the authors of PLUS: MODEL.json, and their names of weights in a safetensors file
    #[arg(long, env = "PLIANT_PLUS", action = ArgAction::SetTrue, conflicts_with = "hf",
          value_parser = clap::builder::FalseyValueParser::new())]
    pub plus: bool,
    /// A head as head.onnx, with the sidecar head.onnx.toml that says what it reads and tells
    #[arg(long, env = "PLIANT_ONNX", action = ArgAction::SetTrue, conflicts_with_all = ["hf", "plus"],
          value_parser = clap::builder::FalseyValueParser::new())]
    pub onnx: bool,
    /// The folder to make; it must not exist or be empty
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
}

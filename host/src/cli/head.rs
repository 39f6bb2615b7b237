//! `pliant head …`: what was typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  pliant head import ppi_finetune_best_aupr.pt --model esm2_t33_650M --lora-alpha 32 --out ppi
  pliant predict pairs.tsv --sequences proteins.fasta --head ppi --model esm2_t33_650M --out scores.tsv

A checkpoint is what the training code of the published heads of interactions and of symmetry saves (peft_proteomics): a whole
model, with or without an adapter, or the head alone; as PyTorch's file or as safetensors.";

/// The words after `pliant head`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HeadArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: HeadAction,
}

/// What to do with a head.
#[derive(Debug, Subcommand)]
pub enum HeadAction {
    /// Make the folder of a head from a checkpoint of other training code
    Import(HeadImportArgs),
}

/// The words after `pliant head import`.
#[derive(Debug, Args)]
pub struct HeadImportArgs {
    /// The checkpoint
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
    /// The model that it was trained on: a folder, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    pub model: PathBuf,
    /// The folder to make
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// The alpha of its adapter, which such a file does not say
    #[arg(long, env = "PLIANT_LORA_ALPHA", value_name = "ALPHA")]
    pub lora_alpha: Option<f64>,
    /// How the states of a protein become one vector, for a head without its random pooler
    #[arg(
        long,
        env = "PLIANT_POOL",
        value_name = "KIND",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "How the states of a protein become one vector, for a head without its random pooler: mean, cls or max"
    )]
    pub pool: HeadPool,
    /// What the model does with its first token, for a head with its random pooler
    #[arg(
        long,
        env = "PLIANT_FIRST_TOKEN",
        value_name = "HOW",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What the model does with its first token, for a head with its random pooler: hidden (no other token sees it, \
                as in the code that trained such heads) or seen (as in every other use of the model)"
    )]
    pub first_token: FirstToken,
}

/// What a model does with its first token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FirstToken {
    /// It hides it from all others, and begins with zeros for it.
    #[default]
    Hidden,
    /// All tokens see it.
    Seen,
}

/// How states become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum HeadPool {
    /// The mean of the residues.
    #[default]
    Mean,
    /// The state of the token before them.
    Cls,
    /// Their largest values.
    Max,
}

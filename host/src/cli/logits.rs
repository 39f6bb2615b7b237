//! `pliant logits`: what was typed, and the plan that it becomes.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use pliant_store::Format;

use crate::cli::reading::format_among;
use crate::cli::shared::{RunPlan, SourceArgs, WorkArgs};

/// Formats that can hold log-probabilities.
const FORMATS: [Format; 3] = [Format::Npz, Format::H5, Format::Parquet];

const EXAMPLES: &str = "\
Examples:
  pliant logits proteins.fasta --model esm2_t6_8M --out logprobs.npz
  pliant logits proteins.fasta --model esm2_t6_8M --out masked.h5 --masked

A row is a residue: the natural logarithms of the probabilities of all tokens of the model in its place, which sum to
one. 'tokens' in the file names the columns.";

/// The words after `pliant logits`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogitsArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Where the log-probabilities go; the suffix names the format: .npz, .h5 or .parquet. '-' is standard output, as npz
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Compute the row of each residue with that residue masked: as many passes as residues
    #[arg(long, env = "PLIANT_MASKED", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    masked: bool,
    #[command(flatten)]
    work: WorkArgs,
}

/// What to compute, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct LogitsPlan {
    /// What every command has.
    pub run: RunPlan,
    /// The results; nowhere in a dry run that names no file.
    pub out: Option<PathBuf>,
    /// Their format.
    pub format: Format,
    /// Whether each residue is masked for its row.
    pub masked: bool,
}

impl LogitsArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<LogitsPlan> {
        let format = format_among(self.out.as_deref(), &FORMATS)?;
        let run = self.source.plan(self.work, self.out.as_deref(), &[])?;
        Ok(LogitsPlan { run, out: self.out, format, masked: self.masked })
    }
}

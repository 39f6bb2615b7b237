//! `pliant perplexity`: what was typed, and the plan that it becomes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pliant_store::{ColumnTable, Format};

use crate::cli::reading::format_among;
use crate::cli::shared::{RunPlan, SourceArgs, WorkArgs};

const EXAMPLES: &str = "\
Examples:
  pliant perplexity proteins.fasta --model esm2_t6_8M --out perplexity.tsv
  pliant perplexity proteins.fasta --model esm2_t6_8M --out perplexity.parquet --method one-pass

Columns: id, length, log_likelihood (the sum over residues of ln p of the true one) and perplexity
(exp(-log_likelihood / length)).";

/// The words after `pliant perplexity`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PerplexityArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Where the table goes; the suffix names the format: .tsv or .parquet. '-' is standard output, as tsv
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// How the probability of a residue is found
    #[arg(
        long,
        env = "PLIANT_METHOD",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "How the probability of a residue is found: pseudo (with that residue masked, as many passes as \
                  residues) or one-pass (with all residues in sight)"
    )]
    method: Method,
    #[command(flatten)]
    work: WorkArgs,
}

/// How the probability of a residue is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// With the residue masked.
    #[default]
    Pseudo,
    /// With all residues in sight.
    OnePass,
}

impl Method {
    /// The name on the command line and in provenance.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pseudo => "pseudo",
            Self::OnePass => "one-pass",
        }
    }
}

/// What to compute, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct PerplexityPlan {
    /// What every command has.
    pub run: RunPlan,
    /// The table; nowhere in a dry run that names no file.
    pub out: Option<PathBuf>,
    /// Its format.
    pub format: Format,
    /// How the probability of a residue is found.
    pub method: Method,
}

impl PerplexityArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<PerplexityPlan> {
        let format = format_among(self.out.as_deref(), &ColumnTable::FORMATS)?;
        let run = self.source.plan(self.work, self.out.as_deref(), &[])?;
        Ok(PerplexityPlan { run, out: self.out, format, method: self.method })
    }
}

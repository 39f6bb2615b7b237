//! `pliant variants`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use pliant_store::picture::PictureFormat;
use pliant_store::{Separator, Target};

use crate::cli::shared::{ComputeArgs, KeepArgs, Long, ModelFlag, RunPlan};
use crate::exit::TaskError;

const EXAMPLES: &str = "\
Examples:
  pliant variants --mutants dms.csv --wild-type protein.fasta --model esm2_t6_8M --out scores.csv
  pliant variants --mutants dms.csv --sequence-column target_seq --model esm2_t6_8M --out scores.csv
  pliant variants --scan --wild-type protein.fasta --model esm2_t6_8M --out scan.tsv --picture scan.svg

Scores: wt-marginals, ln p(mutation) - ln p(wild type) in one pass over the wild type; masked-marginals, the same with
that place masked, for several mutations their sum; pseudo-ppl, the sum over the residues of the mutant of ln p of each
with it masked. Higher is better in all. Every column of --mutants stays, and one named by the score is added.";

/// The words after `pliant variants`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VariantsArgs {
    /// A table .csv or .tsv with a column of mutants: A24G, or several as A24G:K30R
    #[arg(
        long,
        env = "PLIANT_MUTANTS",
        value_name = "FILE",
        required_unless_present = "scan",
        conflicts_with = "scan"
    )]
    mutants: Option<PathBuf>,
    /// The column of the mutants
    #[arg(long, env = "PLIANT_MUTANT_COLUMN", value_name = "NAME", default_value = "mutant")]
    mutant_column: String,
    /// The column of the wild types, where there is one in place of --wild-type
    #[arg(long, env = "PLIANT_SEQUENCE_COLUMN", value_name = "NAME", conflicts_with_all = ["wild_type", "scan"])]
    sequence_column: Option<String>,
    /// Score every single mutant: columns mutant, position, wild_type, mutation and score
    #[arg(long, env = "PLIANT_SCAN", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    scan: bool,
    /// FASTA with the wild type, one record
    #[arg(long, env = "PLIANT_WILD_TYPE", value_name = "FILE", required_unless_present = "sequence_column")]
    wild_type: Option<PathBuf>,
    /// The number of the first residue of the wild type in the names of mutants
    #[arg(long, env = "PLIANT_OFFSET", value_name = "N", default_value_t = 1, allow_hyphen_values = true)]
    offset: i64,
    #[command(flatten)]
    model: ModelFlag,
    /// Where the scores go: .csv or .tsv. '-' is standard output, with the separator of --mutants
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Draw the scores of --scan as a heat map too: .png or .svg
    #[arg(long, env = "PLIANT_PICTURE", value_name = "FILE", requires = "scan")]
    picture: Option<PathBuf>,
    /// What is compared
    #[arg(
        long,
        env = "PLIANT_SCORE",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What is compared: wt-marginals, masked-marginals or pseudo-ppl, see below"
    )]
    score: Score,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    keep: KeepArgs,
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Score {
    /// Probabilities in places of the wild type.
    WtMarginals,
    /// The same with each place masked.
    #[default]
    MaskedMarginals,
    /// Probabilities of all residues of the mutant, each masked.
    PseudoPpl,
}

impl Score {
    /// The name on the command line, in provenance and of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::WtMarginals => "wt-marginals",
            Self::MaskedMarginals => "masked-marginals",
            Self::PseudoPpl => "pseudo-ppl",
        }
    }
}

/// Which mutants of what.
#[derive(Debug, Clone)]
pub enum Mutants {
    /// Those of a table.
    Table {
        /// The table.
        path: PathBuf,
        /// The column of the mutants.
        column: String,
        /// Where the wild types are.
        wild_type: WildType,
    },
    /// Every single mutant of the one protein of this FASTA.
    Scan(PathBuf),
}

/// Where wild types are.
#[derive(Debug, Clone)]
pub enum WildType {
    /// One for all, in this FASTA.
    Fasta(PathBuf),
    /// In this column of the table.
    Column(String),
}

/// What to score, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct VariantsPlan {
    /// What every command has.
    pub run: RunPlan,
    /// Which mutants.
    pub mutants: Mutants,
    /// The number of the first residue.
    pub offset: i64,
    /// What is compared.
    pub score: Score,
    /// The scores; nowhere in a dry run that names no file.
    pub out: Option<PathBuf>,
    /// The picture of a scan, and its format.
    pub picture: Option<(PathBuf, PictureFormat)>,
    /// What stands between the cells of the scores; `None`: what the table of mutants has.
    pub separator: Option<Separator>,
}

impl VariantsArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<VariantsPlan> {
        let separator = match &self.out {
            Some(out) if !Target::resolve(out)?.is_stream() => Some(Separator::of_path(out)?),
            _ => None,
        };
        let inputs: Vec<PathBuf> = self.mutants.iter().chain(&self.wild_type).cloned().collect();
        let format = |path: PathBuf| PictureFormat::of_path(&path).map(|format| (path, format));
        let outputs: Vec<&Path> = self.out.iter().chain(&self.picture).map(PathBuf::as_path).collect();
        let run = self.model.plan(self.compute, self.keep, &inputs, &outputs)?;
        if matches!(run.long.policy, Long::Skip | Long::Truncate) {
            let what =
                "--long skip and truncate leave mutants without a score: choose whole, window or error";
            return Err(TaskError::Usage { what: what.to_owned() }.into());
        }
        let picture = self.picture.map(format).transpose()?;
        let wild_type = match (self.wild_type, self.sequence_column) {
            (Some(path), _) => WildType::Fasta(path),
            (None, column) => WildType::Column(column.unwrap_or_default()),
        };
        let mutants = match (self.mutants, wild_type) {
            (Some(path), wild_type) => Mutants::Table { path, column: self.mutant_column, wild_type },
            (None, WildType::Fasta(path)) => Mutants::Scan(path),
            (None, WildType::Column(_)) => {
                let what = "--scan wants the protein in --wild-type";
                return Err(TaskError::Usage { what: what.to_owned() }.into());
            }
        };
        let (offset, score) = (self.offset, self.score);
        Ok(VariantsPlan { run, mutants, offset, score, out: self.out, picture, separator })
    }
}

//! `pliant align`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::Args;
use pliant_store::picture::PictureFormat;
use pliant_store::{Separator, Target};

use crate::cli::shared::{ComputeArgs, KeepArgs, Long, ModelFlag, RunPlan};
use crate::exit::TaskError;

const EXAMPLES: &str = "\
Examples:
  pliant align first.fasta second.fasta --model plus_rnn --out pair.tsv --picture pair.svg
  pliant align both.fasta --model esm2_t6_8M --min-weight 0.5 > pair.tsv

Each residue of one protein is compared with each of the other: similarity -sum |z_i - z_j| of
their vectors, and a weight of 0 to 1, how much the two answer each other. The score is the mean
similarity by weight, never above 0. Models that were trained on pairs compare the vectors that
they were trained with, and tell how likely each level of kinship is. Any other model compares the
states of its last layer, and its score is untrained.

One row for each pair of residues of at least --min-weight. The score and the levels stand in the
first line (# pliant_meta) and in --summary.";

/// The words after `pliant align`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AlignArgs {
    /// Two FASTA files with one protein each, or one with two; plain or gz, bz2, xz or zst; '-' is standard input
    #[arg(value_name = "INPUT", required = true, num_args = 1..=2)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelFlag,
    /// Where the table goes: .tsv or .csv. '-' is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// The least weight that a pair of residues has in the table, from 0 to 1
    #[arg(long, env = "PLIANT_MIN_WEIGHT", value_name = "W", default_value_t = 0.1, value_parser = share)]
    min_weight: f32,
    /// Draw the weights as a heat map too: .png or .svg
    #[arg(long, env = "PLIANT_PICTURE", value_name = "FILE")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    keep: KeepArgs,
}

/// Which two proteins to compare, with what, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct AlignPlan {
    /// What every command has.
    pub run: RunPlan,
    /// The table.
    pub out: PathBuf,
    /// What stands between its cells.
    pub separator: Separator,
    /// The least weight of a row.
    pub min_weight: f32,
    /// The picture, and its format.
    pub picture: Option<(PathBuf, PictureFormat)>,
}

impl AlignArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<AlignPlan> {
        let stream = Target::resolve(&self.out)?.is_stream();
        let separator = if stream { Separator::Tab } else { Separator::of_path(&self.out)? };
        let format = |path: PathBuf| PictureFormat::of_path(&path).map(|format| (path, format));
        let outputs: Vec<&Path> =
            [&self.out].into_iter().chain(&self.picture).map(PathBuf::as_path).collect();
        let run = self.model.plan(self.compute, self.keep, &self.inputs, &outputs)?;
        if matches!(run.long.policy, Long::Skip | Long::Truncate) {
            let what =
                "--long skip and truncate leave residues without a partner: choose whole, window or error";
            return Err(TaskError::Usage { what: what.to_owned() }.into());
        }
        let picture = self.picture.map(format).transpose()?;
        Ok(AlignPlan { run, out: self.out, separator, min_weight: self.min_weight, picture })
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => Ok(weight),
        _ => Err("wanted a number from 0 to 1".to_owned()),
    }
}

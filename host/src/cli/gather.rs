//! `pliant gather`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::Args;
use pliant_store::{Format, H5Layout, failures_path};

use crate::cli::reading::{format_named, layout_named, not_an_input};
use crate::screen::report::ReportFormat;

const EXAMPLES: &str = "\
Examples:
  pliant gather --split shards/split.json part*.npz --out embeddings.npz
  pliant gather --split shards/split.json states*.npz --out states.npz
  pliant gather --split shards/split.json part*.layer6.tsv --out embeddings.layer6.tsv
  pliant gather part1.screen part2.screen --out pairs.tsv

Each part is the result of 'pliant embed' for one shard. It is placed by the input hash in its
metadata, whatever its name, and there must be one for every shard, all made with the same settings.
The file is, byte for byte, what one run over the whole input would have written. Formats with a
file for each layer are gathered layer by layer. Parts of a screen, made by 'pliant screen --shard', need no --split.";

/// The words after `pliant gather`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GatherArgs {
    /// The results for the shards, of any format, in any order
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
    /// The split.json that 'pliant split' wrote beside the shards
    #[arg(long, env = "PLIANT_SPLIT", value_name = "FILE")]
    split: Option<PathBuf>,
    /// Where the whole goes; the suffix names the format. '-' is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE")]
    out: PathBuf,
    /// The format of --out where no suffix names it
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = gathered_named)]
    format: Option<Gathered>,
    /// The names of datasets in .h5
    #[arg(
        long,
        env = "PLIANT_H5_LAYOUT",
        value_name = "NAME",
        value_parser = layout_named,
        default_value = "uniprot",
        help = "The names of datasets in .h5: uniprot (the id) or bio_embeddings (the number in the input)"
    )]
    h5_layout: H5Layout,
}

/// A format that was named: of vectors, of a screen, or of both.
#[derive(Debug, Clone, Copy)]
struct Gathered {
    table: Option<Format>,
    screen: Option<ReportFormat>,
}

fn gathered_named(name: &str) -> Result<Gathered, String> {
    let (table, screen) = (format_named(name), ReportFormat::from_name(name));
    match (table, screen) {
        (Err(reason), None) => Err(format!("{reason}; of screens tsv, parquet, dscript, string, graphml")),
        (table, screen) => Ok(Gathered { table: table.ok(), screen }),
    }
}

/// What to gather and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct GatherPlan {
    /// The file that says what the shards are; nothing for parts of a screen.
    pub split: Option<PathBuf>,
    /// The results for the shards, in any order; at least one.
    pub parts: Vec<PathBuf>,
    /// Where the whole goes.
    pub out: PathBuf,
    /// Its format, where the suffix is not to decide.
    pub format: Option<Format>,
    /// That of a screen, where the suffix is not to decide.
    pub screen_format: Option<ReportFormat>,
    /// The names of datasets, where it is .h5.
    pub h5_layout: H5Layout,
    /// The joined list of failed records; `None` where there is no place for it.
    pub failures: Option<PathBuf>,
}

impl GatherArgs {
    /// Checks what was typed, as far as that goes without opening a part.
    ///
    /// # Errors
    /// Outputs that cannot be, or that would replace an input.
    pub fn plan(self) -> anyhow::Result<GatherPlan> {
        let failures = failures_path(&self.out)?;
        let outputs = [Some(&self.out), failures.as_ref()];
        let plan = GatherPlan {
            split: self.split,
            parts: self.parts,
            out: self.out.clone(),
            format: self.format.and_then(|format| format.table),
            screen_format: self.format.and_then(|format| format.screen),
            h5_layout: self.h5_layout,
            failures: failures.clone(),
        };
        outputs.into_iter().flatten().try_for_each(|output| plan.keeps_inputs(output))?;
        Ok(plan)
    }
}

impl GatherPlan {
    /// Refuses an output that would replace a part or the split file.
    ///
    /// # Errors
    /// Wrong usage, with both names.
    pub fn keeps_inputs(&self, output: &Path) -> Result<(), crate::exit::TaskError> {
        not_an_input(&self.parts, output)?;
        not_an_input(self.split.as_slice(), output)
    }
}

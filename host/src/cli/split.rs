//! `pliant split`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::Args;
use pliant_seq::ReadOptions;

use crate::cli::reading::{IdPart, OnError, ReadArgs, count};
use crate::exit::TaskError;

const EXAMPLES: &str = "\
Examples:
  pliant split proteome.fasta.gz --shards 8 --out-dir shards
  pliant embed shards/shard_0001.fasta --model esm2_t6_8M --out part1.npz   (and so on, anywhere)
  pliant gather --split shards/split.json part*.npz --out embeddings.npz

Shards are contiguous and balanced by residues: no other way to cut has a smaller largest shard.
They hold each good record once, as DIR/shard_0001.fasta and so on; DIR/split.json says what is in
which, and shards of an earlier split in DIR are removed. Embed them with the --id that split them.";

/// The words after `pliant split`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "into", required = true, multiple = false, args = ["shards", "shard_residues"])]
pub struct SplitArgs {
    /// FASTA files, plain or gz, bz2, xz or zst; '-' is standard input
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// How many shards; of fewer records as many as there are records
    #[arg(long, env = "PLIANT_SHARDS", value_name = "N", value_parser = count::<usize>)]
    shards: Option<usize>,
    /// As few shards as can be with at most this many residues each; a longer protein is a shard of its own
    #[arg(long, env = "PLIANT_SHARD_RESIDUES", value_name = "N", value_parser = count::<u64>)]
    shard_residues: Option<u64>,
    /// The folder for the shards, made where it is not there
    #[arg(long, env = "PLIANT_OUT_DIR", value_name = "DIR")]
    out_dir: PathBuf,
    #[command(flatten)]
    reading: ReadArgs,
    /// Write what was done to this JSON file
    #[arg(long, env = "PLIANT_SUMMARY", value_name = "FILE")]
    summary: Option<PathBuf>,
}

/// How much goes into a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardSize {
    /// So many shards.
    Shards(usize),
    /// At most so many residues a shard.
    Residues(u64),
}

/// What to split, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct SplitPlan {
    /// The inputs in their order.
    pub inputs: Vec<PathBuf>,
    /// How much goes into a shard.
    pub size: ShardSize,
    /// The folder of the shards.
    pub out_dir: PathBuf,
    /// How records are read.
    pub read: ReadOptions,
    /// The part of the headers that is the id.
    pub id: IdPart,
    /// What a failed record does.
    pub on_error: OnError,
    /// What was done.
    pub summary: Option<PathBuf>,
}

impl SplitPlan {
    /// The file that says what is in which shard.
    pub fn manifest(&self) -> PathBuf {
        self.out_dir.join(MANIFEST)
    }

    /// The list of failed records.
    pub fn failures(&self) -> PathBuf {
        failures_beside(&self.manifest())
    }
}

const MANIFEST: &str = "split.json";

/// The list of records that failed when the shards of `manifest` were made.
pub fn failures_beside(manifest: &Path) -> PathBuf {
    manifest.with_extension("failures.tsv")
}

/// Whether a file of that name in the folder of a split is one of its shards.
pub fn is_shard(name: &str) -> bool {
    let number = name.strip_prefix("shard_").and_then(|rest| rest.strip_suffix(".fasta"));
    number.is_some_and(|digits| {
        digits.len() >= SHARD_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The name of shard `number`, from 0, of `count`: as many digits as the last one needs, but at least four.
pub fn shard_name(number: usize, count: usize) -> String {
    let digits = count.to_string().len().max(SHARD_DIGITS);
    format!("shard_{:0digits$}.fasta", number + 1)
}

/// Digits of a shard's number at least.
const SHARD_DIGITS: usize = 4;

impl SplitArgs {
    /// Checks what was typed.
    ///
    /// # Errors
    /// A folder that is none, and inputs that the run would remove or replace.
    pub fn plan(self) -> Result<SplitPlan, TaskError> {
        let size = match (self.shards, self.shard_residues) {
            (Some(shards), None) => ShardSize::Shards(shards),
            (None, Some(residues)) => ShardSize::Residues(residues),
            _ => return Err(usage("give either --shards or --shard-residues".to_owned())),
        };
        if self.out_dir.exists() && !self.out_dir.is_dir() {
            return Err(usage(format!("--out-dir {} is no folder: name another", self.out_dir.display())));
        }
        let plan = SplitPlan {
            inputs: self.inputs,
            size,
            out_dir: self.out_dir,
            read: self.reading.options(),
            id: self.reading.id,
            on_error: self.reading.on_error,
            summary: self.summary,
        };
        plan.keeps_inputs()?;
        Ok(plan)
    }
}

impl SplitPlan {
    /// Refuses inputs that lie where the files of a split go.
    fn keeps_inputs(&self) -> Result<(), TaskError> {
        let Ok(folder) = self.out_dir.canonicalize() else { return self.summary_is_no_input() };
        for input in &self.inputs {
            let Ok(place) = input.canonicalize() else { continue };
            let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if place.parent() == Some(&folder) && (is_shard(&name) || name == MANIFEST) {
                return Err(usage(format!(
                    "the input {} has the name of an output in --out-dir: name another folder",
                    input.display()
                )));
            }
        }
        self.summary_is_no_input()
    }

    fn summary_is_no_input(&self) -> Result<(), TaskError> {
        self.summary.iter().try_for_each(|summary| super::reading::not_an_input(&self.inputs, summary))
    }
}

fn usage(what: String) -> TaskError {
    TaskError::Usage { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_digits_that_the_last_one_needs() {
        assert_eq!(shard_name(0, 1), "shard_0001.fasta");
        assert_eq!(shard_name(9_998, 9_999), "shard_9999.fasta");
        assert_eq!(shard_name(0, 10_000), "shard_00001.fasta");
        for name in [shard_name(0, 1), shard_name(0, 10_000)] {
            assert!(is_shard(&name), "{name}");
        }
        for name in
            ["shard_001.fasta", "shard_0001.fa", "shard_000a.fasta", "my_shard_0001.fasta", "shard_.fasta"]
        {
            assert!(!is_shard(name), "{name}");
        }
        assert_eq!(failures_beside(Path::new("d/split.json")), Path::new("d/split.failures.tsv"));
    }
}

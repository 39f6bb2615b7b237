//! `pliant leakage`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::Args;
use pliant_seq::WORD_LENGTHS;
use pliant_store::{ColumnTable, Format, check_targets};

use crate::cli::finetune::FormFlags;
use crate::cli::reading::{OnError, format_among, not_an_input};
use crate::exit::TaskError;
use crate::supervised::registry::{self, Task};

const EXAMPLES: &str = "\
Examples:
  pliant leakage --task ppi --train train.tsv --test test.tsv --sequences proteins.fasta --out leakage.json
  pliant leakage --task solubility --train all.tsv --part-column split --train-part train --test-part test \\
    --out leakage.tsv --proteins proteins.tsv

What a test tells depends on what it shares with the training. Proteins: those of the test that are in the training too,
residue by residue, and how like its nearest training protein each other one is, as the words of --kmer residues tell it
(below 0.6 that may be chance). Examples: those whose proteins the training has, with the same label or another. Pairs:
C1, both proteins are in the training; C2, one is; C3, none; and the same where a protein counts as known from
--identity on. Numbers of different classes are not to be compared with each other.";

/// The words after `pliant leakage`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LeakageArgs {
    /// The task of the examples, as ppi
    #[arg(long, env = "PLIANT_TASK", value_name = "NAME", value_parser = task_named)]
    task: &'static Task,
    /// Examples that are learnt from, repeatable
    #[arg(long, env = "PLIANT_TRAIN", value_name = "FILE", required = true)]
    train: Vec<PathBuf>,
    /// Examples that are asked about, repeatable [default: parts of --train]
    #[arg(long, env = "PLIANT_TEST", value_name = "FILE", required_unless_present = "test_part")]
    test: Vec<PathBuf>,
    /// Parts of the training files that are learnt from, with commas between
    #[arg(long, env = "PLIANT_TRAIN_PART", value_name = "NAME", value_delimiter = ',')]
    train_part: Vec<String>,
    /// Parts of the files that are asked about, with commas between
    #[arg(long, env = "PLIANT_TEST_PART", value_name = "NAME", value_delimiter = ',')]
    test_part: Vec<String>,
    /// Files of SHA-256 hashes of sequences, one a line, repeatable: training examples with one of them do not count
    #[arg(long, env = "PLIANT_EXCLUDE", value_name = "FILE")]
    exclude: Vec<PathBuf>,
    #[command(flatten)]
    form: FormFlags,
    /// The report; the suffix names the format: .json, or .tsv with a row for each number
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE")]
    out: PathBuf,
    /// Write the nearest training protein of each protein of the test too: .tsv or .parquet
    #[arg(long, env = "PLIANT_PROTEINS", value_name = "FILE")]
    proteins: Option<PathBuf>,
    /// Write what each example of the test shares too: .tsv or .parquet
    #[arg(long, env = "PLIANT_EXAMPLES", value_name = "FILE")]
    examples: Option<PathBuf>,
    /// Residues of a word, from 3 to 6
    #[arg(long, env = "PLIANT_KMER", value_name = "N", default_value_t = 5, value_parser = word_length)]
    kmer: usize,
    /// From which identity on a protein counts as known, above 0 and up to 1
    #[arg(long, env = "PLIANT_IDENTITY", value_name = "F", default_value_t = 0.6, value_parser = part)]
    identity: f64,
    /// What a failed example does: fail ends the run, skip leaves it out
    #[arg(long, env = "PLIANT_ON_ERROR", value_name = "WHAT", value_enum, default_value_t = OnError::Fail,
          hide_possible_values = true)]
    on_error: OnError,
}

/// A format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeakageFormat {
    /// One object.
    Json,
    /// A row for each number.
    Tsv,
}

/// What to compare. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct LeakagePlan {
    /// The task.
    pub task: &'static Task,
    /// Files of examples that are learnt from.
    pub train: Vec<PathBuf>,
    /// Those that are asked about; none: parts of the former.
    pub test: Vec<PathBuf>,
    /// Parts that are learnt from.
    pub train_parts: Vec<String>,
    /// Parts that are asked about.
    pub test_parts: Vec<String>,
    /// Lists of sequences that are not learnt from.
    pub exclude: Vec<PathBuf>,
    /// How examples stand in their files.
    pub form: FormFlags,
    /// The report, and its format.
    pub out: (PathBuf, LeakageFormat),
    /// A row for each protein, and the format.
    pub proteins: Option<(PathBuf, Format)>,
    /// A row for each example, and the format.
    pub examples: Option<(PathBuf, Format)>,
    /// Residues of a word.
    pub kmer: usize,
    /// From which identity on a protein counts as known.
    pub identity: f64,
    /// What a failed example does.
    pub on_error: OnError,
}

impl LeakageArgs {
    /// Checks what was typed, as far as that goes without opening anything.
    ///
    /// # Errors
    /// Outputs that cannot be, and parts without a column.
    pub fn plan(self) -> anyhow::Result<LeakagePlan> {
        let has_parts = !self.train_part.is_empty() || !self.test_part.is_empty();
        if has_parts && self.form.part_column.is_none() {
            let what = "--train-part and --test-part need the column of parts: --part-column".to_owned();
            return Err(TaskError::Usage { what }.into());
        }
        let format = match self.out.extension().and_then(|suffix| suffix.to_str()) {
            Some(suffix) if suffix.eq_ignore_ascii_case("json") => LeakageFormat::Json,
            Some(suffix) if suffix.eq_ignore_ascii_case("tsv") => LeakageFormat::Tsv,
            _ => {
                let what =
                    format!("--out is {}, wanted a name that ends with .json or .tsv", self.out.display());
                return Err(TaskError::Usage { what }.into());
            }
        };
        let table = |path: PathBuf| {
            let format = format_among(Some(&path), &ColumnTable::FORMATS)?;
            Ok::<_, pliant_store::StoreError>((path, format))
        };
        let (proteins, examples) =
            (self.proteins.map(table).transpose()?, self.examples.map(table).transpose()?);
        let more = [&proteins, &examples].into_iter().flatten().map(|(path, _)| path.as_path());
        let outputs: Vec<&Path> = std::iter::once(self.out.as_path()).chain(more).collect();
        check_targets(&outputs)?;
        let inputs: Vec<PathBuf> = self
            .train
            .iter()
            .chain(&self.test)
            .chain(&self.exclude)
            .chain(&self.form.sequences)
            .cloned()
            .collect();
        for output in &outputs {
            not_an_input(&inputs, output)?;
        }
        Ok(LeakagePlan {
            task: self.task,
            train: self.train,
            test: self.test,
            train_parts: self.train_part,
            test_parts: self.test_part,
            exclude: self.exclude,
            form: self.form,
            out: (self.out, format),
            proteins,
            examples,
            kmer: self.kmer,
            identity: self.identity,
            on_error: self.on_error,
        })
    }
}

fn task_named(name: &str) -> Result<&'static Task, String> {
    registry::find(name).ok_or_else(|| {
        let names: Vec<&str> = registry::TASKS.iter().map(|task| task.name).collect();
        format!("the tasks are {}", names.join(", "))
    })
}

fn word_length(text: &str) -> Result<usize, String> {
    let wanted = || format!("wanted a whole number from {} to {}", WORD_LENGTHS.start(), WORD_LENGTHS.end());
    text.parse().ok().filter(|length| WORD_LENGTHS.contains(length)).ok_or_else(wanted)
}

fn part(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|part: &f64| *part > 0.0 && *part <= 1.0);
    found.ok_or_else(|| "wanted a number above 0 and up to 1".to_owned())
}

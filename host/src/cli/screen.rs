//! `pliant screen`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{ArgAction, Args};
use pliant_store::{StoreError, Target, failures_path};

use crate::cli::cache::bytes;
use crate::cli::plugin::GuestFlags;
use crate::cli::reading::count;
use crate::cli::shared::{Long, RunPlan, WorkArgs};
use crate::exit::TaskError;
use crate::screen::Shard;
use crate::screen::report::{ReportFormat, positive_path, prevalence};

const EXAMPLES: &str = "\
Examples:
  pliant screen proteome.fasta --head head --model esm2_t6_8M --top-k 20 --out pairs.tsv
  pliant screen host.fasta virus.fasta --head head --model esm2_t6_8M --top-k 20 --out pairs.parquet
  pliant screen proteome.fasta --pairs pairs.tsv --head head --model esm2_t6_8M --out scores.tsv
  pliant screen --embeddings embeddings.npz --head head --expected-precision 0.5 --out network.graphml
  pliant screen --embeddings embeddings.npz --head cosine_head/plugin.toml --top-k 10 --out neighbours.tsv
  pliant screen proteome.fasta --head head --model esm2_t6_8M --top-k 20 --shard 1/4 --out part1.screen
  pliant gather part1.screen part2.screen part3.screen part4.screen --out pairs.tsv

Pairs of the proteins of one FASTA, each with every other; of two FASTA files, each of the first with each of the second; or
of a table of ids. No protein is paired with itself, and no pair stands twice. The strongest pair comes first. Columns:
  protein1, protein2   the ids; the earlier protein of the input first
  logit                what the head says; of probabilities the logarithm of their odds
  probability          that the pair is true where one in --prevalence is, where the head is calibrated
  expected_precision   of the best cut of the scores that keeps this pair, at that prevalence
  rank1, rank2         the place of the second protein among the partners of the first, and the other way round; 0 where
                       it is behind the best that are kept
  reciprocal_rank      the mean of one over each
  z1, z2               standard deviations above the mean of all logits of the first protein, and of the second
  length1, length2     residues, where they are known
  identity1, identity2 how near each is to the nearest protein of --training: about the share of equal residues
  flags                long1, long2: longer than the proteins that the encoder was trained on; novel1, novel2: an identity
                       below 0.4
A probability of one half means nothing where one pair in 300 is true, so no cut is made unless one is asked for.

A screen that was stopped or killed goes on when it is started again with the same words: what was done lies in the folder
<out>.screen until the answer is there. Blocks, threads, memory, shards and kills change no byte of it.";

/// The words after `pliant screen`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ScreenArgs {
    /// One or two FASTA files, plain or gz, bz2, xz or zst; '-' is standard input
    #[arg(value_name = "PROTEINS", required_unless_present = "embeddings", num_args = 1..=2)]
    proteins: Vec<PathBuf>,
    /// The head of pairs: the folder that 'pliant finetune --out' made, the plugin.toml of a plugin, or an ONNX file
    #[arg(long, env = "PLIANT_HEAD", value_name = "HEAD")]
    head: PathBuf,
    #[command(flatten)]
    guest: GuestFlags,
    /// The model that the head was taught on, where it is not in the folder of the head: a folder, or the name of one that
    /// was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Pooled vectors that 'pliant embed' wrote with that model, instead of proteins; named twice, those of two lists
    #[arg(long, env = "PLIANT_EMBEDDINGS", value_name = "FILE", conflicts_with = "proteins")]
    embeddings: Vec<PathBuf>,
    /// Only the pairs of this table: two ids a line with a tab or comma between, with or without a line of names
    #[arg(long, env = "PLIANT_PAIRS", value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Keep the N best partners of every protein
    #[arg(long, env = "PLIANT_TOP_K", value_name = "N", value_parser = count::<usize>)]
    top_k: Option<usize>,
    /// Keep all pairs, or all that reach the cut
    #[arg(long, env = "PLIANT_ALL_PAIRS", action = ArgAction::SetTrue, conflicts_with = "top_k",
          value_parser = clap::builder::FalseyValueParser::new())]
    all_pairs: bool,
    /// Cut: keep pairs with at least this logit
    #[arg(long, env = "PLIANT_MIN_LOGIT", value_name = "X", allow_hyphen_values = true, group = "cut")]
    min_logit: Option<f32>,
    /// Cut: keep pairs with at least this probability
    #[arg(long, env = "PLIANT_MIN_PROBABILITY", value_name = "P", value_parser = fraction, group = "cut")]
    min_probability: Option<f64>,
    /// Cut: keep as many pairs as can be kept with at least this expected precision; an error where no cut has it
    #[arg(long, env = "PLIANT_EXPECTED_PRECISION", value_name = "P", value_parser = fraction, group = "cut")]
    expected_precision: Option<f64>,
    /// True pairs to false ones among all that are scored, or the fraction of true ones
    #[arg(long, env = "PLIANT_PREVALENCE", value_name = "RATIO", default_value = "1:300", value_parser = ratio)]
    prevalence: String,
    /// The calibration of the head, as 'pliant evaluate --calibration' makes it [default: calibration.json in its folder or
    /// beside its plugin.toml, FILE.onnx.calibration.json beside FILE.onnx, where there is one]
    #[arg(long, env = "PLIANT_CALIBRATION", value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// The proteins that the head was taught, as FASTA: tells how near each is to them, and flags those that are novel
    #[arg(long, env = "PLIANT_TRAINING", value_name = "FILE", conflicts_with = "embeddings")]
    training: Option<PathBuf>,
    /// Where the pairs go; the suffix names the format: .tsv, .parquet, .graphml, .txt or .txt.gz (as STRING has them). '-'
    /// is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// The format where no suffix names it: tsv, parquet, dscript, string or graphml (for a stream: tsv)
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = screen_format_named)]
    format: Option<ReportFormat>,
    /// Score the N-th of COUNT parts; 'pliant gather' makes the answer of all of them
    #[arg(long, env = "PLIANT_SHARD", value_name = "N/COUNT")]
    shard: Option<ShardWord>,
    /// Memory that may be used, as 500M or 20G [default: half of what there is]; never changes a result
    #[arg(long, env = "PLIANT_MEMORY", value_name = "BYTES", value_parser = bytes)]
    memory: Option<u64>,
    /// Proteins across what is computed at once of a block [default: as many as memory admits]; never changes a result
    #[arg(long, env = "PLIANT_BLOCK", value_name = "N", value_parser = count::<usize>)]
    block: Option<usize>,
    #[command(flatten)]
    work: WorkArgs,
}

/// A shard as it is typed.
#[derive(Debug, Clone, Copy)]
struct ShardWord(Shard);

impl FromStr for ShardWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("found {text:?}, wanted N/COUNT with N from 1 to COUNT, as 2/4");
        let (number, count) = text.split_once('/').ok_or_else(wanted)?;
        let whole = |text: &str| text.parse::<usize>().map_err(|_| wanted());
        let shard = Shard { number: whole(number)?, count: whole(count)? };
        if shard.number >= 1 && shard.number <= shard.count { Ok(Self(shard)) } else { Err(wanted()) }
    }
}

/// Which pairs are kept for their scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cut {
    /// At least this logit.
    Logit(f32),
    /// At least this probability.
    Probability(f64),
    /// The largest number of pairs that has this expected precision.
    Precision(f64),
}

/// What to screen, with what, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct ScreenPlan {
    /// What every command has; its model is the one that was named, or nothing.
    pub run: RunPlan,
    /// One or two files of proteins, unless there are vectors.
    pub proteins: Vec<PathBuf>,
    /// One or two files of vectors.
    pub embeddings: Vec<PathBuf>,
    /// The head.
    pub head: PathBuf,
    /// What a plugin is told and how much it may take.
    pub guest: GuestFlags,
    /// The model that was named.
    pub model: Option<PathBuf>,
    /// Whether one was named that is not asked for, as there are vectors.
    pub unused: bool,
    /// The table of pairs.
    pub pairs: Option<PathBuf>,
    /// Best partners of every protein that are kept; all where there is no number.
    pub top_k: Option<usize>,
    /// Which pairs are kept for their scores.
    pub cut: Option<Cut>,
    /// The share of true pairs, as it was typed.
    pub prevalence: String,
    /// The calibration that was named.
    pub calibration: Option<PathBuf>,
    /// The proteins that the head was taught.
    pub training: Option<PathBuf>,
    /// Where the pairs go; standard output in a dry run that names no file.
    pub out: PathBuf,
    /// Their format; nothing where a shard leaves it to the gathering.
    pub format: Option<ReportFormat>,
    /// The part that is scored; all of it where there is none.
    pub shard: Option<Shard>,
    /// Memory that may be used.
    pub memory: Option<u64>,
    /// Proteins across a block.
    pub block: Option<usize>,
}

impl ScreenArgs {
    /// Checks what was typed, as far as that goes without opening anything.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<ScreenPlan> {
        let usage = |what: &str| Err(TaskError::Usage { what: what.to_owned() }.into());
        let cut = self.cut();
        let shard = self.shard.map(|word| word.0);
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from("-"));
        let format = if shard.is_some() { self.format } else { Some(report_format(&out, self.format)?) };
        self.check_inputs()?;
        let is_dscript = format == Some(ReportFormat::Dscript);
        let keeps = self.top_k.is_some() || self.all_pairs || self.pairs.is_some();
        if !keeps && (cut.is_none() || is_dscript) {
            return usage(
                "say which pairs to keep: --top-k N, --all-pairs, or a cut (--expected-precision, --min-probability, \
                 --min-logit), which --format dscript makes beside them",
            );
        }
        let failures = failures_path(&out)?;
        let is_written = self.out.is_some();
        let has_positive = is_dscript && cut.is_some() && shard.is_none() && is_written;
        let positive = if has_positive { Some(file_beside(&out)?) } else { None };
        let outputs: Vec<&Path> = [Some(&out).filter(|_| is_written), failures.as_ref(), positive.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        let inputs = self.inputs();
        // A variable of the environment that names a model is meant for other commands.
        let has_vectors = !self.embeddings.is_empty();
        let unused = has_vectors && self.model.is_some();
        let model = self.model.filter(|_| !has_vectors);
        let mut run = self.work.plan(model.clone().unwrap_or_default(), &inputs, &outputs)?;
        if run.long.policy == Long::Skip {
            return usage(
                "--long skip would leave proteins out of pairs: take --long error with --on-error skip",
            );
        }
        run.failures = failures;
        Ok(ScreenPlan {
            run,
            proteins: self.proteins,
            embeddings: self.embeddings,
            head: self.head,
            guest: self.guest,
            model,
            unused,
            pairs: self.pairs,
            top_k: self.top_k,
            cut,
            prevalence: self.prevalence,
            calibration: self.calibration,
            training: self.training,
            out,
            format,
            shard,
            memory: self.memory,
            block: self.block,
        })
    }

    /// Every file that it reads.
    fn inputs(&self) -> Vec<PathBuf> {
        let pairs = self.pairs.iter().chain(&self.calibration).chain(&self.training);
        self.proteins.iter().chain(&self.embeddings).chain(pairs).cloned().collect()
    }

    fn check_inputs(&self) -> Result<(), TaskError> {
        let usage = |what: &str| Err(TaskError::Usage { what: what.to_owned() });
        if self.embeddings.len() > 2 {
            return usage("--embeddings can be named twice, for two lists of proteins, and not more often");
        }
        if self.pairs.is_some() && self.proteins.len().max(self.embeddings.len()) > 1 {
            return usage("--pairs names the pairs: give all their proteins in one file");
        }
        Ok(())
    }

    fn cut(&self) -> Option<Cut> {
        let logit = self.min_logit.map(Cut::Logit);
        logit.or(self.min_probability.map(Cut::Probability)).or(self.expected_precision.map(Cut::Precision))
    }
}

/// The format that was named, or that of the suffix; a stream takes the one that can be read as it comes.
///
/// # Errors
/// A suffix that no format has.
pub fn report_format(out: &Path, named: Option<ReportFormat>) -> anyhow::Result<ReportFormat> {
    match named.or_else(|| ReportFormat::of_path(out)) {
        Some(format) => Ok(format),
        None if Target::resolve(out)?.is_stream() => Ok(ReportFormat::ALL[0]),
        None => {
            let known = ReportFormat::SUFFIXES.to_owned();
            Err(StoreError::UnknownFormat { path: out.to_path_buf(), known }.into())
        }
    }
}

/// The format of that name.
///
/// # Errors
/// The names that there are.
pub fn screen_format_named(name: &str) -> Result<ReportFormat, String> {
    let names = || ReportFormat::ALL.map(ReportFormat::name).join(", ");
    ReportFormat::from_name(name).ok_or_else(|| format!("known formats are {}", names()))
}

fn fraction(text: &str) -> Result<f64, &'static str> {
    let found = text.parse().ok().filter(|number| *number > 0.0 && *number < 1.0);
    found.ok_or("wanted a number above 0 and below 1")
}

fn ratio(text: &str) -> Result<String, String> {
    prevalence(text).map(|_| text.to_owned())
}

/// The second file of D-SCRIPT's format.
fn file_beside(out: &Path) -> Result<PathBuf, TaskError> {
    if out == Path::new("-") {
        let what =
            "--format dscript with a cut makes a second file beside --out, which must be a file and not -";
        return Err(TaskError::Usage { what: what.to_owned() });
    }
    Ok(positive_path(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        let shard = |text: &str| text.parse::<ShardWord>().map(|word| (word.0.number, word.0.count));
        assert_eq!(shard("1/1"), Ok((1, 1)));
        assert_eq!(shard("3/4"), Ok((3, 4)));
        for wrong in ["0/4", "5/4", "1", "a/2", "1/0", "-1/2"] {
            assert!(shard(wrong).is_err_and(|reason| reason.contains("N/COUNT")), "{wrong}");
        }
    }

    #[test]
    fn prevalences_are_ratios_or_fractions() {
        assert_eq!(prevalence("1:3"), Ok(0.25));
        assert_eq!(prevalence("0.25"), Ok(0.25));
        for wrong in ["0", "1", "x", "1:", "0:3", "3:0", "-1:3", "nan"] {
            assert!(prevalence(wrong).is_err(), "{wrong}");
        }
    }
}

//! `pliant evaluate`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use pliant_plugin::Way;
use pliant_store::{ColumnTable, Format, StoreError, Target, failures_path};

use crate::cli::finetune::FormFlags;
use crate::cli::plugin::{GuestFlags, way_named};
use crate::cli::reading::format_among;
use crate::cli::shared::{AdapterFlag, RunPlan, WorkArgs};
use crate::exit::TaskError;
use crate::screen::calibration::Method;
use crate::supervised::registry::{self, Task};

const EXAMPLES: &str = "\
Examples:
  pliant evaluate --task mlm held_out.fasta --model run --out scores.json
  pliant evaluate --task mlm held_out.fasta --model run --out scores.tsv --bins 0,100,1000 --proteins each.tsv
  pliant evaluate --task solubility test.tsv --head head --model esm2_t6_8M --out scores.json
  pliant evaluate --task secstr test.tsv --head head --model esm2_t6_8M --metric sov/plugin.toml --out scores.json

The task of a head: every measure of its labels with the interval that holds 95 % of draws of examples, of pairs of draws
of proteins, and beside it the baseline: who answers how frequent each class is in the training, or the mean number, without looking at any protein.

Task mlm, masked language modelling: of each protein 15 % of the residues are chosen, by the seed and the sequence alone,
so that a protein is asked the same in any company; of these 80 % are masked and 10 % replaced by any residue. For all
proteins, and for those of each bin of lengths: the mean loss -ln p of the true residues in nats, that of the masked ones
alone, perplexity (the exponential of the loss), accuracy (the part of them that is the likeliest), and the entropy of
single residues in nats, which is the masked loss of a model that knows their frequencies and nothing else. _low and
_high bound 95 % of what other proteins of the same kind would give, by a bootstrap over proteins. Bins without proteins
are left out.";

/// The edges of the bins where the user names none.
const DEFAULT_BINS: &str = "0,128,256,512,1024,2048";

/// The words after `pliant evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EvaluateArgs {
    /// What the model has to do
    #[arg(
        long,
        env = "PLIANT_TASK",
        value_name = "NAME",
        value_parser = task_named,
        help = "What has to be done: mlm (tell residues that are masked), or the task of a head, as solubility"
    )]
    task: EvaluateTask,
    /// FASTA files, plain or gz, bz2, xz or zst; '-' is standard input. For the task of a head its examples: tables, or
    /// FASTA with labels
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// The model: a folder with config.json and weights as safetensors, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The head to ask: the folder that 'pliant finetune --out' made, or the plugin.toml of a plugin
    #[arg(long, env = "PLIANT_HEAD", value_name = "HEAD")]
    head: Option<PathBuf>,
    /// What a plugin is asked about, of those that it takes: pooled, residues or pairs [default: as its manifest says, else
    /// the first of these]
    #[arg(long, env = "PLIANT_ASK", value_name = "WHAT", value_parser = way_named)]
    ask: Option<Way>,
    /// A measure that you bring: the plugin.toml of a plugin; repeatable
    #[arg(long, env = "PLIANT_METRIC", value_name = "PLUGIN.TOML")]
    metric: Vec<PathBuf>,
    #[command(flatten)]
    guest: GuestFlags,
    /// Parts of the examples to ask about, with commas between
    #[arg(long, env = "PLIANT_PART", value_name = "NAME", value_delimiter = ',')]
    part: Vec<String>,
    #[command(flatten)]
    form: FormFlags,
    /// Where the numbers go; the suffix names the format: .json, .tsv or .parquet. '-' is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// The format of --out where no suffix names it: json, tsv or parquet (for a stream: json)
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = report_format_named)]
    format: Option<ReportFormat>,
    /// Write the numbers of each protein too, with the task of a head those of each example: .tsv or .parquet
    #[arg(long, env = "PLIANT_PROTEINS", value_name = "FILE")]
    proteins: Option<PathBuf>,
    /// Calibrate a head of pairs too, with two classes of which the second is the true one: what 'pliant screen' tells
    /// probabilities and expected precisions by, best as calibration.json in the folder of the head
    #[arg(long, env = "PLIANT_CALIBRATION", value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// How probabilities are fitted
    #[arg(
        long,
        env = "PLIANT_CURVE",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "How probabilities are fitted: platt (a logistic curve) or isotonic (the nearest that never falls)"
    )]
    curve: Method,
    /// The shortest proteins of each bin, in residues; the last has no end
    #[arg(long, env = "PLIANT_BINS", value_name = "N,...", default_value = DEFAULT_BINS)]
    bins: Bins,
    /// The seed of what is drawn
    #[arg(long, env = "PLIANT_SEED", value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Draws of the bootstrap; 0 leaves the intervals out
    #[arg(long, env = "PLIANT_BOOTSTRAP", value_name = "N", default_value_t = 1000)]
    bootstrap: u64,
    #[command(flatten)]
    adapter: AdapterFlag,
    #[command(flatten)]
    work: WorkArgs,
}

/// What a model has to do.
#[derive(Debug, Clone, Copy)]
pub enum EvaluateTask {
    /// Tell residues that are masked.
    Mlm,
    /// Tell labels, with a head.
    Labels(&'static Task),
}

fn task_named(name: &str) -> Result<EvaluateTask, String> {
    if name == "mlm" {
        return Ok(EvaluateTask::Mlm);
    }
    let found = registry::find(name).map(EvaluateTask::Labels);
    found.ok_or_else(|| {
        let names: Vec<&str> = registry::TASKS.iter().map(|task| task.name).collect();
        format!("the tasks are mlm, {}", names.join(", "))
    })
}

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// One object with everything.
    Json,
    /// A row for each bin.
    Table(Format),
}

impl ReportFormat {
    const ALL: [Self; 3] = [Self::Json, Self::Table(Format::Tsv), Self::Table(Format::Parquet)];

    /// The name of the format, which is its suffix without the dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Table(format) => format.name(),
        }
    }
}

/// Where bins of lengths begin, in residues: ascending, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bins(pub Vec<usize>);

impl FromStr for Bins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let edge = |word: &str| {
            word.trim()
                .parse()
                .map_err(|_| format!("found {word:?}, wanted whole numbers with commas between"))
        };
        let edges: Vec<usize> = text.split(',').map(edge).collect::<Result<_, _>>()?;
        match edges.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(format!("found {} before {}, wanted ascending numbers", pair[0], pair[1])),
            None => Ok(Self(edges)),
        }
    }
}

/// What to ask, of what, how and to where the answers go. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct EvaluatePlan {
    /// What every command has.
    pub run: RunPlan,
    /// What the model has to do.
    pub task: EvaluateTask,
    /// The report; nowhere in a dry run that names no file.
    pub out: Option<PathBuf>,
    /// Its format.
    pub format: ReportFormat,
    /// The table of all proteins, and its format.
    pub proteins: Option<(PathBuf, Format)>,
    /// The calibration of a head of pairs.
    pub calibration: Option<PathBuf>,
    /// How probabilities are fitted.
    pub curve: Method,
    /// The bins of lengths.
    pub bins: Bins,
    /// The seed of what is drawn.
    pub seed: u64,
    /// Draws of the bootstrap.
    pub bootstrap: u64,
    /// Whether a cache was named, which is not used.
    pub cache_unused: bool,
    /// The model that was named.
    pub model: Option<PathBuf>,
    /// The head to ask.
    pub head: Option<PathBuf>,
    /// What it is asked about, where it is a plugin.
    pub ask: Option<Way>,
    /// Measures that the user brings.
    pub metrics: Vec<PathBuf>,
    /// What they are told and how much they may take.
    pub guest: GuestFlags,
    /// Parts of the examples.
    pub parts: Vec<String>,
    /// How examples stand in their files, where that is not as the head was taught.
    pub form: FormFlags,
}

impl EvaluateArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<EvaluatePlan> {
        let format = self.report_format()?;
        let proteins =
            self.proteins.map(|path| table_format(&path).map(|format| (path, format))).transpose()?;
        let more = proteins.as_ref().map(|(path, _)| path.as_path());
        let is_mlm = matches!(self.task, EvaluateTask::Mlm);
        let model = match (&self.model, is_mlm) {
            (None, true) => {
                let what = "--task mlm needs the --model to ask".to_owned();
                return Err(TaskError::Usage { what }.into());
            }
            (model, _) => model.clone().unwrap_or_default(),
        };
        let of_heads = self.head.is_some() || self.calibration.is_some();
        if is_mlm && (of_heads || !self.part.is_empty() || !self.metric.is_empty()) {
            let what = "--head, --part, --metric and --calibration are for the task of a head".to_owned();
            return Err(TaskError::Usage { what }.into());
        }
        let failures = self.out.as_deref().map(failures_path).transpose()?.flatten();
        let outputs: Vec<&Path> =
            [self.out.as_deref(), failures.as_deref(), more, self.calibration.as_deref()]
                .into_iter()
                .flatten()
                .collect();
        let named = self.inputs.iter().chain(&self.metric).chain(&self.form.sequences);
        let inputs: Vec<PathBuf> = named.chain(&self.form.wild_type).cloned().collect();
        let mut run = self.work.plan(model, &inputs, &outputs)?;
        run.inputs = self.inputs;
        run.adapter = self.adapter.adapter;
        run.failures = failures;
        let cache_unused = is_mlm && run.cache.take().is_some();
        Ok(EvaluatePlan {
            run,
            task: self.task,
            out: self.out,
            format,
            proteins,
            calibration: self.calibration,
            curve: self.curve,
            bins: self.bins,
            seed: self.seed,
            bootstrap: self.bootstrap,
            cache_unused,
            model: self.model,
            head: self.head,
            ask: self.ask,
            metrics: self.metric,
            guest: self.guest,
            parts: self.part,
            form: self.form,
        })
    }

    /// The format of the report; a stream takes the one with everything.
    fn report_format(&self) -> anyhow::Result<ReportFormat> {
        let Some(out) = &self.out else { return Ok(self.format.unwrap_or(ReportFormat::Json)) };
        let suffix = out.extension().and_then(|suffix| suffix.to_str());
        match (self.format, suffix.and_then(|suffix| report_format_named(suffix).ok())) {
            (Some(format), _) | (None, Some(format)) => Ok(format),
            (None, None) if Target::resolve(out)?.is_stream() => Ok(ReportFormat::Json),
            (None, None) => {
                let known = ReportFormat::ALL.map(|format| format!(".{}", format.name())).join(", ");
                Err(StoreError::UnknownFormat { path: out.clone(), known }.into())
            }
        }
    }
}

fn table_format(path: &Path) -> Result<Format, StoreError> {
    format_among(Some(path), &ColumnTable::FORMATS)
}

fn report_format_named(name: &str) -> Result<ReportFormat, String> {
    let names = || ReportFormat::ALL.map(ReportFormat::name).join(", ");
    let found = ReportFormat::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| format!("known formats are {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_ascending_numbers() {
        let bins = |text: &str| text.parse::<Bins>().map(|bins| bins.0);
        assert_eq!(bins(DEFAULT_BINS).unwrap(), [0, 128, 256, 512, 1024, 2048]);
        assert_eq!(bins("7").unwrap(), [7]);
        assert!(bins("1,1").unwrap_err().contains("ascending"));
        assert!(bins("1,,2").unwrap_err().contains("whole numbers"));
        assert!(bins("").is_err() && bins("-1").is_err());
    }
}

//! `pliant predict`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::Args;
use pliant_plugin::Way;
use pliant_store::{ColumnTable, Format, StoreError, Target, failures_path};

use crate::cli::plugin::{GuestFlags, way_named};
use crate::cli::shared::{AdapterFlag, RunPlan, WorkArgs};

const EXAMPLES: &str = "\
Examples:
  pliant predict proteins.fasta --head head --model esm2_t6_8M --out labels.tsv
  pliant predict proteins.fasta --head head --out labels.jsonl --model esm2_t6_8M --on-error skip
  pliant predict proteins.csv --head head --model esm2_t6_8M --out labels.tsv --sequence-column protein
  pliant predict --embeddings embeddings.npz --head head --out labels.parquet
  pliant predict pairs.tsv --sequences domains.fasta --head head --model esm2_t6_8M --out levels.tsv
  pliant predict proteins.fasta --head my_head/plugin.toml --model esm2_t6_8M --out labels.tsv
  pliant predict pairs.tsv --embeddings embeddings.npz --head cosine/plugin.toml --out pairs.tsv

One row for each protein, in the order of the input. Classes: the likeliest as 'label', with the probability of each class in
a column p_CLASS. Several classes: those of at least one half, with | between. Numbers: 'value'. Levels: the likeliest as
'level', the expected one as 'score', the probability of each. Residues: a letter for each in 'labels'. The numbers of a
plugin stand in columns of their own names, those of residues with a row for each.";

/// The words after `pliant predict`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PredictArgs {
    /// FASTA files, or tables of sequences with a name in .csv or .tsv; plain or gz, bz2, xz or zst; '-' is standard input.
    /// For pairs a table, .csv or .tsv
    #[arg(value_name = "INPUT", required_unless_present = "embeddings")]
    inputs: Vec<PathBuf>,
    /// The head: the folder that 'pliant finetune --out' made, or the plugin.toml of a plugin
    #[arg(long, env = "PLIANT_HEAD", value_name = "HEAD")]
    head: PathBuf,
    /// What a plugin is asked about, of those that it takes: pooled, residues or pairs [default: as its manifest says, else
    /// the first of these]
    #[arg(long, env = "PLIANT_ASK", value_name = "WHAT", value_parser = way_named)]
    ask: Option<Way>,
    #[command(flatten)]
    guest: GuestFlags,
    /// The model that the head was taught on, where it is not in the folder of the head: a folder, or the name of one that
    /// was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Vectors that 'pliant embed' wrote with that model, instead of proteins; for heads of residues their states, for
    /// pairs the vectors of all that they name
    #[arg(long, env = "PLIANT_EMBEDDINGS", value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// The sequences of the proteins that pairs name: FASTA
    #[arg(long, env = "PLIANT_SEQUENCES", value_name = "FILE")]
    sequences: Option<PathBuf>,
    /// The column of sequences of a table [default: that of the training, else sequence]
    #[arg(long, env = "PLIANT_SEQUENCE_COLUMN", value_name = "NAME")]
    sequence_column: Option<String>,
    /// The columns that name a row of a table; of pairs those of the ids of both proteins [default: those of the training,
    /// else id, or id_a,id_b]
    #[arg(long, env = "PLIANT_ID_COLUMN", value_name = "NAME", value_delimiter = ',')]
    id_column: Vec<String>,
    /// Where the labels go; the suffix names the format: .tsv, .jsonl or .parquet. '-' is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// The format of --out where no suffix names it: tsv, jsonl or parquet (for a stream: tsv)
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = label_format_named)]
    format: Option<LabelFormat>,
    /// Write the probabilities of the classes of every residue too, to this .npz, .h5, .parquet or .safetensors
    #[arg(long, env = "PLIANT_RESIDUES", value_name = "FILE")]
    residues: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterFlag,
    #[command(flatten)]
    work: WorkArgs,
}

/// A format of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelFormat {
    /// A JSON object a line.
    JsonLines,
    /// A table.
    Table(Format),
}

impl LabelFormat {
    const ALL: [Self; 3] = [Self::Table(Format::Tsv), Self::JsonLines, Self::Table(Format::Parquet)];

    /// The name of the format, which is its suffix without the dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Table(format) => format.name(),
        }
    }
}

/// What to tell, with what, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct PredictPlan {
    /// What every command has; its model is the one that was named, or nothing.
    pub run: RunPlan,
    /// The head.
    pub head: PathBuf,
    /// What a plugin is asked about.
    pub ask: Option<Way>,
    /// What it is told and how much it may take.
    pub guest: GuestFlags,
    /// The model that was named.
    pub model: Option<PathBuf>,
    /// Whether a model, or sequences, were named and are not asked for, as there are vectors.
    pub unused: bool,
    /// Pooled vectors instead of proteins.
    pub embeddings: Option<PathBuf>,
    /// Sequences that pairs name.
    pub sequences: Option<PathBuf>,
    /// The column of sequences of a table.
    pub sequence_column: Option<String>,
    /// Columns of ids: those of rows, or of pairs.
    pub id_columns: Vec<String>,
    /// The labels; nowhere in a dry run that names no file.
    pub out: Option<PathBuf>,
    /// Their format.
    pub format: LabelFormat,
    /// Probabilities of the classes of residues.
    pub residues: Option<PathBuf>,
}

impl PredictArgs {
    /// Checks what was typed, as far as that goes without opening anything.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<PredictPlan> {
        let format = label_format(self.out.as_deref(), self.format)?;
        if let Some(residues) = &self.residues {
            crate::cli::embed::residues_format(residues)?;
        }
        let failures = self.out.as_deref().map(failures_path).transpose()?.flatten();
        // A variable of the environment that names them is meant for other commands.
        let has_vectors = self.embeddings.is_some();
        let unused = has_vectors && (self.model.is_some() || self.sequences.is_some());
        let (model, sequences) =
            (self.model.filter(|_| !has_vectors), self.sequences.filter(|_| !has_vectors));
        let inputs = self.inputs;
        let more = inputs.iter().chain(&sequences).chain(&self.embeddings);
        let more: Vec<PathBuf> = more.cloned().collect();
        let outputs = [self.out.as_deref(), failures.as_deref(), self.residues.as_deref()];
        let outputs: Vec<&Path> = outputs.into_iter().flatten().collect();
        let mut run = self.work.plan(model.clone().unwrap_or_default(), &more, &outputs)?;
        run.adapter = self.adapter.adapter;
        run.inputs = inputs;
        run.failures = failures;
        Ok(PredictPlan {
            run,
            head: self.head,
            ask: self.ask,
            guest: self.guest,
            model,
            unused,
            embeddings: self.embeddings,
            sequences,
            sequence_column: self.sequence_column,
            id_columns: self.id_column,
            out: self.out,
            format,
            residues: self.residues,
        })
    }
}

/// The format of the labels; a stream takes the one that can be read as it comes.
fn label_format(out: Option<&Path>, named: Option<LabelFormat>) -> anyhow::Result<LabelFormat> {
    let Some(out) = out else { return Ok(named.unwrap_or(LabelFormat::Table(Format::Tsv))) };
    let suffix = out.extension().and_then(|suffix| suffix.to_str());
    match (named, suffix.and_then(|suffix| label_format_named(suffix).ok())) {
        (Some(format), _) | (None, Some(format)) => Ok(format),
        (None, None) if Target::resolve(out)?.is_stream() => Ok(LabelFormat::Table(ColumnTable::FORMATS[0])),
        (None, None) => {
            let known = LabelFormat::ALL.map(|format| format!(".{}", format.name())).join(", ");
            Err(StoreError::UnknownFormat { path: out.to_path_buf(), known }.into())
        }
    }
}

fn label_format_named(name: &str) -> Result<LabelFormat, String> {
    let names = || LabelFormat::ALL.map(LabelFormat::name).join(", ");
    let found = LabelFormat::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| format!("known formats are {}", names()))
}

//! `pliant embed`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pliant_store::{Format, H5Layout, OutDtype, StoreError, Target};

use crate::cli::reading::{format_named, format_of, layout_named};
use crate::cli::shared::{DtypeFlag, Long, RunPlan, SourceArgs, WorkArgs};
use crate::exit::TaskError;

const EXAMPLES: &str = "\
Examples:
  pliant embed proteins.fasta --model esm2_t6_8M --out embeddings.npz
  pliant embed a.fasta b.fasta.gz --model esm2_t6_8M --out pooled.tsv --pool cls --layer -1,-2
  pliant embed proteins.fasta --model esm2_t6_8M --out pooled.parquet --residues states.h5
  pliant embed proteins.fasta --model esm2_t6_8M --dry-run

Results stand in the order of the input. A record with the id and the sequence of an earlier one is
computed and written once; one with the id of another sequence fails.";

/// The words after `pliant embed`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EmbedArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Where the pooled vectors go; the suffix names the format: .npz, .tsv, .h5, .parquet or .safetensors. '-' is
    /// standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// The format of --out where no suffix names it: npz, tsv, h5, parquet or safetensors (for a stream: tsv)
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = format_named)]
    format: Option<Format>,
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
    /// How the states of a protein become one vector
    #[arg(
        long,
        env = "PLIANT_POOL",
        value_name = "KIND",
        value_enum,
        hide_possible_values = true,
        help = "How the states of a protein become one vector: mean, max or sum of its residues, cls, or cls-apart, \
                which no other token sees, as published for interactions [default: mean, or \
                what the sidecar of an ONNX file says]"
    )]
    pool: Option<Pool>,
    /// What is written of the model
    #[arg(
        long,
        env = "PLIANT_OUTPUT",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What is written: the states of the layer (h), or their projection (z) where the model has one"
    )]
    output: Written,
    /// Write the state of every residue too, to this .npz, .h5, .parquet or .safetensors
    #[arg(long, env = "PLIANT_RESIDUES", value_name = "FILE")]
    residues: Option<PathBuf>,
    /// The layer to take, repeatable: 0 is the embedding, negative numbers count from the end [default: -1]
    #[arg(long, env = "PLIANT_LAYER", value_name = "N", value_delimiter = ',', allow_hyphen_values = true)]
    layer: Vec<i64>,
    #[command(flatten)]
    numbers: DtypeFlag,
    #[command(flatten)]
    work: WorkArgs,
}

/// How the states of a protein become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Pool {
    /// The mean of its residues.
    #[default]
    Mean,
    /// The state of the token before its residues.
    Cls,
    /// The same token, which no other sees, as the published code of interactions has it.
    ClsApart,
    /// The largest value of its residues, column by column.
    Max,
    /// The sum of its residues.
    Sum,
}

/// What is written of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// The states of layers.
    #[default]
    H,
    /// The projection of the states of the last layer.
    Z,
}

impl Pool {
    /// The name on the command line and in provenance.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::ClsApart => "cls-apart",
            Self::Max => "max",
            Self::Sum => "sum",
        }
    }
}

/// What to embed, with what, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct EmbedPlan {
    /// What every command has.
    pub run: RunPlan,
    /// Layers as they were asked for; negative ones count from the end. At least one.
    pub layers: Vec<i64>,
    /// How states become one vector, where that was said.
    pub pool: Option<Pool>,
    /// What is written.
    pub output: Written,
    /// Where the results go.
    pub outputs: OutputPlan,
}

/// Where the results go.
#[derive(Debug, Clone)]
pub struct OutputPlan {
    /// The pooled vectors; nowhere in a dry run that names no file.
    pub pooled: Option<PathBuf>,
    /// Their format.
    pub format: Format,
    /// The states of the residues.
    pub residues: Option<PathBuf>,
    /// The names of datasets, where one of them is .h5.
    pub h5_layout: H5Layout,
    /// The number type of both.
    pub dtype: OutDtype,
}

impl EmbedArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<EmbedPlan> {
        let outputs = self.output_plan()?;
        let run = self.source.plan(self.work, outputs.pooled.as_deref(), &[outputs.residues.as_deref()])?;
        if run.long.policy == Long::Window && matches!(self.pool, Some(Pool::Cls | Pool::ClsApart)) {
            let what = "--pool cls cannot be had with --long window: each window has a cls of its own; \
                        choose --pool mean or max";
            return Err(TaskError::Usage { what: what.to_owned() }.into());
        }
        let layers = if self.layer.is_empty() { vec![-1] } else { self.layer };
        Ok(EmbedPlan { run, layers, pool: self.pool, output: self.output, outputs })
    }

    fn output_plan(&self) -> anyhow::Result<OutputPlan> {
        let format = match (&self.out, self.format) {
            (_, Some(format)) => format,
            (Some(out), None) => format_of(out)?,
            (None, None) => Format::Npz,
        };
        if let Some(residues) = &self.residues {
            residues_format(residues)?;
        }
        Ok(OutputPlan {
            pooled: self.out.clone(),
            format,
            residues: self.residues.clone(),
            h5_layout: self.h5_layout,
            dtype: self.numbers.dtype(),
        })
    }
}

/// The format of the file of states; a stream takes the first that can hold them.
///
/// # Errors
/// A suffix that no format has, or one of a format that cannot hold states.
pub fn residues_format(path: &Path) -> anyhow::Result<Format> {
    let able = || Format::ALL.into_iter().filter(|format| format.holds_residues());
    match Format::of_path(path) {
        Ok(format) if format.holds_residues() => Ok(format),
        Ok(format) => {
            let able: Vec<String> = able().map(|format| format!(".{}", format.name())).collect();
            let (path, format) = (path.to_path_buf(), format.name());
            Err(StoreError::NoResidues { path, format, able: able.join(", ") }.into())
        }
        Err(unknown) => match able().next() {
            Some(format) if Target::resolve(path)?.is_stream() => Ok(format),
            _ => Err(unknown.into()),
        },
    }
}

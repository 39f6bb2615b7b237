//! `pliant embed`: what was typed, and the plan that it becomes.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use pliant_kernels::{CpuPath, Precision};
use pliant_seq::ReadOptions;
use pliant_store::{Format, H5Layout, OutDtype, StoreError, Target, check_targets, failures_path};

use crate::cli::cache::{CacheFlags, CachePlan};
use crate::cli::reading::{OnError, ReadArgs, count, format_named, format_of, layout_named, not_an_input};
use crate::exit::TaskError;
use crate::machine;

/// Tokens computed together where the user names no number.
pub const DEFAULT_BATCH_TOKENS: usize = 4096;

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
    /// FASTA files, plain or gz, bz2, xz or zst; '-' is standard input
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// The model: a folder with config.json and weights as safetensors, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    model: PathBuf,
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
        default_value_t,
        hide_possible_values = true,
        help = "How the states of a protein become one vector: mean or max of its residues, or cls"
    )]
    pool: Pool,
    /// Write the state of every residue too, to this .npz, .h5, .parquet or .safetensors
    #[arg(long, env = "PLIANT_RESIDUES", value_name = "FILE")]
    residues: Option<PathBuf>,
    /// The layer to take, repeatable: 0 is the embedding, negative numbers count from the end [default: -1]
    #[arg(long, env = "PLIANT_LAYER", value_name = "N", value_delimiter = ',', allow_hyphen_values = true)]
    layer: Vec<i64>,
    /// The number type of the results
    #[arg(
        long,
        env = "PLIANT_OUT_DTYPE",
        value_name = "TYPE",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "The number type of the results: f32 or f16"
    )]
    out_dtype: OutType,
    /// The number type of matrix operands
    #[arg(
        long,
        env = "PLIANT_PRECISION",
        value_name = "TYPE",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "The number type of matrix operands: f32, bf16, or int8 (weights by column and states by row; \
                  attention in bf16)"
    )]
    precision: PrecisionChoice,
    /// Where to compute
    #[arg(
        long,
        env = "PLIANT_DEVICE",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "Where to compute: auto (says what it takes), cpu or cuda"
    )]
    device: DeviceChoice,
    /// Instructions of the processor to use: portable, avx2, avx512 or avx512-bf16 [default: the fastest it has]
    #[arg(long, env = "PLIANT_CPU_PATH", value_name = "NAME", value_parser = cpu_path)]
    cpu_path: Option<CpuPath>,
    /// Threads that compute [default: the cores that this process may use]
    #[arg(long, short, env = "PLIANT_THREADS", value_name = "N", value_parser = count::<usize>)]
    threads: Option<usize>,
    /// Tokens computed together; changes speed and memory, never a result
    #[arg(long, env = "PLIANT_MAX_BATCH_TOKENS", value_name = "N", value_parser = count::<usize>,
          default_value_t = DEFAULT_BATCH_TOKENS)]
    max_batch_tokens: usize,
    /// What to do with proteins longer than those the model was trained on
    #[arg(
        long,
        env = "PLIANT_LONG",
        value_name = "POLICY",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What to do with proteins longer than those of the training: compute them whole, count them as \
                  an error, skip them, compute overlapping windows (window), or truncate them"
    )]
    long: Long,
    /// Residues of a window, for --long window [default: the training length of the model]
    #[arg(long, env = "PLIANT_WINDOW", value_name = "N", value_parser = count::<usize>)]
    window: Option<usize>,
    /// Residues from one window to the next, for --long window [default: half a window]
    #[arg(long, env = "PLIANT_STRIDE", value_name = "N", value_parser = count::<usize>)]
    stride: Option<usize>,
    #[command(flatten)]
    reading: ReadArgs,
    /// Only read the input, and write what a run would take as JSON to standard output
    #[arg(long, env = "PLIANT_DRY_RUN", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    dry_run: bool,
    /// Write what was done, with what and how fast to this JSON file
    #[arg(long, env = "PLIANT_SUMMARY", value_name = "FILE")]
    summary: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheFlags,
}

/// How the states of a protein become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Pool {
    /// The mean of its residues.
    #[default]
    Mean,
    /// The state of the token before its residues.
    Cls,
    /// The largest value of its residues, column by column.
    Max,
}

impl Pool {
    /// The name on the command line and in provenance.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Max => "max",
        }
    }
}

/// The number type of the results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum OutType {
    #[default]
    F32,
    F16,
}

/// The number type of matrix operands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum PrecisionChoice {
    #[default]
    F32,
    Bf16,
    Int8,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// What is best, told to the user.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A graphics processor, never anything else instead.
    Cuda,
}

/// What to do with proteins longer than those of the training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Long {
    /// Compute them as any other.
    #[default]
    Whole,
    /// A failed record.
    Error,
    /// Left out and listed, whatever `--on-error` says.
    Skip,
    /// Overlapping windows.
    Window,
    /// Their beginning alone.
    Truncate,
}

/// What to embed, with what, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct EmbedPlan {
    /// The inputs in their order.
    pub inputs: Vec<PathBuf>,
    /// The model folder.
    pub model: PathBuf,
    /// How records are read.
    pub read: ReadOptions,
    /// Layers as they were asked for; negative ones count from the end. At least one.
    pub layers: Vec<i64>,
    /// How states become one vector.
    pub pool: Pool,
    /// What to do with long proteins.
    pub long: LongPlan,
    /// What a failed record does.
    pub on_error: OnError,
    /// How to compute.
    pub compute: ComputePlan,
    /// Where the results go.
    pub outputs: OutputPlan,
    /// Where results of earlier runs are, and those of this one go.
    pub cache: Option<CachePlan>,
    /// Only say what it would take.
    pub dry_run: bool,
}

/// What to do with long proteins; lengths that the user left to the model are open.
#[derive(Debug, Clone, Copy)]
pub struct LongPlan {
    /// The policy.
    pub policy: Long,
    /// Residues of a window.
    pub window: Option<usize>,
    /// Residues from one window to the next.
    pub stride: Option<usize>,
}

/// How to compute.
#[derive(Debug, Clone, Copy)]
pub struct ComputePlan {
    /// Where.
    pub device: DeviceChoice,
    /// With which instructions of the processor.
    pub cpu_path: CpuPath,
    /// The number type of matrix operands.
    pub precision: Precision,
    /// Threads.
    pub threads: usize,
    /// Tokens computed together.
    pub batch_tokens: usize,
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
    /// What was done.
    pub summary: Option<PathBuf>,
    /// The list of failed records; `None` where there is no place for it.
    pub failures: Option<PathBuf>,
}

impl EmbedArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<EmbedPlan> {
        let long = self.long_plan()?;
        let outputs = self.output_plan()?;
        let named = [&outputs.pooled, &outputs.residues, &outputs.summary, &outputs.failures];
        let named: Vec<&Path> = named.into_iter().flatten().map(PathBuf::as_path).collect();
        let cache = self.cache.plan(&named)?;
        let cores = || machine::cores().0;
        let compute = ComputePlan {
            device: self.device,
            cpu_path: self.cpu_path.unwrap_or_else(CpuPath::best),
            precision: match self.precision {
                PrecisionChoice::F32 => Precision::F32,
                PrecisionChoice::Bf16 => Precision::Bf16,
                PrecisionChoice::Int8 => Precision::Int8,
            },
            threads: self.threads.unwrap_or_else(cores),
            batch_tokens: self.max_batch_tokens,
        };
        Ok(EmbedPlan {
            inputs: self.inputs,
            model: self.model,
            read: self.reading.options(),
            layers: if self.layer.is_empty() { vec![-1] } else { self.layer },
            pool: self.pool,
            long,
            on_error: self.reading.on_error,
            compute,
            outputs,
            cache,
            dry_run: self.dry_run,
        })
    }

    fn long_plan(&self) -> Result<LongPlan, TaskError> {
        let usage = |what: &str| Err(TaskError::Usage { what: what.to_owned() });
        if self.long != Long::Window && (self.window.is_some() || self.stride.is_some()) {
            return usage("--window and --stride are for --long window");
        }
        if self.long == Long::Window && self.pool == Pool::Cls {
            return usage(
                "--pool cls cannot be had with --long window: each window has a cls of its own; choose --pool mean or max",
            );
        }
        Ok(LongPlan { policy: self.long, window: self.window, stride: self.stride })
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
        let failures = self.out.as_deref().map(failures_path).transpose()?.flatten();
        let named = [&self.out, &self.residues, &self.summary, &failures];
        let outputs: Vec<&Path> = named.into_iter().flatten().map(PathBuf::as_path).collect();
        check_targets(&outputs)?;
        outputs.iter().try_for_each(|output| not_an_input(&self.inputs, output))?;
        let dtype = match self.out_dtype {
            OutType::F32 => OutDtype::F32,
            OutType::F16 => OutDtype::F16,
        };
        Ok(OutputPlan {
            pooled: self.out.clone(),
            format,
            residues: self.residues.clone(),
            h5_layout: self.h5_layout,
            dtype,
            summary: self.summary.clone(),
            failures,
        })
    }
}

fn cpu_path(name: &str) -> Result<CpuPath, String> {
    let names = || CpuPath::ALL.map(CpuPath::name).join(", ");
    CpuPath::from_name(name).ok_or_else(|| format!("known paths are {}", names()))
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

//! Flags of every command that computes something of proteins, and the plan that they become.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use pliant_kernels::cuda::{AttentionChoice, Products};
use pliant_kernels::{CpuPath, Precision};
use pliant_models::About;
use pliant_seq::ReadOptions;
use pliant_store::{OutDtype, check_targets, failures_path};

use crate::cli::cache::{CacheFlags, CachePlan};
use crate::cli::reading::{OnError, ReadArgs, count, not_an_input, threads};
use crate::exit::TaskError;
use crate::machine;

/// Which proteins, and which model.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// FASTA files, plain or gz, bz2, xz or zst; '-' is standard input
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelFlag,
}

/// Which model.
#[derive(Debug, Args)]
pub struct ModelFlag {
    /// The model: a folder with config.json and weights as safetensors, or the name of one that was pulled
    #[arg(long, env = "PLIANT_MODEL", value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    adapter: AdapterFlag,
}

/// What is added to a model.
#[derive(Debug, Default, Args)]
pub struct AdapterFlag {
    /// An adapter of low rank (LoRA) that is added to the weights of the model: a folder as Hugging Face PEFT writes it
    #[arg(long, env = "PLIANT_ADAPTER", value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

/// How to compute what was read, and what to tell of it.
#[derive(Debug, Args)]
pub struct WorkArgs {
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    reading: ReadArgs,
    #[command(flatten)]
    keep: KeepArgs,
}

/// The number type of the results.
#[derive(Debug, Args)]
pub struct DtypeFlag {
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
}

impl DtypeFlag {
    /// The number type.
    pub fn dtype(&self) -> OutDtype {
        match self.out_dtype {
            OutType::F32 => OutDtype::F32,
            OutType::F16 => OutDtype::F16,
        }
    }
}

/// How to compute.
#[derive(Debug, Args)]
pub struct ComputeArgs {
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
    /// Where to compute: auto (says what it takes), cpu, cuda or cuda:N, the GPU with the number N
    #[arg(long, env = "PLIANT_DEVICE", value_name = "NAME", value_parser = device, default_value = "auto")]
    device: DeviceChoice,
    #[command(flatten)]
    cuda: CudaArgs,
    /// Instructions of the processor to use: portable, avx2, avx512 or avx512-bf16 [default: the fastest it has]
    #[arg(long, env = "PLIANT_CPU_PATH", value_name = "NAME", value_parser = cpu_path)]
    cpu_path: Option<CpuPath>,
    /// Threads that compute [default: the cores that this process may use]
    #[arg(long, short, env = "PLIANT_THREADS", value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// Tokens computed together; changes speed and memory, never a result [default: 4096, of recurrent models 24576, on a
    /// GPU what its memory holds]
    #[arg(long, env = "PLIANT_MAX_BATCH_TOKENS", value_name = "N", value_parser = count::<usize>)]
    max_batch_tokens: Option<usize>,
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
}

/// How to compute on a GPU.
#[derive(Debug, Clone, Copy, Args)]
pub struct CudaArgs {
    /// Processes that may compute on one GPU at the same time; one more waits [default: any number]
    #[arg(long, env = "PLIANT_GPU_SLOTS", value_name = "N", value_parser = count::<usize>)]
    gpu_slots: Option<usize>,
    /// What makes matrix products on a GPU: auto (cublaslt where it is found), plain or cublaslt
    #[arg(long, env = "PLIANT_GPU_PRODUCTS", value_name = "NAME", value_parser = products, default_value = "auto")]
    gpu_products: Products,
    /// What makes attention in bf16 on a GPU: auto (plain, as tensor-cores has not run on one yet), plain or tensor-cores
    #[arg(long, env = "PLIANT_GPU_ATTENTION", value_name = "NAME", value_parser = attention, default_value = "auto")]
    gpu_attention: AttentionChoice,
}

/// What to do beside the results, or instead of them.
#[derive(Debug, Args)]
pub struct KeepArgs {
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// What is best, told to the user.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A graphics processor, the one with a number where it is named, never anything else instead.
    Cuda(Option<usize>),
}

/// How to compute on a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CudaPlan {
    /// Processes that may compute on one GPU at the same time.
    pub slots: Option<usize>,
    /// What makes matrix products.
    pub products: Products,
    /// What makes attention.
    pub attention: AttentionChoice,
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
    /// Tokens computed together, where the user named their number.
    pub batch_tokens: Option<usize>,
    /// How, on a GPU.
    pub cuda: CudaPlan,
}

impl ComputePlan {
    /// Tokens computed together by this model, on a processor.
    pub fn batch_tokens(&self, about: &About) -> usize {
        self.batch_tokens.unwrap_or(about.cost.pack_tokens)
    }
}

/// What to read, with what and how to compute, and what to tell of it. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The inputs in their order.
    pub inputs: Vec<PathBuf>,
    /// The model: a folder or a name.
    pub model: PathBuf,
    /// What is added to its weights.
    pub adapter: Option<PathBuf>,
    /// How records are read.
    pub read: ReadOptions,
    /// What a failed record does.
    pub on_error: OnError,
    /// What to do with long proteins.
    pub long: LongPlan,
    /// How to compute.
    pub compute: ComputePlan,
    /// Where results of earlier runs are, and those of this one go.
    pub cache: Option<CachePlan>,
    /// What was done.
    pub summary: Option<PathBuf>,
    /// The list of failed records; `None` where there is no place for it.
    pub failures: Option<PathBuf>,
    /// Only say what it would take.
    pub dry_run: bool,
}

impl WorkArgs {
    /// The plan of a command that names its model and its inputs in its own way and writes `outputs`. The list of failures
    /// is the caller's.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self, model: PathBuf, inputs: &[PathBuf], outputs: &[&Path]) -> anyhow::Result<RunPlan> {
        let Self { compute, reading, keep } = self;
        let mut plan =
            ModelFlag { model, adapter: AdapterFlag::default() }.plan(compute, keep, inputs, outputs)?;
        (plan.read, plan.on_error) = (reading.options(), reading.on_error);
        Ok(plan)
    }
}

impl SourceArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device. The list of failures stands
    /// beside the results `out`; `more` are further outputs.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self, work: WorkArgs, out: Option<&Path>, more: &[Option<&Path>]) -> anyhow::Result<RunPlan> {
        let WorkArgs { compute, reading, keep } = work;
        let failures = out.map(failures_path).transpose()?.flatten();
        let outputs: Vec<&Path> = [out, failures.as_deref()].iter().chain(more).copied().flatten().collect();
        let mut plan = self.model.plan(compute, keep, &self.inputs, &outputs)?;
        (plan.read, plan.on_error) = (reading.options(), reading.on_error);
        plan.failures = failures;
        Ok(plan)
    }
}

impl ModelFlag {
    /// The plan of a command that reads `inputs` in its own way and writes `outputs`: records are read as they are
    /// without any flag, and a failed one ends the run.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(
        self,
        compute: ComputeArgs,
        keep: KeepArgs,
        inputs: &[PathBuf],
        outputs: &[&Path],
    ) -> anyhow::Result<RunPlan> {
        let KeepArgs { dry_run, summary, cache } = keep;
        let (long, compute) = compute.plans()?;
        let outputs: Vec<&Path> = outputs.iter().copied().chain(summary.as_deref()).collect();
        check_targets(&outputs)?;
        outputs.iter().try_for_each(|output| not_an_input(inputs, output))?;
        let cache = cache.plan(&outputs)?;
        Ok(RunPlan {
            inputs: inputs.to_vec(),
            model: self.model,
            adapter: self.adapter.adapter,
            read: ReadOptions::default(),
            on_error: OnError::Fail,
            long,
            compute,
            cache,
            summary,
            failures: None,
            dry_run,
        })
    }
}

impl CudaArgs {
    /// The plan.
    pub fn plan(self) -> CudaPlan {
        CudaPlan { slots: self.gpu_slots, products: self.gpu_products, attention: self.gpu_attention }
    }
}

impl ComputeArgs {
    fn plans(self) -> Result<(LongPlan, ComputePlan), TaskError> {
        if self.long != Long::Window && (self.window.is_some() || self.stride.is_some()) {
            let what = "--window and --stride are for --long window";
            return Err(TaskError::Usage { what: what.to_owned() });
        }
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
            cuda: self.cuda.plan(),
        };
        Ok((LongPlan { policy: self.long, window: self.window, stride: self.stride }, compute))
    }
}

pub(super) fn device(name: &str) -> Result<DeviceChoice, String> {
    let wrong = || "known are auto, cpu, cuda and cuda:N with a number N from 0 on".to_owned();
    match name {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(None)),
        _ => {
            let number =
                name.strip_prefix("cuda:").filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
            let number = number.and_then(|number| number.parse().ok());
            number.map(|number| DeviceChoice::Cuda(Some(number))).ok_or_else(wrong)
        }
    }
}

fn products(name: &str) -> Result<Products, String> {
    match name {
        "auto" => Ok(Products::Auto),
        "plain" => Ok(Products::Plain),
        "cublaslt" => Ok(Products::Library),
        _ => Err("known are auto, plain and cublaslt".to_owned()),
    }
}

fn attention(name: &str) -> Result<AttentionChoice, String> {
    match name {
        "auto" => Ok(AttentionChoice::Auto),
        "plain" => Ok(AttentionChoice::Plain),
        "tensor-cores" => Ok(AttentionChoice::TensorCores),
        _ => Err("known are auto, plain and tensor-cores".to_owned()),
    }
}

pub(super) fn cpu_path(name: &str) -> Result<CpuPath, String> {
    let names = || CpuPath::ALL.map(CpuPath::name).join(", ");
    CpuPath::from_name(name).ok_or_else(|| format!("known paths are {}", names()))
}

//! `pliant kernels …`: what was typed.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use pliant_kernels::cuda::Architecture;

use crate::cli::shared::{CudaArgs, DeviceChoice, device};

const EXAMPLES: &str = "\
Examples:
  pliant kernels build --out kernels
  pliant kernels build --arch sm_80,sm_90 --out kernels --nvrtc libnvrtc.so.12
  pliant kernels check --device cuda:0";

/// The words after `pliant kernels`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KernelsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub action: KernelsAction,
}

/// What to do with CUDA kernels.
#[derive(Debug, Subcommand)]
pub enum KernelsAction {
    /// Compile all of them into a folder; no GPU is needed
    Build(BuildArgs),
    /// Run all of them on a GPU and compare what they give with the processor
    Check(CheckArgs),
}

/// The words after `pliant kernels check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The GPU: cuda or cuda:N
    #[arg(long, env = "PLIANT_DEVICE", value_name = "NAME", value_parser = device, default_value = "cuda")]
    pub device: DeviceChoice,
    /// How to compute there.
    #[command(flatten)]
    pub cuda: CudaArgs,
    /// Write a line for every result instead of those that disagree
    #[arg(long, env = "PLIANT_ALL", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub all: bool,
}

/// The words after `pliant kernels build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Architectures of GPUs, with commas between them
    #[arg(
        long,
        env = "PLIANT_ARCH",
        value_name = "SM",
        value_delimiter = ',',
        default_value = "sm_80,sm_86,sm_89,sm_90"
    )]
    pub arch: Vec<Architecture>,
    /// The folder for the machine code; what is there already is not compiled again
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// NVIDIA's run-time compiler, a file or a name for the loader [default: the first one found]
    #[arg(long, env = "PLIANT_NVRTC", value_name = "FILE")]
    pub nvrtc: Option<PathBuf>,
}

//! `pliant kernels …`: CUDA kernels compiled ahead of their use, for images that have no compiler, and checked on a GPU.

use anyhow::Result;
use pliant_kernels::check::{Extent, Finding, compare};
use pliant_kernels::cuda::{Cache, Compiler, SOURCES};
use pliant_kernels::{CpuPath, Device};

use crate::cli::kernels::{BuildArgs, CheckArgs, KernelsAction};
use crate::cli::shared::DeviceChoice;
use crate::exit::TaskError;
use crate::tasks::files::path_text;
use crate::{Context, device, machine};

/// Does what was asked for.
///
/// # Errors
/// A compiler that is missing, a source that does not compile, a folder that cannot be written to.
pub fn run(action: KernelsAction, context: &Context) -> Result<()> {
    match action {
        KernelsAction::Build(args) => build(&args, context),
        KernelsAction::Check(args) => check(&args, context),
    }
}

/// Runs all of them on a GPU and on the processor.
fn check(args: &CheckArgs, context: &Context) -> Result<()> {
    let DeviceChoice::Cuda(ordinal) = args.device else {
        let what = "--device: kernels are checked on a GPU, cuda or cuda:N".to_owned();
        return Err(TaskError::Usage { what }.into());
    };
    let place = device::gpu(ordinal, &args.cuda.plan(), &context.print)?;
    let processor = Device::cpu_with(machine::cores().0, CpuPath::best())?;
    let findings = compare(&processor, &place.device, Extent::All);
    let apart = findings.iter().filter(|finding| !finding.agrees()).count();
    let shown = findings.iter().filter(|finding| args.all || !finding.agrees());
    let mut lines = vec![format!("{}\n", place.device.describe())];
    lines.extend(shown.map(|finding| format!("{}\n", told(finding))));
    if let Device::Cuda(cuda) = &place.device {
        let refused = cuda.refused_products();
        lines.extend(refused.iter().map(|what| format!("plain product, as cuBLASLt has none: {what}\n")));
    }
    lines.push(format!("{} results compared, {apart} disagree\n", findings.len()));
    context.print.data(&lines.concat())?;
    if apart == 0 {
        return Ok(());
    }
    let (device, compared) = (place.device.describe(), findings.len());
    Err(TaskError::DeviceDisagrees { device, apart, compared }.into())
}

/// One line of a finding.
fn told(finding: &Finding) -> String {
    let Finding { op, what, worst, fault } = finding;
    match fault {
        Some(fault) => format!("{op}: {what}: FAILED: {fault}"),
        None if finding.agrees() => format!("{op}: {what}: {worst:.3} of what is allowed"),
        None => format!("{op}: {what}: DISAGREES: {worst:.3} of what is allowed"),
    }
}

/// Compiles what is not there yet and says what was done.
fn build(args: &BuildArgs, context: &Context) -> Result<()> {
    let compiler = match &args.nvrtc {
        Some(path) => Compiler::open(path)?,
        None => Compiler::find()?,
    };
    let (cache, version) = (Cache::new(&args.out), compiler.version());
    let mut compiled = 0;
    for &architecture in &args.arch {
        for source in SOURCES {
            if cache.get(source, architecture, version).is_none() {
                let cubin = compiler.compile(source, architecture)?;
                cache.put((source, architecture, version), &cubin)?;
                compiled += 1;
            }
        }
    }
    let count = args.arch.len() * SOURCES.len();
    context.print.note(&format!(
        "{compiled} of {count} sources compiled by NVRTC {}.{} into {}; the others were there",
        version.0,
        version.1,
        path_text(&args.out)
    ));
    Ok(())
}

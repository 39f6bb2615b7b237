//! `pliant kernels …`: CUDA kernels compiled ahead of their use, for images that have no compiler.

use anyhow::Result;
use pliant_kernels::cuda::{Cache, Compiler, SOURCES};

use crate::Context;
use crate::cli::kernels::{BuildArgs, KernelsAction};
use crate::tasks::files::path_text;

/// Does what was asked for.
///
/// # Errors
/// A compiler that is missing, a source that does not compile, a folder that cannot be written to.
pub fn run(action: KernelsAction, context: &Context) -> Result<()> {
    match action {
        KernelsAction::Build(args) => build(&args, context),
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

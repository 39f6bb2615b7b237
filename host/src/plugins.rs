//! Plugins in this program: where what was compiled lies, and who compiles.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use pliant_plugin::{Compiler, Manifest, Plugin, PluginError, Sandbox, SandboxOptions};
use serde_json::{Map, Value};

use crate::exit::Code;

/// What the user says about a plugin.
#[derive(Debug, Clone, Default)]
pub struct GuestWords {
    /// Keys of its own configuration.
    pub config: Map<String, Value>,
    /// Limits other than the default.
    pub limits: BTreeMap<String, u64>,
    /// Whether instructions are counted.
    pub deterministic: bool,
}

/// Reads a manifest, and checks and compiles its guest.
///
/// # Errors
/// Everything that keeps a guest out.
pub fn load(path: &Path, words: &GuestWords) -> Result<(Manifest, Plugin), PluginError> {
    let manifest = Manifest::read(path)?;
    let plugin = manifest.load(&sandbox(words.deterministic)?, &words.config, &words.limits)?;
    Ok((manifest, plugin))
}

/// What guests are run in: this program compiles in a process of its own. A program of tests is another one, and compiles
/// itself.
///
/// # Errors
/// A machine that is not fit for it.
pub fn sandbox(deterministic: bool) -> Result<Sandbox, PluginError> {
    let program = env::current_exe().ok().filter(|_| !cfg!(test));
    let compiler = program
        .map(|program| Compiler { program, arguments: ["plugin", "compile"].map(Into::into).to_vec() });
    Sandbox::new(SandboxOptions { deterministic, cache: cache(), compiler })
}

/// The folder of what was compiled, which nobody else may write to; none where there is no place for it.
fn cache() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))?;
    let folder = base.join("pliant").join("plugins");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    folder.canonicalize().ok()
}

/// How a run ends that a plugin ended. `None` where the cause decides.
pub(crate) fn code(error: &PluginError) -> Option<Code> {
    match error {
        PluginError::Io { .. } => None,
        PluginError::Setting { .. } => Some(Code::Usage),
        PluginError::Machine { .. } => Some(Code::Device),
        _ => Some(Code::Data),
    }
}

//! The one error type of this crate.

use std::io;
use std::path::PathBuf;

/// Why a guest was not let in, or was stopped, or is not believed.
///
/// The text says what was found and what was wanted; the system's own words are the `source()` of [`PluginError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A file of the plugin cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest that is none.
    #[error("the manifest {} is wrong: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where there is one.
        reason: String,
    },
    /// A file is not the one that the manifest was written for.
    #[error("{} has SHA-256 {found}, but the manifest wants {wanted}: take the file that belongs to it", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Its sum, as hexadecimal digits.
        found: String,
        /// The sum that the manifest names.
        wanted: String,
    },
    /// A setting of the plugin or a limit that cannot be.
    #[error("{key}: found {found}, wanted {wanted}")]
    Setting {
        /// The key.
        key: String,
        /// What was found.
        found: String,
        /// What was wanted.
        wanted: String,
    },
    /// A file that is larger or more complicated than is compiled.
    #[error(
        "the guest has {found} {what}, more than the {most} that are allowed: --limit {limit}=N allows more"
    )]
    Structure {
        /// What was counted.
        what: &'static str,
        /// How many were found.
        found: u64,
        /// How many are allowed.
        most: u64,
        /// The name of the limit.
        limit: &'static str,
    },
    /// Bytes that are no component and no module of WebAssembly, or a damaged one.
    #[error("the guest is no valid WebAssembly: {reason}")]
    Malformed {
        /// What is wrong, with the place in the file where it is known.
        reason: String,
    },
    /// A guest that wants something from outside.
    #[error(
        "the guest imports {name:?}: only \"pliant:plugin/host@0.1.0\" with its function log is offered (no WASI, clock, files or network)"
    )]
    Import {
        /// The import.
        name: String,
    },
    /// A guest that does not keep the contract.
    #[error("the guest does not keep the contract of {world}: {reason}")]
    Contract {
        /// The world that was wanted.
        world: &'static str,
        /// What is missing or different.
        reason: String,
    },
    /// The compiler has refused the guest.
    #[error("the guest cannot be compiled: {reason}")]
    Compile {
        /// What the compiler said.
        reason: String,
    },
    /// Compiling took too much.
    #[error("compiling the guest took more than {most}: --limit {limit}=N allows more")]
    CompileLimit {
        /// What is allowed, with its unit.
        most: String,
        /// The name of the limit.
        limit: &'static str,
    },
    /// The machine cannot run guests.
    #[error("this machine cannot run plugins: {reason}")]
    Machine {
        /// What failed.
        reason: String,
    },
    /// The guest took more than it may.
    #[error("the guest was stopped in {call}: it wanted more than {most}: --limit {limit}=N allows more")]
    Limit {
        /// The function.
        call: &'static str,
        /// What is allowed, with its unit.
        most: String,
        /// The name of the limit.
        limit: &'static str,
    },
    /// The guest has ended itself.
    #[error("the guest failed in {call}: {reason}")]
    Trap {
        /// The function.
        call: &'static str,
        /// Why.
        reason: String,
    },
    /// The guest says that it has no answer.
    #[error("the guest says in {call} ({kind}): {message}")]
    Refused {
        /// The function.
        call: &'static str,
        /// The kind of its error: `bad input`, `unsupported` or `internal`.
        kind: &'static str,
        /// Its words, cut and without control characters.
        message: String,
    },
    /// An answer that cannot be true.
    #[error("the answer of {call} is wrong: found {found}, wanted {wanted}")]
    Answer {
        /// The function.
        call: &'static str,
        /// What was found.
        found: String,
        /// What was wanted.
        wanted: String,
    },
    /// What the guest would be given does not fit it.
    #[error("the input of {call} does not fit: found {found}, wanted {wanted}")]
    Input {
        /// The function.
        call: &'static str,
        /// What was found.
        found: String,
        /// What was wanted.
        wanted: String,
    },
}

impl PluginError {
    /// Whether only what was given to the guest was concerned, so that other records may do.
    pub fn concerns_input(&self) -> bool {
        matches!(
            self,
            Self::Limit { .. }
                | Self::Trap { .. }
                | Self::Refused { .. }
                | Self::Answer { .. }
                | Self::Input { .. }
        )
    }
}

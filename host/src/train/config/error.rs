//! What can be wrong with a configuration.

use std::path::PathBuf;

use super::keys::Key;
use crate::exit::Code;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not written in its language.
    #[error("{}: is no {language}: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// TOML or YAML.
        language: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// A key that there is not.
    #[error("{place}: there is no key \"{key}\"{}", suggestion(near, command))]
    Unknown {
        /// The file, or the flag.
        place: String,
        /// The key.
        key: String,
        /// Keys that may have been meant.
        near: Vec<&'static str>,
        /// The command that has the others.
        command: &'static str,
    },
    /// A value that cannot be used.
    #[error("{place}: \"{key}\" is {found}, wanted {wanted}")]
    Value {
        /// The file, with the flags that change it.
        place: String,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What works.
        wanted: String,
    },
    /// A word after `--set` that sets nothing.
    #[error("--set {word}: found no '=', wanted KEY=VALUE as in --set run.steps=1000")]
    Set {
        /// The word.
        word: String,
    },
}

impl ConfigError {
    /// The exit code, where it does not lie in the cause.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Read { .. } => None,
            Self::Set { .. } => Some(Code::Usage),
            Self::Text { .. } | Self::Unknown { .. } | Self::Value { .. } => Some(Code::Data),
        }
    }

    /// The error of a value that `key` cannot have.
    pub(crate) fn value(place: &str, key: &Key, found: impl Into<String>) -> Self {
        Self::with(place, key.path, found, key.wanted)
    }

    /// The error of a value that does not go with another one.
    pub(crate) fn with(place: &str, key: &str, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        let (place, key) = (place.to_owned(), key.to_owned());
        Self::Value { place, key, found: found.into(), wanted: wanted.into() }
    }
}

fn suggestion(near: &[&str], command: &str) -> String {
    match near {
        [] => format!("; 'pliant {command} --print-config' lists all"),
        near => format!(
            "; did you mean {}?",
            near.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(" or ")
        ),
    }
}

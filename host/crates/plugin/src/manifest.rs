//! `plugin.toml`: what a plugin is, by whom, which bytes, what it may be asked.
//!
//! ```toml
//! name = "linear-head"
//! version = "1.0.0"
//! world = "head-plugin"
//! file = "linear_head.wasm"
//! sha256 = "…"
//! license = "MIT OR Apache-2.0"
//!
//! [weights]            # where it has any
//! file = "weights.bin"
//! sha256 = "…"
//!
//! [reads]              # of a head that was made on a certain encoder
//! model = "…"
//! layer = -1
//! pool = "mean"
//!
//! [limits]             # where it needs less, or more than the defaults
//! memory_mib = 64
//!
//! [config.softmax]     # each key that it knows
//! type = "boolean"
//! default = true
//! about = "probabilities instead of logits"
//! ```
//!
//! Paths are relative to the manifest and stay within its folder. A sum that differs keeps the plugin from running.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::Key;
use crate::contract::World;
use crate::error::PluginError;
use crate::limits::Limits;
use crate::plugin::{Plugin, Setup, sha256};
use crate::reads::Reads;
use crate::sandbox::Sandbox;

/// Bytes of a manifest at most.
const MANIFEST_BYTES: u64 = 1 << 20;

/// Bytes of a name at most.
const NAME_CHARS: usize = 100;

/// A manifest that was read.
#[derive(Debug, Clone)]
pub struct Manifest {
    path: PathBuf,
    text: ManifestText,
}

/// The keys of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestText {
    name: String,
    version: String,
    world: World,
    file: PathBuf,
    sha256: String,
    license: String,
    #[serde(default)]
    description: String,
    weights: Option<Weights>,
    reads: Option<Reads>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    #[serde(default)]
    config: BTreeMap<String, Key>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    file: PathBuf,
    sha256: String,
}

impl Manifest {
    /// Reads a manifest and checks what can be checked without the guest.
    ///
    /// # Errors
    /// [`PluginError::Io`], [`PluginError::Manifest`] with line and column, [`PluginError::Setting`].
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        let wrong = |reason: String| PluginError::Manifest { path: path.to_path_buf(), reason };
        let bytes = read(path, MANIFEST_BYTES, "file_mib")?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is no text in UTF-8".to_owned()))?;
        let text: ManifestText =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let manifest = Self { path: path.to_path_buf(), text };
        manifest.check()?;
        Ok(manifest)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.text.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.text.version
    }

    /// What kind of plugin it is.
    pub fn world(&self) -> World {
        self.text.world
    }

    /// Its licence.
    pub fn license(&self) -> &str {
        &self.text.license
    }

    /// What it says it does.
    pub fn description(&self) -> &str {
        &self.text.description
    }

    /// The SHA-256 that it wants of the guest.
    pub fn sha256(&self) -> &str {
        &self.text.sha256
    }

    /// The keys that can be set.
    pub fn keys(&self) -> &BTreeMap<String, Key> {
        &self.text.config
    }

    /// The file of the guest.
    pub fn file(&self) -> PathBuf {
        self.beside(&self.text.file)
    }

    /// The file of its weights.
    pub fn weights(&self) -> Option<PathBuf> {
        self.text.weights.as_ref().map(|weights| self.beside(&weights.file))
    }

    /// What a head reads.
    pub fn reads(&self) -> Reads {
        self.text.reads.clone().unwrap_or_default()
    }

    /// The limits of the guest: what the user gives and else the less of defaults and manifest.
    ///
    /// # Errors
    /// [`PluginError::Setting`] where the manifest asks for more than is allowed.
    pub fn limits(&self, given: &BTreeMap<String, u64>) -> Result<Limits, PluginError> {
        Limits::of(&self.text.limits, given)
    }

    /// The bytes of the guest, which are those that the manifest was written for.
    ///
    /// # Errors
    /// [`PluginError::Io`], [`PluginError::Structure`] for a file that is too large, [`PluginError::Hash`].
    pub fn guest(&self, limits: &Limits) -> Result<Vec<u8>, PluginError> {
        let path = self.file();
        checked(&path, &self.text.sha256, limits.file_bytes(), "file_mib")
    }

    /// What the guest is given: the configuration with every key, and its weights.
    ///
    /// # Errors
    /// [`PluginError::Setting`] for a key that is unknown, missing or of another type, [`PluginError::Io`],
    /// [`PluginError::Structure`] for weights that no guest could hold, [`PluginError::Hash`].
    pub fn setup(&self, given: &Map<String, Value>, limits: &Limits) -> Result<Setup, PluginError> {
        let config = crate::config::complete(&self.text.config, given)?;
        let weights = match &self.text.weights {
            None => None,
            Some(Weights { file, sha256 }) => {
                let bytes = checked(&self.beside(file), sha256, limits.memory_bytes(), "memory_mib")?;
                Some(Arc::from(bytes))
            }
        };
        Ok(Setup { config, weights })
    }

    /// Reads, checks and compiles everything.
    ///
    /// # Errors
    /// Those of [`Manifest::limits`], [`Manifest::guest`], [`Manifest::setup`] and [`Plugin::compile`].
    pub fn load(
        &self,
        sandbox: &Sandbox,
        config: &Map<String, Value>,
        limits: &BTreeMap<String, u64>,
    ) -> Result<Plugin, PluginError> {
        let limits = self.limits(limits)?;
        let setup = self.setup(config, &limits)?;
        Plugin::compile(sandbox, &self.guest(&limits)?, self.world(), setup, limits)
    }

    fn beside(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }

    fn check(&self) -> Result<(), PluginError> {
        let ManifestText { name, version, file, sha256, license, weights, config, .. } = &self.text;
        let wrong = |key: &str, found: &str, wanted: &str| {
            let reason = format!("{key}: found {found:?}, wanted {wanted}");
            Err(PluginError::Manifest { path: self.path.clone(), reason })
        };
        let is_name = |text: &str| {
            let letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.+".contains(letter);
            !text.is_empty() && text.len() <= NAME_CHARS && text.chars().all(letter)
        };
        for (key, text) in [("name", name), ("version", version)] {
            if !is_name(text) {
                return wrong(key, text, "letters, digits and -_.+");
            }
        }
        if license.trim().is_empty() {
            return wrong("license", license, "an SPDX expression, as MIT");
        }
        let mut files = vec![("file", file, "sha256", sha256)];
        files.extend(weights.as_ref().map(|w| ("weights.file", &w.file, "weights.sha256", &w.sha256)));
        for (key, file, sum_key, sum) in files {
            if file.as_os_str().is_empty()
                || !file.components().all(|part| matches!(part, Component::Normal(_)))
            {
                return wrong(key, &file.to_string_lossy(), "a path below the folder of the manifest");
            }
            if !is_sum(sum) {
                return wrong(sum_key, sum, "64 small hexadecimal digits");
            }
        }
        match &self.text.reads {
            Some(_) if self.text.world == World::Metric => {
                return wrong("reads", "a metric", "a head, which alone reads an encoder");
            }
            Some(Reads { model: Some(model), .. }) if !is_sum(model) => {
                return wrong(
                    "reads.model",
                    model,
                    "64 small hexadecimal digits, as 'pliant model verify' tells",
                );
            }
            _ => {}
        }
        for (key, value) in config {
            if let Err(reason) = value.check() {
                return wrong(&format!("config.{key}"), &reason, "a default of its own type and bounds");
            }
        }
        Ok(())
    }
}

/// Whether a text is a sum of 256 bits.
fn is_sum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The bytes of a file of at most `most` bytes.
fn read(path: &Path, most: u64, limit: &'static str) -> Result<Vec<u8>, PluginError> {
    let refused = |source| PluginError::Io { action: "read", path: path.to_path_buf(), source };
    let about = fs::metadata(path).map_err(refused)?;
    if !about.is_file() {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(refused(source));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(refused)?.take(most + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > most {
        let found = about.len().max(bytes.len() as u64);
        return Err(PluginError::Structure { what: "bytes", found, most, limit });
    }
    Ok(bytes)
}

/// The bytes of a file that have the sum that the manifest wants.
fn checked(path: &Path, wanted: &str, most: u64, limit: &'static str) -> Result<Vec<u8>, PluginError> {
    let bytes = read(path, most, limit)?;
    let found = sha256(&bytes);
    if found == wanted {
        return Ok(bytes);
    }
    Err(PluginError::Hash { path: path.to_path_buf(), found, wanted: wanted.to_owned() })
}

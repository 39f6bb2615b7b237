//! The files of a checkpoint: how long they are, and the hashes of their bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::STATE;
use crate::train::TrainError;

/// All files below a folder but its own `state.json`, by their paths in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Listing(BTreeMap<String, Entry>);

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    bytes: u64,
    blake3: String,
}

impl Listing {
    /// Reads every byte of every file.
    pub(super) fn of(folder: &Path) -> Result<Self, TrainError> {
        let mut files = BTreeMap::new();
        collect(folder, "", &mut files)?;
        Ok(Self(files))
    }

    /// Compares what was written with what was `found`.
    ///
    /// # Errors
    /// What the first file that differs is like, in words.
    pub(super) fn compare(&self, found: &Self) -> Result<(), String> {
        for (name, wanted) in &self.0 {
            match found.0.get(name) {
                None => return Err(format!("has no {name}")),
                Some(entry) if entry.bytes != wanted.bytes => {
                    return Err(format!("has {} bytes of {name}, wanted {}", entry.bytes, wanted.bytes));
                }
                Some(entry) if entry != wanted => {
                    return Err(format!("has other bytes in {name} than were written"));
                }
                Some(_) => {}
            }
        }
        match found.0.keys().find(|name| !self.0.contains_key(*name)) {
            None => Ok(()),
            Some(stranger) => Err(format!("holds {stranger}, which was not written with it")),
        }
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Entry>) -> Result<(), TrainError> {
    let failed = || TrainError::io("read the folder", folder);
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{prefix}{own}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if name != STATE {
            files.insert(name, read(&path)?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Entry, TrainError> {
    let mut hasher = blake3::Hasher::new();
    let file = File::open(path).map_err(TrainError::io("read", path))?;
    hasher.update_reader(file).map_err(TrainError::io("read", path))?;
    Ok(Entry { bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
}

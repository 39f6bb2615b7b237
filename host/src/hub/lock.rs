//! What a model folder held when it was pulled: `pliant.lock.json`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use pliant_store::{Access, AtomicFile};
use serde::{Deserialize, Serialize};

use crate::hub::HubError;
use crate::hub::digest::sha256;
use crate::hub::name::{is_commit, is_hex, plain};

/// Name of the lock in a model folder.
pub const LOCK_FILE: &str = "pliant.lock.json";

/// What a lock of this version calls itself.
const FORMAT: &str = "pliant-lock-1";

/// Bytes of a lock, at most.
const LARGEST: u64 = 1 << 20;

/// Letters of the name of a file, at most.
pub(super) const LONGEST_NAME: usize = 128;

/// Where a model folder comes from, and what it must hold. Fields stand in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The server.
    pub endpoint: String,
    /// The files by name.
    pub files: BTreeMap<String, LockedFile>,
    format: String,
    /// The licence that the repository names.
    pub licence: Option<String>,
    /// `OWNER/REPO`.
    pub repo: String,
    /// The commit.
    pub revision: String,
}

/// One file of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
}

impl Lock {
    /// A lock without files.
    pub(super) fn new(endpoint: &str, repo: &str, revision: &str, licence: Option<String>) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            files: BTreeMap::new(),
            format: FORMAT.to_owned(),
            licence,
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        }
    }

    /// The lock of a model folder; `None` where there is none.
    ///
    /// # Errors
    /// [`HubError::LockText`] for a lock that says nothing, [`HubError::Io`] where it cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, HubError> {
        let path = folder.join(LOCK_FILE);
        let refuse = |reason: String| HubError::LockText { path: path.clone(), reason };
        let failed = |source| HubError::io("read", &path, source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(cause) => return Err(failed(cause)),
        };
        let mut text = String::new();
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(refuse("found something that is no file".to_owned()));
        }
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > LARGEST {
            return Err(refuse(format!("found more than {LARGEST} bytes")));
        }
        let lock: Self =
            serde_json::from_str(&text).map_err(|error| refuse(format!("is no lock: {error}")))?;
        lock.check().map_err(refuse)?;
        Ok(Some(lock))
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("found format {:?}, wanted {FORMAT:?}", self.format));
        }
        if !is_commit(&self.revision) {
            return Err(format!("found revision {:?}, wanted a commit of 40 digits", self.revision));
        }
        for (name, LockedFile { sha256, .. }) in &self.files {
            if !plain(name, LONGEST_NAME) {
                return Err(format!("found {name:?}, wanted a file of the folder"));
            }
            if !is_hex(sha256, 64) {
                return Err(format!("{name}: found sha256 {sha256:?}, wanted 64 digits"));
            }
        }
        Ok(())
    }

    /// Writes the lock into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), anyhow::Error> {
        let path = folder.join(LOCK_FILE);
        let mut file = AtomicFile::create(&path, Access::Stream)?;
        let text = serde_json::to_string_pretty(self)? + "\n";
        file.write_all(text.as_bytes()).map_err(|source| HubError::io("write", &path, source))?;
        Ok(file.commit()?)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }

    /// Compares the sizes of the files, which costs next to nothing.
    ///
    /// # Errors
    /// [`HubError::Changed`], naming every file that is missing or has another size.
    pub fn check_sizes(&self, folder: &Path) -> Result<(), HubError> {
        self.compare(folder, |_, _| Ok(None))
    }

    /// Reads every file and compares its hash; files of a model that the lock does not know are faults too.
    ///
    /// # Errors
    /// [`HubError::Changed`], naming every file that is not as it was.
    pub fn check_bytes(&self, folder: &Path) -> Result<(), HubError> {
        self.compare(folder, |name, wanted| {
            let found = sha256(&folder.join(name))?;
            let differs = found != wanted.sha256;
            Ok(differs.then(|| format!("{name}: found sha256 {found}, wanted {}", wanted.sha256)))
        })
    }

    fn compare(
        &self,
        folder: &Path,
        deeper: impl Fn(&str, &LockedFile) -> Result<Option<String>, HubError>,
    ) -> Result<(), HubError> {
        let mut problems = Vec::new();
        for (name, wanted) in &self.files {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Err(cause) if cause.kind() == ErrorKind::NotFound => {
                    problems.push(format!("{name}: is missing"))
                }
                Err(cause) => return Err(HubError::io("read", &path, cause)),
                Ok(found) if !found.is_file() => problems.push(format!("{name}: is no file")),
                Ok(found) if found.len() != wanted.size => {
                    problems.push(format!("{name}: found {} bytes, wanted {}", found.len(), wanted.size));
                }
                Ok(_) => problems.extend(deeper(name, wanted)?),
            }
        }
        problems.extend(self.strangers(folder)?);
        if problems.is_empty() {
            return Ok(());
        }
        Err(HubError::Changed { folder: folder.to_path_buf(), problems })
    }

    /// Files that a model is read from and that were not pulled: they would be read in the place of those that were.
    fn strangers(&self, folder: &Path) -> Result<Vec<String>, HubError> {
        let failed = |source| HubError::io("read", folder, source);
        let mut strangers = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let read = name.ends_with(".safetensors")
                || ["config.json", "vocab.txt", "model.safetensors.index.json"].contains(&name.as_str());
            if read && !self.files.contains_key(&name) {
                strangers.push(format!("{name}: was not pulled"));
            }
        }
        strangers.sort_unstable();
        Ok(strangers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> (tempfile::TempDir, Lock) {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::new("https://hub", "me/model", &"0f".repeat(20), Some("mit".to_owned()));
        for (name, text) in [("model.safetensors", "weights"), ("config.json", "{}")] {
            fs::write(folder.path().join(name), text).unwrap();
            let sha256 = sha256(&folder.path().join(name)).unwrap();
            lock.files.insert(name.to_owned(), LockedFile { sha256, size: text.len() as u64 });
        }
        lock.write(folder.path()).unwrap();
        (folder, lock)
    }

    fn problems(result: Result<(), HubError>) -> Vec<String> {
        match result {
            Err(HubError::Changed { problems, .. }) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_and_has_sorted_keys() {
        let (folder, lock) = locked();
        assert_eq!(Lock::read(folder.path()).unwrap(), Some(lock.clone()));
        lock.check_bytes(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join(LOCK_FILE)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(value["files"].as_object().unwrap().keys().is_sorted());
        assert_eq!(Lock::read(Path::new("no/such")).unwrap(), None);
    }

    #[test]
    fn every_change_is_named() {
        let (folder, lock) = locked();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, "weighty").unwrap();
        lock.check_sizes(folder.path()).unwrap();
        let found = problems(lock.check_bytes(folder.path()));
        assert!(found[0].starts_with("model.safetensors: found sha256 "), "{found:?}");
        fs::write(&path, "weight").unwrap();
        assert_eq!(problems(lock.check_sizes(folder.path())), ["model.safetensors: found 6 bytes, wanted 7"]);
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("other.safetensors"), "").unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        let found = problems(lock.check_sizes(folder.path()));
        assert_eq!(found, ["model.safetensors: is missing", "other.safetensors: was not pulled"]);
    }

    #[test]
    fn hostile_locks_are_refused() {
        let (folder, _) = locked();
        let path = folder.path().join(LOCK_FILE);
        let good = fs::read_to_string(&path).unwrap();
        for (from, to) in [
            ("{", ""),
            ("pliant-lock-1", "pliant-lock-2"),
            ("\"config.json\"", "\"../config.json\""),
            ("\"config.json\"", "\"/etc/passwd\""),
            ("\"sha256\": \"", "\"sha256\": \"0"),
            ("\"size\": 7", "\"size\": -7"),
            ("\"revision\": \"0f", "\"revision\": \"\\u0000"),
            ("\"licence\"", "\"license\""),
        ] {
            assert!(good.contains(from), "{from}");
            fs::write(&path, good.replacen(from, to, 1)).unwrap();
            assert!(matches!(Lock::read(folder.path()), Err(HubError::LockText { .. })), "{from} {to}");
        }
        fs::write(&path, " ".repeat(2 << 20)).unwrap();
        assert!(Lock::read(folder.path()).is_err());
    }
}

//! The model store: `<models>/<owner>__<repo>/<commit>` with a lock in it, and what branches and tags meant.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pliant_store::{Access, AtomicFile};

use crate::cli::print::Printer;
use crate::hub::HubError;
use crate::hub::lock::{LOCK_FILE, Lock};
use crate::hub::name::{ModelName, is_commit};

/// The variable that names the folder of the model store.
const VARIABLE: &str = "PLIANT_MODELS";

/// Folder of the names of commits, beside the commits.
const REFERENCES: &str = "refs";

/// Where models are kept.
#[derive(Debug, Clone)]
pub struct ModelStore {
    root: PathBuf,
}

/// One model of the store.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// Where it comes from and what it holds.
    pub lock: Lock,
}

impl ModelStore {
    /// The store that the environment names: `PLIANT_MODELS`, else the user's folder for data.
    ///
    /// # Errors
    /// [`HubError::Variable`] where nothing names a folder.
    pub fn of_environment() -> Result<Self, HubError> {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The rules of XDG: a folder that is not absolute counts as none.
        let data = named("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = data.or_else(|| named("HOME").map(|home| home.join(".local/share")));
        let root = named(VARIABLE).or_else(|| data.map(|data| data.join("pliant/models")));
        let reason = "is not set, and neither is HOME: there is no folder for models".to_owned();
        Ok(Self { root: root.ok_or(HubError::Variable { name: VARIABLE, reason })? })
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model that was pulled; `None` where it was not.
    ///
    /// # Errors
    /// A store that cannot be read, and a folder that holds another model than its name says.
    pub fn find(&self, name: &ModelName) -> Result<Option<Kept>, HubError> {
        match self.commit(name)? {
            Some(commit) => self.kept(name, &commit),
            None => Ok(None),
        }
    }

    /// The model at one commit.
    pub(super) fn kept(&self, name: &ModelName, commit: &str) -> Result<Option<Kept>, HubError> {
        let folder = self.folder(name, commit);
        let Some(lock) = Lock::read(&folder)? else { return Ok(None) };
        if lock.repo != name.repo || lock.revision != commit {
            let reason =
                format!("found {} at {}, wanted {} at {commit}", lock.repo, lock.revision, name.repo);
            return Err(HubError::LockText { path: folder.join(LOCK_FILE), reason });
        }
        Ok(Some(Kept { folder, lock }))
    }

    /// The folder of a model at one commit, there or not.
    pub(super) fn folder(&self, name: &ModelName, commit: &str) -> PathBuf {
        self.root.join(name.folder()).join(commit)
    }

    /// Where a model is put together.
    pub(super) fn staging(&self, name: &ModelName) -> PathBuf {
        self.root.join(name.folder()).join(".partial")
    }

    /// The commit that a revision meant when it was pulled.
    fn commit(&self, name: &ModelName) -> Result<Option<String>, HubError> {
        if is_commit(&name.revision) {
            return Ok(Some(name.revision.clone()));
        }
        let path = self.reference(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned()).filter(|commit| is_commit(commit))),
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(cause) => Err(HubError::io("read", &path, cause)),
        }
    }

    /// Writes down which commit the revision means.
    pub(super) fn remember(&self, name: &ModelName, commit: &str) -> anyhow::Result<()> {
        let path = self.reference(name);
        if is_commit(&name.revision) || self.commit(name)?.as_deref() == Some(commit) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| HubError::io("make", folder, source))?;
        let mut file = AtomicFile::create(&path, Access::Stream)?;
        writeln!(file, "{commit}").map_err(|source| HubError::io("write", &path, source))?;
        Ok(file.commit()?)
    }

    fn reference(&self, name: &ModelName) -> PathBuf {
        self.root.join(name.folder()).join(REFERENCES).join(name.revision.replace('/', "%2F"))
    }

    /// Every model of the store, by folder.
    ///
    /// # Errors
    /// A store that cannot be read. What is no model is passed over.
    pub fn models(&self) -> Result<Vec<Kept>, HubError> {
        let mut kept = Vec::new();
        for repo in folders(&self.root)? {
            for folder in folders(&repo)? {
                if let Ok(Some(lock)) = Lock::read(&folder) {
                    kept.push(Kept { folder, lock });
                }
            }
        }
        Ok(kept)
    }
}

/// Folders right below a folder, sorted, hidden ones left out; none below what is not there.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, HubError> {
    let failed = |source| HubError::io("read", folder, source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_dir() {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A folder in which a model is put together, held by one process at a time until it gets its name.
///
/// Dropped, what has come stays for the next try; an empty one goes.
pub(super) struct Staging {
    folder: PathBuf,
    // The lock of the system goes with it.
    _held: File,
}

impl Staging {
    /// Makes the folder or finds it, and waits until no other process holds it.
    ///
    /// # Errors
    /// [`HubError::Io`].
    pub(super) fn enter(folder: PathBuf, print: &Printer) -> Result<Self, HubError> {
        loop {
            fs::create_dir_all(&folder).map_err(|source| HubError::io("make", &folder, source))?;
            let held = match File::open(&folder) {
                Ok(held) => held,
                // Whoever held it has just given it its name.
                Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
                Err(cause) => return Err(HubError::io("open", &folder, cause)),
            };
            match held.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    print.note(&format!("another pliant works in {}: waiting for it", folder.display()));
                    held.lock().map_err(|source| HubError::io("lock", &folder, source))?;
                }
                // Not every file system of a cluster can lock a folder.
                Err(TryLockError::Error(cause)) => print.warning(&format!(
                    "{} cannot be locked ({cause}): no other pull of the same model may run now",
                    folder.display()
                )),
            }
            // Whoever held it may have given it its name, and somebody may have begun anew.
            let same = match (held.metadata(), fs::metadata(&folder)) {
                (Ok(held), Ok(now)) => (held.dev(), held.ino()) == (now.dev(), now.ino()),
                _ => false,
            };
            if same {
                return Ok(Self { folder, _held: held });
            }
        }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what is not in the lock, and gives the folder its name.
    pub(super) fn publish(self, lock: &Lock, target: &Path) -> Result<(), HubError> {
        let failed = |source| HubError::io("read", &self.folder, source);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).map_err(failed)?;
            let name = name.to_string_lossy();
            if name != LOCK_FILE && !lock.files.contains_key(name.as_ref()) {
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(|source| HubError::io("remove", &path, source))?;
            }
        }
        fs::rename(&self.folder, target).map_err(|source| HubError::io("make", target, source))?;
        // Makes the names durable where the file system can; the files are whole either way.
        for folder in [Some(target), target.parent()].into_iter().flatten() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Only an empty folder can be removed so.
        let _ = fs::remove_dir(&self.folder);
        if let Some(above) = self.folder.parent().filter(|_| self.folder.ends_with(".partial")) {
            let _ = fs::remove_dir(above);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(store: &ModelStore, name: &ModelName, commit: &str) {
        let folder = store.folder(name, commit);
        fs::create_dir_all(&folder).unwrap();
        Lock::new("https://hub", &name.repo, commit, None).write(&folder).unwrap();
    }

    #[test]
    fn a_branch_means_what_it_meant_when_it_was_pulled() {
        let root = tempfile::tempdir().unwrap();
        let store = ModelStore { root: root.path().to_path_buf() };
        let [one, two] = ["01", "02"].map(|pair| pair.repeat(20));
        let name = ModelName::parse("me/model").unwrap();
        assert!(store.find(&name).unwrap().is_none());
        assert_eq!(store.models().unwrap().len(), 0);
        for commit in [&one, &two] {
            keep(&store, &name, commit);
            store.remember(&name, commit).unwrap();
            assert_eq!(store.find(&name).unwrap().unwrap().lock.revision, *commit);
        }
        let at =
            |revision: &str| store.find(&ModelName::parse(&format!("me/model@{revision}")).unwrap()).unwrap();
        assert_eq!(at(&one).unwrap().folder, store.folder(&name, &one));
        assert!(at("v1").is_none());
        assert_eq!(store.models().unwrap().len(), 2);
        fs::write(store.reference(&name), "../../x\n").unwrap();
        assert!(store.find(&name).unwrap().is_none());
    }

    #[test]
    fn a_folder_of_another_model_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let store = ModelStore { root: root.path().to_path_buf() };
        let commit = "01".repeat(20);
        let name = ModelName::parse(&format!("a/b__c@{commit}")).unwrap();
        keep(&store, &name, &commit);
        let other = ModelName::parse(&format!("a__b/c@{commit}")).unwrap();
        assert!(matches!(store.find(&other), Err(HubError::LockText { .. })));
    }
}

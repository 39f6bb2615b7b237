//! The folder of a run: who may write into it, and what lies where.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pliant_store::{Access, AtomicFile, StoreError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::TrainError;

/// Locked by the process that trains here, for as long as it lives.
const LOCK: &str = ".pliant-run.lock";

/// How names of what is not finished begin.
pub(super) const HIDDEN: &str = ".pliant-";

/// The complete configuration.
pub const CONFIG_FILE: &str = "run.toml";

/// The log.
pub const LOG_FILE: &str = "log.jsonl";

/// The folder of the checkpoints.
const CHECKPOINTS: &str = "checkpoints";

/// A folder that no other run writes to while this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Whether there was no such folder.
    made: bool,
    _lock: File,
}

impl RunFolder {
    /// Opens the folder of a new run, or, with `resume`, of one that may go on. A folder that is not there is made.
    ///
    /// # Errors
    /// [`TrainError::Busy`], [`TrainError::HoldsRun`], [`TrainError::Stranger`], and what the system says.
    pub fn open(path: &Path, resume: bool) -> Result<Self, TrainError> {
        let made = !path.exists();
        fs::create_dir_all(path).map_err(TrainError::io("make the folder", path))?;
        let lock = locked(path)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(TrainError::io("read the folder", path))? {
            let entry = entry.map_err(TrainError::io("read the folder", path))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        names.retain(|name| !name.starts_with(HIDDEN));
        let is_run = names.iter().any(|name| name == CONFIG_FILE);
        match names.into_iter().next() {
            Some(_) if is_run && resume => {}
            Some(_) if is_run => return Err(TrainError::HoldsRun { folder: path.to_owned() }),
            Some(found) => return Err(TrainError::Stranger { folder: path.to_owned(), found }),
            None => {}
        }
        let folder = Self { path: path.to_owned(), made, _lock: lock };
        remove_unfinished(path)?;
        remove_unfinished(&folder.checkpoints())?;
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG_FILE)
    }

    /// Writes a text file into the folder, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &str, text: &str) -> Result<(), StoreError> {
        write_text(&self.path.join(name), text)
    }
}

/// A folder in which no run has begun is left as it was found.
impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.path.join(CONFIG_FILE).exists() {
            return;
        }
        // Nobody can be told when it fails, and what is left disturbs nobody.
        let _ = fs::remove_file(self.path.join(LOCK));
        if self.made {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Writes a text file, whole or not at all.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), StoreError> {
    let mut file = AtomicFile::create(path, Access::Stream)?;
    let written = file.write_all(text.as_bytes());
    written.map_err(|source| StoreError::io(pliant_store::Action::Write, path, source))?;
    file.commit()
}

/// Locks the folder against other processes. A file system without such locks is taken at its word: it is for the user
/// to see that one run writes there.
fn locked(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(LOCK);
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(TrainError::io("open", &path))?;
    let busy = || TrainError::Busy { folder: folder.to_owned() };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
        Err(Errno::WOULDBLOCK) => return Err(busy()),
        Err(cause) => return Err(TrainError::io("lock", &path)(cause.into())),
    }
    // A run that ended before it began has removed the file between its opening and its locking.
    let own = file.metadata().map_err(TrainError::io("lock", &path))?.ino();
    let is_there = fs::metadata(&path).is_ok_and(|there| there.ino() == own);
    if is_there { Ok(file) } else { Err(busy()) }
}

/// Removes what a killed run has not finished.
fn remove_unfinished(folder: &Path) -> Result<(), TrainError> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(TrainError::io("read the folder", folder))?,
    };
    for entry in entries {
        let path = entry.map_err(TrainError::io("read the folder", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(HIDDEN) && name != LOCK {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file or a folder with all that is in it, unless it is gone.
pub(crate) fn remove(path: &Path) -> Result<(), TrainError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(TrainError::io("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// Makes names in a folder durable. Not every file system can, and the files are whole either way.
pub(super) fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_share_a_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("a/run");
        let first = RunFolder::open(&out, false).unwrap();
        assert!(matches!(RunFolder::open(&out, true), Err(TrainError::Busy { .. })));
        drop(first);
        assert!(!out.exists() && scratch.path().join("a").exists(), "nothing has begun");
        fs::create_dir(&out).unwrap();
        drop(RunFolder::open(&out, false).unwrap());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    }

    #[test]
    fn only_a_run_is_gone_on_with() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path();
        fs::write(out.join(".pliant-x.partial"), "rest").unwrap();
        let folder = RunFolder::open(out, true).unwrap();
        assert!(!out.join(".pliant-x.partial").exists(), "what a killed run left is removed");
        folder.write(CONFIG_FILE, "x").unwrap();
        drop(folder);
        assert!(matches!(RunFolder::open(out, false), Err(TrainError::HoldsRun { .. })));
        RunFolder::open(out, true).unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("mine.txt"), "mine").unwrap();
        for resume in [false, true] {
            let refused = RunFolder::open(other.path(), resume).unwrap_err().to_string();
            assert!(refused.contains("\"mine.txt\""), "{refused}");
        }
    }
}

//! New folders that appear whole or not at all.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::ModelError;

/// A folder under a hidden name beside its own until it is committed; dropped before, it is removed. A killed process
/// leaves the hidden `.pliant-*.partial` behind, never half a model.
pub(crate) struct NewFolder<'a> {
    hidden: TempDir,
    out: &'a Path,
}

impl<'a> NewFolder<'a> {
    /// Begins the folder `out`, which must not exist or be empty.
    pub(crate) fn create(out: &'a Path) -> Result<Self, ModelError> {
        let parent = match out.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ModelError::Io { action, path, source }
        };
        match fs::read_dir(out) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(not_empty(out));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read the folder", out)(error)),
        }
        fs::create_dir_all(parent).map_err(failed("make the folder", parent))?;
        let hidden = tempfile::Builder::new()
            .prefix(".pliant-")
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(parent)
            .map_err(failed("make the folder", out))?;
        Ok(Self { hidden, out })
    }

    /// Where a file of the folder is to be written.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.hidden.path().join(name)
    }

    /// Writes a text file.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), ModelError> {
        // The hidden name says nothing to whoever reads the error.
        let named = |source| ModelError::Io { action: "write", path: self.out.join(name), source };
        write(&self.path(name), text).map_err(named)
    }

    /// Gives the folder its name. One that was made meanwhile is left as it is, unless it is empty.
    pub(crate) fn commit(self) -> Result<(), ModelError> {
        fs::rename(self.hidden.path(), self.out).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => not_empty(self.out),
            _ => ModelError::Io { action: "make the folder", path: self.out.to_owned(), source },
        })?;
        // What had the hidden name has another one now: there is nothing to remove.
        let _ = self.hidden.keep();
        Ok(())
    }
}

/// Writes a text file.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), ModelError> {
    write(path, text).map_err(|source| ModelError::Io { action: "write", path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()
}

fn not_empty(out: &Path) -> ModelError {
    ModelError::NotEmpty { folder: out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("a/model");
        let folder = NewFolder::create(&out).unwrap();
        folder.write("x", "text").unwrap();
        assert!(!out.exists());
        drop(folder);
        assert!(names(&scratch.path().join("a")).is_empty());
        let folder = NewFolder::create(&out).unwrap();
        folder.write("x", "text").unwrap();
        folder.commit().unwrap();
        assert_eq!(
            (names(&out), names(&scratch.path().join("a"))),
            (vec!["x".to_owned()], vec!["model".to_owned()])
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let plain = scratch.path().join("plain");
        fs::create_dir(&plain).unwrap();
        assert_eq!(mode(&out), mode(&plain));
    }

    #[test]
    fn an_empty_folder_is_filled_and_any_other_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("model");
        fs::create_dir(&out).unwrap();
        let (one, other) = (NewFolder::create(&out).unwrap(), NewFolder::create(&out).unwrap());
        one.write("x", "one").unwrap();
        one.commit().unwrap();
        assert!(matches!(other.commit(), Err(ModelError::NotEmpty { .. })));
        assert!(matches!(NewFolder::create(&out), Err(ModelError::NotEmpty { .. })));
        assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "one");
        assert_eq!(names(scratch.path()), ["model"]);
        assert!(matches!(NewFolder::create(&out.join("x")), Err(ModelError::Io { .. })));
    }
}

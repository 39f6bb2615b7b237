//! Where an output path leads, found before anything is computed.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Action, StoreError};

/// As many links as Linux follows before it gives up.
const MAX_LINKS: usize = 40;

/// Names of the standard output. Reopening it by name would write a redirected file from its start and not
/// where the shell stands, so these never go through the file system.
const STDOUT_NAMES: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where an output path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A regular file, there or yet to be made: written beside it, then renamed over it.
    File {
        /// The file itself, symbolic links of the last name resolved.
        path: PathBuf,
        /// Its folder, which exists.
        folder: PathBuf,
        /// Permissions of the file that will be replaced.
        replaced: Option<Permissions>,
    },
    /// The standard output: written as a stream.
    Stdout,
    /// Something that exists and is no regular file (device, FIFO): written as a stream.
    Stream(PathBuf),
}

impl Target {
    /// Finds where `typed` leads. Nothing is created.
    ///
    /// # Errors
    /// A folder, a path in a folder that does not exist, an existing file that may not be written, and
    /// whatever the system refuses.
    pub fn resolve(typed: &Path) -> Result<Self, StoreError> {
        if STDOUT_NAMES.iter().any(|name| typed.as_os_str() == *name) {
            return Ok(Self::Stdout);
        }
        let is_folder = || StoreError::IsFolder { path: typed.to_path_buf() };
        if typed.file_name().is_none() || typed.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(is_folder());
        }
        let refused = |source| StoreError::io(Action::Create, typed, source);
        let replaced = match fs::metadata(typed) {
            Ok(found) if found.is_dir() => return Err(is_folder()),
            Ok(found) if !found.is_file() => return Ok(Self::Stream(typed.to_path_buf())),
            Ok(found) => {
                // A rename needs no permission on the file itself; a write-protected result stays one.
                OpenOptions::new().write(true).open(typed).map_err(refused)?;
                Some(found.permissions())
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => None,
            Err(cause) => return Err(refused(cause)),
        };
        let path = follow_links(typed).map_err(refused)?;
        let folder = folder_of(&path);
        if !folder.is_dir() {
            return Err(StoreError::MissingFolder { path: typed.to_path_buf(), folder });
        }
        Ok(Self::File { path, folder, replaced })
    }

    /// Whether the target takes a stream only: no rename, no second table beside it.
    pub fn is_stream(&self) -> bool {
        !matches!(self, Self::File { .. })
    }
}

/// Checks every output of a run before it starts: each can be resolved, and no two lead to one file.
///
/// # Errors
/// Those of [`Target::resolve`], and [`StoreError::SameTarget`].
pub fn check_targets(outputs: &[&Path]) -> Result<(), StoreError> {
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for output in outputs {
        let place = match Target::resolve(output)? {
            Target::File { path, folder, .. } => {
                fs::canonicalize(&folder).unwrap_or(folder).join(path.file_name().unwrap_or_default())
            }
            Target::Stdout => PathBuf::from("-"),
            // What is sent to the null device is lost anyway; it may take any number of outputs.
            Target::Stream(path) if path == Path::new("/dev/null") => continue,
            Target::Stream(path) => path,
        };
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == place) {
            return Err(StoreError::SameTarget { first: first.to_path_buf(), second: output.to_path_buf() });
        }
        seen.push((place, output));
    }
    Ok(())
}

/// The path that the last name of `typed` leads to, through links that may dangle.
fn follow_links(typed: &Path) -> io::Result<PathBuf> {
    let mut path = typed.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => path = folder_of(&path).join(fs::read_link(&path)?),
            _ => return Ok(path),
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidInput))
}

/// The folder that `path` stands in; `.` for a bare name.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_output_has_several_names() {
        for name in STDOUT_NAMES {
            assert_eq!(Target::resolve(Path::new(name)).unwrap(), Target::Stdout);
        }
        assert!(Target::resolve(Path::new("/dev/full")).unwrap().is_stream());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        let found = Target::resolve(Path::new("no-such-file.npz")).unwrap();
        let wanted = Target::File { path: "no-such-file.npz".into(), folder: ".".into(), replaced: None };
        assert_eq!(found, wanted);
    }

    #[test]
    fn two_outputs_may_not_be_one_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let direct = folder.path().join("out.npz");
        let around = folder.path().join("sub/../out.npz");
        let link = folder.path().join("link.npz");
        std::os::unix::fs::symlink("out.npz", &link).unwrap();
        for other in [&direct, &around, &link] {
            assert!(matches!(check_targets(&[&direct, other]), Err(StoreError::SameTarget { .. })));
        }
        assert!(check_targets(&[Path::new("-"), Path::new("/dev/stdout")]).is_err());
        assert!(check_targets(&[Path::new("/dev/null"), Path::new("/dev/null")]).is_ok());
        assert!(check_targets(&[&direct, &folder.path().join("residues.npz"), Path::new("-")]).is_ok());
    }
}

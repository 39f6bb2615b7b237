//! Files that several tasks write beside their results.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;

use pliant_seq::{Failure, Source};
use pliant_store::{Access, Action, AtomicFile, FailureWriter, OutputSet, Separator, Sheet, StoreError};

use crate::cli::reading::OnError;

/// Adds the list of failures where the run may have some, and where an older one would be taken for this run's.
///
/// # Errors
/// What the system says to a new file.
pub(super) fn add_failures(
    files: &mut OutputSet,
    path: &Path,
    failures: &[Failure],
    on_error: OnError,
) -> Result<(), StoreError> {
    if on_error == OnError::Skip || !failures.is_empty() || path.exists() {
        files.push(failure_list(path, failures)?);
    }
    Ok(())
}

/// A table that others made, plain or compressed; `-` is standard input. Its suffix tells what stands between cells, and where
/// it has none, as a stream, the first line does.
///
/// # Errors
/// A suffix that is no table's, a file that cannot be read, and one that is no table.
pub(super) fn sheet(path: &Path) -> anyhow::Result<Sheet> {
    let is_packed = |suffix: &OsStr| PACKED.iter().any(|packed| suffix.eq_ignore_ascii_case(packed));
    let plain =
        if path.extension().is_some_and(is_packed) { path.with_extension("") } else { path.to_owned() };
    let mut bytes = Vec::new();
    for source in Source::from_arguments(&[path])? {
        bytes.extend(source.text()?);
    }
    let is_stream = path.as_os_str() == "-" || !fs::metadata(path).is_ok_and(|about| about.is_file());
    let separator = match Separator::of_path(&plain) {
        Err(_) if is_stream => Separator::of_first_line(&bytes),
        known => known?,
    };
    Ok(Sheet::parse(path, separator, &bytes)?)
}

/// Suffixes of compressed files.
const PACKED: [&str; 5] = ["gz", "bgz", "bz2", "xz", "zst"];

/// A path as JSON tells it, which holds Unicode alone: what is none is replaced, as no name of a file ends a run.
pub(super) fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Makes a folder for outputs, unless it is there.
///
/// # Errors
/// What the system says to a new folder.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|cause| StoreError::io(Action::Create, folder, cause))
}

/// The list of failures, complete but for its name.
///
/// # Errors
/// What the system says to a new file.
pub(super) fn failure_list(path: &Path, failures: &[Failure]) -> Result<AtomicFile, StoreError> {
    let mut list = FailureWriter::create(path)?;
    for failure in failures {
        list.push(&pliant_store::Failure {
            file: &failure.file,
            line: failure.line,
            record: failure.record,
            id: &failure.id,
            reason: &failure.reason.to_string(),
        })?;
    }
    Ok(list.finish())
}

/// A text file, complete but for its name.
///
/// # Errors
/// What the system says to a new file.
pub(super) fn text_file(path: &Path, text: &str) -> Result<AtomicFile, StoreError> {
    let mut file = AtomicFile::create(path, Access::Stream)?;
    let written = file.write_all(text.as_bytes());
    written.map_err(|source| StoreError::io(Action::Write, path, source))?;
    Ok(file)
}

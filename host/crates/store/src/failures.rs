//! The list of records that were left out: `<out>.failures.tsv`.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::atomic::{Access, AtomicFile};
use crate::error::{Action, StoreError};
use crate::target::Target;
use crate::tsv::escape;

/// One record that could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Input file as the user gave it.
    pub file: &'a str,
    /// Line of the record's header in that file, from 1.
    pub line: u64,
    /// Number of the record in the input.
    pub record: u64,
    /// Its id, as far as it has one.
    pub id: &'a str,
    /// What was found and what was wanted.
    pub reason: &'a str,
}

/// A list of failures being written: columns file, line, record, id, reason; one row per failed record.
pub struct FailureWriter {
    file: AtomicFile,
}

impl FailureWriter {
    /// Begins the list; without a push it will have its header only.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`].
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let mut writer = Self { file: AtomicFile::create(path, Access::Stream)? };
        writer.write("file\tline\trecord\tid\treason\n")?;
        Ok(writer)
    }

    /// Adds one record.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn push(&mut self, failure: &Failure<'_>) -> Result<(), StoreError> {
        let Failure { file, line, record, id, reason } = failure;
        self.write(&format!("{}\t{line}\t{record}\t{}\t{}\n", escape(file), escape(id), escape(reason)))
    }

    /// The list, ready to be committed with the results.
    pub fn finish(self) -> AtomicFile {
        self.file
    }

    fn write(&mut self, text: &str) -> Result<(), StoreError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|cause| StoreError::io(Action::Write, self.file.path(), cause))
    }
}

/// Where the failures of a run into `out` are listed; `None` where `out` is a stream and has no place beside it.
///
/// # Errors
/// Those of [`Target::resolve`].
pub fn failures_path(out: &Path) -> Result<Option<PathBuf>, StoreError> {
    if Target::resolve(out)?.is_stream() {
        return Ok(None);
    }
    let mut name = out.as_os_str().to_os_string();
    name.push(".failures.tsv");
    Ok(Some(PathBuf::from(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_line_whatever_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("e.npz");
        let path = failures_path(&out).unwrap().unwrap();
        assert_eq!(path, folder.path().join("e.npz.failures.tsv"));
        let mut writer = FailureWriter::create(&path).unwrap();
        let failure = Failure { file: "a.fasta", line: 7, record: 3, id: "x\ty\\", reason: "two\nlines\r" };
        writer.push(&failure).unwrap();
        writer.finish().commit().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "file\tline\trecord\tid\treason\na.fasta\t7\t3\tx\\ty\\\\\ttwo\\nlines\\r\n"
        );
    }

    #[test]
    fn a_stream_has_no_place_beside_it() {
        assert_eq!(failures_path(Path::new("-")).unwrap(), None);
        assert_eq!(failures_path(Path::new("/dev/null")).unwrap(), None);
    }
}

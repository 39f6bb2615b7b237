//! The list of records that were left out: `<out>.failures.tsv`.

use std::fs;
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

/// The first line of every list.
const HEADER: &str = "file\tline\trecord\tid\treason\n";

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
        writer.write(HEADER)?;
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

    /// Adds all records of another list as they stand in it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn append(&mut self, list: &FailureList) -> Result<(), StoreError> {
        self.write(&list.lines)
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

/// A list of failures that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureList {
    path: PathBuf,
    lines: String,
    rows: u64,
}

impl FailureList {
    /// Reads a list that a [`FailureWriter`] wrote; it may come from anywhere and is held as a whole.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Malformed`] where it is no such list.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let text = fs::read(path).map_err(|cause| StoreError::io(Action::Read, path, cause))?;
        let malformed = |reason| StoreError::Malformed { path: path.to_path_buf(), reason };
        let text = String::from_utf8(text).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
        let Some(lines) = text.strip_prefix(HEADER) else {
            return Err(malformed(format!(
                "a list of failed records begins with the line {:?}",
                HEADER.trim()
            )));
        };
        let mut rows = 0;
        for line in lines.split_inclusive('\n') {
            rows += 1;
            if !is_row(line) {
                let number = rows + 1;
                return Err(malformed(format!(
                    "line {number} is no failed record: file, line, record, id and reason were wanted"
                )));
            }
        }
        Ok(Self { path: path.to_path_buf(), lines: lines.to_owned(), rows })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// Whether a line, with its end, has the columns of a list.
fn is_row(line: &str) -> bool {
    let Some(line) = line.strip_suffix('\n') else { return false };
    let columns: Vec<&str> = line.split('\t').collect();
    match columns.as_slice() {
        [_, line, record, _, _] => line.parse::<u64>().is_ok() && record.parse::<u64>().is_ok(),
        _ => false,
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
    fn lists_are_joined_as_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, all] = ["1", "2", "all"].map(|name| folder.path().join(name));
        for (path, ids) in [(&one, &["a\tb", "c"][..]), (&two, &[])] {
            let mut writer = FailureWriter::create(path).unwrap();
            for id in ids {
                let failure = Failure { file: "x", line: 1, record: 2, id, reason: "why\n" };
                writer.push(&failure).unwrap();
            }
            writer.finish().commit().unwrap();
        }
        let [first, second] = [&one, &two].map(|path| FailureList::read(path).unwrap());
        assert_eq!((first.rows(), second.rows(), first.path()), (2, 0, one.as_path()));
        let mut writer = FailureWriter::create(&all).unwrap();
        writer.append(&second).unwrap();
        writer.append(&first).unwrap();
        writer.finish().commit().unwrap();
        assert_eq!(fs::read(&all).unwrap(), fs::read(&one).unwrap());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.tsv");
        for (rows, fault) in [
            ("x\t1\t2\tid\twhy", "line 2"),
            ("x\t1\t2\tid\twhy\nx\t1\t2\tid\n", "line 3"),
            ("x\t-1\t2\tid\twhy\n", "line 2"),
            ("x\t1\ttwo\tid\twhy\n", "line 2"),
            ("\n", "line 2"),
        ] {
            fs::write(&path, format!("{HEADER}{rows}")).unwrap();
            let error = FailureList::read(&path).unwrap_err().to_string();
            assert!(error.contains("f.tsv") && error.contains(fault), "{error}");
        }
        fs::write(&path, "id\n").unwrap();
        assert!(FailureList::read(&path).unwrap_err().to_string().contains("begins with the line"));
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(FailureList::read(&path), Err(StoreError::Malformed { .. })));
    }

    #[test]
    fn a_stream_has_no_place_beside_it() {
        assert_eq!(failures_path(Path::new("-")).unwrap(), None);
        assert_eq!(failures_path(Path::new("/dev/null")).unwrap(), None);
    }
}

//! The rows of several tables of named columns, joined as they stand.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::metadata::{METADATA_KEY, Metadata};

/// Longest line with the names of columns.
const NAMES_BYTES: u64 = 1 << 16;

/// A `.tsv` of named columns whose rows are copied, byte by byte, from others that [`crate::ColumnTable`] wrote.
pub struct TableRows {
    file: AtomicFile,
    names: Option<String>,
}

impl TableRows {
    /// Begins a table with this metadata; the first part gives the names of the columns.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`].
    pub fn create(path: &Path, metadata: &Metadata) -> Result<Self, StoreError> {
        let mut rows = Self { file: AtomicFile::create(path, Access::Stream)?, names: None };
        rows.write(format!("# {METADATA_KEY} {}\n", metadata.to_json()).as_bytes())?;
        Ok(rows)
    }

    /// Copies the rows of the table `part`.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Malformed`] where it has other columns than the parts before it, or does
    /// not end with a whole line.
    pub fn append(&mut self, part: &Path) -> Result<(), StoreError> {
        let failed = |cause| StoreError::io(Action::Read, part, cause);
        let malformed = |reason| StoreError::Malformed { path: part.to_path_buf(), reason };
        let mut reader = BufReader::new(File::open(part).map_err(failed)?);
        // The line of the metadata was read and checked by whoever chose the part.
        reader.skip_until(b'\n').map_err(failed)?;
        let mut names = Vec::new();
        (&mut reader).take(NAMES_BYTES).read_until(b'\n', &mut names).map_err(failed)?;
        let names = String::from_utf8(names).ok().filter(|names| names.ends_with('\n'));
        let names = names.ok_or_else(|| malformed("its second line does not name columns".to_owned()))?;
        match &self.names {
            None => {
                self.write(names.as_bytes())?;
                self.names = Some(names);
            }
            Some(first) if *first == names => {}
            Some(first) => {
                let reason = format!("it has the columns {:?}, wanted {:?}", names.trim(), first.trim());
                return Err(malformed(reason));
            }
        }
        let mut last = b'\n';
        loop {
            let bytes = reader.fill_buf().map_err(failed)?;
            let Some(&end) = bytes.last() else { break };
            let length = bytes.len();
            self.file
                .write_all(bytes)
                .map_err(|cause| StoreError::io(Action::Write, self.file.path(), cause))?;
            last = end;
            reader.consume(length);
        }
        if last == b'\n' { Ok(()) } else { Err(malformed("its last line is cut short".to_owned())) }
    }

    /// The table, ready to be committed.
    #[must_use]
    pub fn finish(self) -> OutputSet {
        let mut files = OutputSet::new();
        files.push(self.file);
        files
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all(bytes);
        written.map_err(|cause| StoreError::io(Action::Write, self.file.path(), cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn rows_are_joined_under_one_head_and_other_tables_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let first = file("1", "# pliant_meta {\"a\":1}\nid\tscore\na\t1\n");
        let none = file("2", "# pliant_meta {\"a\":2}\nid\tscore\n");
        let last = file("3", "# pliant_meta {\"a\":3}\nid\tscore\nb\t2\n");
        let out = folder.path().join("out.tsv");
        let mut rows = TableRows::create(&out, &Metadata::new()).unwrap();
        for part in [&first, &none, &last] {
            rows.append(part).unwrap();
        }
        rows.finish().commit().unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), "# pliant_meta {}\nid\tscore\na\t1\nb\t2\n");
        for (text, fault) in [
            ("# m\nid\tother\na\t1\n", "wanted \"id\\tscore\""),
            ("# m\nid\tscore\na\t1", "cut short"),
            ("# m\nid\tscore", "does not name columns"),
            ("", "does not name columns"),
        ] {
            let mut rows = TableRows::create(&out, &Metadata::new()).unwrap();
            rows.append(&first).unwrap();
            let error = rows.append(&file("4", text)).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }
}

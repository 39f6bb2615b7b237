//! `.tsv`: pooled vectors as text.
//!
//! The first line is `# pliant_meta` and the metadata as JSON. Then comes the header `id`, `e0`, `e1`, … and one row
//! per record, cells separated by tabs. Readers that take `#` for a comment anywhere in a line would cut ids that
//! contain it: skip the first line instead (pandas: `skiprows=1`).
//!
//! Numbers are the shortest decimal text that reads back as the same number (of the same number type). In ids a
//! tab, line feed, carriage return or backslash is written `\t`, `\n`, `\r` or `\\`. One file per layer.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::metadata::METADATA_KEY;
use crate::table::{Format, TablePlan, output_paths};
use crate::tally::Tally;
use crate::values::Encoder;

/// Tables of pooled vectors being written row by row, one for each layer.
pub struct TsvTable {
    tally: Tally,
    /// One per layer.
    files: Vec<AtomicFile>,
    encoder: Encoder,
    values: Vec<f32>,
    line: Vec<u8>,
}

impl TsvTable {
    /// Begins the files and writes their heads.
    ///
    /// # Errors
    /// An impossible plan, several layers for one stream, and those of [`AtomicFile::create`].
    pub fn create(path: &Path, plan: &TablePlan) -> Result<Self, StoreError> {
        let tally = Tally::new(path, plan, None)?;
        let paths = output_paths(path, Format::Tsv, &plan.layers)?;
        let mut files = Vec::with_capacity(paths.len());
        for (path, layer) in paths.iter().zip(&plan.layers) {
            let mut file = AtomicFile::create(path, Access::Stream)?;
            let head = head(plan, *layer);
            file.write_all(head.as_bytes()).map_err(|cause| StoreError::io(Action::Write, path, cause))?;
            files.push(file);
        }
        let encoder = Encoder::new(plan.dtype, plan.width);
        Ok(Self { tally, files, encoder, values: Vec::new(), line: Vec::new() })
    }

    /// Writes the next record: for each layer its C numbers.
    ///
    /// # Errors
    /// Values of another shape than planned, too many records, values that the number type cannot hold, and
    /// [`StoreError::Io`]. After any error the table cannot be finished.
    pub fn push(&mut self, id: &str, layers: &[&[f32]]) -> Result<(), StoreError> {
        let rows = self.tally.begin(id, layers)?;
        for ((values, file), layer) in layers.iter().zip(&mut self.files).zip(&self.tally.plan.layers) {
            self.encoder.rounded(values, id, *layer, &mut self.values)?;
            self.line.clear();
            self.line.extend_from_slice(escape(id).as_bytes());
            // Writing to memory cannot fail.
            let _ = self.values.iter().try_for_each(|value| write!(self.line, "\t{value}"));
            self.line.push(b'\n');
            file.write_all(&self.line).map_err(|cause| StoreError::io(Action::Write, file.path(), cause))?;
        }
        self.tally.done(rows);
        Ok(())
    }

    /// The files, ready to be committed.
    ///
    /// # Errors
    /// Fewer records than planned, and an earlier failure.
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        self.tally.finish()?;
        Ok(OutputSet::from(self.files))
    }
}

/// The two lines above the rows.
fn head(plan: &TablePlan, layer: usize) -> String {
    let mut text = format!("# {METADATA_KEY} {}\nid", plan.metadata.for_layers(&[layer]).to_json());
    for column in 0..plan.width {
        text.push_str(&format!("\te{column}"));
    }
    text.push('\n');
    text
}

/// Text that stays in its cell and its line.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\t', '\n', '\r', '\\']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        match letter {
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\\' => escaped.push_str("\\\\"),
            plain => escaped.push(plain),
        }
    }
    Cow::Owned(escaped)
}

/// The text of a cell that [`escape`] made; `None` where it did not.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::values::OutDtype;

    fn plan(rows: usize, layers: &[usize], dtype: OutDtype) -> TablePlan {
        let metadata = Metadata::new().with("model", "m");
        TablePlan { rows, width: 2, layers: layers.to_vec(), dtype, metadata, h5_layout: Default::default() }
    }

    #[test]
    fn numbers_are_the_shortest_that_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.tsv");
        let mut table = TsvTable::create(&path, &plan(2, &[6], OutDtype::F32)).unwrap();
        table.push("a\tb\\", &[&[0.1, -16_777_216.0]]).unwrap();
        table.push("c", &[&[1.0e-7, 3.402_823_5e38]]).unwrap();
        table.finish().unwrap().commit().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"# pliant_meta {"layers":[6],"model":"m"}"#);
        assert_eq!(lines[1], "id\te0\te1");
        assert_eq!(lines[2], "a\\tb\\\\\t0.1\t-16777216");
        let back: Vec<f32> = lines[3].split('\t').skip(1).map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(back, [1.0e-7, 3.402_823_5e38]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn halves_are_written_as_the_number_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.tsv");
        let mut table = TsvTable::create(&path, &plan(1, &[6], OutDtype::F16)).unwrap();
        table.push("a", &[&[0.1, 2049.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("\na\t0.099975586\t2048\n"));
    }

    /// A file of a run over two layers has the bytes of a run over its layer alone.
    #[test]
    fn each_layer_has_its_own_file() {
        let folder = tempfile::tempdir().unwrap();
        let both = folder.path().join("both.tsv");
        let mut table = TsvTable::create(&both, &plan(1, &[3, 5], OutDtype::F32)).unwrap();
        table.push("a", &[&[1.0, 2.0], &[3.0, 4.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
        let alone = folder.path().join("alone.tsv");
        let mut table = TsvTable::create(&alone, &plan(1, &[5], OutDtype::F32)).unwrap();
        table.push("a", &[&[3.0, 4.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("both.layer5.tsv"), read("alone.tsv"));
        assert!(!both.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_wrong_number_of_rows_is_never_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.tsv");
        let mut table = TsvTable::create(&path, &plan(1, &[6], OutDtype::F32)).unwrap();
        table.push("a", &[&[1.0, 2.0]]).unwrap();
        assert!(matches!(
            table.push("b", &[&[1.0, 2.0]]),
            Err(StoreError::Count { wanted: 1, found: 2, .. })
        ));
        assert!(table.finish().is_err());
        let table = TsvTable::create(&path, &plan(1, &[6], OutDtype::F32)).unwrap();
        assert!(matches!(table.finish(), Err(StoreError::Count { wanted: 1, found: 0, .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_device_is_an_error_while_rows_are_written() {
        let mut table =
            TsvTable::create(Path::new("/dev/full"), &plan(1_000_000, &[6], OutDtype::F32)).unwrap();
        let error = (0..1_000_000).find_map(|_| table.push("a", &[&[0.125, 2.0]]).err()).unwrap();
        assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("/dev/full: no space left"), "{error}");
        assert!(table.finish().is_err());
    }
}

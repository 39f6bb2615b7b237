//! Tables that others made, as `.csv` or `.tsv`: every cell is text and stays as it is.
//!
//! Cells may be quoted and lines may end as on Windows; a mark of UTF-8 at the start is no part of the first name. The
//! first line names the columns. What is written has plain line ends and quotes where they are needed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Writer, WriterBuilder};

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::metadata::{METADATA_KEY, Metadata};

/// What stands between cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// `.csv`
    Comma,
    /// `.tsv`
    Tab,
}

impl Separator {
    /// That of the suffix of `path`.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`] for a suffix that is neither.
    pub fn of_path(path: &Path) -> Result<Self, StoreError> {
        let suffix = path.extension().and_then(|suffix| suffix.to_str()).map(str::to_ascii_lowercase);
        match suffix.as_deref() {
            Some("csv") => Ok(Self::Comma),
            Some("tsv") => Ok(Self::Tab),
            _ => Err(StoreError::UnknownFormat { path: path.to_path_buf(), known: ".csv, .tsv".to_owned() }),
        }
    }

    /// That of a text without a suffix: a tab where its first line has one.
    pub fn of_first_line(text: &[u8]) -> Self {
        let mut first = text.iter().take_while(|&&byte| byte != b'\n');
        if first.any(|&byte| byte == b'\t') { Self::Tab } else { Self::Comma }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Tab => b'\t',
        }
    }
}

/// A whole table in memory.
#[derive(Debug, Clone)]
pub struct Sheet {
    separator: Separator,
    columns: StringRecord,
    rows: Vec<StringRecord>,
    /// The line on which each row begins.
    lines: Vec<u64>,
}

impl Sheet {
    /// Reads the file at `path`; its suffix tells the separator. Memory is bounded by a small multiple of its size.
    ///
    /// # Errors
    /// A suffix that is neither, [`StoreError::Io`], and [`StoreError::NotATable`] with the line for rows of another
    /// number of cells than there are columns and for text that is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let separator = Separator::of_path(path)?;
        let bytes = fs::read(path).map_err(|cause| StoreError::io(Action::Read, path, cause))?;
        Self::parse(path, separator, &bytes)
    }

    /// The table whose text is at hand; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`Sheet::read`], but for reading.
    pub fn parse(path: &Path, separator: Separator, bytes: &[u8]) -> Result<Self, StoreError> {
        let text = bytes.strip_prefix(MARK).unwrap_or(bytes);
        let malformed = |reason| StoreError::NotATable { path: path.to_path_buf(), reason };
        let refused = |cause: csv::Error| malformed(reason(cause.kind(), text));
        let mut reader = ReaderBuilder::new().delimiter(separator.byte()).from_reader(text);
        let columns = reader.headers().map_err(refused)?.clone();
        let rows: Result<Vec<_>, _> = reader.into_records().collect();
        let rows = rows.map_err(refused)?;
        let mut lines = Lines::of(text);
        let lines: Vec<u64> = rows.iter().map(|row| lines.at(row.position())).collect();
        if is_open(rows.last().unwrap_or(&columns), text) {
            let line = lines.last().unwrap_or(&1);
            return Err(malformed(format!("line {line}: found a quote that is opened and never closed")));
        }
        Ok(Self { separator, columns, rows, lines })
    }

    /// What stands between its cells.
    pub fn separator(&self) -> Separator {
        self.separator
    }

    /// The names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter()
    }

    /// The number of the first column of that name, blanks around names left out.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.trim() == name)
    }

    /// The numbers of all columns of that name, blanks around names left out.
    pub fn places(&self, name: &str) -> Vec<usize> {
        let is_own = |(_, column): &(usize, &str)| column.trim() == name;
        self.columns.iter().enumerate().filter(is_own).map(|(place, _)| place).collect()
    }

    /// The same table where its first line is a row and names nothing: columns are called by their numbers, from 1.
    #[must_use]
    pub fn without_names(self) -> Self {
        let Self { separator, columns, mut rows, mut lines } = self;
        let names = (1..=columns.len()).map(|number| number.to_string()).collect::<Vec<_>>().into();
        rows.insert(0, columns);
        lines.insert(0, 1);
        Self { separator, columns: names, rows, lines }
    }

    /// The rows in the order of the file.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = SheetRow<'_>> {
        self.rows.iter().zip(&self.lines).map(|(cells, &line)| SheetRow { cells, line })
    }
}

/// The mark of UTF-8 at the start of a file.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Lines of places in a text, asked for in ascending order. The parser counts a line that ends as on Windows when it
/// comes to the next row, so its own numbers are one too low there.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, byte: 0, line: 1 }
    }

    /// The line, from 1, of the row that begins there or after the line ends there.
    fn at(&mut self, position: Option<&csv::Position>) -> u64 {
        let place = position.map_or(0, csv::Position::byte);
        let mut end = usize::try_from(place).map_or(self.text.len(), |place| place.min(self.text.len()));
        while self.text.get(end).is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            end += 1;
        }
        let passed = &self.text[self.byte.min(end)..end];
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.byte = end;
        self.line
    }
}

/// Whether the last row ends within quotes, which then hold all that was to be rows after it: a cell of several lines, and
/// quotes that come in no pairs.
fn is_open(row: &StringRecord, text: &[u8]) -> bool {
    let start = row.position().map_or(0, |place| usize::try_from(place.byte()).unwrap_or(text.len()));
    let quotes = text[start.min(text.len())..].iter().filter(|&&byte| byte == b'"').count();
    !quotes.is_multiple_of(2) && row.iter().any(|cell| cell.contains('\n'))
}

/// What is wrong with a table, with its line.
fn reason(kind: &csv::ErrorKind, text: &[u8]) -> String {
    let line = |position: &Option<csv::Position>| Lines::of(text).at(position.as_ref());
    match kind {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            format!("line {}: found {len} cells, wanted {expected_len}, one for each column", line(pos))
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("line {}: found bytes that are no text in UTF-8: save it as UTF-8", line(pos))
        }
        other => format!("{other:?}"),
    }
}

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub struct SheetRow<'a> {
    cells: &'a StringRecord,
    line: u64,
}

impl<'a> SheetRow<'a> {
    /// The line on which it begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The cell of a column; nothing beyond the last.
    pub fn cell(&self, column: usize) -> &'a str {
        self.cells.get(column).unwrap_or_default()
    }

    /// Its cells.
    pub fn cells(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.cells.iter()
    }
}

/// A table being written row by row.
pub struct SheetWriter {
    path: PathBuf,
    writer: Writer<AtomicFile>,
}

impl SheetWriter {
    /// Begins the file with the names of its columns.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`].
    pub fn create<'a>(
        path: &Path,
        separator: Separator,
        columns: impl Iterator<Item = &'a str>,
    ) -> Result<Self, StoreError> {
        Self::begin(path, separator, AtomicFile::create(path, Access::Stream)?, columns)
    }

    /// Begins the file with a line of what it tells of itself, `# pliant_meta` and JSON, then the names of its columns.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`], and [`StoreError::Io`].
    pub fn described<'a>(
        path: &Path,
        separator: Separator,
        metadata: &Metadata,
        columns: impl Iterator<Item = &'a str>,
    ) -> Result<Self, StoreError> {
        let mut file = AtomicFile::create(path, Access::Stream)?;
        let written = writeln!(file, "# {METADATA_KEY} {}", metadata.to_json());
        written.map_err(|cause| StoreError::io(Action::Write, path, cause))?;
        Self::begin(path, separator, file, columns)
    }

    fn begin<'a>(
        path: &Path,
        separator: Separator,
        file: AtomicFile,
        columns: impl Iterator<Item = &'a str>,
    ) -> Result<Self, StoreError> {
        let writer = WriterBuilder::new().delimiter(separator.byte()).from_writer(file);
        let mut sheet = Self { path: path.to_path_buf(), writer };
        sheet.push(columns)?;
        Ok(sheet)
    }

    /// Writes the next row: as many cells as there are columns.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn push<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
        let written = self.writer.write_record(cells.map(str::as_bytes));
        written.map_err(|cause| match cause.into_kind() {
            csv::ErrorKind::Io(cause) => StoreError::io(Action::Write, &self.path, cause),
            _ => StoreError::Broken { path: self.path.clone() },
        })
    }

    /// The file, ready to be committed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        let Self { path, mut writer } = self;
        let refused = |cause| StoreError::io(Action::Write, &path, cause);
        writer.flush().map_err(refused)?;
        // Nothing is left to be written that could fail.
        let file = writer.into_inner().map_err(|left| refused(left.error().kind().into()))?;
        Ok(OutputSet::from(vec![file]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<Sheet, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Sheet::read(&path)
    }

    #[test]
    fn marks_line_ends_and_quotes_are_no_part_of_cells() {
        for start in ["", "\u{feff}"] {
            let text =
                format!("{start}\"mutant\",note\r\n\"A1,G\",\"two\nlines\"\r\nA2G,\"a \"\"b\"\"\"\r\n");
            let sheet = read("m.csv", text.as_bytes()).unwrap();
            assert_eq!(
                (sheet.column("mutant"), sheet.column("note"), sheet.column("x")),
                (Some(0), Some(1), None)
            );
            let rows: Vec<(u64, Vec<&str>)> =
                sheet.rows().map(|row| (row.line(), row.cells().collect())).collect();
            assert_eq!(rows, [(2, vec!["A1,G", "two\nlines"]), (4, vec!["A2G", "a \"b\""])]);
        }
    }

    #[test]
    fn what_was_read_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("m.csv", "a,b\n\"x,y\",\n,\"q\"\"\"\n"), ("m.TSV", "a\tb\nx,y\t\n")] {
            let sheet = read(name, text.as_bytes()).unwrap();
            let path = folder.path().join(name);
            let mut writer = SheetWriter::create(&path, sheet.separator(), sheet.columns()).unwrap();
            sheet.rows().for_each(|row| writer.push(row.cells()).unwrap());
            writer.finish().unwrap().commit().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_table_may_have_no_names_or_a_name_twice() {
        let sheet = read("m.tsv", b"P1\tP2\t1\nP1\tP3\t0\n").unwrap().without_names();
        assert_eq!(sheet.columns().collect::<Vec<_>>(), ["1", "2", "3"]);
        let rows: Vec<(u64, &str)> = sheet.rows().map(|row| (row.line(), row.cell(1))).collect();
        assert_eq!(rows, [(1, "P2"), (2, "P3")]);
        let sheet = read("m.csv", b"a, b ,a\n1,2,3\n").unwrap();
        assert_eq!((sheet.places("a"), sheet.places("b"), sheet.places("c")), (vec![0, 2], vec![1], vec![]));
        assert_eq!(Separator::of_first_line(b"a,b\nc\td"), Separator::Comma);
        assert_eq!(Separator::of_first_line(b"a,b\tc"), Separator::Tab);
    }

    #[test]
    fn a_table_can_tell_of_itself_in_a_line_above() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.tsv");
        let metadata = Metadata::new().with("score", -1.5);
        let mut writer =
            SheetWriter::described(&path, Separator::Tab, &metadata, ["a", "b"].into_iter()).unwrap();
        writer.push(["1", "2"].into_iter()).unwrap();
        writer.finish().unwrap().commit().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# pliant_meta {\"score\":-1.5}\na\tb\n1\t2\n");
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        let refused = |name, bytes: &[u8]| read(name, bytes).unwrap_err().to_string();
        assert!(refused("m.csv", b"a,b\n1,2\n3\n").contains("line 3: found 1 cells, wanted 2"));
        assert!(refused("m.csv", b"a,b\n1,\xff\n").contains("line 2: found bytes"));
        assert!(refused("m.txt", b"a,b\n").contains(".csv, .tsv"));
        let open = refused("m.csv", b"a,b\n1,2\n3,\"x\n4,5\n6,7\n");
        assert!(open.contains("line 3: found a quote that is opened and never closed"), "{open}");
        assert!(refused("m.csv", b"a,\"b\n1,2\n").contains("line 1: found a quote"));
        assert!(read("m.csv", b"a,b\n3,\"x\n4,5\"\n6,5\" wide\n").is_ok());
    }

    #[test]
    fn a_full_device_is_an_error() {
        let mut writer =
            SheetWriter::create(Path::new("/dev/full"), Separator::Comma, ["a"].into_iter()).unwrap();
        let result = (0..100_000).try_for_each(|_| writer.push(["text"].into_iter()));
        assert!(result.is_err() || writer.finish().and_then(OutputSet::commit).is_err());
    }
}

//! Text by lines with their numbers, and tables by rows with the lines on which they begin.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use csv::ByteRecord;

use super::error::TableError;
use crate::error::InputError;
use crate::input::{Progress, Source, read_error};

/// Bytes of a line at most: five hundred times the longest protein, and no more than a machine can hold.
const LINE_BYTES: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines of one input, without their ends.
pub(super) struct Lines {
    file: Arc<str>,
    input: Box<dyn BufRead + Send>,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn open(source: &Source) -> Result<Self, InputError> {
        Self::watched(source, &Progress::default())
    }

    fn watched(source: &Source, progress: &Progress) -> Result<Self, InputError> {
        let input = source.open(progress)?;
        Ok(Self { file: Arc::clone(source.name()), input, number: 0, line: Vec::new() })
    }

    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, or nothing at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<&[u8]>, TableError> {
        let more = self.advance().map_err(|source| read_error(&self.file, self.number, source))?;
        if self.line.len() as u64 > LINE_BYTES {
            let (file, line) = (Arc::clone(&self.file), self.number);
            return Err(TableError::LongLine { file, line, limit_mib: LINE_BYTES >> 20 });
        }
        Ok(more.then_some(self.line.as_slice()))
    }

    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.number += 1;
        let read = self.input.by_ref().take(LINE_BYTES + 2).read_until(b'\n', &mut self.line)?;
        for end in [b'\n', b'\r'] {
            if self.line.last() == Some(&end) {
                self.line.pop();
            }
        }
        if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(read > 0)
    }
}

/// Hands lines one by one to a parser that would otherwise read ahead, so that the line is known on which a row begins.
struct OneByOne {
    lines: Lines,
    /// Bytes of the line that were handed on; one beyond the line is its end.
    given: usize,
    ended: bool,
    /// The first line that is not blank and was read since this was taken.
    began: Cell<Option<u64>>,
    /// Quotes in the lines that were read since.
    quotes: Cell<usize>,
}

impl Read for OneByOne {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.given > self.lines.line.len() {
            if !self.lines.advance()? {
                self.ended = true;
                return Ok(0);
            }
            if self.lines.line.len() as u64 > LINE_BYTES {
                return Err(io::Error::other("a line is too long for a table"));
            }
            self.given = 0;
            let quotes = self.lines.line.iter().filter(|&&byte| byte == b'"').count();
            self.quotes.set(self.quotes.get() + quotes);
            if !self.lines.line.is_empty() && self.began.get().is_none() {
                self.began.set(Some(self.lines.number));
            }
        }
        let left = &self.lines.line[self.given..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.given += count;
        if count == left.len() && count < buffer.len() {
            buffer[count] = b'\n';
            self.given += 1;
            return Ok(count + 1);
        }
        Ok(count)
    }
}

/// What stands between the cells of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// `.csv`
    Comma,
    /// `.tsv`, `.tab`
    Tab,
}

impl Separator {
    /// That of the suffix, before that of a compression.
    fn of_name(name: &str) -> Option<Self> {
        let known = |part: &str| match part.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Comma),
            "tsv" | "tab" => Some(Self::Tab),
            _ => None,
        };
        let file = name.rsplit('/').next().unwrap_or(name);
        file.split('.').skip(1).filter_map(known).last()
    }

    /// Whether a name is that of a table.
    pub fn is_of_table(name: &str) -> bool {
        Self::of_name(name).is_some()
    }

    /// That of the suffix; where it tells none, a tab in the first line.
    pub(crate) fn of(source: &Source) -> Result<Self, TableError> {
        if let Some(known) = Self::of_name(source.name()) {
            return Ok(known);
        }
        let mut lines = Lines::open(source)?;
        let tab = lines.next_line()?.is_some_and(|line| line.contains(&b'\t'));
        Ok(if tab { Self::Tab } else { Self::Comma })
    }
}

/// The rows of a table of named columns.
pub(crate) struct Rows {
    file: Arc<str>,
    reader: csv::Reader<OneByOne>,
    names: Vec<String>,
    cells: ByteRecord,
    line: u64,
    /// The first line is a row that is still to be given.
    waits: bool,
}

impl Rows {
    /// Reads the names of the columns.
    pub(crate) fn open(source: &Source, separator: Separator) -> Result<Self, TableError> {
        Self::watched(source, separator, &Progress::default())
    }

    /// The same, where someone watches how far it has come.
    pub(crate) fn watched(
        source: &Source,
        separator: Separator,
        progress: &Progress,
    ) -> Result<Self, TableError> {
        let lines = Lines::watched(source, progress)?;
        let file = Arc::clone(lines.file());
        // One beyond a line without letters: the first one is still to be read.
        let input = OneByOne { lines, given: 1, ended: false, began: Cell::new(None), quotes: Cell::new(0) };
        let delimiter = match separator {
            Separator::Comma => b',',
            Separator::Tab => b'\t',
        };
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(input);
        let mut rows =
            Self { file, reader, names: Vec::new(), cells: ByteRecord::new(), line: 0, waits: false };
        if !rows.advance()? {
            return Err(TableError::NoHeader { file: rows.file });
        }
        let name = |cell: &[u8]| String::from_utf8_lossy(cell).trim().to_owned();
        rows.names = rows.cells.iter().map(name).collect();
        Ok(rows)
    }

    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Takes the first line as a row of columns with these names where it has as many cells and the last is a whole number.
    pub(crate) fn name_headless(&mut self, names: &[String]) {
        let last = self.names.last().is_some_and(|cell| cell.parse::<i64>().is_ok());
        if last && self.names.len() == names.len() {
            self.names = names.to_vec();
            self.waits = true;
        }
    }

    /// The line on which the row begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Whether there is a column.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|found| found == name)
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> Result<usize, TableError> {
        let mut places = self.names.iter().enumerate().filter(|(_, found)| *found == name);
        let missing = || TableError::NoColumn {
            file: Arc::clone(&self.file),
            column: name.to_owned(),
            found: self.names.join(", "),
        };
        let (place, _) = places.next().ok_or_else(missing)?;
        match places.next() {
            None => Ok(place),
            Some(_) => Err(TableError::TwoColumns { file: Arc::clone(&self.file), column: name.to_owned() }),
        }
    }

    /// The cell of a column in the row.
    pub(crate) fn cell(&self, column: usize) -> &[u8] {
        self.cells.get(column).unwrap_or_default().trim_ascii()
    }

    /// The cells of some columns in the row, as one id.
    pub(crate) fn joined(&self, columns: &[usize]) -> Vec<u8> {
        columns.iter().map(|&column| self.cell(column)).collect::<Vec<_>>().join(&b'/')
    }

    /// Goes to the next row; false at the end.
    pub(crate) fn next_row(&mut self) -> Result<bool, TableError> {
        if !std::mem::take(&mut self.waits) && !self.advance()? {
            return Ok(false);
        }
        let (found, wanted) = (self.cells.len(), self.names.len());
        if found != wanted {
            let (file, line) = (Arc::clone(&self.file), self.line);
            return Err(TableError::Ragged { file, line, found, wanted });
        }
        Ok(true)
    }

    fn advance(&mut self) -> Result<bool, TableError> {
        self.reader.get_ref().began.set(None);
        self.reader.get_ref().quotes.set(0);
        let more = match self.reader.read_byte_record(&mut self.cells) {
            Ok(more) => more,
            Err(error) => {
                let line = self.reader.get_ref().lines.number;
                return Err(match error.into_kind() {
                    csv::ErrorKind::Io(source) => read_error(&self.file, line, source).into(),
                    _ => TableError::NotTable { file: Arc::clone(&self.file), line },
                });
            }
        };
        let input = self.reader.get_ref();
        self.line = input.began.get().unwrap_or(self.line);
        // Quotes that are never closed hold all that was to be rows after them.
        let spans_lines = || self.cells.iter().any(|cell| cell.contains(&b'\n'));
        if more && input.ended && !input.quotes.get().is_multiple_of(2) && spans_lines() {
            return Err(TableError::OpenQuote { file: Arc::clone(&self.file), line: self.line });
        }
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, separator: Separator) -> Vec<(u64, Vec<String>)> {
        let source = Source::from_bytes("in", text.as_bytes());
        let mut rows = Rows::open(&source, separator).unwrap();
        let mut found = Vec::new();
        while rows.next_row().unwrap() {
            let cells = (0..rows.names.len()).map(|place| String::from_utf8_lossy(rows.cell(place)).into());
            found.push((rows.line(), cells.collect()));
        }
        found
    }

    #[test]
    fn rows_know_the_line_on_which_they_begin() {
        for end in ["\n", "\r\n"] {
            for start in ["", "\u{feff}"] {
                let text = format!(
                    "{start}\"a\",b{end}1,2{end}{end}\"x{end}{end}y\",\"q\"\"r\"{end}{end}{end}5, 6 {end}7,8"
                );
                let wanted = [
                    (2, vec!["1", "2"]),
                    (4, vec!["x\n\ny", "q\"r"]),
                    (9, vec!["5", "6"]),
                    (10, vec!["7", "8"]),
                ];
                assert_eq!(
                    rows(&text, Separator::Comma),
                    wanted.map(|(line, cells)| (line, cells.into_iter().map(str::to_owned).collect()))
                );
            }
        }
    }

    #[test]
    fn rows_longer_than_every_buffer_are_read() {
        let long = "ACDEFGHIKL".repeat(30_000);
        let text = format!("a\tb\n{long}\t1\n2\t{long}\n");
        let found = rows(&text, Separator::Tab);
        assert_eq!(found[0].1, [long.as_str(), "1"]);
        assert_eq!((found[1].0, found[1].1[1].len()), (3, 300_000));
        // Every length around a buffer's, where a line's end may fall on either side.
        for length in (8 * 1024 - 3)..(8 * 1024 + 3) {
            let long = "A".repeat(length);
            let found = rows(&format!("a\tb\n{long}\t1\n{long}\t2\n"), Separator::Tab);
            assert_eq!(found.len(), 2);
            assert_eq!((found[1].0, found[1].1[0].len(), found[1].1[1].as_str()), (3, length, "2"));
        }
    }

    #[test]
    fn what_is_no_table_says_where() {
        let open = |text: &str| Rows::open(&Source::from_bytes("t.csv", text.as_bytes()), Separator::Comma);
        let mut ragged = open("a,b\n1,2\n\n3\n").unwrap();
        assert!(ragged.next_row().unwrap());
        let error = ragged.next_row().unwrap_err().to_string();
        assert_eq!(error, "t.csv: line 4: found 1 cells, wanted 2, one for each column");
        assert!(matches!(open(""), Err(TableError::NoHeader { .. })));
        let mut quoted = open("a,b\n1,2\n3,\"x\n4,5\n6,7\n").unwrap();
        assert!(quoted.next_row().unwrap());
        let error = quoted.next_row().unwrap_err().to_string();
        assert_eq!(error, "t.csv: line 3: found a quote that is opened and never closed");
        let mut closed = open("a,b\n3,\"x\n4,5\"\n6,5\" wide\n").unwrap();
        assert!(closed.next_row().unwrap() && closed.next_row().unwrap() && !closed.next_row().unwrap());
        let rows = open("id,seq,id\n").unwrap();
        let missing = rows.column("sequence").unwrap_err().to_string();
        assert_eq!(missing, "t.csv has no column 'sequence'; it has the columns id, seq, id");
        assert!(matches!(rows.column("id"), Err(TableError::TwoColumns { .. })));
        assert_eq!(rows.column("seq").unwrap(), 1);
    }

    #[test]
    fn separators_are_told_by_suffix_or_first_line() {
        let of = |name: &str, text: &str| Separator::of(&Source::from_bytes(name, text.as_bytes())).unwrap();
        assert_eq!(of("a/b.tsv.gz", "a,b\n"), Separator::Tab);
        assert_eq!(of("x.CSV", "a\tb\n"), Separator::Comma);
        assert_eq!(of("-", "a\tb\n"), Separator::Tab);
        assert_eq!(of("folder.tsv/x", "a,b\n"), Separator::Comma);
    }
}

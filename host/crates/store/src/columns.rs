//! Tables of a few named columns with one row per record, as `.tsv` or `.parquet`.
//!
//! The `.tsv` begins as that of embeddings does: the line `# pliant_meta` with the metadata, then the names of the columns.
//! In text a tab, line feed, carriage return or backslash is escaped as in ids; numbers are the shortest decimal text that
//! reads back as the same number. In `.parquet` nothing is nullable or compressed, and `pliant_meta` is a key of the
//! metadata. Where texts and counts repeat, as in a table of pairs, each stands once in a row group, in the dictionary of
//! its column, and the rows hold its number there in as many bits as that takes; such groups have more rows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::parquet_table::{GROUP_ROWS, file_properties, write_error};
use crate::table::Format;
use crate::tsv::escape;

/// Rows of a row group where values repeat: a dictionary is shared by more of them, and as many are held in memory.
const REPEATING_ROWS: usize = 1 << 17;

/// Bytes of a dictionary; what comes after them stands as it is.
const DICTIONARY_BYTES: usize = 4 << 20;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// Whole numbers.
    Count,
    /// 64-bit floats.
    Number,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// For a column of text.
    Text(&'a str),
    /// For a column of whole numbers.
    Count(u64),
    /// For a column of floats.
    Number(f64),
}

impl Cell<'_> {
    fn kind(&self) -> ColumnKind {
        match self {
            Self::Text(_) => ColumnKind::Text,
            Self::Count(_) => ColumnKind::Count,
            Self::Number(_) => ColumnKind::Number,
        }
    }
}

/// The values of a column that wait for their row group.
enum Waiting {
    Text(Vec<ByteArray>),
    Count(Vec<i64>),
    Number(Vec<f64>),
}

impl Waiting {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Text => Self::Text(Vec::new()),
            ColumnKind::Count => Self::Count(Vec::new()),
            ColumnKind::Number => Self::Number(Vec::new()),
        }
    }

    /// Takes a cell of the same kind.
    fn take(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Text(values), Cell::Text(text)) => values.push(ByteArray::from(text.as_bytes().to_vec())),
            (Self::Count(values), Cell::Count(count)) => {
                values.push(i64::try_from(*count).unwrap_or(i64::MAX));
            }
            (Self::Number(values), Cell::Number(number)) => values.push(*number),
            _ => {}
        }
    }

    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, AtomicFile>) -> Result<(), ParquetError> {
        let column = group.next_column()?;
        let mut column =
            column.ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))?;
        match self {
            Self::Text(values) => {
                column.typed::<ByteArrayType>().write_batch(values, None, None)?;
                values.clear();
            }
            Self::Count(values) => {
                column.typed::<Int64Type>().write_batch(values, None, None)?;
                values.clear();
            }
            Self::Number(values) => {
                column.typed::<DoubleType>().write_batch(values, None, None)?;
                values.clear();
            }
        }
        column.close()
    }
}

enum Sink {
    Tsv(AtomicFile),
    Parquet { writer: Box<SerializedFileWriter<AtomicFile>>, waiting: Vec<Waiting>, rows: usize, most: usize },
}

/// A table of named columns being written row by row.
pub struct ColumnTable {
    path: PathBuf,
    kinds: Vec<ColumnKind>,
    sink: Sink,
    failed: bool,
}

impl ColumnTable {
    /// The formats that can hold one.
    pub const FORMATS: [Format; 2] = [Format::Tsv, Format::Parquet];

    /// Begins a file with these columns; names are words without blanks.
    ///
    /// # Errors
    /// A format that is none of [`ColumnTable::FORMATS`], and those of [`AtomicFile::create`].
    pub fn create(
        path: &Path,
        format: Format,
        columns: &[(&str, ColumnKind)],
        metadata: &Metadata,
    ) -> Result<Self, StoreError> {
        Self::begin(path, format, columns, (metadata, false))
    }

    /// The same of a table whose texts and counts repeat from row to row.
    ///
    /// # Errors
    /// As [`ColumnTable::create`].
    pub fn create_repeating(
        path: &Path,
        format: Format,
        columns: &[(&str, ColumnKind)],
        metadata: &Metadata,
    ) -> Result<Self, StoreError> {
        Self::begin(path, format, columns, (metadata, true))
    }

    fn begin(
        path: &Path,
        format: Format,
        columns: &[(&str, ColumnKind)],
        (metadata, repeats): (&Metadata, bool),
    ) -> Result<Self, StoreError> {
        let sink = match format {
            Format::Tsv => {
                let mut file = AtomicFile::create(path, Access::Stream)?;
                let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                let head = format!("# {METADATA_KEY} {}\n{}\n", metadata.to_json(), names.join("\t"));
                file.write_all(head.as_bytes())
                    .map_err(|cause| StoreError::io(Action::Write, path, cause))?;
                Sink::Tsv(file)
            }
            Format::Parquet => {
                let file = AtomicFile::create(path, Access::Stream)?;
                let most = if repeats { REPEATING_ROWS } else { GROUP_ROWS };
                let properties = Arc::new(properties(columns, metadata, repeats));
                let begun = parse_message_type(&schema(columns))
                    .and_then(|schema| SerializedFileWriter::new(file, Arc::new(schema), properties));
                let writer = Box::new(begun.map_err(|cause| write_error(path, cause))?);
                let waiting = columns.iter().map(|(_, kind)| Waiting::new(*kind)).collect();
                Sink::Parquet { writer, waiting, rows: 0, most }
            }
            Format::Npz | Format::H5 | Format::Safetensors => {
                let reason = "its format has no columns of text and numbers";
                return Err(StoreError::Plan { path: path.to_path_buf(), reason });
            }
        };
        let kinds = columns.iter().map(|(_, kind)| *kind).collect();
        Ok(Self { path: path.to_path_buf(), kinds, sink, failed: false })
    }

    /// Writes the next row: a cell for each column.
    ///
    /// # Errors
    /// Cells of other kinds than the columns, and [`StoreError::Io`]. After any error the table cannot be finished.
    pub fn push(&mut self, cells: &[Cell<'_>]) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(StoreError::Broken { path: self.path.clone() });
        }
        if !cells.iter().map(Cell::kind).eq(self.kinds.iter().copied()) {
            let reason = "a row has cells of other kinds than its columns";
            return Err(StoreError::Plan { path: self.path.clone(), reason });
        }
        match &mut self.sink {
            Sink::Tsv(file) => {
                file.write_all(line(cells).as_bytes())
                    .map_err(|cause| StoreError::io(Action::Write, &self.path, cause))?;
            }
            Sink::Parquet { writer, waiting, rows, most } => {
                waiting.iter_mut().zip(cells).for_each(|(column, cell)| column.take(cell));
                *rows += 1;
                if rows == most {
                    *rows = 0;
                    write_group(writer, waiting).map_err(|cause| write_error(&self.path, cause))?;
                }
            }
        }
        self.failed = false;
        Ok(())
    }

    /// The file, ready to be committed.
    ///
    /// # Errors
    /// An earlier failure, and [`StoreError::Io`].
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        if self.failed {
            return Err(StoreError::Broken { path: self.path });
        }
        let file = match self.sink {
            Sink::Tsv(file) => file,
            Sink::Parquet { mut writer, mut waiting, rows, .. } => {
                let last = if rows > 0 { write_group(&mut writer, &mut waiting) } else { Ok(()) };
                let closed = last.and_then(|()| writer.into_inner());
                closed.map_err(|cause| write_error(&self.path, cause))?
            }
        };
        Ok(OutputSet::from(vec![file]))
    }
}

fn line(cells: &[Cell<'_>]) -> String {
    let texts: Vec<String> = cells
        .iter()
        .map(|cell| match cell {
            Cell::Text(text) => escape(text).into_owned(),
            Cell::Count(count) => count.to_string(),
            Cell::Number(number) => number.to_string(),
        })
        .collect();
    texts.join("\t") + "\n"
}

fn write_group(
    writer: &mut SerializedFileWriter<AtomicFile>,
    waiting: &mut [Waiting],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    waiting.iter_mut().try_for_each(|column| column.write(&mut group))?;
    group.close().map(|_| ())
}

/// Everything of a file but its rows.
fn properties(columns: &[(&str, ColumnKind)], metadata: &Metadata, repeats: bool) -> WriterProperties {
    let properties = file_properties(metadata);
    if !repeats {
        return properties.build();
    }
    let properties = properties
        .set_max_row_group_row_count(Some(REPEATING_ROWS))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES);
    let repeating = columns.iter().filter(|(_, kind)| *kind != ColumnKind::Number);
    repeating
        .fold(properties, |properties, (name, _)| {
            properties.set_column_dictionary_enabled(ColumnPath::from(*name), true)
        })
        .build()
}

fn schema(columns: &[(&str, ColumnKind)]) -> String {
    let column = |(name, kind): &(&str, ColumnKind)| match kind {
        ColumnKind::Text => format!("required byte_array {name} (string); "),
        ColumnKind::Count => format!("required int64 {name}; "),
        ColumnKind::Number => format!("required double {name}; "),
    };
    format!("message schema {{ {}}}", columns.iter().map(column).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    const COLUMNS: [(&str, ColumnKind); 3] =
        [("id", ColumnKind::Text), ("length", ColumnKind::Count), ("score", ColumnKind::Number)];

    fn write(path: &Path, format: Format, rows: usize) {
        let metadata = Metadata::new().with("model", "m");
        let mut table = ColumnTable::create(path, format, &COLUMNS, &metadata).unwrap();
        for row in 0..rows {
            let id = format!("a\t{row}");
            table.push(&[Cell::Text(&id), Cell::Count(row as u64), Cell::Number(-0.1)]).unwrap();
        }
        table.finish().unwrap().commit().unwrap();
    }

    #[test]
    fn text_and_numbers_keep_to_their_cells() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.tsv");
        write(&path, Format::Tsv, 2);
        let text = std::fs::read_to_string(&path).unwrap();
        let wanted = "# pliant_meta {\"model\":\"m\"}\nid\tlength\tscore\na\\t0\t0\t-0.1\na\\t1\t1\t-0.1\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn parquet_has_every_row_over_groups() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        for rows in [0, 1, GROUP_ROWS, GROUP_ROWS + 1] {
            write(&path, Format::Parquet, rows);
            let file = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            let found: Vec<_> = file.get_row_iter(None).unwrap().map(Result::unwrap).collect();
            assert_eq!(found.len(), rows);
            for (number, row) in found.iter().enumerate() {
                assert_eq!(row.get_string(0).unwrap(), &format!("a\t{number}"));
                assert_eq!(row.get_long(1).unwrap(), number as i64);
                assert_eq!(row.get_double(2).unwrap(), -0.1);
            }
        }
    }

    #[test]
    fn what_repeats_stands_once_and_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let columns =
            [("a", ColumnKind::Text), ("b", ColumnKind::Text), ("n", ColumnKind::Count), COLUMNS[2]];
        let ids: Vec<String> = (0..300).map(|number| format!("sp|P{number:05}|NAME_ECOLI")).collect();
        let rows = REPEATING_ROWS + 5;
        let pair = |row: usize| [row * 7 % 300, row * 11 % 299];
        let write =
            |name: &str, create: fn(&Path, Format, &[_], &Metadata) -> Result<ColumnTable, StoreError>| {
                let path = folder.path().join(name);
                let mut table = create(&path, Format::Parquet, &columns, &Metadata::new()).unwrap();
                for row in 0..rows {
                    let [first, second] = pair(row).map(|number| Cell::Text(&ids[number]));
                    let score = Cell::Number(row as f64 / 3.0);
                    table.push(&[first, second, Cell::Count(row as u64 % 50), score]).unwrap();
                }
                table.finish().unwrap().commit().unwrap();
                path
            };
        let (plain, repeating) =
            (write("p.parquet", ColumnTable::create), write("r.parquet", ColumnTable::create_repeating));
        let size = |path: &Path| std::fs::metadata(path).unwrap().len() as usize;
        // As they are, 24 bytes for each id of 20 letters, and 8 for each of the two others; repeated, nine bits for each id and
        // six for the count beside the number, and a dictionary for each group.
        assert!(
            size(&plain) > rows * 64 && size(&repeating) < rows * 12,
            "{} {}",
            size(&plain),
            size(&repeating)
        );
        assert!(size(&repeating) > rows * 8);
        let again = write("s.parquet", ColumnTable::create_repeating);
        assert!(std::fs::read(&repeating).unwrap() == std::fs::read(again).unwrap());
        let file = SerializedFileReader::new(std::fs::File::open(&repeating).unwrap()).unwrap();
        assert_eq!(file.num_row_groups(), 2);
        let mut found = 0;
        for (number, row) in file.get_row_iter(None).unwrap().map(Result::unwrap).enumerate() {
            let [first, second] = pair(number);
            assert_eq!((row.get_string(0).unwrap(), row.get_string(1).unwrap()), (&ids[first], &ids[second]));
            assert_eq!(row.get_long(2).unwrap(), number as i64 % 50);
            assert_eq!(row.get_double(3).unwrap(), number as f64 / 3.0);
            found += 1;
        }
        assert_eq!(found, rows);
    }

    #[test]
    fn other_cells_than_the_columns_are_refused_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.tsv");
        let begin = |format| ColumnTable::create(&path, format, &COLUMNS, &Metadata::new());
        assert!(matches!(begin(Format::Npz), Err(StoreError::Plan { .. })));
        let mut table = begin(Format::Tsv).unwrap();
        assert!(table.push(&[Cell::Text("a"), Cell::Number(1.0), Cell::Number(1.0)]).is_err());
        assert!(table.push(&[Cell::Text("a"), Cell::Count(1), Cell::Number(1.0)]).is_err());
        assert!(table.finish().is_err());
        assert!(!path.exists());
    }
}

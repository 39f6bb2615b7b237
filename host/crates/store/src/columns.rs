//! Tables of a few named columns with one row per record, as `.tsv` or `.parquet`.
//!
//! The `.tsv` begins as that of embeddings does: the line `# pliant_meta` with the metadata, then the names of the columns.
//! In text a tab, line feed, carriage return or backslash is escaped as in ids; numbers are the shortest decimal text that
//! reads back as the same number. In `.parquet` nothing is nullable or compressed, and `pliant_meta` is a key of the
//! metadata.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::parquet_table::{GROUP_ROWS, file_properties, write_error};
use crate::table::Format;
use crate::tsv::escape;

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
    Parquet { writer: Box<SerializedFileWriter<AtomicFile>>, waiting: Vec<Waiting>, rows: usize },
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
                let begun = parse_message_type(&schema(columns)).and_then(|schema| {
                    SerializedFileWriter::new(
                        file,
                        Arc::new(schema),
                        Arc::new(file_properties(metadata).build()),
                    )
                });
                let writer = Box::new(begun.map_err(|cause| write_error(path, cause))?);
                let waiting = columns.iter().map(|(_, kind)| Waiting::new(*kind)).collect();
                Sink::Parquet { writer, waiting, rows: 0 }
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
            Sink::Parquet { writer, waiting, rows } => {
                waiting.iter_mut().zip(cells).for_each(|(column, cell)| column.take(cell));
                *rows += 1;
                if *rows == GROUP_ROWS {
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
            Sink::Parquet { mut writer, mut waiting, rows } => {
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

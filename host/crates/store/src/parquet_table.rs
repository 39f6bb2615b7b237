//! `.parquet`: one row per record, or one per residue; one file per layer.
//!
//! | column | pooled | per residue |
//! |---|---|---|
//! | `id` | string | string, the same in all rows of a record |
//! | `length` | int32, L | |
//! | `position` | | int32, the residue's place in its sequence, counted from 1 |
//! | `embedding` | list of C floats | list of C floats |
//!
//! Log-probabilities are the column `logprobs`, and `tokens` is a key of the metadata: the tokens of V as a JSON list.
//!
//! Nothing is nullable. Row groups have 4,096 rows. `pliant_meta` is a key of the file's metadata. Floats are not
//! compressed: they hardly shrink, and the bytes stay those of this crate alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::table::{Format, TOKENS_KEY, TablePlan, output_paths};
use crate::tally::Tally;
use crate::values::{Encoder, OutDtype};

/// Rows of every row group but the last: the bytes of a file depend on it.
pub(crate) const GROUP_ROWS: usize = 4096;

/// Rows handed to the column writer at a time; half-precision numbers take 16 times their size while they wait.
const BATCH_ROWS: usize = 64;

/// Parquet files being written, one for each layer. What is held in memory is one row group of each.
pub struct ParquetTable {
    tally: Tally,
    encoder: Encoder,
    /// One per layer.
    files: Vec<ParquetFile>,
    ids: Vec<ByteArray>,
    /// The lengths or the positions.
    numbers: Vec<i32>,
}

struct ParquetFile {
    writer: SerializedFileWriter<AtomicFile>,
    /// The numbers of the rows that wait, as bytes.
    values: Vec<u8>,
}

impl ParquetTable {
    /// Begins the files: one row per record, or `residues` rows in all.
    ///
    /// # Errors
    /// An impossible plan, several layers for one stream, and those of [`AtomicFile::create`].
    pub fn create(path: &Path, plan: &TablePlan, residues: Option<usize>) -> Result<Self, StoreError> {
        let tally = Tally::new(path, plan, residues)?;
        let paths = output_paths(path, Format::Parquet, &plan.layers)?;
        let begin = |(path, layer): (&PathBuf, &usize)| {
            let file = AtomicFile::create(path, Access::Stream)?;
            let properties = Arc::new(properties(plan, *layer, residues.is_some()));
            let begun = parse_message_type(&schema(plan, residues.is_some()))
                .and_then(|schema| SerializedFileWriter::new(file, Arc::new(schema), properties));
            let writer = begun.map_err(|cause| write_error(path, cause))?;
            Ok(ParquetFile { writer, values: Vec::new() })
        };
        let files: Result<Vec<_>, StoreError> = paths.iter().zip(&plan.layers).map(begin).collect();
        Ok(Self {
            tally,
            encoder: Encoder::new(plan.dtype, plan.width),
            files: files?,
            ids: Vec::new(),
            numbers: Vec::new(),
        })
    }

    /// Writes the next record of `length` residues: for each layer its rows, C numbers each.
    ///
    /// # Errors
    /// Values of another shape than planned, more records or rows than planned, values that the number type
    /// cannot hold, and [`StoreError::Io`]. After any error the files cannot be finished.
    pub fn push(&mut self, id: &str, length: usize, layers: &[&[f32]]) -> Result<(), StoreError> {
        let rows = self.tally.begin(id, layers)?;
        let width = self.tally.plan.width;
        if rows == 0 {
            // Its rows are all that tells of a record here.
            let (id, layer) = (id.to_owned(), self.tally.plan.layers[0]);
            return Err(StoreError::Shape { id, layer, wanted: width, found: 0 });
        }
        let id_bytes = ByteArray::from(id.as_bytes().to_vec());
        let mut next = 0;
        while next < rows {
            let count = (rows - next).min(GROUP_ROWS - self.ids.len());
            let span = next * width..(next + count) * width;
            for ((file, values), layer) in self.files.iter_mut().zip(layers).zip(&self.tally.plan.layers) {
                let bytes = self.encoder.bytes(&values[span.clone()], id, *layer)?;
                file.values.extend_from_slice(bytes);
            }
            self.ids.extend(std::iter::repeat_n(id_bytes.clone(), count));
            match self.tally.is_per_residue() {
                true => self.numbers.extend((next + 1..=next + count).map(clamped)),
                false => self.numbers.push(clamped(length)),
            }
            next += count;
            if self.ids.len() == GROUP_ROWS {
                self.write_group()?;
            }
        }
        self.tally.done(rows);
        Ok(())
    }

    /// Writes the last rows and the foot of each file, which is then ready to be committed.
    ///
    /// # Errors
    /// Fewer records or rows than planned, an earlier failure, and [`StoreError::Io`].
    pub fn finish(mut self) -> Result<OutputSet, StoreError> {
        self.tally.finish()?;
        if !self.ids.is_empty() {
            self.write_group()?;
        }
        let mut done = Vec::with_capacity(self.files.len());
        for file in self.files {
            let path = file.writer.inner().path().to_path_buf();
            let closed = file.writer.into_inner();
            done.push(closed.map_err(|cause| write_error(&path, cause))?);
        }
        Ok(OutputSet::from(done))
    }

    /// One row group in every file, of the rows that wait.
    fn write_group(&mut self) -> Result<(), StoreError> {
        let (plan, numbers, ids) = (&self.tally.plan, &self.numbers, &self.ids);
        for file in &mut self.files {
            let path = file.writer.inner().path().to_path_buf();
            let rows = Rows { ids, numbers, values: &file.values, width: plan.width, dtype: plan.dtype };
            rows.write(&mut file.writer).map_err(|cause| write_error(&path, cause))?;
            file.values.clear();
        }
        self.ids.clear();
        self.numbers.clear();
        Ok(())
    }
}

/// The rows of one row group.
struct Rows<'a> {
    ids: &'a [ByteArray],
    numbers: &'a [i32],
    values: &'a [u8],
    width: usize,
    dtype: OutDtype,
}

impl Rows<'_> {
    fn write(&self, writer: &mut SerializedFileWriter<AtomicFile>) -> Result<(), ParquetError> {
        let mut group = writer.next_row_group()?;
        let mut column = next(group.next_column()?)?;
        column.typed::<ByteArrayType>().write_batch(self.ids, None, None)?;
        column.close()?;
        let mut column = next(group.next_column()?)?;
        column.typed::<Int32Type>().write_batch(self.numbers, None, None)?;
        column.close()?;
        let mut column = next(group.next_column()?)?;
        self.write_lists(&mut column)?;
        column.close()?;
        group.close().map(|_| ())
    }

    /// Lists as two levels: a number is there (1), and it is not (1) or is (0) the first of its list.
    fn write_lists(&self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let row_bytes = self.width * self.dtype.bytes();
        let rows = BATCH_ROWS.min(self.ids.len());
        let there = vec![1; rows * self.width];
        let mut follows = there.clone();
        follows.iter_mut().step_by(self.width).for_each(|level| *level = 0);
        for batch in self.values.chunks(BATCH_ROWS * row_bytes) {
            let count = batch.len() / self.dtype.bytes();
            let levels = (Some(&there[..count]), Some(&follows[..count]));
            match self.dtype {
                OutDtype::F32 => {
                    let numbers = crate::values::decode(self.dtype, batch);
                    column.typed::<FloatType>().write_batch(&numbers, levels.0, levels.1)?;
                }
                OutDtype::F16 => {
                    let whole = bytes_of(batch);
                    let number = |place| FixedLenByteArray::from(whole.slice(place * 2, 2));
                    let numbers: Vec<_> = (0..count).map(number).collect();
                    column.typed::<FixedLenByteArrayType>().write_batch(&numbers, levels.0, levels.1)?;
                }
            }
        }
        Ok(())
    }
}

fn bytes_of(batch: &[u8]) -> ByteArray {
    ByteArray::from(batch.to_vec())
}

fn next(column: Option<SerializedColumnWriter<'_>>) -> Result<SerializedColumnWriter<'_>, ParquetError> {
    column.ok_or_else(|| ParquetError::General("the schema has three columns".to_owned()))
}

/// No sequence has 2^31 residues: the reader of sequences ends far below.
fn clamped(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn schema(plan: &TablePlan, per_residue: bool) -> String {
    let content = plan.content("embedding");
    let number = if per_residue { "position" } else { "length" };
    let element = match plan.dtype {
        OutDtype::F32 => "float element",
        OutDtype::F16 => "fixed_len_byte_array(2) element (float16)",
    };
    format!(
        "message schema {{
            required byte_array id (string);
            required int32 {number};
            required group {content} (list) {{ repeated group list {{ required {element}; }} }}
        }}"
    )
}

/// Everything of a file but its rows.
fn properties(plan: &TablePlan, layer: usize, per_residue: bool) -> WriterProperties {
    let metadata = plan.metadata.for_layers(&[layer]);
    file_properties(&metadata).set_column_dictionary_enabled(ColumnPath::from("id"), per_residue).build()
}

/// What every file has. The name of the writer is ours, so that another version of the library changes no byte by its
/// name.
pub(crate) fn file_properties(metadata: &Metadata) -> WriterPropertiesBuilder {
    let mut keys = vec![KeyValue::new(METADATA_KEY.to_owned(), metadata.to_json())];
    if let Some(tokens) = metadata.get(TOKENS_KEY) {
        keys.push(KeyValue::new(TOKENS_KEY.to_owned(), tokens.to_string()));
    }
    WriterProperties::builder()
        .set_created_by("pliant".to_owned())
        .set_key_value_metadata(Some(keys))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
}

/// An error of the library, with the system's own error as it was given.
pub(crate) fn write_error(path: &Path, error: ParquetError) -> StoreError {
    let cause = match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    };
    StoreError::io(Action::Write, path, cause)
}

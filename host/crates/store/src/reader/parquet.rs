//! `.parquet`: see [`crate::parquet_table`]. Tables of other programs need the columns `id` (strings) and `embedding`
//! (lists of equal length of floats), uncompressed or compressed by snappy, gzip or zstd; with a column `position`
//! they hold one row per residue.

use std::fs::File;
use std::io;

use half::f16;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{Head, ResultKind, StoredRecord, layers_in};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::npy::bad;
use crate::table::LOGPROBS;
use crate::values::OutDtype;

/// Numbers in one page at most: pages of any writer have about a megabyte, and are decoded as a whole.
const MAX_PAGE_NUMBERS: usize = 1 << 26;

/// Rows whose positions are read at a time.
const SCAN_ROWS: usize = 4096;

/// The rows of a file, row group after row group.
pub(crate) struct ParquetRows {
    file: SerializedFileReader<File>,
    columns: Columns,
    width: usize,
    /// Per residue: rows of each record.
    lengths: Option<std::vec::IntoIter<u32>>,
    /// The next row group.
    group: usize,
    /// The row group being read, and its rows that are left.
    open: Option<(Readers, usize)>,
}

/// Places of the columns among the leaves of the schema.
#[derive(Debug, Clone, Copy)]
struct Columns {
    id: usize,
    /// `position` of a per-residue table, else `length` where there is one.
    number: Option<usize>,
    embedding: usize,
    kind: ResultKind,
}

/// The columns of one row group.
struct Readers {
    id: ColumnReader,
    number: Option<ColumnReader>,
    embedding: ColumnReader,
}

impl ParquetRows {
    /// Reads the foot and the heads of the pages of a file of `size` bytes, and the positions of residues.
    pub(crate) fn open(file: File, size: u64) -> io::Result<(Head, Self)> {
        let file = SerializedFileReader::new(file).map_err(fault)?;
        let metadata = metadata(&file)?;
        let columns = Columns::find(&file)?;
        let rows = row_count(&file, size)?;
        let width = width(&file, columns.embedding)?;
        let lengths = match columns.kind {
            ResultKind::Pooled => None,
            ResultKind::Residues => Some(lengths(&file, columns)?),
        };
        let descriptor = file.metadata().file_metadata().schema_descr();
        let halves = descriptor.column(columns.embedding).physical_type()
            == parquet::basic::Type::FIXED_LEN_BYTE_ARRAY;
        let head = Head {
            kind: columns.kind,
            width: width.unwrap_or(1),
            layers: layers_in(metadata.as_ref()),
            dtype: if halves { OutDtype::F16 } else { OutDtype::F32 },
            metadata,
            records: lengths.as_ref().map_or(rows, Vec::len),
            residues: lengths.as_ref().map(|_| rows),
        };
        let (width, lengths) = (head.width, lengths.map(Vec::into_iter));
        Ok((head, Self { file, columns, width, lengths, group: 0, open: None }))
    }

    pub(crate) fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        let rows = match &mut self.lengths {
            None => 1,
            Some(lengths) => match lengths.next() {
                Some(length) => length as usize,
                None => return Ok(None),
            },
        };
        let mut taken = Taken::default();
        while taken.ids.len() < rows {
            let Some((mut readers, left)) = self.next_group()? else {
                return if taken.ids.is_empty() && self.lengths.is_none() { Ok(None) } else { Err(short()) };
            };
            let count = left.min(rows - taken.ids.len());
            readers.take(count, self.width, &mut taken)?;
            self.open = Some((readers, left - count));
        }
        let id = taken.ids.first().cloned().unwrap_or_default();
        if taken.ids.iter().any(|other| *other != id) {
            return Err(bad(&format!("the rows of record {id:?} have several ids")));
        }
        let length = match self.columns.kind {
            ResultKind::Residues => Some(rows),
            ResultKind::Pooled => taken.numbers.first().map(|number| *number as usize),
        };
        Ok(Some(StoredRecord { id, length, layers: vec![taken.values] }))
    }

    /// A row group with rows left.
    fn next_group(&mut self) -> io::Result<Option<(Readers, usize)>> {
        if let Some((readers, left)) = self.open.take().filter(|(_, left)| *left > 0) {
            return Ok(Some((readers, left)));
        }
        while self.group < self.file.num_row_groups() {
            let group = self.file.get_row_group(self.group).map_err(fault)?;
            self.group += 1;
            let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| short())?;
            if rows > 0 {
                let column = |place: usize| group.get_column_reader(place).map_err(fault);
                let readers = Readers {
                    id: column(self.columns.id)?,
                    number: self.columns.number.map(column).transpose()?,
                    embedding: column(self.columns.embedding)?,
                };
                return Ok(Some((readers, rows)));
            }
        }
        Ok(None)
    }
}

/// What was read of one record.
#[derive(Default)]
struct Taken {
    ids: Vec<String>,
    numbers: Vec<u32>,
    values: Vec<f32>,
}

impl Readers {
    /// Appends `rows` rows.
    fn take(&mut self, rows: usize, width: usize, into: &mut Taken) -> io::Result<()> {
        let ColumnReader::ByteArrayColumnReader(ids) = &mut self.id else {
            return Err(bad("its column id holds no strings"));
        };
        let mut texts: Vec<ByteArray> = Vec::new();
        let mut levels = Vec::new();
        let found = ids.read_records(rows, Some(&mut levels), None, &mut texts).map_err(fault)?;
        if (found.0, texts.len()) != (rows, rows) {
            return Err(bad("its column id is incomplete"));
        }
        for text in &texts {
            let text = std::str::from_utf8(text.data()).map_err(|_| bad("an id is not UTF-8"))?;
            into.ids.push(text.to_owned());
        }
        if let Some(numbers) = &mut self.number {
            read_numbers(numbers, rows, &mut into.numbers)?;
        }
        read_lists(&mut self.embedding, rows, width, &mut into.values)
    }
}

/// Appends `rows` whole numbers, none negative.
fn read_numbers(column: &mut ColumnReader, rows: usize, into: &mut Vec<u32>) -> io::Result<()> {
    let mut levels = Vec::new();
    let before = into.len();
    match column {
        ColumnReader::Int32ColumnReader(column) => {
            let mut numbers = Vec::new();
            column.read_records(rows, Some(&mut levels), None, &mut numbers).map_err(fault)?;
            into.extend(numbers.into_iter().map_while(|number| u32::try_from(number).ok()));
        }
        ColumnReader::Int64ColumnReader(column) => {
            let mut numbers = Vec::new();
            column.read_records(rows, Some(&mut levels), None, &mut numbers).map_err(fault)?;
            into.extend(numbers.into_iter().map_while(|number| u32::try_from(number).ok()));
        }
        _ => return Err(bad("its column length or position holds no whole numbers")),
    }
    match into.len() == before + rows {
        true => Ok(()),
        false => Err(bad("its column length or position is incomplete or negative")),
    }
}

/// Appends `rows` lists of `width` numbers.
fn read_lists(column: &mut ColumnReader, rows: usize, width: usize, into: &mut Vec<f32>) -> io::Result<()> {
    let (mut there, mut follows) = (Vec::new(), Vec::new());
    let before = into.len();
    let found = match column {
        ColumnReader::FloatColumnReader(column) => {
            column.read_records(rows, Some(&mut there), Some(&mut follows), into)
        }
        ColumnReader::DoubleColumnReader(column) => {
            let mut numbers = Vec::new();
            let found = column.read_records(rows, Some(&mut there), Some(&mut follows), &mut numbers);
            into.extend(numbers.into_iter().map(|number| number as f32));
            found
        }
        ColumnReader::FixedLenByteArrayColumnReader(column) => {
            let mut numbers = Vec::new();
            let found = column.read_records(rows, Some(&mut there), Some(&mut follows), &mut numbers);
            let halves = numbers.iter().map_while(|number| <[u8; 2]>::try_from(number.data()).ok());
            into.extend(halves.map(|half| f16::from_le_bytes(half).to_f32()));
            found
        }
        _ => return Err(bad("its column embedding holds no floats")),
    };
    let (records, _, levels) = found.map_err(fault)?;
    let count = rows.checked_mul(width).ok_or_else(short)?;
    let firsts = follows.iter().enumerate().all(|(place, level)| (*level == 0) == (place % width == 0));
    if records != rows || levels != count || into.len() - before != count || follows.len() != count || !firsts
    {
        return Err(bad(&format!("its lists do not all have {width} numbers, or some are missing")));
    }
    Ok(())
}

impl Columns {
    fn find(file: &SerializedFileReader<File>) -> io::Result<Self> {
        let leaves = file.metadata().file_metadata().schema_descr();
        let place = |name: &str| {
            let mut found = (0..leaves.num_columns())
                .filter(|leaf| leaves.column(*leaf).path().parts().first().is_some_and(|part| part == name));
            found.next().filter(|_| found.next().is_none())
        };
        let wanted = |name: &str| place(name).ok_or_else(|| bad(&format!("it has not one column {name}")));
        let embedding = place(LOGPROBS)
            .or_else(|| place("embedding"))
            .ok_or_else(|| bad("it has not one column embedding; tables of scores are gathered as .tsv"))?;
        let id = wanted("id")?;
        if leaves.column(embedding).max_rep_level() != 1 || leaves.column(id).max_rep_level() != 0 {
            return Err(bad("its column embedding does not hold one list per row"));
        }
        let (kind, number) = match place("position") {
            Some(position) => (ResultKind::Residues, Some(position)),
            None => (ResultKind::Pooled, place("length")),
        };
        if number.is_some_and(|number| leaves.column(number).max_rep_level() != 0) {
            return Err(bad("its column length or position holds lists"));
        }
        Ok(Self { id, number, embedding, kind })
    }
}

/// Rows of all row groups. A row takes at least a byte, in any compression of floats that there is.
fn row_count(file: &SerializedFileReader<File>, size: u64) -> io::Result<usize> {
    let groups = file.metadata().row_groups().iter();
    let rows = groups
        .map(|group| u64::try_from(group.num_rows()).ok())
        .try_fold(0_u64, |sum, rows| sum.checked_add(rows?))
        .filter(|rows| *rows <= size)
        .ok_or_else(|| bad("it claims more rows than the file can hold"))?;
    usize::try_from(rows).map_err(io::Error::other)
}

/// C, from the heads of all pages; `None` without rows.
fn width(file: &SerializedFileReader<File>, embedding: usize) -> io::Result<Option<usize>> {
    let mut width = None;
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).map_err(fault)?;
        let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| short())?;
        if rows == 0 {
            continue;
        }
        let mut pages = group.get_column_page_reader(embedding).map_err(fault)?;
        let mut numbers = 0_usize;
        while let Some(page) = pages.peek_next_page().map_err(fault)? {
            let here = if page.is_dict { 0 } else { page.num_levels.unwrap_or(0) };
            if here > MAX_PAGE_NUMBERS {
                return Err(bad("a page of its embeddings claims more than 67,108,864 numbers"));
            }
            numbers = numbers.checked_add(here).ok_or_else(short)?;
            pages.skip_next_page().map_err(fault)?;
        }
        let here = numbers / rows;
        if here == 0 || !numbers.is_multiple_of(rows) || width.is_some_and(|width| width != here) {
            return Err(bad("its lists do not all have the same length"));
        }
        width = Some(here);
    }
    Ok(width)
}

/// Rows of each record: a record begins where the position is that of the first row again.
fn lengths(file: &SerializedFileReader<File>, columns: Columns) -> io::Result<Vec<u32>> {
    let mut lengths: Vec<u32> = Vec::new();
    let mut first = None;
    let mut positions = Vec::new();
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).map_err(fault)?;
        let mut left = usize::try_from(group.metadata().num_rows()).map_err(|_| short())?;
        let Some(place) = columns.number.filter(|_| left > 0) else { continue };
        let mut column = group.get_column_reader(place).map_err(fault)?;
        while left > 0 {
            let count = left.min(SCAN_ROWS);
            positions.clear();
            read_numbers(&mut column, count, &mut positions)?;
            left -= count;
            for position in &positions {
                let first = *first.get_or_insert(*position);
                match lengths.last_mut() {
                    _ if *position == first => lengths.push(1),
                    Some(last) if last.checked_add(first) == Some(*position) => *last += 1,
                    _ => return Err(bad("its positions do not count the residues of each record")),
                }
            }
        }
    }
    Ok(lengths)
}

fn metadata(file: &SerializedFileReader<File>) -> io::Result<Option<Metadata>> {
    let pairs = file.metadata().file_metadata().key_value_metadata();
    let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == METADATA_KEY));
    let Some(text) = pair.and_then(|pair| pair.value.as_deref()) else { return Ok(None) };
    let found = Metadata::from_json(text);
    found.map(Some).map_err(|cause| bad(&format!("its pliant_meta is not a JSON object: {cause}")))
}

fn short() -> io::Error {
    bad("it has other rows than its foot announces")
}

/// An error of the library, with the system's own error as it was given.
fn fault(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(other) => bad(&other.to_string()),
        },
        other => bad(&other.to_string()),
    }
}

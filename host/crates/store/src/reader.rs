//! Any result file back to records, whatever its format and whoever wrote it. Nothing in a file is trusted.
//!
//! The format is told by the content. Records come one at a time in the order of the file, which is the order of the
//! input, so that a file larger than the memory can be read: what is held is one record, the ids where a format keeps
//! them in one place, and a bounded index. A file that claims more than it holds is refused before memory is taken
//! for it.

mod h5;
mod npz;
mod parquet;
mod safetensors;
mod tsv;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::error::{Action, StoreError};
use crate::metadata::{LAYERS_KEY, Metadata};
use crate::npy::bad;
use crate::table::{Format, suffixes};
use crate::values::OutDtype;

pub(crate) use npz::{LayerRows, NpzRows};

/// Bytes that tell every format apart.
const START_BYTES: u64 = 16;

/// What the rows of a result file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// One row of C numbers per record and layer.
    Pooled,
    /// L rows of C numbers per record and layer.
    Residues,
}

/// One record of a result file.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// Its id.
    pub id: String,
    /// L, its residues, where the file tells.
    pub length: Option<usize>,
    /// For each layer `[C]`, or `[L, C]` row by row in a per-residue file.
    pub layers: Vec<Vec<f32>>,
}

/// What a file tells before its first record.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) kind: ResultKind,
    pub(crate) width: usize,
    pub(crate) layers: Vec<usize>,
    pub(crate) dtype: OutDtype,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) records: usize,
    pub(crate) residues: Option<usize>,
}

/// The records that are left, by format.
enum Rows {
    Npz(Box<NpzRows<File>>),
    Tsv(Box<tsv::TsvRows>),
    H5(Box<h5::H5Rows>),
    Parquet(Box<parquet::ParquetRows>),
    Safetensors(Box<safetensors::SafetensorsRows>),
}

impl Rows {
    fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        match self {
            Self::Npz(rows) => rows.next_record(),
            Self::Tsv(rows) => rows.next_record(),
            Self::H5(rows) => rows.next_record(),
            Self::Parquet(rows) => rows.next_record(),
            Self::Safetensors(rows) => rows.next_record(),
        }
    }
}

/// A result file being read record by record.
pub struct ResultReader {
    path: PathBuf,
    format: Format,
    head: Head,
    rows: Rows,
    given: usize,
    failed: bool,
}

impl ResultReader {
    /// Opens any file of results; its format is told by its content.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the file cannot be read; [`StoreError::Malformed`] where it is no result file, or a
    /// damaged one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let refused = |cause| read_error(path, cause);
        let mut file = File::open(path).map_err(refused)?;
        let about = file.metadata().map_err(refused)?;
        if about.is_dir() {
            return Err(refused(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        if !about.is_file() {
            return Err(refused(bad("it is a stream or a device, a regular file was wanted")));
        }
        let format = format_of(&mut file, about.len()).map_err(refused)?;
        let (head, rows) = guarded(|| open_rows(format, file, about.len())).map_err(refused)?;
        Ok(Self { path: path.to_path_buf(), format, head, rows, given: 0, failed: false })
    }

    /// The format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What its rows are.
    pub fn kind(&self) -> ResultKind {
        self.head.kind
    }

    /// C, numbers per row; at least 1. In a file without records of a format that then does not tell: 1.
    pub fn width(&self) -> usize {
        self.head.width
    }

    /// The layers in the order of every record; empty where a file of another program does not say.
    pub fn layers(&self) -> &[usize] {
        &self.head.layers
    }

    /// The number type in the file. Numbers of other types (f64) are rounded to f32 and are told as that.
    pub fn dtype(&self) -> OutDtype {
        self.head.dtype
    }

    /// What the file says about itself; files of other programs do not.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.head.metadata.as_ref()
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.head.records
    }

    /// Residues of all records in a per-residue file.
    pub fn residues(&self) -> Option<usize> {
        self.head.residues
    }

    /// The next record in the order of the file; `None` after the last.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Malformed`] where the file is damaged. After an error there is no
    /// further record.
    pub fn next_record(&mut self) -> Result<Option<StoredRecord>, StoreError> {
        if self.failed {
            return Err(read_error(&self.path, bad("an earlier record could not be read")));
        }
        let rows = &mut self.rows;
        let answer = guarded(|| rows.next_record()).and_then(|record| self.counted(record));
        self.failed = answer.is_err();
        answer.map_err(|cause| read_error(&self.path, cause))
    }

    /// Holds every format to the number of records that it announced.
    fn counted(&mut self, record: Option<StoredRecord>) -> io::Result<Option<StoredRecord>> {
        let (wanted, found) = (self.head.records, self.given + usize::from(record.is_some()));
        if found > wanted || record.is_none() && found < wanted {
            return Err(bad(&format!("{wanted} records were announced, but {found} were found")));
        }
        self.given = found;
        Ok(record)
    }
}

/// Pooled vectors of a file, all in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// The ids in the order of the file.
    pub ids: Vec<String>,
    /// C, numbers per record.
    pub width: usize,
    /// `[n, C]`, record by record.
    pub values: Vec<f32>,
    /// What the file says about itself; files of other programs do not.
    pub metadata: Option<Metadata>,
}

/// Reads the pooled vectors of one layer, of any format and any program, as input of a later command.
///
/// # Errors
/// Those of [`ResultReader`]; [`StoreError::NotVectors`] where the file holds residues or several layers,
/// [`StoreError::WrongWidth`] where its vectors do not have `wanted_width` numbers, and a number that is not finite.
pub fn read_vectors(path: &Path, wanted_width: Option<usize>) -> Result<Vectors, StoreError> {
    let mut reader = ResultReader::open(path)?;
    let refused = |reason| Err(StoreError::NotVectors { path: path.to_path_buf(), reason });
    if reader.kind() == ResultKind::Residues {
        return refused("the states of residues");
    }
    if reader.layers().len() > 1 {
        return refused("several layers");
    }
    let found = reader.width();
    if let Some(wanted) = wanted_width.filter(|wanted| *wanted != found && reader.records() > 0) {
        return Err(StoreError::WrongWidth { path: path.to_path_buf(), wanted, found });
    }
    let mut vectors =
        Vectors { ids: Vec::new(), width: found, values: Vec::new(), metadata: reader.metadata().cloned() };
    while let Some(record) = reader.next_record()? {
        let row = match <[Vec<f32>; 1]>::try_from(record.layers) {
            Ok([row]) => row,
            Err(_) => return refused("several layers"),
        };
        if let Some(column) = row.iter().position(|value| !value.is_finite()) {
            let reason = format!("column {column} of record {:?} is {}", record.id, row[column]);
            return Err(StoreError::Malformed { path: path.to_path_buf(), reason });
        }
        vectors.values.extend_from_slice(&row);
        vectors.ids.push(record.id);
    }
    Ok(vectors)
}

/// Turns a panic into an error: the libraries behind HDF5 and Parquet are not proven against hostile bytes, and a
/// file from elsewhere must not end the program. A reader that panicked is never used again.
fn guarded<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(bad("its content is damaged beyond what its reader can take")))
}

/// Tells the format by the first bytes; the file stands at its start again.
fn format_of(file: &mut File, size: u64) -> io::Result<Format> {
    let mut start = Vec::new();
    file.by_ref().take(START_BYTES).read_to_end(&mut start)?;
    file.rewind()?;
    let is_text = |start: &[u8]| start.starts_with(b"# pliant_meta ") || start.starts_with(b"id\t");
    match start.as_slice() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Format::Npz),
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Format::H5),
        [b'P', b'A', b'R', b'1', ..] => Ok(Format::Parquet),
        text if is_text(text) => Ok(Format::Tsv),
        [l0, l1, l2, l3, l4, l5, l6, l7, b'{', ..]
            if u64::from_le_bytes([*l0, *l1, *l2, *l3, *l4, *l5, *l6, *l7]) < size =>
        {
            Ok(Format::Safetensors)
        }
        [] => Err(bad("it is empty")),
        _ => Err(bad(&format!("its content is of no known format ({})", suffixes(|_| true)))),
    }
}

fn open_rows(format: Format, file: File, size: u64) -> io::Result<(Head, Rows)> {
    Ok(match format {
        Format::Npz => {
            let (head, rows) = NpzRows::open(file, size)?;
            (head, Rows::Npz(Box::new(rows)))
        }
        Format::Tsv => {
            let (head, rows) = tsv::TsvRows::open(file)?;
            (head, Rows::Tsv(Box::new(rows)))
        }
        Format::H5 => {
            let (head, rows) = h5::H5Rows::open(file, size)?;
            (head, Rows::H5(Box::new(rows)))
        }
        Format::Parquet => {
            let (head, rows) = parquet::ParquetRows::open(file, size)?;
            (head, Rows::Parquet(Box::new(rows)))
        }
        Format::Safetensors => {
            let (head, rows) = safetensors::SafetensorsRows::open(file, size)?;
            (head, Rows::Safetensors(Box::new(rows)))
        }
    })
}

/// The layers that metadata tell of; none where they tell nothing that could be layers.
pub(crate) fn layers_in(metadata: Option<&Metadata>) -> Vec<usize> {
    let listed = metadata.and_then(|metadata| metadata.get(LAYERS_KEY)).and_then(|value| value.as_array());
    let number = |value: &serde_json::Value| value.as_u64().and_then(|layer| usize::try_from(layer).ok());
    listed.and_then(|layers| layers.iter().map(number).collect()).unwrap_or_default()
}

/// Names the file in an error of reading: the system's own errors as such, all others as a fault of the content.
pub(crate) fn read_error(path: &Path, cause: io::Error) -> StoreError {
    match (cause.raw_os_error(), cause.kind()) {
        (Some(_), _) | (None, io::ErrorKind::IsADirectory) => StoreError::io(Action::Read, path, cause),
        _ => StoreError::Malformed { path: path.to_path_buf(), reason: cause.to_string() },
    }
}

#[cfg(test)]
mod tests;

//! `.h5`: see [`crate::h5_table`]; and the common layouts of other programs: a dataset per protein of shape `[C]`,
//! `[L, C]` (UniProt, bio_embeddings) or `[1, L, C]` (D-SCRIPT), floats of any width, in one piece or in chunks
//! compressed by gzip or lzf. The id is the attribute `original_id` or else the name.
//!
//! Records come in the order of our attribute `index`; without it in numeric order where all names are numbers, and
//! else in the order of the bytes of their names.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, FloatingPointLayout, Group, Layout, ReadSeekSource,
};

use super::{Head, ResultKind, StoredRecord, layers_in};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::npy::bad;
use crate::values::{OutDtype, decode};

/// Bytes of one record at most, where it is compressed and the size of the file says little.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// The most that deflate can shrink: a file whose record would be larger than that does not hold it.
const MAX_RATIO: u64 = 1100;

/// Groups in groups at most.
const MAX_DEPTH: usize = 16;

/// Half precision as IEEE 754 has it.
const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

/// The datasets of a file in the order of the input.
pub(crate) struct H5Rows {
    file: File,
    entries: std::vec::IntoIter<Entry>,
    kind: ResultKind,
}

/// One dataset.
struct Entry {
    name: String,
    id: Option<String>,
    index: Option<u64>,
    kind: ResultKind,
    rows: usize,
    width: usize,
    dtype: OutDtype,
    place: Place,
}

/// Where the numbers of a dataset are.
enum Place {
    /// In one piece from this byte on.
    Plain(u64),
    /// To be found and decoded by the library.
    Decoded(Box<Dataset>),
}

impl H5Rows {
    /// Reads what a file of `size` bytes has of names and shapes.
    pub(crate) fn open(file: File, size: u64) -> io::Result<(Head, Self)> {
        let source = ReadSeekSource::new(file.try_clone()?).map_err(|cause| bad(&cause.to_string()))?;
        let opened = hdf5_pure::File::from_source(source).map_err(fault)?;
        let metadata = metadata(&opened.root())?;
        let mut walk = Walk { size, left: size / 16, entries: Vec::new() };
        walk.group(&opened.root(), "", 0)?;
        let mut entries = walk.entries;
        sort(&mut entries, metadata.is_some())?;
        let told = metadata.as_ref().and_then(|metadata| metadata.get("output")?.as_str().map(str::to_owned));
        let (kind, width) = match entries.first() {
            Some(first) => (first.kind, first.width),
            None if told.as_deref() == Some("residues") => (ResultKind::Residues, 1),
            None => (ResultKind::Pooled, 1),
        };
        if let Some(other) = entries.iter().find(|entry| (entry.kind, entry.width) != (kind, width)) {
            return Err(bad(&format!(
                "dataset {}: its shape does not go with that of the first",
                other.name
            )));
        }
        let rows = entries.iter().try_fold(0_usize, |sum, entry| sum.checked_add(entry.rows));
        let rows = rows.ok_or_else(|| bad("its shapes are too large"))?;
        let halves = !entries.is_empty() && entries.iter().all(|entry| entry.dtype == OutDtype::F16);
        let head = Head {
            kind,
            width,
            layers: layers_in(metadata.as_ref()),
            dtype: if halves { OutDtype::F16 } else { OutDtype::F32 },
            metadata,
            records: entries.len(),
            residues: (kind == ResultKind::Residues).then_some(rows),
        };
        Ok((head, Self { file, entries: entries.into_iter(), kind }))
    }

    pub(crate) fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let count = entry.rows * entry.width;
        let values = match &entry.place {
            Place::Plain(address) => {
                let mut bytes = vec![0; count * entry.dtype.bytes()];
                self.file.read_exact_at(&mut bytes, *address)?;
                decode(entry.dtype, &bytes)
            }
            Place::Decoded(dataset) => {
                dataset.read_f32().map_err(|cause| named(&entry.name, &fault(cause)))?
            }
        };
        if values.len() != count {
            return Err(named(&entry.name, &bad("it has another number of values than its shape says")));
        }
        let length = (self.kind == ResultKind::Residues).then_some(entry.rows);
        Ok(Some(StoredRecord { id: entry.id.unwrap_or(entry.name), length, layers: vec![values] }))
    }
}

/// The way through the groups of a file, which may lead in circles.
struct Walk {
    size: u64,
    /// Objects that a file of this size can still have.
    left: u64,
    entries: Vec<Entry>,
}

impl Walk {
    fn group(&mut self, group: &Group, path: &str, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(bad("its groups are nested more than 16 deep"));
        }
        for (name, dataset) in group.iter_datasets().map_err(fault)? {
            self.count()?;
            let name = format!("{path}{name}");
            let entry = Entry::of(dataset, name.clone(), self.size).map_err(|cause| named(&name, &cause))?;
            self.entries.push(entry);
        }
        for (name, inner) in group.iter_groups().map_err(fault)? {
            self.count()?;
            self.group(&inner, &format!("{path}{name}/"), depth + 1)?;
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| bad("it has more names than room for them"))?;
        Ok(())
    }
}

impl Entry {
    /// What `dataset` is; no number of it is read.
    fn of(dataset: Dataset, name: String, size: u64) -> io::Result<Self> {
        let shape: Result<Vec<usize>, _> =
            dataset.shape().map_err(fault)?.into_iter().map(usize::try_from).collect();
        let shape = shape.map_err(io::Error::other)?;
        let (kind, rows, width) = match *shape.as_slice() {
            [width @ 1..=usize::MAX] => (ResultKind::Pooled, 1, width),
            [rows, width @ 1..=usize::MAX] | [1, rows, width @ 1..=usize::MAX] => {
                (ResultKind::Residues, rows, width)
            }
            _ => return Err(bad(&format!("its shape is {shape:?}, [C], [L, C] or [1, L, C] was wanted"))),
        };
        let (item, dtype) = float(&dataset)?;
        let bytes = (rows as u64).checked_mul(width as u64).and_then(|count| count.checked_mul(item));
        let bytes = bytes.ok_or_else(|| bad("its shape is too large"))?;
        let attributes = dataset.attrs().map_err(fault)?;
        let id = attributes.get("original_id").and_then(AttrValue::as_str).map(str::to_owned);
        let index =
            attributes.get("index").and_then(AttrValue::as_i64).and_then(|index| u64::try_from(index).ok());
        let place = match (dataset.layout().map_err(fault)?, dtype) {
            (Layout::Contiguous { address: Some(address), size: stored }, Some(_)) => {
                let end = address.checked_add(stored);
                if stored != bytes || end.is_none_or(|end| end > size) {
                    return Err(bad("its numbers do not fit into the file"));
                }
                Place::Plain(address)
            }
            (layout, _) => {
                decodable(&layout, item, bytes, size)?;
                Place::Decoded(Box::new(dataset))
            }
        };
        Ok(Self { name, id, index, kind, rows, width, dtype: dtype.unwrap_or_default(), place })
    }
}

/// Refuses what would take more memory than the file can account for.
fn decodable(layout: &Layout, item: u64, bytes: u64, size: u64) -> io::Result<()> {
    let most = MAX_DECODED_BYTES.min(size.saturating_mul(MAX_RATIO));
    let chunk = match layout {
        Layout::Chunked { chunk_shape, .. } => {
            chunk_shape.iter().try_fold(item, |bytes: u64, extent| bytes.checked_mul(*extent))
        }
        _ => Some(0),
    };
    match chunk {
        Some(chunk) if chunk <= most && bytes <= most => Ok(()),
        _ => Err(bad("it claims more numbers than the file can hold, or more than 1 GiB in one dataset")),
    }
}

/// Bytes of a float of the dataset, and its type where its bytes can be taken as they are.
fn float(dataset: &Dataset) -> io::Result<(u64, Option<OutDtype>)> {
    match dataset.datatype().map_err(fault)? {
        Datatype::FloatingPoint { size, byte_order, layout } => {
            let plain = match (size, byte_order == DatatypeByteOrder::LittleEndian) {
                (4, true) if layout == FloatingPointLayout::IEEE754_BINARY32 => Some(OutDtype::F32),
                (2, true) if layout == BINARY16 => Some(OutDtype::F16),
                _ => None,
            };
            Ok((u64::from(size), plain))
        }
        _ => Err(bad("it does not hold floats")),
    }
}

/// Orders the datasets as the records of the input were. Our own files are held to their promise.
fn sort(entries: &mut [Entry], ours: bool) -> io::Result<()> {
    if ours && entries.iter().all(|entry| entry.index.is_some()) {
        entries.sort_by_key(|entry| entry.index);
        let right = entries.iter().zip(0..).all(|(entry, place)| entry.index == Some(place));
        return right.then_some(()).ok_or_else(|| bad("its datasets are not numbered from 0 without gaps"));
    }
    let numbers: Option<Vec<u64>> = entries.iter().map(|entry| entry.name.parse().ok()).collect();
    match numbers {
        Some(_) => entries.sort_by_key(|entry| entry.name.parse::<u64>().unwrap_or(u64::MAX)),
        None => entries.sort_by(|one, other| one.name.cmp(&other.name)),
    }
    Ok(())
}

fn metadata(root: &Group) -> io::Result<Option<Metadata>> {
    let attributes = root.attrs().map_err(fault)?;
    let Some(text) = attributes.get(METADATA_KEY).and_then(AttrValue::as_str) else { return Ok(None) };
    let found = Metadata::from_json(text);
    found.map(Some).map_err(|cause| bad(&format!("its pliant_meta is not a JSON object: {cause}")))
}

fn named(dataset: &str, cause: &io::Error) -> io::Error {
    bad(&format!("dataset {dataset}: {cause}"))
}

fn fault(cause: hdf5_pure::Error) -> io::Error {
    bad(&cause.to_string())
}

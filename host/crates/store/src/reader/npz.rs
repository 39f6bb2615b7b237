//! `.npz`: see [`crate::npz`]; log-probabilities are rows as any others. Archives of `numpy.savez` with `ids` and `embeddings` are read too.

use std::io::{self, Read, Seek, SeekFrom};

use crc32fast::Hasher;
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{Head, ResultKind, StoredRecord, layers_in};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::npy::{self, bad};
use crate::npz::{EMBEDDINGS, IDS, OFFSETS};
use crate::table::LOGPROBS;
use crate::values::{OutDtype, decode};

/// Arrays of one file at most; those of a run have one per layer and three more.
const MAX_ENTRIES: usize = 4096;

/// Bytes read at first of an array, to find its header.
const HEAD_BYTES: usize = 16 * 1024;

/// Everything of an archive but its embeddings, which are read record by record.
///
/// Entries must be stored uncompressed, so memory is bounded by a small multiple of the file's size.
pub(crate) struct NpzRows<R> {
    file: R,
    pub(crate) ids: Vec<String>,
    pub(crate) offsets: Option<Vec<usize>>,
    pub(crate) layers: Vec<LayerRows>,
    next: usize,
}

/// The embeddings of one layer, on the disk.
pub(crate) struct LayerRows {
    /// The layer, where the name of the array tells it.
    pub(crate) layer: Option<usize>,
    pub(crate) dtype: OutDtype,
    pub(crate) width: usize,
    pub(crate) rows: usize,
    /// Where the numbers begin in the file.
    start: u64,
    /// Over what was read of the array.
    sum: Hasher,
    /// What the archive says that the sum must be in the end.
    wanted_sum: u32,
}

impl<R: Read + Seek> NpzRows<R> {
    /// Reads the small arrays of an archive of `size` bytes, and finds the large ones.
    pub(crate) fn open(file: R, size: u64) -> io::Result<(Head, Self)> {
        let mut archive = ZipArchive::new(file).map_err(into_io)?;
        if archive.len() > MAX_ENTRIES {
            return Err(bad("it has more than 4,096 entries"));
        }
        let mut found = Arrays::default();
        // Entries of a hostile archive may overlap; together they must not be larger than the file.
        let mut left = size;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(into_io)?;
            let name = entry.name().map_err(into_io)?.into_owned();
            let Some(name) = name.strip_suffix(".npy") else { continue };
            if ![EMBEDDINGS, LOGPROBS].contains(&name)
                && layer_digits(name).is_none()
                && ![IDS, OFFSETS, METADATA_KEY].contains(&name)
            {
                continue;
            }
            left = left
                .checked_sub(entry.size())
                .ok_or_else(|| bad("its entries claim more bytes than it has"))?;
            found.take(name, &mut entry).map_err(|cause| match cause.raw_os_error() {
                Some(_) => cause,
                None => io::Error::new(cause.kind(), format!("array {name}: {cause}")),
            })?;
        }
        found.fit(archive.into_inner())
    }

    /// The rows of the next record.
    pub(crate) fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        let Some(id) = self.ids.get(self.next) else { return Ok(None) };
        let (first, end) = match &self.offsets {
            None => (self.next, self.next + 1),
            Some(offsets) => (offsets[self.next], offsets[self.next + 1]),
        };
        let file = &mut self.file;
        let layers: io::Result<Vec<_>> =
            self.layers.iter_mut().map(|layer| layer.read(file, first, end)).collect();
        let (id, length) = (id.clone(), self.offsets.as_ref().map(|_| end - first));
        self.next += 1;
        Ok(Some(StoredRecord { id, length, layers: layers? }))
    }
}

impl LayerRows {
    /// Rows `first..end`, which follow those read before.
    fn read(&mut self, file: &mut (impl Read + Seek), first: usize, end: usize) -> io::Result<Vec<f32>> {
        let row = self.width * self.dtype.bytes();
        let mut bytes = vec![0; (end - first) * row];
        file.seek(SeekFrom::Start(self.start + (first * row) as u64))?;
        file.read_exact(&mut bytes)?;
        self.sum.update(&bytes);
        if end == self.rows && self.sum.clone().finalize() != self.wanted_sum {
            return Err(bad("its embeddings are damaged: their checksum is another one"));
        }
        Ok(decode(self.dtype, &bytes))
    }
}

/// The rest of the name of an array of one layer among several.
fn layer_digits(name: &str) -> Option<&str> {
    name.strip_prefix(EMBEDDINGS).and_then(|rest| rest.strip_prefix('.'))
}

/// The front of an array.
struct Start {
    descr: String,
    shape: Vec<u64>,
    /// Everything that was read, the header first.
    head: Vec<u8>,
    /// Bytes of the header.
    length: usize,
}

impl Start {
    fn read<R: Read>(entry: &mut ZipFile<'_, R>) -> io::Result<Self> {
        if entry.compression() != CompressionMethod::Stored || entry.compressed_size() != entry.size() {
            return Err(bad("it is compressed, plain was wanted: save it with numpy.savez"));
        }
        let size = usize::try_from(entry.size()).map_err(io::Error::other)?;
        let mut head = vec![0; size.min(HEAD_BYTES)];
        entry.read_exact(&mut head)?;
        let (descr, shape, length) = npy::read_header(&head)?;
        let items = shape.iter().product::<u64>();
        let here = (size - length) as u64;
        if item_bytes(&descr)?.checked_mul(items) != Some(here) {
            return Err(bad(&format!(
                "its header announces {items} items of {descr}, but it has {here} bytes"
            )));
        }
        Ok(Self { descr, shape, head, length })
    }

    /// The whole array in memory.
    fn data<R: Read>(mut self, entry: &mut ZipFile<'_, R>) -> io::Result<Array> {
        let size = usize::try_from(entry.size()).map_err(io::Error::other)?;
        let mut data = self.head.split_off(self.length);
        data.reserve_exact(size - self.length - data.len());
        entry.read_to_end(&mut data)?;
        match data.len() == size - self.length {
            true => Ok(Array { descr: self.descr, data }),
            false => Err(bad("it is cut off")),
        }
    }

    /// The array left on the disk.
    fn rows<R: Read>(self, entry: &ZipFile<'_, R>, layer: Option<usize>) -> io::Result<LayerRows> {
        let &[rows, width] = self.shape.as_slice() else {
            return Err(bad(&format!("its shape is {:?}, two axes were wanted", self.shape)));
        };
        let dtype = match self.descr.as_str() {
            "<f4" => OutDtype::F32,
            "<f2" => OutDtype::F16,
            other => return Err(bad(&format!("its type is {other}, <f4 or <f2 was wanted"))),
        };
        let width = usize::try_from(width).map_err(io::Error::other)?;
        let rows = usize::try_from(rows).map_err(io::Error::other)?;
        if width == 0 {
            return Err(bad("its rows have no numbers"));
        }
        let start = entry.data_start().ok_or_else(|| bad("its place is unknown"))? + self.length as u64;
        let mut sum = Hasher::new();
        sum.update(&self.head[..self.length]);
        Ok(LayerRows { layer, dtype, width, rows, start, sum, wanted_sum: entry.crc32() })
    }
}

/// A small array as it stands in the file.
struct Array {
    descr: String,
    data: Vec<u8>,
}

impl Array {
    fn strings(&self) -> io::Result<Vec<String>> {
        let item = match self.descr.starts_with("<U") {
            true => item_bytes(&self.descr)? as usize,
            false => return Err(bad(&format!("its type is {}, strings (<U) were wanted", self.descr))),
        };
        self.data.chunks_exact(item).map(string).collect()
    }

    fn offsets(&self) -> io::Result<Vec<usize>> {
        if self.descr != "<i8" {
            return Err(bad(&format!("its type is {}, <i8 was wanted", self.descr)));
        }
        let numbers = self.data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        let offsets: Result<Vec<usize>, _> = numbers.map(usize::try_from).collect();
        offsets.map_err(|_| bad("its offsets are not all positive"))
    }
}

/// The arrays met so far.
#[derive(Default)]
struct Arrays {
    ids: Option<Vec<String>>,
    metadata: Option<Metadata>,
    layers: Vec<LayerRows>,
    offsets: Option<Vec<usize>>,
}

impl Arrays {
    fn take<R: Read>(&mut self, name: &str, entry: &mut ZipFile<'_, R>) -> io::Result<()> {
        let start = Start::read(entry)?;
        match name {
            IDS => self.ids = Some(start.data(entry)?.strings()?),
            METADATA_KEY => {
                let json = start.data(entry)?.strings()?.into_iter().next().unwrap_or_default();
                let found = Metadata::from_json(&json);
                self.metadata =
                    Some(found.map_err(|cause| bad(&format!("it is not a JSON object: {cause}")))?);
            }
            OFFSETS => self.offsets = Some(start.data(entry)?.offsets()?),
            _ => {
                let layer = match layer_digits(name) {
                    None => None,
                    Some(digits) => Some(digits.parse().map_err(|_| bad("it is of no layer"))?),
                };
                self.layers.push(start.rows(entry, layer)?);
            }
        }
        Ok(())
    }

    fn fit<R>(self, file: R) -> io::Result<(Head, NpzRows<R>)> {
        let Self { ids, metadata, layers, offsets } = self;
        let ids = ids.ok_or_else(|| bad("it has no array ids"))?;
        let Some(first) = layers.first() else { return Err(bad("it has no array embeddings")) };
        let (width, rows, dtype) = (first.width, first.rows, first.dtype);
        if layers.iter().any(|layer| (layer.width, layer.rows, layer.dtype) != (width, rows, dtype)) {
            return Err(bad("its layers have different shapes or types"));
        }
        let kind = match &offsets {
            None if ids.len() == rows => ResultKind::Pooled,
            None => return Err(bad(&format!("it has {} ids for {rows} rows", ids.len()))),
            Some(offsets) => {
                check_offsets(offsets, ids.len(), rows)?;
                ResultKind::Residues
            }
        };
        let named: Option<Vec<usize>> = layers.iter().map(|layer| layer.layer).collect();
        let head = Head {
            kind,
            width,
            layers: named.unwrap_or_else(|| layers_in(metadata.as_ref())),
            dtype,
            metadata,
            records: ids.len(),
            residues: offsets.is_some().then_some(rows),
        };
        if !head.layers.is_empty() && head.layers.len() != layers.len() {
            return Err(bad("its metadata name other layers than it has"));
        }
        Ok((head, NpzRows { file, ids, offsets, layers, next: 0 }))
    }
}

/// Whether offsets divide `rows` rows among `records` records.
pub(crate) fn check_offsets(offsets: &[usize], records: usize, rows: usize) -> io::Result<()> {
    let ends = (offsets.first(), offsets.last()) == (Some(&0), Some(&rows));
    if offsets.len() == records + 1 && ends && offsets.is_sorted() {
        return Ok(());
    }
    Err(bad(&format!("its offsets do not divide {rows} rows among {records} ids")))
}

/// Bytes of one item of a numpy type that is read here, at least 1.
fn item_bytes(descr: &str) -> io::Result<u64> {
    let unknown = || bad(&format!("its type is {descr}, <f4, <f2, <i8 or <U was wanted"));
    match descr {
        "<f4" => Ok(4),
        "<f2" => Ok(2),
        "<i8" => Ok(8),
        _ => match descr.strip_prefix("<U").and_then(|digits| digits.parse::<u64>().ok()) {
            Some(letters @ 1..) => letters.checked_mul(4).ok_or_else(unknown),
            _ => Err(unknown()),
        },
    }
}

/// Decodes one padded UTF-32 string.
fn string(data: &[u8]) -> io::Result<String> {
    let letters: Vec<u32> = data.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let end = letters.iter().rposition(|letter| *letter != 0).map_or(0, |last| last + 1);
    letters[..end]
        .iter()
        .map(|letter| char::from_u32(*letter).ok_or_else(|| bad("a string is not Unicode")))
        .collect()
}

fn into_io(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(cause) => cause,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

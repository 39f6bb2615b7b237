//! Reading `.npz` files of this crate back. What is read may come from anywhere: nothing in it is trusted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use half::f16;
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Action, StoreError};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::npy;
use crate::npz::{EMBEDDINGS, IDS, OFFSETS};
use crate::values::OutDtype;

/// Arrays of one file at most; those of a run have one per layer and three more.
const MAX_ENTRIES: usize = 4096;

/// Bytes read at first of an array, to find its header.
const HEAD_BYTES: usize = 16 * 1024;

/// The embeddings of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerArray {
    /// The layer, where the name of the array tells it.
    pub layer: Option<usize>,
    /// Number type in the file.
    pub dtype: OutDtype,
    /// C, numbers per row.
    pub width: usize,
    /// Rows x C numbers, row by row.
    pub values: Vec<f32>,
}

/// Everything in a `.npz` of results.
#[derive(Debug, Clone, PartialEq)]
pub struct NpzContents {
    /// The ids of the records.
    pub ids: Vec<String>,
    /// What the file says about itself; other programs' files do not.
    pub metadata: Option<Metadata>,
    /// The embeddings in the order of the file, at least one.
    pub embeddings: Vec<LayerArray>,
    /// Per residue: record `i` has the rows `offsets[i]..offsets[i + 1]`. Ascending from 0 to the number of rows.
    pub offsets: Option<Vec<usize>>,
}

/// Reads a whole `.npz` of pooled or per-residue results into memory.
///
/// Entries must be stored uncompressed, so memory is bounded by a small multiple of the file's size.
///
/// # Errors
/// [`StoreError::Io`] where the file cannot be read; [`StoreError::Malformed`] where it is no such archive, is
/// compressed or damaged (checksums are verified), or where its arrays do not fit together.
pub fn read_npz(path: &Path) -> Result<NpzContents, StoreError> {
    let file = File::open(path).map_err(|cause| StoreError::io(Action::Read, path, cause))?;
    let size = file.metadata().map_err(|cause| StoreError::io(Action::Read, path, cause))?.len();
    read_archive(BufReader::new(file), size).map_err(|cause| match cause.raw_os_error() {
        Some(_) => StoreError::io(Action::Read, path, cause),
        None => StoreError::Malformed { path: path.to_path_buf(), reason: cause.to_string() },
    })
}

/// Reads an archive of `size` bytes.
fn read_archive(file: impl Read + Seek, size: u64) -> io::Result<NpzContents> {
    let mut archive = ZipArchive::new(file).map_err(into_io)?;
    if archive.len() > MAX_ENTRIES {
        return Err(npy::bad("it has more than 4,096 entries"));
    }
    let mut found = Arrays::default();
    // Entries of a hostile archive may overlap; together they must not be larger than the file.
    let mut left = size;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(into_io)?;
        let name = entry.name().map_err(into_io)?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else { continue };
        let wanted = name == EMBEDDINGS
            || name.strip_prefix(EMBEDDINGS).is_some_and(|rest| rest.starts_with('.'))
            || [IDS, OFFSETS, METADATA_KEY].contains(&name);
        if !wanted {
            continue;
        }
        left = left
            .checked_sub(entry.size())
            .ok_or_else(|| npy::bad("its entries claim more bytes than it has"))?;
        let array = Array::read(&mut entry).map_err(|cause| match cause.raw_os_error() {
            Some(_) => cause,
            None => io::Error::new(cause.kind(), format!("array {name}: {cause}")),
        })?;
        found.take(name, array)?;
    }
    found.fit()
}

/// One array as it stands in the file.
struct Array {
    descr: String,
    shape: Vec<u64>,
    data: Vec<u8>,
}

impl Array {
    fn read<R: Read>(entry: &mut ZipFile<'_, R>) -> io::Result<Self> {
        if entry.compression() != CompressionMethod::Stored || entry.compressed_size() != entry.size() {
            return Err(npy::bad("it is compressed, plain was wanted: save it with numpy.savez"));
        }
        let size = usize::try_from(entry.size()).map_err(io::Error::other)?;
        let mut head = vec![0; size.min(HEAD_BYTES)];
        entry.read_exact(&mut head)?;
        let (descr, shape, start) = npy::read_header(&head)?;
        let mut data = head.split_off(start);
        let items = shape.iter().product::<u64>();
        let wanted = item_bytes(&descr)?.checked_mul(items);
        let here = (size - start) as u64;
        if wanted != Some(here) {
            return Err(npy::bad(&format!(
                "its header announces {items} items of {descr}, but it has {here} bytes"
            )));
        }
        data.reserve_exact(size - start - data.len());
        entry.read_to_end(&mut data)?;
        match data.len() == size - start {
            true => Ok(Self { descr, shape, data }),
            false => Err(npy::bad("it is cut off")),
        }
    }

    fn strings(&self) -> io::Result<Vec<String>> {
        let item = match self.descr.starts_with("<U") {
            true => item_bytes(&self.descr)? as usize,
            false => return Err(npy::bad(&format!("its type is {}, strings (<U) were wanted", self.descr))),
        };
        self.data.chunks_exact(item).map(string).collect()
    }

    fn floats(self, layer: Option<usize>) -> io::Result<LayerArray> {
        let &[_, width] = self.shape.as_slice() else {
            return Err(npy::bad(&format!("its shape is {:?}, two axes were wanted", self.shape)));
        };
        let (dtype, values) = match self.descr.as_str() {
            "<f4" => (OutDtype::F32, numbers(&self.data, f32::from_le_bytes)),
            "<f2" => (OutDtype::F16, numbers(&self.data, |bytes| f16::from_le_bytes(bytes).to_f32())),
            other => return Err(npy::bad(&format!("its type is {other}, <f4 or <f2 was wanted"))),
        };
        let width = usize::try_from(width).map_err(io::Error::other)?;
        match width {
            0 => Err(npy::bad("its rows have no numbers")),
            _ => Ok(LayerArray { layer, dtype, width, values }),
        }
    }
}

/// The arrays met so far.
#[derive(Default)]
struct Arrays {
    ids: Option<Vec<String>>,
    metadata: Option<Metadata>,
    embeddings: Vec<LayerArray>,
    offsets: Option<Vec<usize>>,
}

impl Arrays {
    fn take(&mut self, name: &str, array: Array) -> io::Result<()> {
        let text =
            |cause: serde_json::Error| npy::bad(&format!("its metadata is not a JSON object: {cause}"));
        match name {
            IDS => self.ids = Some(array.strings()?),
            METADATA_KEY => {
                let json = array.strings()?.into_iter().next().unwrap_or_default();
                self.metadata = Some(Metadata::from_json(&json).map_err(text)?);
            }
            OFFSETS if array.descr == "<i8" => {
                let offsets: Result<Vec<usize>, _> =
                    numbers(&array.data, i64::from_le_bytes).into_iter().map(usize::try_from).collect();
                self.offsets = Some(offsets.map_err(|_| npy::bad("its offsets are not all positive"))?);
            }
            OFFSETS => return Err(npy::bad(&format!("its offsets are {}, <i8 was wanted", array.descr))),
            _ => {
                let layer = match name.strip_prefix(EMBEDDINGS).and_then(|rest| rest.strip_prefix('.')) {
                    None => None,
                    Some(digits) => {
                        Some(digits.parse().map_err(|_| npy::bad("it has an array of no layer"))?)
                    }
                };
                self.embeddings.push(array.floats(layer)?);
            }
        }
        Ok(())
    }

    fn fit(self) -> io::Result<NpzContents> {
        let ids = self.ids.ok_or_else(|| npy::bad("it has no array ids"))?;
        let Some(first) = self.embeddings.first() else {
            return Err(npy::bad("it has no array embeddings"));
        };
        let (width, rows) = (first.width, first.values.len() / first.width);
        if self.embeddings.iter().any(|layer| layer.width != width || layer.values.len() != rows * width) {
            return Err(npy::bad("its layers have different shapes"));
        }
        match &self.offsets {
            None if ids.len() == rows => {}
            None => return Err(npy::bad(&format!("it has {} ids for {rows} rows", ids.len()))),
            Some(offsets) => {
                let ends = (offsets.first(), offsets.last()) == (Some(&0), Some(&rows));
                if offsets.len() != ids.len() + 1 || !ends || !offsets.is_sorted() {
                    return Err(npy::bad(&format!(
                        "its offsets do not divide {rows} rows among {} ids",
                        ids.len()
                    )));
                }
            }
        }
        Ok(NpzContents { ids, metadata: self.metadata, embeddings: self.embeddings, offsets: self.offsets })
    }
}

/// Bytes of one item of a numpy type that is read here, at least 1.
fn item_bytes(descr: &str) -> io::Result<u64> {
    let unknown = || npy::bad(&format!("its type is {descr}, <f4, <f2, <i8 or <U was wanted"));
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

/// Decodes numbers of N bytes.
fn numbers<T, const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| decode(*bytes)).collect()
}

/// Decodes one padded UTF-32 string.
fn string(data: &[u8]) -> io::Result<String> {
    let letters = numbers(data, u32::from_le_bytes);
    let end = letters.iter().rposition(|letter| *letter != 0).map_or(0, |last| last + 1);
    letters[..end]
        .iter()
        .map(|letter| char::from_u32(*letter).ok_or_else(|| npy::bad("a string is not Unicode")))
        .collect()
}

fn into_io(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(cause) => cause,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::NpzTable;
    use crate::table::TablePlan;

    fn sample(path: &Path) {
        let plan = TablePlan {
            rows: 2,
            width: 3,
            layers: vec![6],
            dtype: OutDtype::F32,
            metadata: Metadata::new().with("model", "m"),
        };
        let mut table = NpzTable::residues(path, &plan, 3).unwrap();
        table.push("P1", &[&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]).unwrap();
        table.push("Q22", &[&[-1.0, 0.5, 9.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
    }

    /// Every bit of a file flipped and the file cut at every length: an error, or what was written.
    #[test]
    fn damage_is_seen_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.npz");
        sample(&path);
        let good = read_npz(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut refused = 0;
        let mut check =
            |bytes: &[u8], what: &str| match read_archive(io::Cursor::new(bytes), bytes.len() as u64) {
                Ok(found) => {
                    assert_eq!((&found.ids, &found.embeddings), (&good.ids, &good.embeddings), "{what}")
                }
                Err(_) => refused += 1,
            };
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                check(&flipped, &format!("bit {bit} of byte {place}"));
            }
        }
        for end in 0..bytes.len() {
            check(&bytes[..end], &format!("cut at {end}"));
        }
        assert!(refused > bytes.len(), "only {refused} refused");
    }

    #[test]
    fn arrays_that_do_not_fit_together_are_refused() {
        let layer = |rows: usize, width| LayerArray {
            layer: None,
            dtype: OutDtype::F32,
            width,
            values: vec![0.0; rows * width],
        };
        let ids = |count| Some(vec![String::from("p"); count]);
        let fit = |count, embeddings, offsets| {
            Arrays { ids: ids(count), metadata: None, embeddings, offsets }.fit().is_ok()
        };
        assert!(fit(2, vec![layer(2, 3), layer(2, 3)], None));
        assert!(fit(2, vec![layer(5, 3)], Some(vec![0, 4, 5])));
        assert!(!fit(2, vec![layer(3, 3)], None));
        assert!(!fit(2, vec![layer(2, 3), layer(2, 4)], None));
        assert!(!fit(2, vec![], None));
        for offsets in [vec![], vec![0, 5], vec![0, 6, 5], vec![0, 4, 6], vec![1, 4, 5], vec![0, 1, 4, 5]] {
            assert!(!fit(2, vec![layer(5, 3)], Some(offsets.clone())), "{offsets:?}");
        }
    }

    #[test]
    fn what_is_no_archive_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.npz");
        assert!(matches!(read_npz(&path), Err(StoreError::Io { action: Action::Read, .. })));
        std::fs::write(&path, "id\te0\n").unwrap();
        let error = read_npz(&path).unwrap_err();
        assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("no.npz"), "{error}");
    }
}

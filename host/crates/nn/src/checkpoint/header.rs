//! The header of a safetensors file: a length (8 bytes, little-endian), then JSON naming each tensor's
//! dtype, shape and place in the data that follows.

use std::fmt;
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::StoredType;
use crate::error::{CheckpointError, FileProblem, TensorProblem};

/// Longest header that is read, the limit of the safetensors library: a header is held in memory, and
/// nothing real comes near it.
const HEADER_LIMIT: u64 = 100_000_000;

/// Bytes of the length before the header.
const LENGTH_BYTES: u64 = 8;

/// The key that holds free text and no tensor.
const METADATA: &str = "__metadata__";

/// One tensor as its header describes it, checked against the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: StoredType,
    pub(super) shape: Vec<usize>,
    /// First byte in the file.
    pub(super) begin: u64,
    /// Elements from one place of a side to the next, `None` for a tensor that lies in one piece, row by row.
    pub(super) strides: Option<Vec<u64>>,
}

/// Members of a JSON object in their order, so that a name that stands twice is seen.
#[derive(Debug)]
pub(super) struct Members<T>(pub(super) Vec<(String, T)>);

/// One tensor as the header spells it.
#[derive(Debug, Deserialize)]
struct Spelled {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// A value of the header: a tensor, or the free text.
enum Item {
    Tensor(Spelled),
    Metadata,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Collect<T> {
            type Value = Members<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect(PhantomData))
    }
}

/// The members of a header.
struct Header(Vec<(String, Item)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Header;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let item = if name == METADATA {
                        map.next_value::<IgnoredAny>().map(|_| Item::Metadata)
                    } else {
                        map.next_value().map(Item::Tensor)
                    };
                    let named = |error: A::Error| {
                        A::Error::custom(format!("{}: {error}", crate::error::Name::from(name.as_str())))
                    };
                    let item = item.map_err(named)?;
                    members.push((name, item));
                }
                Ok(Header(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The tensors of a file in the order of their data: every byte after the header belongs to exactly one.
///
/// # Errors
/// [`CheckpointError`] naming the file, and the tensor where it is one, for whatever does not fit.
pub(super) fn read(file: &File, length: u64, path: &Path) -> Result<Vec<Entry>, CheckpointError> {
    let refuse = |problem| CheckpointError::file(path, problem);
    if length < LENGTH_BYTES {
        return Err(refuse(FileProblem::TooShort { found: length }));
    }
    let read_at = |bytes: &mut [u8], at| {
        file.read_exact_at(bytes, at).map_err(|source| CheckpointError::io("read", path, source))
    };
    let mut size = [0; LENGTH_BYTES as usize];
    read_at(&mut size, 0)?;
    let (found, available) = (u64::from_le_bytes(size), length - LENGTH_BYTES);
    if found > available.min(HEADER_LIMIT) {
        return Err(refuse(FileProblem::HeaderLength { found, available, limit: HEADER_LIMIT }));
    }
    let mut text = vec![0; found as usize];
    read_at(&mut text, LENGTH_BYTES)?;
    let Header(members) = serde_json::from_slice(&text)
        .map_err(|error| refuse(FileProblem::Header { reason: error.to_string() }))?;
    drop(text);
    refuse_duplicates(members.iter().map(|(name, _)| name.as_str())).map_err(refuse)?;
    let tensors = members.into_iter().filter_map(|(name, item)| match item {
        Item::Tensor(spelled) => Some((name, spelled)),
        Item::Metadata => None,
    });
    arrange(tensors.collect(), available - found, LENGTH_BYTES + found, path)
}

/// Refuses a name that stands twice.
pub(super) fn refuse_duplicates<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), FileProblem> {
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(FileProblem::Duplicate { name: pair[0].into() }),
        None => Ok(()),
    }
}

/// Checks every tensor for itself and against its neighbours in `data` bytes that start at `start`.
fn arrange(
    mut spelled: Vec<(String, Spelled)>,
    data: u64,
    start: u64,
    path: &Path,
) -> Result<Vec<Entry>, CheckpointError> {
    spelled.sort_by(|(name, one), (other, two)| (one.data_offsets, name).cmp(&(two.data_offsets, other)));
    let mut entries = Vec::with_capacity(spelled.len());
    let mut wanted = 0;
    for (name, tensor) in spelled {
        let refuse = |problem| CheckpointError::tensor(path, &name, problem);
        let (begin, end) = tensor.data_offsets;
        let (dtype, shape) = tensor.check().map_err(refuse)?;
        if begin != wanted {
            return Err(refuse(TensorProblem::NotAdjacent { found: begin, wanted }));
        }
        wanted = end;
        entries.push(Entry { name, dtype, shape, begin: start.saturating_add(begin), strides: None });
    }
    match data {
        found if found < wanted => Err(CheckpointError::file(path, FileProblem::Truncated { found, wanted })),
        found if found > wanted => Err(CheckpointError::file(path, FileProblem::Extended { found, wanted })),
        _ => Ok(entries),
    }
}

impl Spelled {
    /// Dtype and shape, when they agree with the offsets.
    fn check(&self) -> Result<(StoredType, Vec<usize>), TensorProblem> {
        let dtype = StoredType::from_name(&self.dtype)
            .ok_or_else(|| TensorProblem::UnknownDtype { found: self.dtype.as_str().into() })?;
        let overflow =
            || TensorProblem::ShapeOverflow { found: self.shape.iter().copied().take(16).collect() };
        let bytes = |sum: u64, &side: &u64| sum.checked_mul(side);
        let wanted = self.shape.iter().try_fold(dtype.bytes(), bytes).ok_or_else(overflow)?;
        let shape: Option<Vec<usize>> = self.shape.iter().map(|&side| usize::try_from(side).ok()).collect();
        let shape = shape.ok_or_else(overflow)?;
        let (begin, end) = self.data_offsets;
        let found = end.checked_sub(begin).ok_or(TensorProblem::Offsets { begin, end })?;
        if found == wanted { Ok((dtype, shape)) } else { Err(TensorProblem::Size { found, wanted }) }
    }
}

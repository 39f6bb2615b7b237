//! One safetensors file, from weights that are made or copied.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::StoredType;
use crate::error::CheckpointError;
use crate::init::Init;

/// A tensor to be made: name, sides and how its numbers begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Canonical name, the name in the file.
    pub name: String,
    /// Sides, outermost first.
    pub shape: Vec<usize>,
    /// Its first values.
    pub init: Init,
}

/// Writes `tensors` as 32-bit floats with the values that `seed` gives them, one tensor in memory at a
/// time. Tensors stand in the order of their names, so equal tensors give equal bytes.
///
/// # Errors
/// [`CheckpointError::Io`] naming the file; what was written is removed.
pub fn write_safetensors(path: &Path, tensors: &[Planned], seed: u64) -> Result<(), CheckpointError> {
    let mut sorted: Vec<&Planned> = tensors.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let outline = |tensor: &&Planned| (tensor.name.clone(), StoredType::F32, tensor.shape.clone());
    write_tensors(path, &sorted.iter().map(outline).collect::<Vec<_>>(), |at, write| {
        let tensor = sorted[at];
        let values = tensor.init.values(seed, &tensor.name, tensor.shape.iter().product());
        write(bytemuck::cast_slice(&values))
    })
}

/// A tensor at hand.
#[derive(Debug, Clone, Copy)]
pub struct NamedValues<'a> {
    /// The name in the file.
    pub name: &'a str,
    /// Sides, outermost first.
    pub shape: &'a [usize],
    /// Its numbers, row by row.
    pub values: &'a [f32],
}

/// Writes `tensors`, in the order in which they come, as 32-bit floats.
///
/// # Errors
/// [`CheckpointError::Io`] naming the file; what was written is removed.
pub fn write_values(path: &Path, tensors: &[NamedValues<'_>]) -> Result<(), CheckpointError> {
    let outline = |tensor: &NamedValues<'_>| (tensor.name.to_owned(), StoredType::F32, tensor.shape.to_vec());
    write_tensors(path, &tensors.iter().map(outline).collect::<Vec<_>>(), |at, write| {
        write(bytemuck::cast_slice(tensors[at].values))
    })
}

/// Takes the next bytes of a tensor.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), CheckpointError> + 'a;

/// Writes a file of tensors, given by name, number type and sides in the order in which they are to stand;
/// `fill` gives the bytes of each in turn.
///
/// # Errors
/// [`CheckpointError::Io`] naming the file, and what `fill` fails with; what was written is removed.
pub(crate) fn write_tensors(
    path: &Path,
    outline: &[(String, StoredType, Vec<usize>)],
    fill: impl FnMut(usize, &mut Sink<'_>) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    write(path, outline, fill).inspect_err(|_| {
        // The write has failed already; that a rest may stay behind is the lesser trouble.
        let _ = fs::remove_file(path);
    })
}

fn write(
    path: &Path,
    outline: &[(String, StoredType, Vec<usize>)],
    mut fill: impl FnMut(usize, &mut Sink<'_>) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::io("write", path, source);
    let header = header(outline);
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    writer.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    writer.write_all(header.as_bytes()).map_err(failed)?;
    for at in 0..outline.len() {
        fill(at, &mut |bytes| writer.write_all(bytes).map_err(failed))?;
    }
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)
}

fn header(outline: &[(String, StoredType, Vec<usize>)]) -> String {
    let mut header = Map::new();
    // Hugging Face transformers refuses files that do not name their framework so.
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut end = 0;
    for (name, dtype, shape) in outline {
        let begin = end;
        end += dtype.bytes() * shape.iter().product::<usize>() as u64;
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    // Data that starts at a multiple of 8 can be used in place by readers that map the file.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    header
}

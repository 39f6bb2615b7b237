//! Weights that are made, not read, written as one safetensors file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

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
    let written = File::create(path).and_then(|file| write(file, tensors, seed));
    written.map_err(|source| {
        // The write has failed already; that a rest may stay behind is the lesser trouble.
        let _ = fs::remove_file(path);
        CheckpointError::io("write", path, source)
    })
}

fn write(file: File, tensors: &[Planned], seed: u64) -> io::Result<()> {
    let mut sorted: Vec<&Planned> = tensors.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let mut header = Map::new();
    // Hugging Face transformers refuses files that do not name their framework so.
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut end = 0;
    for tensor in &sorted {
        let begin = end;
        end += size_of::<f32>() * tensor.shape.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [begin, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    // Data that starts at a multiple of 8 can be used in place by readers that map the file.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    writer.write_all(&(header.len() as u64).to_le_bytes())?;
    writer.write_all(header.as_bytes())?;
    for tensor in sorted {
        let values = tensor.init.values(seed, &tensor.name, tensor.shape.iter().product());
        writer.write_all(bytemuck::cast_slice(&values))?;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

//! Tensors of a checkpoint written to a file of their own, byte by byte.

use std::path::Path;

use super::{Record, Source, Weights};
use crate::checkpoint::{StoredType, write_tensors};
use crate::error::{CheckpointError, TensorProblem};

/// One tensor of a file to be.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Its name there.
    pub name: String,
    /// Its bytes.
    pub content: Content,
}

/// The bytes of a tensor to be written.
#[derive(Debug, Clone)]
pub enum Content {
    /// Those of a tensor of the checkpoint.
    Stored(Record),
    /// A list of numbers.
    Numbers(Vec<f32>),
}

impl Copied {
    fn outline(&self) -> (String, StoredType, Vec<usize>) {
        match &self.content {
            Content::Stored(record) => (self.name.clone(), record.dtype, record.shape.clone()),
            Content::Numbers(values) => (self.name.clone(), StoredType::F32, vec![values.len()]),
        }
    }
}

impl Weights {
    /// Writes tensors as one safetensors file, those of the checkpoint byte by byte as they are stored, in the order
    /// of their names.
    ///
    /// # Errors
    /// [`CheckpointError`] naming file and tensor for one that cannot be read any more or has other bytes than its
    /// record says, and for a file that cannot be written; what was written is removed.
    pub fn copy(&self, path: &Path, mut tensors: Vec<Copied>) -> Result<(), CheckpointError> {
        tensors.sort_by(|one, other| one.name.cmp(&other.name));
        let outline: Vec<_> = tensors.iter().map(Copied::outline).collect();
        write_tensors(path, &outline, |at, write| match &tensors[at].content {
            Content::Numbers(values) => write(bytemuck::cast_slice(values)),
            Content::Stored(record) => self.copy_stored(record, write),
        })
    }

    fn copy_stored(
        &self,
        record: &Record,
        write: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let stored_as = record.stored_as.as_deref().unwrap_or_default();
        let tensor = record.name.clone();
        let Source::Stored { checkpoint, .. } = &*self.source else {
            return Err(CheckpointError::MissingTensor { folder: Path::new("").to_owned(), tensor });
        };
        let folder = || checkpoint.folder().to_owned();
        let stored = checkpoint.get(stored_as);
        let stored = stored.ok_or_else(|| CheckpointError::MissingTensor { folder: folder(), tensor })?;
        let hash = checkpoint.scan(stored_as, stored, |bytes, _| write(bytes))?;
        if record.hash.is_none_or(|wanted| wanted == hash) {
            return Ok(());
        }
        Err(CheckpointError::tensor(checkpoint.path_of(stored), stored_as, TensorProblem::Changed))
    }
}

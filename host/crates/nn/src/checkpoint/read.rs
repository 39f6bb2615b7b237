//! The numbers of one tensor, as 32-bit floats, with the hash of their bytes.

use std::os::unix::fs::FileExt;

use blake3::Hash;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{Checkpoint, Stored, StoredType};
use crate::error::{CheckpointError, TensorProblem};

#[cfg(target_endian = "big")]
compile_error!("weights are read as little-endian numbers in place");

/// Elements read at once: enough for the hash to be fast, few enough to stay in the processor's cache.
const CHUNK: usize = 1 << 16;

impl Checkpoint {
    /// Reads a tensor of floats and hashes its bytes as they stand in the file (little-endian). The numbers
    /// come as 32-bit floats, which hold all three types exactly.
    ///
    /// # Errors
    /// [`CheckpointError`] naming file and tensor for another dtype, a number that is not finite, or a file
    /// that cannot be read.
    pub fn read(&self, name: &str, stored: &Stored) -> Result<(Vec<f32>, Hash), CheckpointError> {
        let mut values = Vec::with_capacity(stored.elements());
        let hash = self.scan(name, stored, |chunk| values.extend_from_slice(chunk))?;
        Ok((values, hash))
    }

    /// Reads a tensor for its hash alone: the same checks as [`Checkpoint::read`], nothing kept.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn hash(&self, name: &str, stored: &Stored) -> Result<Hash, CheckpointError> {
        self.scan(name, stored, |_| {})
    }

    fn scan(
        &self,
        name: &str,
        stored: &Stored,
        mut keep: impl FnMut(&[f32]),
    ) -> Result<Hash, CheckpointError> {
        let path = self.path_of(stored);
        let refuse = |problem| CheckpointError::tensor(path, name, problem);
        let bytes = match stored.dtype {
            StoredType::F32 | StoredType::F16 | StoredType::Bf16 => stored.dtype.bytes() as usize,
            StoredType::Other(found, _) => return Err(refuse(TensorProblem::Dtype { found })),
        };
        let (elements, file) = (stored.elements(), &self.shards[stored.file].file);
        let mut hasher = blake3::Hasher::new();
        let mut numbers = vec![0.0f32; CHUNK.min(elements)];
        let mut halves = vec![0u16; if bytes == 2 { numbers.len() } else { 0 }];
        for first in (0..elements).step_by(CHUNK) {
            let count = CHUNK.min(elements - first);
            let chunk: &mut [u8] = match bytes {
                4 => bytemuck::cast_slice_mut(&mut numbers[..count]),
                _ => bytemuck::cast_slice_mut(&mut halves[..count]),
            };
            file.read_exact_at(chunk, stored.begin + (first * bytes) as u64)
                .map_err(|source| CheckpointError::io("read", path, source))?;
            hasher.update(chunk);
            let numbers = &mut numbers[..count];
            widen(stored.dtype, &halves, numbers);
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                let (index, value) = (first + at, numbers[at].to_string());
                return Err(refuse(TensorProblem::NotFinite { index, value }));
            }
            keep(numbers);
        }
        Ok(hasher.finalize())
    }
}

/// Widens 16-bit floats, given by their bits; 32-bit numbers are in place already.
fn widen(dtype: StoredType, halves: &[u16], numbers: &mut [f32]) {
    match dtype {
        StoredType::F16 => {
            bytemuck::cast_slice::<u16, f16>(&halves[..numbers.len()]).convert_to_f32_slice(numbers);
        }
        StoredType::Bf16 => {
            bytemuck::cast_slice::<u16, bf16>(&halves[..numbers.len()]).convert_to_f32_slice(numbers);
        }
        StoredType::F32 | StoredType::Other(..) => {}
    }
}

//! The numbers of one tensor, as 32-bit floats, with the hash of their bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use blake3::Hash;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{Checkpoint, Shard, Stored, StoredType};
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
        let keep = |_: &[u8], chunk: &[f32]| {
            values.extend_from_slice(chunk);
            Ok(())
        };
        let hash = self.scan(name, stored, keep)?;
        Ok((values, hash))
    }

    /// Reads a tensor for its hash alone: the same checks as [`Checkpoint::read`], nothing kept.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn hash(&self, name: &str, stored: &Stored) -> Result<Hash, CheckpointError> {
        self.scan(name, stored, |_, _| Ok(()))
    }

    /// Reads a tensor chunk by chunk: its bytes row by row, as they stand in the file, and the same numbers
    /// widened. Gives the hash of the bytes.
    pub(crate) fn scan(
        &self,
        name: &str,
        stored: &Stored,
        mut keep: impl FnMut(&[u8], &[f32]) -> Result<(), CheckpointError>,
    ) -> Result<Hash, CheckpointError> {
        let path = self.path_of(stored);
        let refuse = |problem| CheckpointError::tensor(path, name, problem);
        let bytes = match stored.dtype {
            StoredType::F32 | StoredType::F16 | StoredType::Bf16 => stored.dtype.bytes() as usize,
            StoredType::Other(found, _) => return Err(refuse(TensorProblem::Dtype { found })),
        };
        let elements = stored.elements();
        let mut source = self.bytes_of(stored)?;
        let mut hasher = blake3::Hasher::new();
        let mut numbers = vec![0.0f32; CHUNK.min(elements)];
        let mut halves = vec![0u16; if bytes == 2 { numbers.len() } else { 0 }];
        for first in (0..elements).step_by(CHUNK) {
            let count = CHUNK.min(elements - first);
            let chunk: &mut [u8] = match bytes {
                4 => bytemuck::cast_slice_mut(&mut numbers[..count]),
                _ => bytemuck::cast_slice_mut(&mut halves[..count]),
            };
            source.fill(chunk).map_err(|source| CheckpointError::io("read", path, source))?;
            hasher.update(chunk);
            let numbers = &mut numbers[..count];
            widen(stored.dtype, &halves, numbers);
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                let (index, value) = (first + at, numbers[at].to_string());
                return Err(refuse(TensorProblem::NotFinite { index, value }));
            }
            match bytes {
                4 => keep(bytemuck::cast_slice(numbers), numbers)?,
                _ => keep(bytemuck::cast_slice(&halves[..count]), numbers)?,
            }
        }
        Ok(hasher.finalize())
    }

    /// The bytes of a tensor, row by row.
    fn bytes_of<'a>(&'a self, stored: &'a Stored) -> Result<Bytes<'a>, CheckpointError> {
        let Shard { path, file } = &self.shards[stored.file];
        let Some(strides) = &stored.strides else {
            return Ok(Bytes::Piece { file, at: stored.begin });
        };
        let gathered = Gather::new(file, stored, strides);
        gathered.map(Bytes::Gathered).map_err(|source| CheckpointError::io("read", path, source))
    }
}

/// Where the bytes of a tensor come from.
enum Bytes<'a> {
    /// One piece of the file.
    Piece { file: &'a File, at: u64 },
    /// Places of a window of the file.
    Gathered(Gather<'a>),
}

impl Bytes<'_> {
    /// The next bytes.
    fn fill(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Piece { file, at } => {
                file.read_exact_at(chunk, *at)?;
                *at += chunk.len() as u64;
            }
            Self::Gathered(gather) => gather.fill(chunk),
        }
        Ok(())
    }
}

/// A tensor that lies scattered: transposed, or a part of another.
struct Gather<'a> {
    /// Everything from its first to its last element.
    window: Vec<u8>,
    /// Bytes of an element.
    width: usize,
    shape: &'a [usize],
    strides: &'a [u64],
    /// The next element.
    place: Vec<usize>,
}

impl<'a> Gather<'a> {
    /// Reads the window, which a view that fits its storage keeps below the size of the file.
    fn new(file: &File, stored: &'a Stored, strides: &'a [u64]) -> io::Result<Self> {
        let width = stored.dtype.bytes();
        let steps = stored.shape.iter().zip(strides).map(|(&side, &stride)| (side as u64 - 1) * stride);
        let mut window = vec![0; ((steps.sum::<u64>() + 1) * width) as usize];
        file.read_exact_at(&mut window, stored.begin)?;
        let place = vec![0; stored.shape.len()];
        Ok(Self { window, width: width as usize, shape: &stored.shape, strides, place })
    }

    fn fill(&mut self, chunk: &mut [u8]) {
        let mut at: usize =
            self.place.iter().zip(self.strides).map(|(&place, &stride)| place * stride as usize).sum();
        for element in chunk.chunks_exact_mut(self.width) {
            element.copy_from_slice(&self.window[at * self.width..][..self.width]);
            for side in (0..self.shape.len()).rev() {
                let stride = self.strides[side] as usize;
                self.place[side] += 1;
                at += stride;
                if self.place[side] < self.shape[side] {
                    break;
                }
                at -= stride * self.shape[side];
                self.place[side] = 0;
            }
        }
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

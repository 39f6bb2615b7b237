//! What the rows so far leave behind for those to come.

use crate::error::TensorError;
use pliant_kernels::{Buffer, Device};

/// Memory of one operation that walks through a run of tokens stretch by stretch: `[K-1,E]` of a filter,
/// `[E,N]` of a scan. One belongs to one operation, run and direction.
#[derive(Debug)]
pub struct Carry {
    values: Buffer<f32>,
    device: Device,
    shape: [usize; 2],
}

impl Carry {
    /// What stands before the first row of a run: zeros.
    #[must_use]
    pub fn new(device: &Device, shape: [usize; 2]) -> Self {
        Self { values: device.zeros(shape[0] * shape[1]), device: device.clone(), shape }
    }

    /// Forgets everything: the next stretch begins a sequence.
    pub fn clear(&mut self) {
        self.values = self.device.zeros(self.values.len());
    }

    /// The numbers, row by row.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        self.values.as_slice().to_vec()
    }

    pub(crate) fn buffer(&mut self) -> &mut Buffer<f32> {
        &mut self.values
    }

    pub(crate) fn check(&self, op: &'static str, wanted: [usize; 2]) -> Result<(), TensorError> {
        if self.shape == wanted {
            return Ok(());
        }
        Err(TensorError::Shape { op, what: "carry", found: self.shape.to_vec(), wanted: wanted.to_vec() })
    }
}

//! Numbers as bytes: the only place where precision is given up.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::error::StoreError;

/// The number type of a result file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutDtype {
    /// 32-bit floats: what was computed, bit for bit.
    #[default]
    F32,
    /// 16-bit floats, rounded to nearest, ties to even. Values it cannot hold are errors.
    F16,
}

impl OutDtype {
    /// The name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// The numbers of little-endian bytes; what is left of an incomplete one is dropped.
pub(crate) fn decode(dtype: OutDtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        OutDtype::F32 => bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
        OutDtype::F16 => {
            bytes.as_chunks::<2>().0.iter().map(|two| f16::from_le_bytes(*two).to_f32()).collect()
        }
    }
}

/// Turns rows into bytes, with room kept from row to row.
#[derive(Debug)]
pub(crate) struct Encoder {
    dtype: OutDtype,
    width: usize,
    halves: Vec<f16>,
    bytes: Vec<u8>,
}

impl Encoder {
    /// An encoder for rows of `width` numbers.
    pub(crate) fn new(dtype: OutDtype, width: usize) -> Self {
        Self { dtype, width, halves: Vec::new(), bytes: Vec::new() }
    }

    /// The little-endian bytes of `values`, rows of `width` numbers of one layer of one record.
    ///
    /// # Errors
    /// [`StoreError::Narrow`] where half precision cannot hold a value.
    pub(crate) fn bytes(&mut self, values: &[f32], id: &str, layer: usize) -> Result<&[u8], StoreError> {
        self.bytes.resize(values.len() * self.dtype.bytes(), 0);
        match self.dtype {
            OutDtype::F32 => {
                for (place, value) in self.bytes.chunks_exact_mut(4).zip(values) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
            }
            OutDtype::F16 => {
                self.narrow(values, id, layer)?;
                for (place, value) in self.bytes.chunks_exact_mut(2).zip(&self.halves) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        Ok(&self.bytes)
    }

    /// The numbers that a reader of the file will see, in `into`.
    ///
    /// # Errors
    /// [`StoreError::Narrow`] where half precision cannot hold a value.
    pub(crate) fn rounded(
        &mut self,
        values: &[f32],
        id: &str,
        layer: usize,
        into: &mut Vec<f32>,
    ) -> Result<(), StoreError> {
        into.clear();
        match self.dtype {
            OutDtype::F32 => into.extend_from_slice(values),
            OutDtype::F16 => {
                self.narrow(values, id, layer)?;
                into.extend(self.halves.iter().map(|half| half.to_f32()));
            }
        }
        Ok(())
    }

    /// Fills `halves`.
    fn narrow(&mut self, values: &[f32], id: &str, layer: usize) -> Result<(), StoreError> {
        self.halves.resize(values.len(), f16::ZERO);
        self.halves.convert_from_f32_slice(values);
        match self.halves.iter().position(|half| !half.is_finite()) {
            None => Ok(()),
            Some(place) => Err(StoreError::Narrow {
                id: id.to_owned(),
                layer,
                column: place % self.width,
                value: values[place],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(values: &[f32]) -> Vec<u16> {
        let mut encoder = Encoder::new(OutDtype::F16, values.len());
        let bytes = encoder.bytes(values, "p", 0).unwrap();
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn halves_round_to_nearest_with_ties_to_even() {
        // Halves near 2048 are 2 apart: 2049 and 2051 are ties, 2049.001 is above one.
        let found = halves(&[2049.0, 2051.0, 2049.001, -2049.0, 65519.99, 5.0e-8, 2.0e-8]);
        assert_eq!(found, [0x6800, 0x6802, 0x6801, 0xe800, 0x7bff, 0x0001, 0x0000]);
    }

    #[test]
    fn what_half_precision_cannot_hold_is_an_error_with_its_place() {
        for bad in [65520.0_f32, -1.0e9, f32::INFINITY, f32::NAN] {
            let mut encoder = Encoder::new(OutDtype::F16, 3);
            let mut values = vec![1.0; 6];
            values[4] = bad;
            let error = encoder.bytes(&values, "sp|P1|X", 7).unwrap_err();
            assert!(matches!(error, StoreError::Narrow { layer: 7, column: 1, .. }), "{bad}: {error:?}");
            let text = error.to_string();
            assert!(text.contains("sp|P1|X") && text.contains("--out-dtype f32"), "{text}");
        }
    }

    #[test]
    fn f32_is_kept_bit_for_bit() {
        let values = [1.5_f32, -0.0, f32::MIN_POSITIVE, 1.0e-45, f32::INFINITY];
        let mut encoder = Encoder::new(OutDtype::F32, 5);
        let bytes = encoder.bytes(&values, "p", 0).unwrap();
        let back: Vec<u32> =
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(back, values.map(f32::to_bits));
    }
}

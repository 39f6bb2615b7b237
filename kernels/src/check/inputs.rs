//! Inputs that are the same on every device.

use crate::rng::Philox;
use crate::{Buffer, Device, Input, Output, Precision, bf16};

/// Numbers of size about one, by name and place.
pub(super) fn numbers(stream: u32, count: usize) -> Vec<f32> {
    let words = Philox::new(20, stream, 0);
    let unit = |index: u64| f64::from(words.word(index)) / f64::from(u32::MAX) - 0.5;
    // The sum of three flat ones is near enough to normal.
    (0..count as u64).map(|at| (2.0 * (unit(3 * at) + unit(3 * at + 1) + unit(3 * at + 2))) as f32).collect()
}

/// Numbers below a limit.
pub(super) fn indices(stream: u32, count: usize, limit: u32) -> Vec<u32> {
    let words = Philox::new(21, stream, 0);
    (0..count as u64).map(|at| words.word(at) % limit).collect()
}

/// A matrix operand on a device.
pub(super) enum Operand {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
}

impl Operand {
    /// `values` as an operand of a precision.
    pub(super) fn new(device: &Device, precision: Precision, values: &[f32]) -> Self {
        match precision {
            Precision::F32 => Self::F32(device.upload(values)),
            Precision::Bf16 | Precision::Int8 => {
                let narrow: Vec<bf16> = values.iter().map(|&value| bf16::from_f32(value)).collect();
                Self::Bf16(device.upload(&narrow))
            }
        }
    }

    /// Room for a result of a precision.
    pub(super) fn room(device: &Device, precision: Precision, length: usize) -> Self {
        match precision {
            Precision::F32 => Self::F32(device.scratch(length)),
            Precision::Bf16 | Precision::Int8 => Self::Bf16(device.scratch(length)),
        }
    }

    pub(super) fn input(&self) -> Input<'_> {
        match self {
            Self::F32(buffer) => Input::F32(buffer),
            Self::Bf16(buffer) => Input::Bf16(buffer),
        }
    }

    pub(super) fn output(&mut self) -> Output<'_> {
        match self {
            Self::F32(buffer) => Output::F32(buffer),
            Self::Bf16(buffer) => Output::Bf16(buffer),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<f32> {
        match self {
            Self::F32(buffer) => buffer.as_slice().to_vec(),
            Self::Bf16(buffer) => buffer.as_slice().iter().map(|value| value.to_f32()).collect(),
        }
    }
}

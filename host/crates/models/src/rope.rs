//! Rotary frequencies of a model and their tables.

use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use pliant_kernels::Device;
use pliant_tensor::Offsets;
use pliant_tensor::ops::Table;

/// Base of the frequencies, the only one that ESM-2 was trained with.
pub(crate) const ROPE_BASE: f64 = 10_000.0;

/// Positions a table has at least, and by which it grows.
const POSITIONS: usize = 1024;

/// Where the frequencies of a model come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeInvFreq {
    /// From the checkpoint. ESM-2 was trained with frequencies rounded to f16, and computing them anew
    /// changes its hidden states by far more than rounding does.
    Stored,
    /// `10000^(-2j/D)`, rounded to f32.
    Exact,
    /// The same, rounded to f16.
    F16,
}

impl RopeInvFreq {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Exact, Self::F16];

    /// Name in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Exact => "exact",
            Self::F16 => "f16",
        }
    }

    /// The frequencies `[D/2]` of a head of `head_width` where none are stored.
    #[must_use]
    pub fn compute(self, head_width: usize) -> Vec<f32> {
        let exact = |j: usize| ROPE_BASE.powf(-2.0 * j as f64 / head_width as f64) as f32;
        let rounded = |value: f32| if self == Self::F16 { f16::from_f32(value).to_f32() } else { value };
        (0..head_width / 2).map(|j| rounded(exact(j))).collect()
    }
}

/// Frequencies with a table that grows with the longest sequence seen.
///
/// A longer table begins with the numbers of the shorter one, so growing changes no result.
#[derive(Debug)]
pub struct Rope {
    inv_freq: Vec<f32>,
    table: Mutex<Option<Arc<Table>>>,
}

impl Rope {
    /// A table of these frequencies `[D/2]`, computed on first use.
    #[must_use]
    pub fn new(inv_freq: Vec<f32>) -> Self {
        Self { inv_freq, table: Mutex::new(None) }
    }

    /// The frequencies `[D/2]`.
    #[must_use]
    pub fn inv_freq(&self) -> &[f32] {
        &self.inv_freq
    }

    /// A table for the longest sequence of a pack.
    #[must_use]
    pub fn table(&self, device: &Device, offsets: &Offsets) -> Arc<Table> {
        let longest = offsets.as_slice().windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let mut kept = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = kept.as_ref().map_or(0, |table| table.positions());
        match &*kept {
            Some(table) if positions >= longest => Arc::clone(table),
            _ => {
                let grown = longest.max(positions + positions / 2).next_multiple_of(POSITIONS);
                Arc::clone(kept.insert(Arc::new(Table::new(device, &self.inv_freq, grown.max(POSITIONS)))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_from_one_and_f16_is_the_rounding() {
        let exact = RopeInvFreq::Exact.compute(16);
        assert_eq!((exact.len(), exact[0], exact[4]), (8, 1.0, 0.01));
        let rounded = RopeInvFreq::F16.compute(16);
        assert_eq!(rounded[4].to_bits(), f16::from_f32(0.01).to_f32().to_bits());
        assert_ne!(exact, rounded);
    }

    #[test]
    fn a_longer_table_begins_with_the_shorter() {
        let device = Device::cpu(1).unwrap();
        let rope = Rope::new(RopeInvFreq::Exact.compute(16));
        let pack = |longest: usize| Offsets::new(&[0, 3, 3 + longest]).unwrap();
        let short = rope.table(&device, &pack(10));
        assert!(Arc::ptr_eq(&short, &rope.table(&device, &pack(1024))));
        let long = rope.table(&device, &pack(1025));
        assert_eq!((short.positions(), long.positions()), (1024, 2048));
        assert_eq!(long.cos()[..short.cos().len()], *short.cos());
        assert_eq!(long.sin()[..short.sin().len()], *short.sin());
    }
}

//! The shapes of a proof that a fast path is right, repeatable and blind to its neighbours.

use super::{assert_bites, assert_close, devices};
use pliant_kernels::{Buffer, Device, Tolerance, bf16};
use std::collections::BTreeMap;

/// Results of a kernel in the type in which it wrote them.
#[derive(Debug, Clone)]
pub enum Values {
    /// 32-bit numbers.
    F32(Vec<f32>),
    /// bfloat16 numbers.
    Bf16(Vec<bf16>),
    /// Whole numbers.
    U32(Vec<u32>),
    /// 64-bit numbers, which sums over everything are.
    F64(Vec<f64>),
}

impl From<&Buffer<f32>> for Values {
    fn from(buffer: &Buffer<f32>) -> Self {
        Self::F32(buffer.as_slice().to_vec())
    }
}

impl From<&Buffer<bf16>> for Values {
    fn from(buffer: &Buffer<bf16>) -> Self {
        Self::Bf16(buffer.as_slice().to_vec())
    }
}

impl From<&Buffer<u32>> for Values {
    fn from(buffer: &Buffer<u32>) -> Self {
        Self::U32(buffer.as_slice().to_vec())
    }
}

impl Values {
    /// Bit patterns, for equality.
    #[must_use]
    pub fn bits(&self) -> Vec<u32> {
        match self {
            Self::F32(values) => values.iter().map(|value| value.to_bits()).collect(),
            Self::Bf16(values) => values.iter().map(|value| u32::from(value.to_bits())).collect(),
            Self::U32(values) => values.clone(),
            Self::F64(values) => {
                let halves = |value: &f64| [(value.to_bits() >> 32) as u32, value.to_bits() as u32];
                values.iter().flat_map(halves).collect()
            }
        }
    }

    /// Numbers, for comparison with an oracle.
    #[must_use]
    pub fn reals(&self) -> Vec<f64> {
        match self {
            Self::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Self::Bf16(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Self::U32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Self::F64(values) => values.clone(),
        }
    }
}

/// One result of a fast path.
#[derive(Debug)]
pub struct Found {
    /// Which result.
    pub what: &'static str,
    /// Its numbers.
    pub values: Values,
}

impl Found {
    /// The result called `what`.
    pub fn new(what: &'static str, values: impl Into<Values>) -> Self {
        Self { what, values: values.into() }
    }
}

/// One result of an oracle.
#[derive(Debug)]
pub struct Expected {
    /// Which result.
    pub what: &'static str,
    /// Its numbers.
    pub values: Vec<f64>,
    /// How far the fast path may be.
    pub tolerance: Tolerance,
}

impl Expected {
    /// The result called `what`.
    #[must_use]
    pub fn new(what: &'static str, values: Vec<f64>, tolerance: Tolerance) -> Self {
        Self { what, values, tolerance }
    }
}

/// Tolerance for whole numbers, which must be met exactly.
pub const WHOLE: Tolerance = Tolerance { absolute: 1e-6, relative: 0.0 };

/// What a kernel gives on a device.
pub type Fast = Box<dyn Fn(&Device) -> Vec<Found>>;

/// One row of the parity table.
pub struct Case {
    /// Operation, sizes and options.
    pub name: String,
    /// The fast path.
    pub fast: Fast,
    /// What the plain text gives in 64 bits on the same (rounded) inputs.
    pub oracle: Vec<Expected>,
}

impl Case {
    /// Checks the fast path on every device: close to the oracle, the same bits on all devices of a
    /// numerics class, and an oracle comparison that bites.
    ///
    /// # Panics
    /// With the case and the device where one of these fails.
    pub fn check(&self) {
        let mut classes = BTreeMap::new();
        for (turn, device) in devices().iter().enumerate() {
            let found = (self.fast)(device);
            let what: Vec<_> = found.iter().map(|found| found.what).collect();
            let wanted: Vec<_> = self.oracle.iter().map(|expected| expected.what).collect();
            assert_eq!(what, wanted, "{}: results", self.name);
            for (found, expected) in found.iter().zip(&self.oracle) {
                let name = format!("{} {} on {}", self.name, found.what, device.describe());
                assert_close(&name, &found.values.reals(), &expected.values, expected.tolerance);
                if turn == 0 {
                    assert_bites(&name, &found.values.reals(), &expected.values, expected.tolerance);
                }
            }
            let bits: Vec<Vec<u32>> = found.iter().map(|found| found.values.bits()).collect();
            let (first, wanted) =
                classes.entry(device.numerics()).or_insert_with(|| (device.describe(), bits.clone()));
            for (result, (bits, wanted)) in bits.iter().zip(wanted.iter()).enumerate() {
                let name = format!("{} {} on {} and {first}", self.name, what[result], device.describe());
                assert_same_bits(&name, bits, wanted);
            }
        }
    }
}

/// Fails when two results differ in a bit.
///
/// # Panics
/// With the first place that differs.
pub fn assert_same_bits(what: &str, found: &[u32], wanted: &[u32]) {
    assert_eq!(found.len(), wanted.len(), "{what}: lengths");
    if let Some(place) = (0..found.len()).find(|&place| found[place] != wanted[place]) {
        let count = (0..found.len()).filter(|&place| found[place] != wanted[place]).count();
        panic!(
            "{what}: {count} results differ, first at {place}: {:08x} and {:08x}",
            found[place], wanted[place]
        );
    }
}

/// Runs an operation on a pack of some of a fixed set of sequences, in the given order, and gives each
/// one's bits.
pub type Packed = Box<dyn Fn(&Device, &[usize]) -> Vec<Vec<u32>>>;

/// One row of the table of batch invariance.
pub struct Invariance {
    /// Operation, sizes and options.
    pub name: String,
    /// Number of sequences (or rows) in the set.
    pub sequences: usize,
    /// Runs the operation on a pack.
    pub run: Packed,
}

impl Invariance {
    /// Checks that a sequence has the same bits alone, among the others, and with the order reversed.
    ///
    /// # Panics
    /// With the case, the device and the sequence where it does not.
    pub fn check(&self) {
        let forward: Vec<usize> = (0..self.sequences).collect();
        let backward: Vec<usize> = forward.iter().rev().copied().collect();
        for device in devices() {
            let alone: Vec<Vec<u32>> =
                forward.iter().map(|&sequence| (self.run)(device, &[sequence]).swap_remove(0)).collect();
            for order in [&forward, &backward] {
                let together = (self.run)(device, order);
                assert_eq!(together.len(), order.len(), "{}: sequences", self.name);
                for (found, &sequence) in together.iter().zip(order) {
                    let name = format!("{} sequence {sequence} on {}", self.name, device.describe());
                    assert!(
                        !found.is_empty() && found.iter().any(|&bits| bits != 0),
                        "{name}: nothing to compare"
                    );
                    assert_same_bits(&name, found, &alone[sequence]);
                }
            }
        }
    }
}

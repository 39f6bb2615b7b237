//! Random inputs that are the same in every run, on every machine.

use pliant_kernels::rng::Philox;
use pliant_kernels::{Buffer, Device, Input, Precision, bf16};

/// A source of inputs, a pure function of its name; every call draws from a new stream.
pub struct Inputs {
    seed: u64,
    stream: u32,
}

impl Inputs {
    /// The source of the case with that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        // FNV-1a: any fixed hash would do.
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { seed, stream: 0 }
    }

    fn stream(&mut self) -> Philox {
        self.stream += 1;
        Philox::new(self.seed, self.stream, 0)
    }

    /// Normal numbers with mean zero and the given spread.
    #[must_use]
    pub fn normal(&mut self, length: usize, spread: f32) -> Vec<f32> {
        let stream = self.stream();
        (0..length).map(|index| stream.normal(index as u64) * spread).collect()
    }

    /// Uniform numbers of `low..high`.
    #[must_use]
    pub fn uniform(&mut self, length: usize, low: f32, high: f32) -> Vec<f32> {
        let stream = self.stream();
        (0..length).map(|index| low + (high - low) * stream.uniform(index as u64)).collect()
    }

    /// Random 32-bit words.
    #[must_use]
    pub fn words(&mut self, length: usize) -> Vec<u32> {
        let stream = self.stream();
        (0..length).map(|index| stream.word(index as u64)).collect()
    }

    /// Whole numbers below `limit`.
    #[must_use]
    pub fn ids(&mut self, length: usize, limit: u32) -> Vec<u32> {
        self.words(length).into_iter().map(|word| word % limit).collect()
    }
}

/// The numbers rounded to bf16 by a library that shares nothing with the kernels.
#[must_use]
pub fn rounded(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&value| bf16::from_f32(value)).collect()
}

/// 32-bit numbers as 64-bit ones, exact.
#[must_use]
pub fn reals(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The 64-bit values of the numbers rounded to bf16.
#[must_use]
pub fn rounded_reals(values: &[f32]) -> Vec<f64> {
    rounded(values).into_iter().map(f64::from).collect()
}

/// Offsets of sequences with these lengths, laid end to end.
#[must_use]
pub fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    offsets
}

/// A matrix operand on a device, held as a precision wants it.
pub enum Operand {
    /// 32-bit numbers.
    F32(Buffer<f32>),
    /// bfloat16 numbers.
    Bf16(Buffer<bf16>),
}

impl Operand {
    /// The numbers on a device, rounded where the precision rounds operands.
    #[must_use]
    pub fn upload(device: &Device, precision: Precision, values: &[f32]) -> Self {
        match precision {
            Precision::F32 => Self::F32(device.upload(values)),
            Precision::Bf16 | Precision::Int8 => Self::Bf16(device.upload(&rounded(values))),
        }
    }

    /// The operand as kernels read it.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::F32(buffer) => Input::F32(buffer),
            Self::Bf16(buffer) => Input::Bf16(buffer),
        }
    }
}

/// The operand's exact values in 64 bits: what an oracle starts from.
#[must_use]
pub fn operand_reals(precision: Precision, values: &[f32]) -> Vec<f64> {
    match precision {
        Precision::F32 => reals(values),
        Precision::Bf16 | Precision::Int8 => rounded_reals(values),
    }
}

/// The sequences (or rows) of a pack in the given order, end to end.
#[must_use]
pub fn gather<T: Clone>(sequences: &[Vec<T>], order: &[usize]) -> Vec<T> {
    order.iter().flat_map(|&sequence| sequences[sequence].iter().cloned()).collect()
}

/// A pack's results cut into those of its sequences, whose lengths are given in numbers.
#[must_use]
pub fn split(values: &[u32], lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u32>> {
    let mut rest = values;
    let cut = |length: usize| {
        let (sequence, after) = rest.split_at(length);
        rest = after;
        sequence.to_vec()
    };
    lengths.into_iter().map(cut).collect()
}

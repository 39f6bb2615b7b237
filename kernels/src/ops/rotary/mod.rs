//! Rotary position embedding in the half-split form: element `j` of a head turns with element `j + D/2`.
//!
//! Shapes: `x [T,H·D]`, `y [T,H·D]`, table `cos [P,D/2]`, `sin [P,D/2]` for positions `0..P`.
//!
//! For the token at position `p` of its own sequence, every head and `j < D/2`, with `u = scale·x`:
//! `y_j = u_j·cos(p,j) - u_{j+D/2}·sin(p,j)`, `y_{j+D/2} = u_{j+D/2}·cos(p,j) + u_j·sin(p,j)`.
//! The angle is `p·f_j`, rounded to 32 bits as the published models compute it.
//!
//! Backward: the same with `-sin`, `dx = scale · rotate⁻¹(dy)`.
//!
//! Rounding: `u` and the product with sine once each, then one fused multiply-add; `y` is rounded once
//! more where it is bf16.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::{Buffer, Output};
use crate::cpu::simd::LANES;
use crate::cuda::no_training;
use crate::error::{KernelError, check_offsets, check_size};
use crate::{Device, Tolerance};

const OP: &str = "rotary";

/// Distance of the fast path from the f64 oracle (on the same table) for inputs of size about one: three
/// roundings (6e-8 each) of numbers that may cancel.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 5e-7, relative: 5e-7 };

/// The same for results in bf16, which has 8 significant bits: half a unit is up to 2^-8 of the number.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 5e-7, relative: 1.0 / 255.0 };

/// Sizes of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// H
    pub heads: usize,
    /// D, even.
    pub head_width: usize,
}

/// Cosines and sines of all positions that a model may meet.
#[derive(Debug)]
pub struct Table {
    /// `[P,D/2]`, then a vector's worth of zeros, so that a vector may be read at any element.
    cos: Buffer<f32>,
    sin: Buffer<f32>,
    positions: usize,
    half: usize,
}

impl Table {
    /// The table of positions `0..positions` for the frequencies `inv_freq [D/2]`: the angle is the 32-bit
    /// product of position and frequency, its cosine and sine are computed in 64 bits and rounded once.
    #[must_use]
    pub fn new(device: &Device, inv_freq: &[f32], positions: usize) -> Self {
        let half = inv_freq.len();
        let length = positions * half + LANES;
        let (mut cos, mut sin) = (vec![0.0; length], vec![0.0; length]);
        for position in 0..positions {
            for (j, &frequency) in inv_freq.iter().enumerate() {
                let angle = f64::from(position as f32 * frequency);
                cos[position * half + j] = libm::cos(angle) as f32;
                sin[position * half + j] = libm::sin(angle) as f32;
            }
        }
        Self { cos: device.upload(&cos), sin: device.upload(&sin), positions, half }
    }

    /// P
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// `cos [P,D/2]`
    #[must_use]
    pub fn cos(&self) -> &[f32] {
        &self.cos.as_slice()[..self.positions * self.half]
    }

    /// `sin [P,D/2]`
    #[must_use]
    pub fn sin(&self) -> &[f32] {
        &self.sin.as_slice()[..self.positions * self.half]
    }

    fn check(&self, sizes: Sizes, offsets: &[usize]) -> Result<(), KernelError> {
        check_size(OP, "head width", sizes.head_width, 2 * self.half)?;
        check_size(OP, "head width of at least one pair", self.half.min(1), 1)?;
        check_offsets(OP, offsets, sizes.tokens)?;
        let longest = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        if longest > self.positions {
            let limit = self.positions;
            return Err(KernelError::Index { op: OP, what: "position", found: longest - 1, limit });
        }
        Ok(())
    }
}

/// `y = rotate(scale · x)`; positions count from the start of each sequence (`offsets`, B+1 entries).
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, [`KernelError::Index`] when a sequence has more tokens
/// than the table has positions.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    table: &Table,
    x: &Buffer<f32>,
    scale: f32,
    y: Output<'_>,
) -> Result<(), KernelError> {
    table.check(sizes, offsets)?;
    check_size(OP, "input", x.len(), sizes.tokens * sizes.heads * sizes.head_width)?;
    y.check(OP, "output", x.len())?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, (sizes, offsets, table), x, scale, y),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, offsets, table), x, scale, y)?,
    }
    Ok(())
}

/// `dx = scale · rotate⁻¹(dy)`, overwriting `dx [T,H·D]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    table: &Table,
    dy: &Buffer<f32>,
    scale: f32,
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    table.check(sizes, offsets)?;
    check_size(OP, "gradient", dy.len(), sizes.tokens * sizes.heads * sizes.head_width)?;
    check_size(OP, "input gradient", dx.len(), dy.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, (sizes, offsets, table), dy, scale, dx),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

//! Dropout: random numbers of a matrix set to zero, the others enlarged so that the mean stays.
//!
//! Shapes: any, `x` and `y` have the same number of elements `n`.
//!
//! `y_i = x_i / (1 - p)` where `w_i ≥ p·2³²`, else 0, with `w_i` word `i` of the [`Philox`] stream (seed, operation,
//! step). A mask is thus a function of seed, operation, step and place alone, the same for any number of threads and
//! whenever it is made again: the backward is the same operation on `dy`.
//!
//! Rounding: `1 / (1 - p)` is calculated in 64 bits and rounded to 32; products are 32-bit.

pub mod cpu;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::cpu_only;
use crate::error::{KernelError, check_size};
use crate::rng::Philox;
use crate::{Device, Tolerance};

const OP: &str = "dropout";

/// Distance of the fast path from the f64 oracle: a factor and a product, each rounded once.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-37, relative: 2e-7 };

/// Which numbers are dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Mask {
    /// Random words, a stream of their own for every operation of a model and every step.
    pub stream: Philox,
    /// Share of the numbers to drop, p, at least 0 and below 1.
    pub probability: f32,
}

impl Mask {
    /// `p·2³²`, rounded up: words below it are dropped.
    fn limit(&self) -> u32 {
        (f64::from(self.probability) * 4_294_967_296.0).ceil() as u32
    }

    /// `1 / (1 - p)`
    fn factor(&self) -> f32 {
        (1.0 / (1.0 - f64::from(self.probability))) as f32
    }
}

/// `y` from `x`; with the same mask, `dx` from `dy`.
///
/// # Errors
/// [`KernelError`] when lengths differ or the probability is not in 0..1.
pub fn apply(device: &Device, mask: Mask, x: &Buffer<f32>, y: &mut Buffer<f32>) -> Result<(), KernelError> {
    check_size(OP, "output", y.len(), x.len())?;
    if !(0.0..1.0).contains(&mask.probability) {
        let (what, found) = ("probability", mask.probability.to_string());
        return Err(KernelError::Unsupported { op: OP, what, found, supported: "at least 0 and below 1" });
    }
    match device {
        Device::Cpu(cpu) => simd::apply(cpu, mask, x, y),
        Device::Cuda(_) => return Err(cpu_only(OP)),
    }
    Ok(())
}

//! One step of AdamW (Loshchilov and Hutter, ICLR 2019) as `torch.optim.AdamW` takes it.
//!
//! Shapes: gradient, values and both moments have the same number of elements `n`. With t the number of the step,
//! counted from 1, and α the learning rate:
//!
//! ```text
//! g = factor · gradient
//! p = p · (1 - α·decay)
//! m = m + (1 - β₁) · (g - m)
//! v = β₂·v + ((1 - β₂)·g)·g
//! p = p - α/(1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)
//! ```
//!
//! Values and moments are changed in place. There is no backward.
//!
//! Rounding: factors made of settings alone are computed in 64 bits and rounded once. Everything else is 32-bit in the
//! order written, each product that is added to something fused with the sum; root and quotients are correctly
//! rounded. Denormal numbers count as zero, which only concerns v where √v is far below any sensible ε. Numbers that
//! are not finite go through: look for them beforehand with [`super::reduce`].

pub mod cpu;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::cpu_only;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "adamw";

/// Distance of the fast first moment from the f64 oracle: `g - m`, its factor and the sum are rounded, each by 6e-8
/// of numbers up to about ten.
pub const TOLERANCE_FIRST: Tolerance = Tolerance { absolute: 5e-7, relative: 2e-7 };

/// The same for the second moment, a sum of positive numbers: the scaled gradient, the two factors, two products and
/// the sum are rounded, 6e-8 each; below 1e-38 nothing stays.
pub const TOLERANCE_SECOND: Tolerance = Tolerance { absolute: 1e-37, relative: 5e-7 };

/// The same for values: decay and sum are rounded, and the first moment's error counts with the step over the
/// denominator, which is at most 0.4 for the proofs' settings.
pub const TOLERANCE_VALUES: Tolerance = Tolerance { absolute: 2e-7, relative: 2.5e-7 };

/// How far a step goes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Step {
    /// Number of the step, counted from 1.
    pub number: u64,
    /// α
    pub learning_rate: f64,
    /// β₁, of the first moment.
    pub beta1: f64,
    /// β₂, of the second moment.
    pub beta2: f64,
    /// ε, above zero.
    pub epsilon: f64,
    /// Decay of the values, to be multiplied by α.
    pub weight_decay: f64,
    /// What every gradient is multiplied by: below 1 where gradients are clipped.
    pub factor: f64,
}

/// What a step changes.
#[derive(Debug)]
pub struct State<'a> {
    /// p
    pub values: &'a mut Buffer<f32>,
    /// m, the running mean of gradients.
    pub first: &'a mut Buffer<f32>,
    /// v, the running mean of their squares.
    pub second: &'a mut Buffer<f32>,
}

/// Changes `state` by one step along `gradient`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ, and for a step number of 0.
pub fn update(
    device: &Device,
    step: &Step,
    gradient: &Buffer<f32>,
    state: State<'_>,
) -> Result<(), KernelError> {
    check_size(OP, "step number of at least one", step.number.min(1) as usize, 1)?;
    check_size(OP, "gradient", gradient.len(), state.values.len())?;
    check_size(OP, "first moment", state.first.len(), state.values.len())?;
    check_size(OP, "second moment", state.second.len(), state.values.len())?;
    match device {
        Device::Cpu(cpu) => simd::update(cpu, step, gradient, state),
        Device::Cuda(_) => return Err(cpu_only(OP)),
    }
    Ok(())
}

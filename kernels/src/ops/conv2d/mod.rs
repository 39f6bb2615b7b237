//! Filter over the places of a map, as contact maps have: a square of neighbours of every place, all channels of each.
//!
//! Shapes: `x [P,I]` and `y [P,O]` with P = height · breadth places row by row, weights `w [O,I,K,K]` with K odd, shifts
//! `β [O]`.
//!
//! `y_po = β_o + Σ_uvc w_ocuv · x_{p + (u - h, v - h), c}` with `h = (K - 1)/2`; places outside of the map are zero.
//!
//! Backward: `dx_qc = Σ_uvo w_ocuv · dy_{q - (u - h, v - h), o}`, `dw_ocuv += Σ_p dy_po · x_{p + (u - h, v - h), c}`,
//! `dβ_o += Σ_p dy_po`.
//!
//! Rounding: every step is 32-bit. A result takes rows of the square in ascending order, of each the numbers in the square
//! (columns, then channels) in sixteen lanes, joined by the tree, and the shift last. `dx` takes outputs, then rows of the
//! square, then columns of the map in ascending order; `dw` and `dβ` sum rows of the map by themselves, then add them in
//! order.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "conv2d";

/// Distance of the fast path from the f64 oracle for inputs of size one and results of size up to ten: sums of up to some
/// thousand products, sixteen of which are taken at once.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 2e-5, relative: 2e-6 };

/// The same for `dw` and `dβ`: sums over all places of a map, up to some thousand, of products of size one.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 1e-4, relative: 1e-5 };

/// Sizes of a filter over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub breadth: usize,
    /// I
    pub inputs: usize,
    /// O
    pub outputs: usize,
    /// K, odd.
    pub side: usize,
}

impl Sizes {
    /// P
    #[must_use]
    pub fn places(&self) -> usize {
        self.height * self.breadth
    }

    /// Numbers of the weights.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.outputs * self.inputs * self.side * self.side
    }

    /// Neighbours on one side.
    fn reach(&self) -> usize {
        self.side / 2
    }

    fn check(&self, inputs: usize, weights: usize) -> Result<(), KernelError> {
        if self.side.is_multiple_of(2) {
            let found = self.side.to_string();
            return Err(KernelError::Unsupported {
                op: OP,
                what: "side of the square",
                found,
                supported: "odd",
            });
        }
        check_size(OP, "channels of at least one", self.inputs.min(self.outputs).min(1), 1)?;
        check_size(OP, "inputs", inputs, self.places() * self.inputs)?;
        check_size(OP, "weights", weights, self.weights())
    }
}

/// `y [P,O]` of `x [P,I]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, [`KernelError::Unsupported`] for an even K.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    x: &Buffer<f32>,
    (weights, shifts): (&Buffer<f32>, &Buffer<f32>),
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    sizes.check(x.len(), weights.len())?;
    check_size(OP, "shifts", shifts.len(), sizes.outputs)?;
    check_size(OP, "results", y.len(), sizes.places() * sizes.outputs)?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, x, (weights, shifts), y),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, x, (weights, shifts), y)?,
    }
    Ok(())
}

/// Gradients that the backward writes.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `dx [P,I]`, overwritten.
    pub dx: &'a mut Buffer<f32>,
    /// `dw [O,I,K,K]`, added to.
    pub dweights: &'a mut Buffer<f32>,
    /// `dβ [O]`, added to.
    pub dshifts: &'a mut Buffer<f32>,
}

/// Gradients of inputs, weights and shifts, for the gradient `dy [P,O]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    (x, weights): (&Buffer<f32>, &Buffer<f32>),
    dy: &Buffer<f32>,
    grads: Grads<'_>,
) -> Result<(), KernelError> {
    sizes.check(x.len(), weights.len())?;
    check_size(OP, "gradient of the results", dy.len(), sizes.places() * sizes.outputs)?;
    check_size(OP, "gradient of the inputs", grads.dx.len(), x.len())?;
    check_size(OP, "gradient of the weights", grads.dweights.len(), weights.len())?;
    check_size(OP, "gradient of the shifts", grads.dshifts.len(), sizes.outputs)?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, sizes, (x, weights), dy, grads),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

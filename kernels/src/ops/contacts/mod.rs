//! Contacts: logistic regression on attention maps made symmetric and corrected for their margins (the average
//! product correction of Dunn et al., Bioinformatics 24, 2008; Rao et al., ICLR 2021; facebookresearch/esm
//! `ContactPredictionHead`).
//!
//! Shapes, with `c` one of the `channels` (heads of all layers) and `i`, `j` residues of one sequence:
//! `map [L,L]` the maps `p_c` mixed with the regression's weights, `sums [channels,L]` the margins of their
//! symmetric forms ([`super::attention::mix`] gives both), `weights [channels]`, `y [L,L]`.
//!
//! ```text
//! t_c  = Σ_i sums_ci
//! z_ij = bias + map_ij + map_ji - Σ_c weight_c / t_c · (sums_ci · sums_cj)
//! y_ij = 1 / (1 + exp(-z_ij))
//! ```
//!
//! The regression is linear, so its sum over channels is taken before the correction and no map of a channel is
//! needed whole. A channel without any attention on residues (`t_c = 0`) has no correction. `y` is symmetric bit
//! for bit. Rounding: 32-bit, one sum over channels in ascending order. It is looked at, never trained through.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::Buffer;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "contacts";

/// Distance of the fast path from the f64 oracle for logits up to about ten: sums over some hundred channels
/// whose terms nearly cancel are off by 1e-6 to 1e-5, and the slope of the logistic function is at most ¼.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 4e-6, relative: 4e-6 };

/// Sizes of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// L
    pub length: usize,
    /// Heads of all layers.
    pub channels: usize,
}

/// What the attention maps of one sequence left.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Weighted maps `[L,L]`.
    pub map: &'a Buffer<f32>,
    /// Margins of each channel `[channels,L]`.
    pub sums: &'a Buffer<f32>,
    /// Weight of each channel `[channels]`.
    pub weights: &'a Buffer<f32>,
    /// Bias of the regression.
    pub bias: f32,
}

/// Probabilities `y [L,L]` that residues touch.
///
/// # Errors
/// [`KernelError::Size`] when lengths do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    evidence: Evidence<'_>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let Sizes { length, channels } = sizes;
    check_size(OP, "mixed map", evidence.map.len(), length * length)?;
    check_size(OP, "margins", evidence.sums.len(), channels * length)?;
    check_size(OP, "weights", evidence.weights.len(), channels)?;
    check_size(OP, "probabilities", y.len(), length * length)?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, evidence, y),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, evidence, y)?,
    }
    Ok(())
}

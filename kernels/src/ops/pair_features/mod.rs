//! What two residues of one sequence have in common: distances and products of their vectors, for every pair.
//!
//! Shapes: `z [L,C]`, features `f [L²,2C]`; row `i·L + j` belongs to residues `i` and `j`.
//!
//! `f_ij = [|z_i - z_j|, z_i·z_j]`, number by number.
//!
//! Backward, with `df = [u, v]`: `dz_i = Σ_j (u_ij + u_ji)·sign(z_i - z_j) + (v_ij + v_ji)·z_j`; between equal numbers no
//! gradient flows through the distance.
//!
//! Rounding: every step is 32-bit; features are rounded once more where they are bf16. Sums take j in ascending order.

pub mod cpu;
mod cuda;
mod simd;

use crate::buffer::{Buffer, Output};
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};

const OP: &str = "pair_features";

/// Distance of fast features from the f64 oracle: a difference or a product, rounded once.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-37, relative: 1.2e-7 };

/// The same for features in bf16, which has 8 significant bits: half a unit is up to 2^-8 of the number.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 1e-37, relative: 1.0 / 255.0 };

/// The same for gradients: sums over up to some hundred residues of slopes of size one, which partly cancel.
pub const TOLERANCE_GRADIENT: Tolerance = Tolerance { absolute: 3e-5, relative: 1e-5 };

/// Sizes of the features of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// L
    pub length: usize,
    /// C
    pub width: usize,
}

impl Sizes {
    /// Numbers of all features.
    #[must_use]
    pub fn features(&self) -> usize {
        2 * self.length * self.length * self.width
    }
}

/// `features [L²,2C]` of `z [L,C]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    z: &Buffer<f32>,
    features: Output<'_>,
) -> Result<(), KernelError> {
    check_size(OP, "vectors", z.len(), sizes.length * sizes.width)?;
    features.check(OP, "features", sizes.features())?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, sizes, z, features),
        Device::Cuda(cuda) => cuda::forward(cuda, sizes, z, features)?,
    }
    Ok(())
}

/// `dz [L,C]`, overwritten, for the gradient `dfeatures [L²,2C]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit.
pub fn backward(
    device: &Device,
    sizes: Sizes,
    z: &Buffer<f32>,
    dfeatures: &Buffer<f32>,
    dz: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "vectors", z.len(), sizes.length * sizes.width)?;
    check_size(OP, "gradient of the features", dfeatures.len(), sizes.features())?;
    check_size(OP, "gradient of the vectors", dz.len(), z.len())?;
    match device {
        Device::Cpu(cpu) => simd::backward(cpu, sizes, z, dfeatures, dz),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

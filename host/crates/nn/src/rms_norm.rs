//! Root mean square norm: `y = x / √(mean(x²) + ε) · weight` over the columns of each row.
//!
//! Shapes: `x, y [T,C]`. Key: `weight [C]`.

use std::sync::Arc;

use pliant_tensor::ops::rms_norm;
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::weights::Weights;

/// Scale of normalised rows.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[C]`
    pub weight: Arc<Param>,
    /// ε, added to the mean square.
    pub epsilon: f32,
}

impl RmsNorm {
    /// Takes `weight [width]`, begun by ones.
    ///
    /// # Errors
    /// [`CheckpointError`] when it cannot be had.
    pub fn new(weights: &Weights, width: usize, epsilon: f32) -> Result<Self, CheckpointError> {
        Ok(Self { weight: weights.vector("weight", width, Init::Ones)?, epsilon })
    }

    /// `y [T,C]` of `x [T,C]`, rounded to `out`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(&self, tape: &Tape, x: &Tensor, out: Dtype) -> Result<Tensor, TensorError> {
        rms_norm(tape, x, &self.weight, self.epsilon, out)
    }
}

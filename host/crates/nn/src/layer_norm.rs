//! Layer norm: `y = (x − mean) / √(variance + ε) · weight + bias` over the columns of each row.
//!
//! Shapes: `x, y [T,C]`. Keys: `weight [C]`, `bias [C]`.

use std::sync::Arc;

use pliant_tensor::ops::layer_norm;
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::weights::Weights;

/// Scale and shift of normalised rows.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[C]`
    pub weight: Arc<Param>,
    /// `[C]`
    pub bias: Arc<Param>,
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl LayerNorm {
    /// Takes `weight [width]`, begun by ones, and `bias [width]`, begun by zeros.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(weights: &Weights, width: usize, epsilon: f32) -> Result<Self, CheckpointError> {
        let weight = weights.vector("weight", width, Init::Ones)?;
        Ok(Self { weight, bias: weights.vector("bias", width, Init::Zeros)?, epsilon })
    }

    /// `y [T,C]` of `x [T,C]`, rounded to `out`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(&self, tape: &Tape, x: &Tensor, out: Dtype) -> Result<Tensor, TensorError> {
        layer_norm(tape, x, &self.weight, &self.bias, self.epsilon, out)
    }
}

//! Layer norm: `y = (x − mean) / spread · weight + bias` over the columns of each row.
//!
//! Shapes: `x, y [T,C]`. The spread is `√(variance + ε)` with the keys `weight [C]`, `bias [C]`, or
//! `√(unbiased standard deviation + ε)` with the keys `gamma [C]`, `beta [C]`.

use std::sync::Arc;

use pliant_tensor::ops::{NormKind, layer_norm};
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
    /// ε, added to the variance, or to the unbiased standard deviation.
    pub epsilon: f32,
    /// By what rows are divided.
    pub kind: NormKind,
}

impl LayerNorm {
    /// The usual form. Takes `weight [width]`, begun by ones, and `bias [width]`, begun by zeros.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(weights: &Weights, width: usize, epsilon: f32) -> Result<Self, CheckpointError> {
        Self::named(weights, ["weight", "bias"], width, (NormKind::Deviation, epsilon))
    }

    /// The form that divides by the root of the unbiased standard deviation. Takes `gamma [width]`, begun by ones, and
    /// `beta [width]`, begun by zeros.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn root(weights: &Weights, width: usize, epsilon: f32) -> Result<Self, CheckpointError> {
        Self::named(weights, ["gamma", "beta"], width, (NormKind::RootDeviation, epsilon))
    }

    fn named(
        weights: &Weights,
        [scale, shift]: [&str; 2],
        width: usize,
        (kind, epsilon): (NormKind, f32),
    ) -> Result<Self, CheckpointError> {
        let weight = weights.vector(scale, width, Init::Ones)?;
        Ok(Self { weight, bias: weights.vector(shift, width, Init::Zeros)?, epsilon, kind })
    }

    /// `y [T,C]` of `x [T,C]`, rounded to `out`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(&self, tape: &Tape, x: &Tensor, out: Dtype) -> Result<Tensor, TensorError> {
        layer_norm(tape, x, &self.weight, &self.bias, (self.kind, self.epsilon), out)
    }
}

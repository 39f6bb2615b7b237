//! Linear layer: `y = x·Wᵀ + b`, then GELU or a residual where asked.
//!
//! Shapes: `x [T,K]`, `y [T,N]`. Keys: `weight [N,K]`, `bias [N]`.

use std::sync::Arc;

use pliant_tensor::ops::{Epilogue, LinearPart, linear};
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::weights::Weights;

/// A matrix and its bias.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[N,K]`
    pub weight: Arc<Param>,
    /// `[N]`
    pub bias: Option<Arc<Param>>,
}

impl Linear {
    /// Takes `weight [outputs, inputs]`, begun by `init`, and `bias [outputs]`, begun by zeros.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        init: Init,
    ) -> Result<Self, CheckpointError> {
        let weight = weights.matrix("weight", [outputs, inputs], init)?;
        Ok(Self { weight, bias: Some(weights.vector("bias", outputs, Init::Zeros)?) })
    }

    /// The same begun as PyTorch begins it: weight and bias even within `±inputs^-½`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn pytorch(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self, CheckpointError> {
        let weight = weights.matrix("weight", [outputs, inputs], Init::kaiming(inputs))?;
        Ok(Self { weight, bias: Some(weights.vector("bias", outputs, Init::kaiming(inputs))?) })
    }

    /// This layer as one of several that share their input.
    #[must_use]
    pub fn part<'a>(&'a self, epilogue: Epilogue<'a>, out: Dtype) -> LinearPart<'a> {
        LinearPart { weight: &self.weight, rows: None, bias: self.bias.as_slice(), epilogue, out }
    }

    /// `y [T,N]` of `x [T,K]`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Tensor,
        epilogue: Epilogue<'_>,
        out: Dtype,
    ) -> Result<Tensor, TensorError> {
        let [y] = together(tape, x, [self.part(epilogue, out)])?;
        Ok(y)
    }
}

/// Results `[T,N]` of layers that share their input `x [T,K]`, which is then read once.
///
/// # Errors
/// [`TensorError`] when the shapes do not fit.
pub fn together<const COUNT: usize>(
    tape: &Tape,
    x: &Tensor,
    parts: [LinearPart<'_>; COUNT],
) -> Result<[Tensor; COUNT], TensorError> {
    linear(tape, x, &parts)?.try_into().map_err(|results: Vec<Tensor>| TensorError::Shape {
        op: "linear",
        what: "list of results",
        found: vec![results.len()],
        wanted: vec![COUNT],
    })
}

//! Filters over the places of a map: a square of neighbours of every place, or the place alone.
//!
//! Shapes: `x [P,I]`, `y [P,O]` with P = height · breadth places, row by row. Keys: `weight [O,I,K,K]` with K odd, `bias [O]`;
//! places outside of the map are zero. With K = 1 it is a linear layer of every place, computed as one.

use std::sync::Arc;

use pliant_tensor::ops::{Epilogue, conv2d};
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::linear::Linear;
use crate::weights::Weights;

/// A filter and its bias.
#[derive(Debug, Clone)]
pub enum Conv2d {
    /// K = 1: a matrix, whose operands the tape's precision rounds.
    Point(Linear),
    /// K > 1, in f32.
    Square {
        /// `[O,I·K·K]`
        weight: Arc<Param>,
        /// `[O]`
        bias: Arc<Param>,
    },
}

impl Conv2d {
    /// Takes `weight [outputs, inputs, side, side]` and `bias [outputs]`, both begun as PyTorch begins them.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        side: usize,
    ) -> Result<Self, CheckpointError> {
        let init = Init::kaiming(inputs * side * side);
        let bias = weights.vector("bias", outputs, init.clone())?;
        if side == 1 {
            let weight = weights.points("weight", [outputs, inputs], init)?;
            return Ok(Self::Point(Linear { weight, bias: Some(bias) }));
        }
        Ok(Self::Square { weight: weights.squares("weight", [outputs, inputs, side], init)?, bias })
    }

    /// `y [P,O]`, f32, of `x [P,I]` on a map of `(height, breadth)` places; `x` is f32 where K > 1.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit or K is even.
    pub fn forward(&self, tape: &Tape, x: &Tensor, map: (usize, usize)) -> Result<Tensor, TensorError> {
        match self {
            Self::Point(linear) => linear.forward(tape, x, Epilogue::Store, Dtype::F32),
            Self::Square { weight, bias } => conv2d(tape, x, (weight, bias), map),
        }
    }
}

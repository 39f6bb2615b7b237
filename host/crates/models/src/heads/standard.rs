//! Pooled vectors with every number on one scale.
//!
//! The numbers of pooled vectors of similar proteins differ by a hundredth of their size, and by a hundred times as much in one
//! column as in another. Layers that read them as they are learn the common part first and the differences hardly at all.
//!
//! Keys: `standard.mean [W]`, `standard.scale [W]`; the layers read `(x - mean) · scale`.

use std::sync::Arc;

use pliant_nn::{CheckpointError, Init, Weights};
use pliant_tensor::ops::{add, multiply};
use pliant_tensor::{Param, Tape, Tensor, TensorError};

const SEGMENT: &str = "standard";

/// Of the size of a mean, the least deviation that is more than the rounding of f32.
const ROUNDING: f64 = 1e-6;

/// Whether a parameter of a head is part of its scale.
pub(super) fn is_part(name: &str) -> bool {
    name.split('.').next() == Some(SEGMENT)
}

/// The scale of the numbers of a vector: settled before the training.
#[derive(Debug)]
pub(super) struct Standard {
    mean: Arc<Param>,
    scale: Arc<Param>,
}

impl Standard {
    pub(super) fn new(width: usize, weights: &Weights) -> Result<Self, CheckpointError> {
        let weights = weights.at(SEGMENT);
        let (mean, scale) =
            (weights.vector("mean", width, Init::Zeros)?, weights.vector("scale", width, Init::Ones)?);
        Ok(Self { mean, scale })
    }

    pub(super) fn set(&self, means: &[f64], deviations: &[f64]) -> Result<(), TensorError> {
        let scale = |(&mean, &deviation): (&f64, &f64)| {
            if deviation > ROUNDING * mean.abs() && deviation > f64::from(f32::MIN_POSITIVE) {
                (1.0 / deviation) as f32
            } else {
                1.0
            }
        };
        self.scale.set_values(&means.iter().zip(deviations).map(scale).collect::<Vec<_>>())?;
        self.mean.set_values(&means.iter().map(|&mean| mean as f32).collect::<Vec<_>>())
    }

    /// `(x - mean) · scale` of `x [S,W]`.
    pub(super) fn of(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let rows = |values: Vec<f32>| Tensor::from_f32(tape.device(), x.shape(), &values.repeat(x.rows()));
        let away = rows(self.mean.values()?.into_iter().map(|mean| -mean).collect())?;
        multiply(tape, &add(tape, x, &away)?, &rows(self.scale.values()?)?)
    }
}

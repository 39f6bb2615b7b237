//! A head of pairs that gives the same numbers whichever of the two comes first.
//!
//! ```text
//! hidden: h = act(|a - b|·W_dᵀ + (a·b)·W_pᵀ + bias),  then output
//! linear: y =      |a - b|·W_dᵀ + (a·b)·W_pᵀ + bias
//! ```
//!
//! Keys: `distance.weight [H,W]`, `distance.bias [H]`, `product.weight [H,W]`, and `output.*` where there is a hidden layer;
//! without one H is N; and those of the pooler.

use std::sync::Arc;

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, distance, dropout, multiply};
use pliant_tensor::{Dtype, Tape, Tensor, TensorError};

use super::average::sides;
use super::perceptron::DROPOUT;
use super::pooler::Pooler;
use super::{Activation, Given, HeadConfig};

/// Numbers `[S/2,N]` of pairs of S sequences.
#[derive(Debug)]
pub struct SymmetricHead {
    pub(super) pooler: Pooler,
    distance: Linear,
    product: Linear,
    output: Option<Linear>,
    activation: Activation,
    dropout: f32,
}

impl SymmetricHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let &HeadConfig { inputs, outputs, hidden, activation, dropout, .. } = config;
        let width = hidden.unwrap_or(outputs);
        // Both matrices act on one input of twice the width.
        let init = || Init::kaiming(2 * inputs);
        let distance = Linear::new(&weights.at("distance"), inputs, width, init())?;
        let product = weights.at("product").matrix("weight", [width, inputs], init())?;
        let product = Linear { weight: Arc::clone(&product), bias: None };
        let output = hidden
            .map(|width| Linear::new(&weights.at("output"), width, outputs, Init::kaiming(width)))
            .transpose()?;
        let pooler = Pooler::new(config, weights)?;
        Ok(Self { pooler, distance, product, output, activation, dropout })
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        let vectors = self.pooler.vectors(tape, given)?;
        let [a, b] = sides(tape, &vectors)?;
        let apart = distance(tape, &a, &b)?;
        let apart = self.distance.forward(tape, &apart, Epilogue::Store, Dtype::F32)?;
        let product = multiply(tape, &a, &b)?;
        let sums = self.product.forward(tape, &product, Epilogue::Residual(&apart), Dtype::F32)?;
        let Some(output) = &self.output else { return Ok(sums) };
        let x = dropout(tape, &self.activation.of(tape, &sums)?, self.dropout, DROPOUT)?;
        output.forward(tape, &x, Epilogue::Store, Dtype::F32)
    }
}

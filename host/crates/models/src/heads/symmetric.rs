//! A head of pairs that gives the same numbers whichever of the two comes first.
//!
//! ```text
//! hidden: h = ReLU(|a - b|·W_dᵀ + (a·b)·W_pᵀ + bias),  then output
//! linear: y =      |a - b|·W_dᵀ + (a·b)·W_pᵀ + bias
//! ```
//!
//! Keys: `distance.weight [H,W]`, `distance.bias [H]`, `product.weight [H,W]`, and `output.*` where there is a hidden layer;
//! without one H is N.

use std::sync::Arc;

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, distance, dropout, gather_rows, multiply, relu};
use pliant_tensor::{Dtype, Tape, Tensor, TensorError};

use super::sequence::pooled;
use super::{DROPOUT, Given, HeadConfig, Pooling};

/// Numbers `[S/2,N]` of pairs of S sequences.
#[derive(Debug)]
pub struct SymmetricHead {
    pooling: Pooling,
    distance: Linear,
    product: Linear,
    output: Option<Linear>,
    dropout: f32,
}

impl SymmetricHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let &HeadConfig { inputs, outputs, hidden, dropout, .. } = config;
        let width = hidden.unwrap_or(outputs);
        // Both matrices act on one input of twice the width.
        let init = || Init::kaiming(2 * inputs);
        let distance = Linear::new(&weights.at("distance"), inputs, width, init())?;
        let product = weights.at("product").matrix("weight", [width, inputs], init())?;
        let product = Linear { weight: Arc::clone(&product), bias: None };
        let output = hidden
            .map(|width| Linear::new(&weights.at("output"), width, outputs, Init::kaiming(width)))
            .transpose()?;
        let pooling = config.pooling.unwrap_or(Pooling::Mean);
        Ok(Self { pooling, distance, product, output, dropout })
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        let vectors = pooled(tape, given, self.pooling)?;
        let pairs = vectors.rows() / 2;
        let [first, second] = [0, pairs].map(|from| (from..from + pairs).collect::<Vec<_>>());
        let (a, b) = (gather_rows(tape, &vectors, &first)?, gather_rows(tape, &vectors, &second)?);
        let apart = distance(tape, &a, &b)?;
        let apart = self.distance.forward(tape, &apart, Epilogue::Store, Dtype::F32)?;
        let product = multiply(tape, &a, &b)?;
        let sums = self.product.forward(tape, &product, Epilogue::Residual(&apart), Dtype::F32)?;
        let Some(output) = &self.output else { return Ok(sums) };
        let x = dropout(tape, &relu(tape, &sums)?, self.dropout, DROPOUT)?;
        output.forward(tape, &x, Epilogue::Store, Dtype::F32)
    }
}

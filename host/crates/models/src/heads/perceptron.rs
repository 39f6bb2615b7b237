//! Linear layers on vectors: one, or two with an activation between.

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, dropout};
use pliant_tensor::{Dtype, Tape, Tensor, TensorError};

use super::{Activation, HeadConfig};

/// Names what is dropped in a head among all that is dropped on a tape.
pub(super) const DROPOUT: u32 = 0x4845_4144;

/// The same of what is dropped before the hidden layer.
const DROPOUT_BEFORE: u32 = 0x4845_4142;

/// A linear layer, with another before it where there is a hidden one:
///
/// ```text
/// ReLU: y = output(drop(ReLU(hidden(x))))
/// tanh: y = output(drop(tanh(hidden(drop(x)))))
/// ```
///
/// Keys: `hidden.weight [H,W]`, `hidden.bias [H]`, `output.weight [N,·]`, `output.bias [N]`.
#[derive(Debug)]
pub(crate) struct Perceptron {
    pub(super) hidden: Option<Linear>,
    pub(super) output: Linear,
    pub(super) activation: Activation,
    dropout: f32,
}

impl Perceptron {
    pub(crate) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let &HeadConfig { inputs, outputs, hidden, activation, dropout, .. } = config;
        let layer = |name: &str, inputs, outputs| {
            Linear::new(&weights.at(name), inputs, outputs, Init::kaiming(inputs))
        };
        let output_inputs = hidden.unwrap_or(inputs);
        let hidden = hidden.map(|width| layer("hidden", inputs, width)).transpose()?;
        Ok(Self { hidden, output: layer("output", output_inputs, outputs)?, activation, dropout })
    }

    /// `[R,N]` of `x [R,W]`.
    pub(crate) fn forward(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let Some(hidden) = &self.hidden else {
            return self.output.forward(tape, x, Epilogue::Store, Dtype::F32);
        };
        let sums = match self.activation {
            Activation::Relu => hidden.forward(tape, x, Epilogue::Store, Dtype::F32)?,
            Activation::Tanh => {
                let x = dropout(tape, x, self.dropout, DROPOUT_BEFORE)?;
                hidden.forward(tape, &x, Epilogue::Store, Dtype::F32)?
            }
        };
        let x = self.activation.of(tape, &sums)?;
        let x = dropout(tape, &x, self.dropout, DROPOUT)?;
        self.output.forward(tape, &x, Epilogue::Store, Dtype::F32)
    }
}

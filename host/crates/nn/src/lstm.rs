//! Bidirectional LSTM of several layers, as PyTorch's `nn.LSTM(bidirectional=True)`.
//!
//! For every layer k and direction, with `x [T,K]` the layer's input:
//! `z = x·weight_ihᵀ + bias_ih + bias_hh + h_{-1}·weight_hhᵀ` `[T,4H]`, its columns in the order i, f, g, o, then
//! `c = σ(z_f) ⊙ c_{-1} + σ(z_i) ⊙ tanh z_g`, `h = σ(z_o) ⊙ tanh c`; states are zero before a sequence, the reverse
//! direction walks it from its own end. A layer's result is `[T,2H]`, forward beside reverse, and the next one's input.
//!
//! Keys: `weight_ih_l{k} [4H,K]`, `weight_hh_l{k} [4H,H]`, `bias_ih_l{k} [4H]`, `bias_hh_l{k} [4H]`, and the same with the
//! suffix `_reverse`. All begin even within `±H^-½`. In 8 bits the recurrent weights are held as bf16.

use std::sync::Arc;

use pliant_tensor::ops::{Epilogue, LinearPart, lstm};
use pliant_tensor::{Dtype, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::linear::together;
use crate::weights::Weights;

/// Suffixes of the directions' keys.
const SUFFIXES: [&str; 2] = ["", "_reverse"];

/// What the gates of one direction are made of.
#[derive(Debug, Clone)]
pub struct LstmGates {
    /// `[4H,K]`
    pub weight_ih: Arc<Param>,
    /// `[4H,H]`
    pub weight_hh: Arc<Param>,
    /// `bias_ih` and `bias_hh`, each `[4H]`.
    pub bias: [Arc<Param>; 2],
}

impl LstmGates {
    /// Takes the parameters of one direction of layer `layer`, their names ending in `suffix`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(
        weights: &Weights,
        (inputs, hidden): (usize, usize),
        layer: usize,
        suffix: &str,
    ) -> Result<Self, CheckpointError> {
        let (wide, begin) = (4 * hidden, Init::kaiming(hidden));
        let name = |what: &str| format!("{what}_l{layer}{suffix}");
        let recurrent = weights.without_bytes();
        let bias = |what| weights.vector(&name(what), wide, begin.clone());
        Ok(Self {
            weight_ih: weights.matrix(&name("weight_ih"), [wide, inputs], begin.clone())?,
            weight_hh: recurrent.matrix(&name("weight_hh"), [wide, hidden], begin.clone())?,
            bias: [bias("bias_ih")?, bias("bias_hh")?],
        })
    }

    /// What the layer's input gives to the gates, as one of several products that share it.
    #[must_use]
    pub fn part(&self) -> LinearPart<'_> {
        let (weight, bias) = (&self.weight_ih, &self.bias);
        LinearPart { weight, rows: None, bias, epilogue: Epilogue::Store, out: Dtype::F32 }
    }
}

/// Layers of two directions.
#[derive(Debug)]
pub struct BiLstm {
    layers: Vec<[LstmGates; 2]>,
}

impl BiLstm {
    /// Takes `layers` layers of `hidden` units a direction, the first on rows of `inputs` numbers.
    ///
    /// # Errors
    /// [`CheckpointError`] when a parameter cannot be had.
    pub fn new(
        weights: &Weights,
        inputs: usize,
        hidden: usize,
        layers: usize,
    ) -> Result<Self, CheckpointError> {
        let layer = |layer: usize| -> Result<[LstmGates; 2], CheckpointError> {
            let width = if layer == 0 { inputs } else { 2 * hidden };
            let [forward, reverse] =
                SUFFIXES.map(|suffix| LstmGates::new(weights, (width, hidden), layer, suffix));
            Ok([forward?, reverse?])
        };
        Ok(Self { layers: (0..layers).map(layer).collect::<Result<_, _>>()? })
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// `[T,2H]` of layer `layer` for its input `x [T,K]`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn layer(
        &self,
        tape: &Tape,
        x: &Tensor,
        offsets: &Offsets,
        layer: usize,
    ) -> Result<Tensor, TensorError> {
        let gates = &self.layers[layer];
        let [forward, reverse] = together(tape, x, gates.each_ref().map(LstmGates::part))?;
        lstm(tape, [&forward, &reverse], gates.each_ref().map(|gates| &gates.weight_hh), offsets)
    }

    /// `[T,2H]` of the last layer for `x [T,K]`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(&self, tape: &Tape, x: &Tensor, offsets: &Offsets) -> Result<Tensor, TensorError> {
        (0..self.layers()).try_fold(x.clone(), |x, layer| self.layer(tape, &x, offsets, layer))
    }
}

//! Contacts of one sequence of a pack, gathered layer by layer.

use std::ops::Range;

use pliant_kernels::ops::attention::{self, Mixture};
use pliant_kernels::ops::contacts::{self, Evidence};
use pliant_kernels::{Buffer, Device};

use super::attention::head_width;
use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Offsets, Tensor};

const OP: &str = "contacts";

/// What the attention of the layers seen so far says of the residues of one sequence: one map `[L,L]` and the margins
/// of every head. They are looked at, never trained through.
#[derive(Debug)]
pub struct Contacts {
    sequence: usize,
    /// Tokens of the pack.
    residues: Range<usize>,
    map: Buffer<f32>,
    /// Margins of each layer `[H,L]`.
    sums: Vec<Buffer<f32>>,
    weights: Vec<f32>,
}

impl Contacts {
    /// Nothing yet of the L `residues` (tokens of the pack) of a `sequence`.
    #[must_use]
    pub fn new(device: &Device, sequence: usize, residues: Range<usize>) -> Self {
        let map = device.zeros(residues.len() * residues.len());
        Self { sequence, residues, map, sums: Vec::new(), weights: Vec::new() }
    }

    /// Adds a layer with its queries (scaled) and keys `[T,H·D]`, both rotated, and a weight for each of its H heads.
    ///
    /// # Errors
    /// [`TensorError`] when shapes do not fit or there are no such tokens.
    pub fn add(
        &mut self,
        tape: &Tape,
        (q, k): (&Tensor, &Tensor),
        offsets: &Offsets,
        weights: &[f32],
    ) -> Result<(), TensorError> {
        let (device, shape, heads) = (tape.device(), q.shape(), weights.len());
        k.check_shape(OP, "keys", shape)?;
        let sizes = attention::Sizes { heads, head_width: head_width(OP, shape[1], heads)? };
        let weight = device.upload(weights);
        let mut sums = device.scratch(heads * self.residues.len());
        let mixture = Mixture { weights: &weight, map: &mut self.map, sums: &mut sums };
        let place = (self.sequence, self.residues.clone());
        attention::mix(device, sizes, offsets.as_slice(), place, (q.input(), k.input()), mixture)
            .map_err(in_op(OP, [shape]))?;
        self.sums.push(sums);
        self.weights.extend_from_slice(weights);
        Ok(())
    }

    /// Probabilities `[L,L]` that residues touch, symmetric.
    ///
    /// # Errors
    /// [`TensorError`] of the kernel.
    pub fn finish(self, tape: &Tape, bias: f32) -> Result<Vec<f32>, TensorError> {
        let device = tape.device();
        let length = self.residues.len();
        let sizes = contacts::Sizes { length, channels: self.weights.len() };
        let layers: Vec<_> = self.sums.iter().map(|sums| (sums, 0..sums.len())).collect();
        let sums = device.join(&layers).map_err(in_op(OP, [[length, length]]))?;
        let weights = device.upload(&self.weights);
        let evidence = Evidence { map: &self.map, sums: &sums, weights: &weights, bias };
        let mut y = device.scratch(length * length);
        contacts::forward(device, sizes, evidence, &mut y).map_err(in_op(OP, [[length, length]]))?;
        Ok(y.as_slice().to_vec())
    }
}

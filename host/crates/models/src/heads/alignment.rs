//! A head of pairs by a soft alignment of their residues, with ordered levels, as PLUS has it.
//!
//! ```text
//! z      = states·fcᵀ + bias                               [T,D]
//! score  = soft symmetric alignment of both sides          [B,1]
//! logits = score·w + b, one for each level above the first [B,N]
//! ```
//!
//! Keys: `fc.weight [D,W]`, `fc.bias [D]`, `ordinal_weight [1,N]` (begins with 1), `ordinal_bias [N]` (begins with 10).

use std::sync::Arc;

use pliant_nn::{CheckpointError, Init, Linear, Weights};
use pliant_tensor::ops::{Epilogue, gather_rows, ordinal, soft_alignment};
use pliant_tensor::{Dtype, Offsets, Param, Tape, Tensor, TensorError};

use super::{Given, HeadConfig};

/// D of PLUS.
const EMBEDDING: usize = 100;

/// What the thresholds begin with: scores are never positive, and most are far below zero.
const FIRST_BIAS: f32 = 10.0;

/// Ordered levels `[S/2,N]` of pairs of S sequences.
#[derive(Debug)]
pub struct AlignmentHead {
    fc: Linear,
    ordinal_weight: Arc<Param>,
    ordinal_bias: Arc<Param>,
}

impl AlignmentHead {
    pub(super) fn new(config: &HeadConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let &HeadConfig { inputs, outputs, embedding, .. } = config;
        let width = embedding.unwrap_or(EMBEDDING);
        Ok(Self {
            fc: Linear::new(&weights.at("fc"), inputs, width, Init::kaiming(inputs))?,
            ordinal_weight: weights.table("ordinal_weight", [1, outputs], Init::Ones)?,
            ordinal_bias: weights.vector("ordinal_bias", outputs, Init::Repeated(vec![FIRST_BIAS]))?,
        })
    }

    pub(super) fn forward(&self, tape: &Tape, given: Given<'_>) -> Result<Tensor, TensorError> {
        let (states, spans) = match given {
            Given::States(states, spans) => (states, spans.to_vec()),
            // A vector each is a sequence of one residue.
            Given::Vectors(vectors) => (vectors, (0..vectors.rows()).map(|row| (row, row + 1)).collect()),
        };
        let z = self.fc.forward(tape, states, Epilogue::Store, Dtype::F32)?;
        let (first, second) = spans.split_at(spans.len() / 2);
        let side = |spans: &[(usize, usize)]| {
            let rows: Vec<usize> = spans.iter().flat_map(|&(start, end)| start..end).collect();
            let mut offsets = vec![0];
            for (start, end) in spans {
                offsets.push(offsets.last().copied().unwrap_or_default() + end - start);
            }
            Ok::<_, TensorError>((gather_rows(tape, &z, &rows)?, Offsets::new(&offsets)?))
        };
        let ((a, a_offsets), (b, b_offsets)) = (side(first)?, side(second)?);
        let scores = soft_alignment(tape, &a, &a_offsets, &b, &b_offsets)?;
        ordinal(tape, &scores, &self.ordinal_weight, &self.ordinal_bias)
    }
}

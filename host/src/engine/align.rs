//! Two proteins, residue by residue.

use anyhow::Context as _;
use pliant_models::Model;
use pliant_tensor::Tensor;
use pliant_tensor::ops::{SoftAlignment, ordinal_levels, soft_alignment_of};

use super::Engine;

/// How alike two proteins are, and which of their residues answer each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// The mean similarity by weight, never positive.
    pub score: f32,
    /// Probabilities of the levels of kinship, lowest first, of a model that was trained to align pairs.
    pub levels: Option<Vec<f32>>,
    /// Similarities of all pairs of residues, row by row.
    pub similarities: Vec<f32>,
    /// Weights of all pairs of residues, from 0 to 1.
    pub weights: Vec<f32>,
}

impl Engine {
    /// Compares two proteins by the rows `[n, W]` and `[m, W]` that this engine makes of their residues: the projections of
    /// a model that has them, of any other the states of the last layer.
    ///
    /// # Errors
    /// A protein without residues, and what the model or the device cannot do.
    pub fn align(&self, first: &[f32], second: &[f32]) -> anyhow::Result<Aligned> {
        let (tape, width) = (self.tape(), self.width());
        let model = self.model().ok();
        let trained = model.filter(|model| model.check_pairs().is_ok() && !model.pairs_in_one_chain());
        let vectors = |rows: &[f32]| Tensor::from_f32(self.device(), [rows.len() / width, width], rows);
        let SoftAlignment { score, similarities, weights } =
            soft_alignment_of(&tape, &vectors(first)?, &vectors(second)?)
                .context("comparing two proteins")?;
        let levels = |model: &Model| -> anyhow::Result<Vec<f32>> {
            let scores = Tensor::from_f32(self.device(), [1, 1], &[score])?;
            Ok(ordinal_levels(&tape, &model.pair_levels(&tape, &scores)?)?.to_vec_f32())
        };
        let levels = trained.map(levels).transpose()?;
        self.check()?;
        Ok(Aligned { score, levels, similarities, weights })
    }
}

//! Contact maps by a head in a file of its own, as PLUS saves it, from the projections z of a model's states.

use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::heads::ContactMapHead;
use pliant_models::{Model, ModelError};
use pliant_tensor::ops::{gather_rows, logistic};
use pliant_tensor::{Ids, Offsets, Tape};

/// A head that reads pairs of residues.
pub(super) struct Maps(ContactMapHead);

impl Maps {
    /// Reads the head of a file for a model.
    ///
    /// # Errors
    /// A model without projections, and a file that holds no such head of their width.
    pub(super) fn load(path: &Path, model: &Model, device: &Device) -> anyhow::Result<Self> {
        let width = model.projection().ok_or(ModelError::NoProjection)?;
        let head = ContactMapHead::load(path, width, (device, Precision::F32), false);
        Ok(Self(head.with_context(|| format!("the contact head {} cannot be used", path.display()))?))
    }

    /// Numbers that a pair of residues takes while its map is made, for projections of `width` numbers.
    pub(super) fn numbers_of_a_pair(width: usize) -> u64 {
        2 * (width as u64 + ContactMapHead::HIDDEN as u64)
    }

    /// For each sequence of the pack `[L, L]`.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub(super) fn of(
        &self,
        (model, tape): (&Model, &Tape),
        (ids, offsets): (&Ids, &Offsets),
        residues: &[Range<usize>],
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let states = model.encode(tape, ids, offsets, &[model.layers()])?;
        let last = states.first().context("the model gave no states")?;
        let own = Tape::off(tape.device(), Precision::F32);
        let map = |residues: &Range<usize>| -> anyhow::Result<Vec<f32>> {
            let rows: Vec<usize> = residues.clone().collect();
            let z = model.project(tape, &gather_rows(tape, last, &rows)?)?;
            Ok(logistic(&own, &self.0.forward(&own, &z)?)?.to_vec_f32())
        };
        residues.iter().map(map).collect()
    }
}

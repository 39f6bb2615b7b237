//! Rows to files: all of them complete before the first gets its name.

use std::path::Path;

use pliant_store::{
    Metadata, OutputSet, PooledWriter, ResidueWriter, StoreError, TablePlan, check_targets, output_paths,
};

use crate::cli::embed::{OutputPlan, residues_format};
use crate::exit::TaskError;
use crate::pipeline::Row;

/// What the tables will hold.
pub(super) struct Shape {
    /// Records.
    pub(super) records: usize,
    /// Residues of all of them.
    pub(super) residues: usize,
    /// C, numbers of a state.
    pub(super) width: usize,
    /// Layers in their order.
    pub(super) layers: Vec<usize>,
}

/// The tables being written.
pub(super) struct Outputs {
    pooled: Option<PooledWriter>,
    residues: Option<ResidueWriter>,
    layers: Vec<usize>,
    width: usize,
}

impl Outputs {
    /// Begins every table of `plan`; `metadata` says what a table of that kind tells of itself.
    ///
    /// # Errors
    /// Outputs that cannot be, and what the system says to new files.
    pub(super) fn create(
        plan: &OutputPlan,
        shape: &Shape,
        metadata: impl Fn(&str) -> Metadata,
    ) -> anyhow::Result<Self> {
        let table = |kind: &str| TablePlan {
            rows: shape.records,
            width: shape.width,
            layers: shape.layers.clone(),
            dtype: plan.dtype,
            metadata: metadata(kind),
            h5_layout: plan.h5_layout,
        };
        let create = |out: &Path| PooledWriter::create(out, plan.format, &table("pooled"));
        let pooled = plan.pooled.as_deref().map(create).transpose()?;
        let residues = match &plan.residues {
            None => None,
            Some(out) => {
                let format = residues_format(out)?;
                Some(ResidueWriter::create(out, format, &table("residues"), shape.residues)?)
            }
        };
        Ok(Self { pooled, residues, layers: shape.layers.clone(), width: shape.width })
    }

    /// Writes the next record.
    ///
    /// # Errors
    /// A result that is no number, and what the tables refuse.
    pub(super) fn push(&mut self, row: &Row) -> anyhow::Result<()> {
        for values in [&row.pooled, &row.states] {
            for (layer, values) in self.layers.iter().zip(values) {
                self.check_finite(&row.id, *layer, values)?;
            }
        }
        if let Some(pooled) = &mut self.pooled {
            pooled.push(&row.id, row.length, &views(&row.pooled))?;
        }
        if let Some(residues) = &mut self.residues {
            residues.push(&row.id, &views(&row.states))?;
        }
        Ok(())
    }

    fn check_finite(&self, id: &str, layer: usize, values: &[f32]) -> Result<(), TaskError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(place) => Err(TaskError::NotFinite {
                id: id.to_owned(),
                layer,
                column: place % self.width,
                value: values[place],
            }),
        }
    }

    /// Completes the tables, which still lack their names.
    ///
    /// # Errors
    /// Fewer records than announced, and what the system says.
    pub(super) fn finish(self) -> Result<OutputSet, StoreError> {
        let mut set = OutputSet::new();
        if let Some(pooled) = self.pooled {
            set.append(pooled.finish()?);
        }
        if let Some(residues) = self.residues {
            set.append(residues.finish()?);
        }
        Ok(set)
    }
}

fn views(layers: &[Vec<f32>]) -> Vec<&[f32]> {
    layers.iter().map(Vec::as_slice).collect()
}

/// Checks all files of a run against each other, now that the layers are known.
///
/// # Errors
/// Two outputs that are one file, or one that cannot be.
pub(super) fn check(plan: &OutputPlan, layers: &[usize]) -> anyhow::Result<()> {
    let mut files = match &plan.pooled {
        Some(out) => output_paths(out, plan.format, layers)?,
        None => Vec::new(),
    };
    if let Some(out) = &plan.residues {
        files.extend(output_paths(out, residues_format(out)?, layers)?);
    }
    files.extend([&plan.summary, &plan.failures].into_iter().flatten().cloned());
    Ok(check_targets(&files.iter().map(|file| file.as_path()).collect::<Vec<_>>())?)
}

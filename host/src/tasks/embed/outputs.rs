//! Rows to files: all of them complete before the first gets its name.

use std::path::Path;

use pliant_store::{
    H5Layout, Metadata, OutputSet, PooledWriter, ResidueWriter, StoreError, TablePlan, check_targets,
    output_paths,
};
use serde_json::json;

use crate::cli::embed::{EmbedPlan, OutputPlan, residues_format};
use crate::pipeline::Row;
use crate::tasks::run::{ID_CHARS, Ready, Session, Sizes};

/// The tables being written.
pub(super) struct Outputs {
    pooled: Option<PooledWriter>,
    residues: Option<ResidueWriter>,
}

impl Outputs {
    /// Begins every table of `plan`.
    ///
    /// # Errors
    /// Outputs that cannot be, and what the system says to new files.
    pub(super) fn create(plan: &OutputPlan, session: &Session<'_>) -> anyhow::Result<Self> {
        let (selection, engine) = (session.selection(), session.engine());
        let table = |kind: &str| TablePlan {
            rows: selection.records,
            width: engine.width(),
            layers: engine.layers(),
            dtype: plan.dtype,
            metadata: session.metadata(kind, plan.dtype.name()),
            h5_layout: plan.h5_layout,
        };
        let create = |out: &Path| PooledWriter::create(out, plan.format, &table("pooled"));
        let pooled = plan.pooled.as_deref().map(create).transpose()?;
        let residues = match &plan.residues {
            None => None,
            Some(out) => {
                let format = residues_format(out)?;
                Some(ResidueWriter::create(out, format, &table("residues"), selection.residues)?)
            }
        };
        Ok(Self { pooled, residues })
    }

    /// Writes the next record.
    ///
    /// # Errors
    /// What the tables refuse.
    pub(super) fn push(&mut self, row: &Row) -> anyhow::Result<()> {
        if let Some(pooled) = &mut self.pooled {
            pooled.push(&row.id, row.length, &views(&row.pooled))?;
        }
        if let Some(residues) = &mut self.residues {
            residues.push(&row.id, &views(&row.residues))?;
        }
        Ok(())
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
pub(super) fn check(plan: &EmbedPlan, layers: &[usize]) -> anyhow::Result<()> {
    let mut files = match &plan.outputs.pooled {
        Some(out) => output_paths(out, plan.outputs.format, layers)?,
        None => Vec::new(),
    };
    if let Some(out) = &plan.outputs.residues {
        files.extend(output_paths(out, residues_format(out)?, layers)?);
    }
    files.extend([&plan.run.summary, &plan.run.failures].into_iter().flatten().cloned());
    Ok(check_targets(&files.iter().map(|file| file.as_path()).collect::<Vec<_>>())?)
}

/// Sizes of the tables of a run.
///
/// # Errors
/// An output of states that no format can hold.
pub(super) fn sizes(plan: &OutputPlan, ready: &Ready<'_>, layers: &[usize]) -> anyhow::Result<Sizes> {
    let selection = ready.selection();
    let table = TablePlan {
        rows: selection.records,
        width: ready.width(),
        layers: layers.to_vec(),
        dtype: plan.dtype,
        metadata: Metadata::new(),
        h5_layout: H5Layout::default(),
    };
    let mut held_bytes = plan.format.held_bytes(&table, None);
    let pooled = plan.format.estimated_bytes(&table, None, ID_CHARS);
    let mut residues = 0;
    if let Some(out) = &plan.residues {
        let format = residues_format(out)?;
        held_bytes += format.held_bytes(&table, Some(selection.residues));
        residues = format.estimated_bytes(&table, Some(selection.residues), ID_CHARS);
    }
    let output_bytes = json!({ "pooled": pooled, "residues": residues, "total": pooled + residues });
    Ok(Sizes { held_bytes, output_bytes })
}

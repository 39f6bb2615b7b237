//! Holds a table to its plan: what every writer counts and refuses, whatever its format.

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::table::TablePlan;

/// The plan of a table and how far it has come.
pub(crate) struct Tally {
    path: PathBuf,
    pub(crate) plan: TablePlan,
    /// Residues that must come, for a per-residue table.
    residues: Option<usize>,
    records: usize,
    rows: usize,
    failed: bool,
}

impl Tally {
    /// For a table with one row per record, or with `residues` rows in all.
    ///
    /// # Errors
    /// A plan that no file can follow.
    pub(crate) fn new(path: &Path, plan: &TablePlan, residues: Option<usize>) -> Result<Self, StoreError> {
        plan.check(path, residues.unwrap_or(plan.rows))?;
        Ok(Self {
            path: path.to_path_buf(),
            plan: plan.clone(),
            residues,
            records: 0,
            rows: 0,
            failed: false,
        })
    }

    /// Takes the next record up: the number of its rows. Until [`Tally::done`] the table counts as broken.
    ///
    /// # Errors
    /// Values of another shape than planned, more records or residues than planned, and an earlier failure.
    pub(crate) fn begin(&mut self, id: &str, layers: &[&[f32]]) -> Result<usize, StoreError> {
        self.check_whole()?;
        self.failed = true;
        let rows = match (self.residues, layers.first()) {
            (Some(_), Some(first)) => first.len() / self.plan.width,
            _ => 1,
        };
        self.plan.check_layers(id, layers, rows)?;
        if self.records == self.plan.rows {
            self.check_count("records", self.plan.rows, self.records + 1)?;
        }
        if let Some(wanted) = self.residues.filter(|wanted| self.rows + rows > *wanted) {
            self.check_count("residues", wanted, self.rows + rows)?;
        }
        Ok(rows)
    }

    /// The record taken up with `rows` rows is written.
    pub(crate) fn done(&mut self, rows: usize) {
        self.records += 1;
        self.rows += rows;
        self.failed = false;
    }

    /// Whether everything has come.
    ///
    /// # Errors
    /// Fewer records or residues than planned, and an earlier failure.
    pub(crate) fn finish(&self) -> Result<(), StoreError> {
        self.check_whole()?;
        self.check_count("records", self.plan.rows, self.records)?;
        self.check_count("residues", self.residues.unwrap_or(self.rows), self.rows)
    }

    /// Whether it is a per-residue table.
    pub(crate) fn is_per_residue(&self) -> bool {
        self.residues.is_some()
    }

    /// Rows of all records in the end.
    pub(crate) fn rows_wanted(&self) -> usize {
        self.residues.unwrap_or(self.plan.rows)
    }

    fn check_whole(&self) -> Result<(), StoreError> {
        match self.failed {
            false => Ok(()),
            true => Err(StoreError::Broken { path: self.path.clone() }),
        }
    }

    fn check_count(&self, unit: &'static str, wanted: usize, found: usize) -> Result<(), StoreError> {
        match wanted == found {
            true => Ok(()),
            false => Err(StoreError::Count { path: self.path.clone(), unit, wanted, found }),
        }
    }
}

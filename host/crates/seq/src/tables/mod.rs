//! Examples with labels: what a task is taught with and asked of.
//!
//! | door | promise |
//! |---|---|
//! | [`SetOptions`] | how examples stand in their files ([`Form`]) and what their labels are ([`LabelForm`]) |
//! | [`LabelledSet`] | examples in memory, at least one: proteins or pairs of them, labels, weights, parts; `digest` names it |
//! | [`SetReport`] | what became of every example of the input |
//! | [`Domains`] | domains by their structure, of which pairs of every level are drawn |
//! | [`Sides`] | a set in two, no protein or group of proteins on both sides |
//!
//! A table that cannot be read is a [`TableError`]; an example that is wrong is a [`Failure`](crate::Failure) with file and
//! line, and reading goes on. Nothing is repaired but a stop at the end of a sequence, as labels belong to places.
//! Sequences take a byte a residue, labels of residues another.

mod build;
mod domains;
mod error;
pub mod forms;
mod intake;
mod labels;
pub(crate) mod lines;
mod mutants;
mod options;
mod proteins;
mod read;
mod sequences;
mod set;
mod split;
mod symmetry;

#[cfg(test)]
mod tests;

pub use domains::Domains;
pub use error::TableError;
pub use intake::SetReport;
pub use labels::{IGNORED, Label, LabelKind, Labels, MOST_RESIDUE_CLASSES, ResidueAlphabet};
pub(crate) use lines::Rows;
pub use lines::Separator;
pub use mutants::wild_type;
pub use options::{
    ClassList, Columns, Form, GroupColumn, HeaderLabel, LabelForm, ProteinColumns, SetOptions,
};
pub use proteins::{ProteinTable, Proteins};
pub(crate) use sequences::SequenceRows;
pub use set::{LabelledSet, Members};
pub use split::Sides;
pub use symmetry::{SYMMETRIES, SymmetryWords};

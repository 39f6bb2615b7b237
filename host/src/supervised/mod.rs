//! Tasks that are taught by examples with labels: how examples are read, what is lost on a label, what a head is kept as.
//!
//! | file | what it knows |
//! |---|---|
//! | [`additive`] | what each protein by itself tells of pairs |
//! | [`registry`] | one row for each task: how its examples stand in files, what its head is asked about |
//! | [`reading`] | from files and what a configuration says of them to examples |
//! | [`targets`] | labels beside the numbers of a head: losses, for gradients and to be told |
//! | [`answers`] | the numbers of a head as probabilities, classes, levels and numbers |
//! | [`stored`] | numbers of proteins that were encoded once |
//! | [`measures`] | how well labels are told |
//! | [`card`] | the folder of a head, which says what it is |
//! | [`brought`], [`brought_metric`] | heads and measures that users bring as plugins |
//! | [`onnx_head`] | heads that users bring as ONNX files |
//! | [`telling`] | how the numbers of both are told |
//!
//! Loss and measures follow from the kind of the labels, so a task is data: any encoder can be taught any of them.

pub mod additive;
pub mod answers;
pub mod brought;
pub mod brought_metric;
pub mod card;
mod error;
pub mod measures;
pub mod onnx_head;
pub mod reading;
pub mod registry;
pub mod stored;
pub mod targets;
pub mod telling;

pub use error::HeadError;

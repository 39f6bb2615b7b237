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
//! | [`told`] | the numbers of a head for examples that were encoded |
//! | [`measures`] | how well labels are told |
//! | [`card`] | the folder of a head, which says what it is |
//!
//! Loss and measures follow from the kind of the labels, so a task is data: any encoder can be taught any of them.

pub mod additive;
pub mod answers;
pub mod card;
mod error;
pub mod measures;
pub mod reading;
pub mod registry;
pub mod stored;
pub mod targets;
pub mod told;

pub use error::HeadError;

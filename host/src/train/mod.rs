//! Training: the order of the work from a configuration to a model folder.
//!
//! | file | what it knows |
//! |---|---|
//! | [`config`] | keys, values, what goes together |
//! | [`folder`] | what lies where in the folder of a run, and that one process alone writes there |
//! | [`checkpoint`] | all that a run needs to go on, on disk |
//! | [`log`] | one line an interval |
//! | [`resume`] | where a run begins, or goes on |
//! | [`run`] | the order of the steps, whatever is learnt |
//! | [`course`] | what is learnt: packs, their losses, what is told and what held-out sequences say |
//! | [`stop`] | signals and the clock |
//! | [`tuning`] | the same as [`config`] of a fine-tuning |
//! | [`result`] | the model folder at the end |
//!
//! Everything random is a function of seed and step, and a checkpoint holds everything else that a step depends on: a run
//! that was stopped at any moment goes on as if it had not been.

pub mod checkpoint;
pub mod config;
pub mod course;
mod error;
pub mod folder;
pub(crate) mod kill;
pub mod log;
pub mod result;
pub mod resume;
pub mod run;
pub mod stop;
pub mod tuning;

pub use error::TrainError;

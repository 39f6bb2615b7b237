//! How parameters learn: steps along their gradients, and how large the steps are.
//!
//! | file | what it is |
//! |---|---|
//! | [`adamw`] | AdamW over a model's parameters: decay by parameter, clipping by the norm of all gradients; BertAdam |
//! | [`schedule`] | the learning rate of every step, as a fraction of the highest |

pub mod adamw;
mod error;
pub mod schedule;

pub use adamw::{AdamW, AdamWSettings, Rule, StepReport};
pub use error::OptimError;
pub use schedule::Schedule;

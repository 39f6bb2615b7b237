//! Shape, memory and gradient over the kernels.
//!
//! A [`Tensor`] is a matrix on a device, a [`Param`] what a model has learnt, and a [`Tape`] the record of
//! one pass that [`Tape::backward`] walks in reverse. The functions in [`ops`] are all there is: each runs
//! one kernel forward and owns its backward.
//!
//! ```text
//!  Ids ─► ops::embedding ─► ops::layer_norm ─► ops::linear ─► … ─► ops::cross_entropy ─► loss [1,1]
//!              ▲                  ▲                ▲                                        │
//!              └──────────────────┴── Param ───────┘ ◄───────── Tape::backward ◄────────────┘
//! ```
//!
//! With [`Tape::off`] an operation allocates its result and nothing else, and memory goes back to the
//! device's pool when the last clone of a tensor is dropped.

mod carry;
mod checkpoint;
pub mod error;
mod gradients;
pub mod low_rank;
pub mod ops;
mod packed;
pub mod param;
pub mod tape;
pub mod tensor;
#[cfg(test)]
mod tests;

pub use carry::Carry;
pub use error::TensorError;
pub use low_rank::{LowRank, Switch};
pub use param::{Param, ParamKind};
pub use pliant_kernels::Direction;
pub use tape::Tape;
pub use tensor::{Dtype, Ids, Offsets, Tensor};

//! What the proofs of kernels share: inputs, devices, comparisons, and the shapes of a proof.

pub mod case;
pub mod compare;
pub mod devices;
pub mod fixture;
pub mod gradient;
pub mod inputs;

pub use case::{Case, Expected, Found, Invariance, Values};
pub use compare::{assert_bites, assert_close};
pub use devices::devices;
pub use fixture::Fixture;
pub use gradient::Gradient;
pub use inputs::Inputs;

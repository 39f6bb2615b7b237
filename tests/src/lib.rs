//! What the tests of Pliant share.

pub mod cpp;
pub mod kernels;
pub mod standin;

//! What the tests of Pliant share.

pub mod kernels;

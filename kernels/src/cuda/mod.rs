//! Kernels for NVIDIA devices: their sources, and how they become machine code at run time.
//!
//! Nothing here needs CUDA to build. The run-time compiler is looked for when it is asked for, and a missing one is
//! an error that says what to install. No device runs these kernels yet.

pub mod cache;
pub mod compile;
pub mod library;
pub mod sources;

pub use cache::Cache;
pub use compile::{Architecture, Compiler, Cubin};
pub use sources::{Kernel, SOURCES, Source};

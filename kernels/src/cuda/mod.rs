//! Devices of NVIDIA: the driver, memory and launches, the sources of kernels, and how they become machine code.
//!
//! Nothing here needs CUDA to build. Driver, run-time compiler and cuBLASLt are looked for when they are asked for, and a
//! missing one is an error that says what to install.

mod blas;
pub mod cache;
pub mod compile;
mod context;
mod device;
mod driver;
mod launch;
mod library;
pub mod sources;
mod staging;

pub use self::blas::version as products_version;
pub(crate) use self::blas::{Blas, Product};
pub use self::cache::Cache;
pub use self::compile::{Architecture, Compiler, Cubin};
pub(crate) use self::context::Block;
pub use self::context::Facts;
pub use self::device::{Cuda, CudaSettings, Products};
pub use self::driver::{Driver, driver};
pub(crate) use self::launch::{Grid, cpu_only, no_training};
pub use self::sources::{Kernel, SOURCES, Source};

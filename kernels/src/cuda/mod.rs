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
mod times;

pub use self::blas::version as products_version;
pub(crate) use self::blas::{Blas, Product};
pub use self::cache::Cache;
pub use self::compile::{Architecture, Compiler, Cubin};
pub(crate) use self::context::Block;
pub use self::context::Facts;
pub use self::device::{AttentionChoice, Cuda, CudaSettings, Products};
pub use self::driver::{Driver, driver};
pub(crate) use self::launch::{Grid, cpu_only, no_training};
pub use self::sources::{Kernel, SOURCES, Source};
pub use self::times::KernelTime;

/// Whether `kernels/RESULTS.md` tells of a run on hardware. Until it does, nobody is given a GPU who did not ask for one.
pub const PROVEN: bool = false;

/// Whether one of those runs was of attention by tensor cores. Until then it is for those who ask for it.
pub const TENSOR_ATTENTION_PROVEN: bool = false;
const _: () = assert!(PROVEN || !TENSOR_ATTENTION_PROVEN);

#[cfg(test)]
mod tests {
    /// A section of the results begins with the date of its run.
    #[test]
    fn a_gpu_is_chosen_for_nobody_before_the_results_of_one_are_told() {
        let told = include_str!("../../RESULTS.md").lines().any(|line| line.starts_with("## 2"));
        assert_eq!(super::PROVEN, told, "PROVEN and kernels/RESULTS.md say different things");
    }
}

//! What a number goes through: raw buffers in, raw buffers out.
//!
//! A kernel knows sizes, precision and a [`Device`]; it knows nothing of parameters, files or families.
//! Every operation lives in its own folder below [`ops`]: `mod.rs` is the contract, `cpu.rs` the plain
//! text that is the oracle of the tests, `simd.rs` the fast path.
//!
//! Numbers are a promise. On one device and precision an output row has the same bits whatever the
//! other rows are, however many threads run and whichever vector width the machine has: products
//! accumulate the inner dimension in ascending order by fused multiply-add, row reductions use one
//! fixed 16-lane tree, and sums over rows are cut into fixed chunks that are added in order. The name of
//! that promise is [`Device::numerics`].

pub mod buffer;
pub mod check;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod error;
pub mod ops;
pub mod real;
pub mod rng;
pub mod sequences;
pub mod tolerance;

pub use buffer::{Buffer, Element, Input, Output};
pub use cpu::{CpuPath, Precision};
pub use device::Device;
pub use error::KernelError;
pub use half::bf16;
pub use real::Real;
pub use sequences::{Direction, Sequences};
pub use tolerance::Tolerance;

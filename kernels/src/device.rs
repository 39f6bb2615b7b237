//! Where numbers are computed. A device is a value, not a type parameter.

use crate::buffer::{Buffer, Element, Pool};
use crate::cpu::{Cpu, CpuPath};
use crate::error::KernelError;
use std::sync::Arc;

/// A device with its memory pool; clones share both.
#[derive(Clone)]
pub enum Device {
    /// The processor, with a fixed set of threads.
    Cpu(Arc<Cpu>),
}

impl Device {
    /// The processor with `threads` threads and the fastest path it has.
    ///
    /// # Errors
    /// [`KernelError::Device`] for zero threads or when a thread cannot be started.
    pub fn cpu(threads: usize) -> Result<Self, KernelError> {
        Self::cpu_with(threads, CpuPath::best())
    }

    /// The processor with `threads` threads and a chosen path.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the processor lacks the path's instructions.
    pub fn cpu_with(threads: usize, path: CpuPath) -> Result<Self, KernelError> {
        Ok(Self::Cpu(Arc::new(Cpu::new(threads, path)?)))
    }

    /// Name of the numerics class: two runs with the same name, precision and input give the same bits.
    #[must_use]
    pub fn numerics(&self) -> &'static str {
        match self {
            Self::Cpu(cpu) => cpu.path().numerics(),
        }
    }

    /// The device in words, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(cpu) => format!("cpu ({}, {} threads)", cpu.path().name(), cpu.threads().count()),
        }
    }

    /// The device's memory pool.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        match self {
            Self::Cpu(cpu) => cpu.pool(),
        }
    }

    /// A buffer of unspecified numbers on this device.
    #[must_use]
    pub fn scratch<T: Element>(&self, length: usize) -> Buffer<T> {
        Buffer::scratch(self.pool(), length)
    }

    /// A buffer of zeros on this device.
    #[must_use]
    pub fn zeros<T: Element>(&self, length: usize) -> Buffer<T> {
        Buffer::zeros(self.pool(), length)
    }

    /// A copy of `values` on this device.
    #[must_use]
    pub fn upload<T: Element>(&self, values: &[T]) -> Buffer<T> {
        Buffer::from_slice(self.pool(), values)
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.describe())
    }
}

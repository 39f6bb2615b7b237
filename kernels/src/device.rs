//! Where numbers are computed. A device is a value, not a type parameter.

use crate::buffer::{Buffer, Element, Pool};
use crate::cpu::{Cpu, CpuPath};
use crate::cuda::{Cuda, CudaSettings};
use crate::error::KernelError;
use std::ops::Range;
use std::sync::Arc;

/// Rows that give every multiprocessor of a large device some tiles of a product.
const ROWS_OF_CUDA: usize = 16384;

/// A device with its memory pool; clones share both.
#[derive(Clone)]
pub enum Device {
    /// The processor, with a fixed set of threads.
    Cpu(Arc<Cpu>),
    /// A GPU of NVIDIA.
    Cuda(Arc<Cuda>),
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

    /// A GPU of NVIDIA.
    ///
    /// # Errors
    /// [`KernelError::Library`] naming the library that is missing and what to install, [`KernelError::Device`] where
    /// there is no such device or it cannot be used.
    pub fn cuda(settings: &CudaSettings) -> Result<Self, KernelError> {
        Ok(Self::Cuda(Arc::new(Cuda::open(settings)?)))
    }

    /// Name of the numerics class: two runs with the same name, precision and input give the same bits.
    #[must_use]
    pub fn numerics(&self) -> &str {
        match self {
            Self::Cpu(cpu) => cpu.path().numerics(),
            Self::Cuda(cuda) => cuda.numerics(),
        }
    }

    /// Whether it works on while the host does something else, so that the next work is best asked for before the results
    /// of the last are read.
    #[must_use]
    pub fn runs_ahead(&self) -> bool {
        matches!(self, Self::Cuda(_))
    }

    /// Forgets what went wrong and gives all memory that nobody holds back to the system; afterwards the device serves
    /// again, if it can. Whether that makes more memory free than there was.
    pub fn recover(&self) -> bool {
        match self {
            Self::Cpu(_) => false,
            Self::Cuda(cuda) => {
                let _told_already = cuda.recover();
                true
            }
        }
    }

    /// What went wrong on the device and could not be told where it did. Whoever reads numbers of a buffer asks this
    /// afterwards.
    ///
    /// # Errors
    /// The fault; the processor has none.
    pub fn check(&self) -> Result<(), KernelError> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Cuda(cuda) => cuda.check(),
        }
    }

    /// The device in words, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(cpu) => format!("cpu ({}, {} threads)", cpu.path().name(), cpu.threads().count()),
            Self::Cuda(cuda) => cuda.describe(),
        }
    }

    /// Rows that are best worked on at once where `cached` rows fit the caches of a processor: a device of CUDA wants enough
    /// of them that all its multiprocessors have work.
    #[must_use]
    pub fn rows_at_once(&self, cached: usize) -> usize {
        match self {
            Self::Cpu(_) => cached,
            Self::Cuda(_) => cached.max(ROWS_OF_CUDA),
        }
    }

    /// The pool of the host's memory that the device works with.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        match self {
            Self::Cpu(cpu) => cpu.pool(),
            Self::Cuda(cuda) => cuda.host(),
        }
    }

    /// A buffer of unspecified numbers on this device. Where a device has no memory left, the buffer is one of no use: the
    /// first operation that is given it tells so, as [`Device::check`] does.
    #[must_use]
    pub fn scratch<T: Element>(&self, length: usize) -> Buffer<T> {
        match self {
            Self::Cpu(cpu) => Buffer::scratch(cpu.pool(), length),
            Self::Cuda(cuda) => cuda.scratch(length),
        }
    }

    /// A buffer of zeros on this device.
    #[must_use]
    pub fn zeros<T: Element>(&self, length: usize) -> Buffer<T> {
        match self {
            Self::Cpu(cpu) => Buffer::zeros(cpu.pool(), length),
            Self::Cuda(cuda) => cuda.zeros(length),
        }
    }

    /// Sets all numbers of a buffer of this device to zero.
    ///
    /// # Errors
    /// What the device cannot do; the processor can.
    pub fn clear<T: Element>(&self, buffer: &mut Buffer<T>) -> Result<(), KernelError> {
        match self {
            Self::Cpu(_) => buffer.as_mut_slice().fill(T::zeroed()),
            Self::Cuda(cuda) => cuda.clear(buffer)?,
        }
        Ok(())
    }

    /// A copy of a buffer of this device.
    ///
    /// # Errors
    /// What the device cannot do; the processor can.
    pub fn copy<T: Element>(&self, buffer: &Buffer<T>) -> Result<Buffer<T>, KernelError> {
        match self {
            Self::Cpu(cpu) => Ok(Buffer::from_slice(cpu.pool(), buffer.as_slice())),
            Self::Cuda(cuda) => cuda.copy(&[(buffer, 0..buffer.len())]),
        }
    }

    /// Stretches of buffers of this device, one after the other.
    ///
    /// # Errors
    /// What the device cannot do; the processor can.
    ///
    /// # Panics
    /// For a stretch outside its buffer.
    pub fn join<T: Element>(&self, parts: &[(&Buffer<T>, Range<usize>)]) -> Result<Buffer<T>, KernelError> {
        match self {
            Self::Cpu(cpu) => {
                let mut all = Buffer::scratch(cpu.pool(), parts.iter().map(|(_, part)| part.len()).sum());
                let mut rest = all.as_mut_slice();
                for (buffer, part) in parts {
                    let (place, after) = rest.split_at_mut(part.len());
                    place.copy_from_slice(&buffer.as_slice()[part.clone()]);
                    rest = after;
                }
                Ok(all)
            }
            Self::Cuda(cuda) => cuda.copy(parts),
        }
    }

    /// A copy of `values` on this device.
    #[must_use]
    pub fn upload<T: Element>(&self, values: &[T]) -> Buffer<T> {
        match self {
            Self::Cpu(cpu) => Buffer::from_slice(cpu.pool(), values),
            Self::Cuda(cuda) => cuda.upload(values),
        }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.describe())
    }
}

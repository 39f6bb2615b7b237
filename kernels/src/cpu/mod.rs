//! The processor: threads, vector paths and matrix products that the operations share.

/// Calls vector instructions: the one reason why that is sound, for both files that do.
#[cfg(target_arch = "x86_64")]
macro_rules! vector {
    ($call:expr) => {{
        // SAFETY: values of these types are used only below the functions of `simd::dispatch` that
        // enable the instructions; memory operands are references to arrays of exactly the size read.
        #[allow(clippy::macro_metavars_in_unsafe, reason = "the macro exists to state this reason once")]
        unsafe {
            $call
        }
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod environment;
pub mod gemm;
pub mod math;
pub(crate) mod pack;
mod portable;
pub mod rows;
pub mod shared;
pub mod simd;
pub mod threads;

use crate::buffer::Pool;
use crate::error::KernelError;
use std::sync::Arc;
pub use threads::Threads;

/// How matrix operands are held: sums are always 32-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit operands.
    F32,
    /// bfloat16 operands, 32-bit sums.
    Bf16,
    /// For inference: products with weights have 8-bit operands and whole 32-bit sums, scaled by row and by
    /// column; everything else is as with [`Precision::Bf16`].
    Int8,
}

impl Precision {
    /// Name as written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

/// Which instructions the fast kernels use, chosen at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CpuPath {
    /// No vector instructions named: what the compiler makes of plain loops.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors.
    Avx512,
    /// 512-bit vectors with bfloat16 products.
    Avx512Bf16,
}

impl CpuPath {
    /// Every path, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The fastest path of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|path| path.available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor has the path's instructions.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => avx512::products_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
        }
    }

    /// The path with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }

    /// Name of the numerics class: paths with the same name give the same bits.
    ///
    /// The portable path runs the same arithmetic, but denormal numbers are left to the platform.
    #[must_use]
    pub fn numerics(self) -> &'static str {
        match self {
            Self::Portable => "portable-1",
            Self::Avx2 | Self::Avx512 | Self::Avx512Bf16 => "x86fma-1",
        }
    }
}

/// The processor as a device.
pub struct Cpu {
    path: CpuPath,
    threads: Threads,
    pool: Arc<Pool>,
}

impl Cpu {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// [`KernelError::Device`] for zero threads, a path the processor lacks, or a thread that does not start.
    pub fn new(threads: usize, path: CpuPath) -> Result<Self, KernelError> {
        let refuse = |reason: String| KernelError::Device { device: "cpu".to_owned(), reason };
        if !path.available() {
            return Err(refuse(format!("this processor lacks the instructions of path {}", path.name())));
        }
        let threads = Threads::new(threads).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { path, threads, pool: Arc::new(Pool::default()) })
    }

    /// The vector path in use.
    #[must_use]
    pub fn path(&self) -> CpuPath {
        self.path
    }

    /// The threads.
    #[must_use]
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// The memory pool.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Runs `tasks` pieces of work over the threads, each compiled for this processor's vector path.
    ///
    /// Which thread runs which piece is not fixed, so pieces must write to places of their own.
    pub fn run<W: simd::Work + Sync>(&self, tasks: usize, work: &W) {
        let path = self.path;
        self.threads.run(tasks, &|task, worker| simd::dispatch(path, work, simd::Task { task, worker }));
    }
}

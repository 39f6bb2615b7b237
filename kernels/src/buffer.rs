//! Memory of a device, taken from a pool of size classes and given back on drop.

use crate::cuda::Block;
use crate::error::{KernelError, check_size};
use crate::real::Real;
use bytemuck::Pod;
use half::bf16;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One aligned line of memory: vector loads of a buffer never cross a cache line at its start.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; 64]);

/// What a buffer can hold: plain numbers without padding or invalid bit patterns.
pub trait Element: Pod + Send + Sync {}
impl Element for f32 {}
impl Element for u32 {}
impl Element for bf16 {}
impl Element for i8 {}
impl Element for i32 {}

/// Free memory of a device by size class, shared by all its buffers.
#[derive(Default)]
pub struct Pool {
    free: Mutex<BTreeMap<usize, Vec<Box<[Line]>>>>,
}

/// Lines of the size class that holds `lines`: sizes grow by a quarter of a power of two, so that at
/// most a fifth of a block is unused.
pub(crate) fn size_class(lines: usize) -> usize {
    let lines = lines.max(1);
    let step = (lines.next_power_of_two() / 8).max(1);
    lines.div_ceil(step) * step
}

impl Pool {
    fn take(&self, lines: usize) -> Option<Box<[Line]>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_mut(&lines)?.pop()
    }

    /// Memory for `bytes`, whatever it held before.
    pub(crate) fn lines(&self, bytes: usize) -> Box<[Line]> {
        let lines = size_class(bytes.div_ceil(64));
        self.take(lines).unwrap_or_else(|| bytemuck::allocation::zeroed_slice_box::<Line>(lines))
    }

    /// Takes memory back.
    pub(crate) fn give(&self, memory: Box<[Line]>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(memory.len()).or_default().push(memory);
    }

    /// Gives all free memory back to the system.
    pub fn trim(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Bytes that lie free in the pool.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter().map(|(lines, blocks)| lines * 64 * blocks.len()).sum()
    }
}

/// Where the numbers of a buffer are.
enum Memory {
    Host(Box<[Line]>, Arc<Pool>),
    Cuda(Block),
}

/// A run of numbers on a device.
///
/// The host sees those of another device as a copy that is read back when it is asked for first; see
/// [`Buffer::as_slice`].
pub struct Buffer<T: Element> {
    memory: Memory,
    length: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    fn new(memory: Memory, length: usize) -> Self {
        Self { memory, length, kind: std::marker::PhantomData }
    }

    /// `length` numbers of the host whose values are unspecified (whatever the pool's memory held before).
    #[must_use]
    pub fn scratch(pool: &Arc<Pool>, length: usize) -> Self {
        Self::new(Memory::Host(pool.lines(length * size_of::<T>()), Arc::clone(pool)), length)
    }

    /// `length` zeros.
    #[must_use]
    pub fn zeros(pool: &Arc<Pool>, length: usize) -> Self {
        let mut buffer = Self::scratch(pool, length);
        buffer.as_mut_slice().fill(T::zeroed());
        buffer
    }

    /// A copy of `values`.
    #[must_use]
    pub fn from_slice(pool: &Arc<Pool>, values: &[T]) -> Self {
        let mut buffer = Self::scratch(pool, values.len());
        buffer.as_mut_slice().copy_from_slice(values);
        buffer
    }

    /// Numbers of a device of CUDA, for `length` of which the block has room.
    pub(crate) fn on_cuda(block: Block, length: usize) -> Self {
        Self::new(Memory::Cuda(block), length)
    }

    /// The memory on a device of CUDA; `None` where it is the host's.
    pub(crate) fn block(&self) -> Option<&Block> {
        match &self.memory {
            Memory::Host(..) => None,
            Memory::Cuda(block) => Some(block),
        }
    }

    /// The same, to be written.
    pub(crate) fn block_mut(&mut self) -> Option<&mut Block> {
        match &mut self.memory {
            Memory::Host(..) => None,
            Memory::Cuda(block) => Some(block),
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Sends numbers of another device on their way to the host, so that whoever reads them later waits for nothing that
    /// was asked of the device after this.
    ///
    /// # Errors
    /// What went wrong on the device; the processor has nothing to send.
    pub fn fetch(&self) -> Result<(), KernelError> {
        self.block().map_or(Ok(()), |block| block.fetch(self.length * size_of::<T>()))
    }

    /// The numbers. Those of another device are waited for and read back, unless the host has just written or read them.
    /// A device that fails meanwhile gives bytes of 0xff, which are no numbers, and tells why in the next call and in
    /// [`crate::Device::check`].
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        let lines = match &self.memory {
            Memory::Host(lines, _) => lines,
            Memory::Cuda(block) => block.mirror(self.length * size_of::<T>()),
        };
        &bytemuck::cast_slice(lines)[..self.length]
    }

    /// The numbers, to be written.
    ///
    /// # Panics
    /// For numbers of another device than the processor, which are written by operations alone.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Host(lines, _) => &mut bytemuck::cast_slice_mut(lines)[..self.length],
            Memory::Cuda(_) => panic!("numbers of a CUDA device are written by operations, not by the host"),
        }
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Memory::Host(lines, pool) = &mut self.memory {
            pool.give(std::mem::take(lines));
        }
    }
}

impl<T: Element + std::fmt::Debug> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Buffer({} elements)", self.length)
    }
}

/// Matrix operand to read: f32, or bf16 where the precision policy rounds operands.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// 32-bit numbers.
    F32(&'a Buffer<f32>),
    /// bfloat16 numbers.
    Bf16(&'a Buffer<bf16>),
}

impl Input<'_> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(buffer) => buffer.len(),
            Self::Bf16(buffer) => buffer.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks the number of elements.
    ///
    /// # Errors
    /// [`KernelError::Size`] when it is not `wanted`.
    pub fn check(&self, op: &'static str, what: &'static str, wanted: usize) -> Result<(), KernelError> {
        check_size(op, what, self.len(), wanted)
    }

    /// The values as a vector of plain numbers, for plain kernels and tests.
    #[must_use]
    pub fn to_reals<R: Real>(&self) -> Vec<R> {
        match self {
            Self::F32(buffer) => buffer.as_slice().iter().map(|&v| R::from_f64(f64::from(v))).collect(),
            Self::Bf16(buffer) => {
                buffer.as_slice().iter().map(|&v| R::from_f64(f64::from(v.to_f32()))).collect()
            }
        }
    }
}

/// Result to write: f32, or bf16 (round to nearest even) where its only readers are matrix operands.
#[derive(Debug)]
pub enum Output<'a> {
    /// 32-bit numbers.
    F32(&'a mut Buffer<f32>),
    /// bfloat16 numbers.
    Bf16(&'a mut Buffer<bf16>),
}

impl Output<'_> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(buffer) => buffer.len(),
            Self::Bf16(buffer) => buffer.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks the number of elements.
    ///
    /// # Errors
    /// [`KernelError::Size`] when it is not `wanted`.
    pub fn check(&self, op: &'static str, what: &'static str, wanted: usize) -> Result<(), KernelError> {
        check_size(op, what, self.len(), wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_returns_to_the_pool_and_is_used_again() {
        let pool = Arc::new(Pool::default());
        let first = Buffer::<f32>::zeros(&pool, 1000);
        let address = first.as_slice().as_ptr();
        assert_eq!(address as usize % 64, 0);
        drop(first);
        assert!(pool.free_bytes() >= 4000);
        let second = Buffer::<bf16>::scratch(&pool, 2000);
        assert_eq!(second.as_slice().as_ptr().cast::<f32>(), address);
        pool.trim();
        assert_eq!(pool.free_bytes(), 0);
    }

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for lines in 1..5000 {
            let class = size_class(lines);
            assert!(class >= lines && class * 4 <= lines * 5 + 4, "{lines} -> {class}");
        }
    }
}

//! Memory of a device, taken from a pool of size classes and given back on drop.

use crate::error::{KernelError, check_size};
use crate::real::Real;
use bytemuck::Pod;
use half::bf16;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One aligned line of memory: vector loads of a buffer never cross a cache line at its start.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

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
fn size_class(lines: usize) -> usize {
    let lines = lines.max(1);
    let step = (lines.next_power_of_two() / 8).max(1);
    lines.div_ceil(step) * step
}

impl Pool {
    fn take(&self, lines: usize) -> Option<Box<[Line]>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_mut(&lines)?.pop()
    }

    fn give(&self, memory: Box<[Line]>) {
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

/// A run of numbers on a device.
pub struct Buffer<T: Element> {
    memory: Box<[Line]>,
    length: usize,
    pool: Arc<Pool>,
    kind: std::marker::PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// `length` numbers whose values are unspecified (whatever the pool's memory held before).
    #[must_use]
    pub fn scratch(pool: &Arc<Pool>, length: usize) -> Self {
        let lines = size_class((length * size_of::<T>()).div_ceil(64));
        let memory =
            pool.take(lines).unwrap_or_else(|| bytemuck::allocation::zeroed_slice_box::<Line>(lines));
        Self { memory, length, pool: Arc::clone(pool), kind: std::marker::PhantomData }
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

    /// The numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &bytemuck::cast_slice(&self.memory)[..self.length]
    }

    /// The numbers, to be written.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.memory)[..self.length]
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.memory));
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

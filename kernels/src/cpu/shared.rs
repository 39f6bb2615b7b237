//! A slice whose parts are written by several threads at once.

use super::simd::prefetch_line;
use std::marker::PhantomData;

/// A mutable slice handed to the threads of one job, each of which takes its own part.
pub struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Shared` is a mutable borrow of plain numbers; `part` makes the caller promise that no two
// threads take overlapping parts.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Borrows `values` for one job.
    pub fn new(values: &'a mut [T]) -> Self {
        Self { start: values.as_mut_ptr(), length: values.len(), borrow: PhantomData }
    }

    /// The same slice once more, under the same promises.
    #[must_use]
    pub(crate) fn again(&self) -> Shared<'_, T> {
        Shared { start: self.start, length: self.length, borrow: PhantomData }
    }

    /// Asks for the cache line of an element, where there is one; changes nothing.
    #[inline(always)]
    pub(crate) fn prefetch(&self, place: usize) {
        if place < self.length {
            prefetch_line(self.start.wrapping_add(place));
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

    /// Elements `start .. start + length`.
    ///
    /// # Safety
    /// While the returned part lives, no other part that overlaps it may be in use.
    ///
    /// # Panics
    /// When the part does not lie inside the slice.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::mut_from_ref, reason = "parts are disjoint by the caller's promise")]
    pub unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        assert!(start <= self.length && length <= self.length - start, "part outside the shared slice");
        // SAFETY: inside the borrowed slice by the check above, and not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }

    /// Elements `start .. start + length`, to read.
    ///
    /// # Safety
    /// While the returned part lives, no part that overlaps it may be written.
    ///
    /// # Panics
    /// When the part does not lie inside the slice.
    #[inline(always)]
    #[must_use]
    pub unsafe fn read(&self, start: usize, length: usize) -> &[T] {
        assert!(start <= self.length && length <= self.length - start, "part outside the shared slice");
        // SAFETY: inside the borrowed slice by the check above, and not written by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(start), length) }
    }
}

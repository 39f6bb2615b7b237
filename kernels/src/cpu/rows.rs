//! Rows in pieces of sixteen lanes, for the operations that read a row from left to right.

use super::simd::{LANES, Simd};
use crate::buffer::Element;
use half::bf16;

/// Rows of one piece of work: large enough to be worth claiming, small enough to share evenly.
pub const ROWS: usize = 32;

/// A type in which a row's results are written.
pub trait Cell: Element {
    /// Stores sixteen lanes in this type.
    fn store<S: Simd>(s: S, value: S::F, to: &mut [Self; LANES]);
    /// Stores the first lanes in this type.
    fn store_part<S: Simd>(s: S, value: S::F, to: &mut [Self]);
}

impl Cell for f32 {
    #[inline(always)]
    fn store<S: Simd>(s: S, value: S::F, to: &mut [Self; LANES]) {
        s.store(value, to);
    }
    #[inline(always)]
    fn store_part<S: Simd>(s: S, value: S::F, to: &mut [Self]) {
        s.store_part(value, to);
    }
}

impl Cell for bf16 {
    #[inline(always)]
    fn store<S: Simd>(s: S, value: S::F, to: &mut [Self; LANES]) {
        s.store_bf16(value, to);
    }
    #[inline(always)]
    fn store_part<S: Simd>(s: S, value: S::F, to: &mut [Self]) {
        s.store_part_bf16(value, to);
    }
}

/// Loads the first sixteen of `from`, or all of them with `fill` in the missing lanes.
#[inline(always)]
pub fn load<S: Simd>(s: S, from: &[f32], fill: f32) -> S::F {
    match from.first_chunk::<LANES>() {
        Some(from) => s.load(from),
        None => s.load_part(from, fill),
    }
}

/// Stores sixteen lanes at the start of `to`, or as many as it holds.
#[inline(always)]
pub fn store<S: Simd, T: Cell>(s: S, value: S::F, to: &mut [T]) {
    match to.first_chunk_mut::<LANES>() {
        Some(to) => T::store(s, value, to),
        None => T::store_part(s, value, to),
    }
}

/// Joins a row into one vector: lane `i` takes the elements `i, i + 16, …` in ascending order. A short
/// last piece is filled up with `fill`, which `join` must leave without effect.
#[inline(always)]
pub fn fold<S: Simd>(s: S, row: &[f32], fill: f32, start: S::F, join: impl Fn(S::F, S::F) -> S::F) -> S::F {
    let (pieces, rest) = row.as_chunks::<LANES>();
    let mut result = start;
    for piece in pieces {
        result = join(result, s.load(piece));
    }
    if rest.is_empty() { result } else { join(result, s.load_part(rest, fill)) }
}

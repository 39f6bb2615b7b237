//! Rows in pieces of sixteen lanes, for the operations that read a row from left to right.

use super::simd::{LANES, Simd, Task};
use crate::buffer::Element;
use half::bf16;

/// Rows of one piece of work: large enough to be worth claiming, small enough to share evenly.
pub const ROWS: usize = 32;

/// Numbers of one piece of work where there are no rows: 64 KiB of f32, which stay in a second-level cache.
const PIECE: usize = 16 * 1024;

/// Pieces of work in `length` numbers.
#[must_use]
pub fn pieces(length: usize) -> usize {
    length.div_ceil(PIECE)
}

/// First number and count of a piece of `length` numbers.
#[inline(always)]
#[must_use]
pub fn piece(task: Task, length: usize) -> (usize, usize) {
    let first = task.task * PIECE;
    (first, PIECE.min(length - first))
}

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

/// The sixteen elements from `at` on.
///
/// # Panics
/// When they do not all lie inside `values`.
#[inline(always)]
#[must_use]
pub fn lanes<T>(values: &[T], at: usize) -> &[T; LANES] {
    &values[at..at + LANES].as_chunks::<LANES>().0[0]
}

/// The sixteen elements from `at` on, to be written.
///
/// # Panics
/// When they do not all lie inside `values`.
#[inline(always)]
#[must_use]
pub fn lanes_mut<T>(values: &mut [T], at: usize) -> &mut [T; LANES] {
    &mut values[at..at + LANES].as_chunks_mut::<LANES>().0[0]
}

/// The first `V` vectors of a row; one vector alone may be cut short by the row's end, the missing lanes
/// are then zero.
///
/// # Panics
/// When several vectors do not lie inside the row.
#[inline(always)]
pub fn load_block<S: Simd, const V: usize>(s: S, row: &[f32]) -> [S::F; V] {
    std::array::from_fn(
        #[inline(always)]
        |v| if V == 1 { load(s, row, 0.0) } else { s.load(lanes(row, v * LANES)) },
    )
}

/// Stores `V` vectors at the start of a row; one vector alone may be cut short by the row's end.
///
/// # Panics
/// When several vectors do not fit into the row.
#[inline(always)]
pub fn store_block<S: Simd, const V: usize>(s: S, values: [S::F; V], row: &mut [f32]) {
    for (v, value) in values.into_iter().enumerate() {
        if V == 1 {
            store(s, value, row);
        } else {
            s.store(value, lanes_mut(row, v * LANES));
        }
    }
}

/// Whole vectors of several rows, which must be at least `count` vectors long.
#[inline(always)]
fn whole<const N: usize>(rows: [&[f32]; N], count: usize) -> [&[[f32; LANES]]; N] {
    rows.map(
        #[inline(always)]
        |row| &row.as_chunks::<LANES>().0[..count],
    )
}

/// The vectors at place `index`.
#[inline(always)]
fn load_each<S: Simd, const N: usize>(s: S, rows: &[&[[f32; LANES]]; N], index: usize) -> [S::F; N] {
    std::array::from_fn(
        #[inline(always)]
        |row| s.load(&rows[row][index]),
    )
}

/// What is left of the rows from element `start` on, `fill` in the missing lanes.
#[inline(always)]
fn load_rest<S: Simd, const N: usize>(s: S, rows: &[&[f32]; N], start: usize, fill: f32) -> [S::F; N] {
    std::array::from_fn(
        #[inline(always)]
        |row| s.load_part(&rows[row][start..], fill),
    )
}

/// Joins rows of one length from left to right: lane `i` meets the elements `i, i + 16, …` in ascending
/// order. A short last piece is filled up with `fill`, which `join` must leave without effect.
///
/// # Panics
/// When the rows differ in length.
#[inline(always)]
pub fn fold<S: Simd, A, const N: usize>(
    s: S,
    rows: [&[f32]; N],
    fill: f32,
    start: A,
    join: impl Fn(A, [S::F; N]) -> A,
) -> A {
    let count = rows[0].len() / LANES;
    let pieces = whole(rows, count);
    let mut result = start;
    for index in 0..count {
        result = join(result, load_each(s, &pieces, index));
    }
    if rows[0].len() == count * LANES {
        return result;
    }
    join(result, load_rest(s, &rows, count * LANES, fill))
}

/// `to = f(from)`, element by element, for rows of one length.
///
/// # Panics
/// When the rows differ in length.
#[inline(always)]
pub fn map<S: Simd, T: Cell, const N: usize>(
    s: S,
    from: [&[f32]; N],
    to: &mut [T],
    f: impl Fn([S::F; N]) -> S::F,
) {
    let (pieces, rest) = to.as_chunks_mut::<LANES>();
    let count = pieces.len();
    let whole = whole(from, count);
    for (index, piece) in pieces.iter_mut().enumerate() {
        T::store(s, f(load_each(s, &whole, index)), piece);
    }
    if !rest.is_empty() {
        T::store_part(s, f(load_rest(s, &from, count * LANES, 0.0)), rest);
    }
}

/// `to = f(from, to)`, element by element, for rows of one length.
///
/// # Panics
/// When the rows differ in length.
#[inline(always)]
pub fn update<S: Simd, const N: usize>(
    s: S,
    from: [&[f32]; N],
    to: &mut [f32],
    f: impl Fn([S::F; N], S::F) -> S::F,
) {
    let (pieces, rest) = to.as_chunks_mut::<LANES>();
    let count = pieces.len();
    let whole = whole(from, count);
    for (index, piece) in pieces.iter_mut().enumerate() {
        s.store(f(load_each(s, &whole, index), s.load(piece)), piece);
    }
    if !rest.is_empty() {
        let old = s.load_part(rest, 0.0);
        s.store_part(f(load_rest(s, &from, count * LANES, 0.0), old), rest);
    }
}

/// As [`map`], or added to what is there.
///
/// # Panics
/// When the rows differ in length.
#[inline(always)]
pub fn write<S: Simd, const N: usize>(
    s: S,
    accumulate: bool,
    from: [&[f32]; N],
    to: &mut [f32],
    f: impl Fn([S::F; N]) -> S::F,
) {
    if accumulate {
        update(
            s,
            from,
            to,
            #[inline(always)]
            |lanes, old| s.add(f(lanes), old),
        );
    } else {
        map(s, from, to, f);
    }
}

/// Largest number of a row; `None` when the row holds NaN or its largest number is not finite.
#[inline(always)]
pub fn largest<S: Simd>(s: S, row: &[f32]) -> Option<f32> {
    let lowest = s.splat(f32::NEG_INFINITY);
    let best = fold(
        s,
        [row],
        f32::NEG_INFINITY,
        lowest,
        #[inline(always)]
        |best, [x]| s.max(x, best),
    );
    let best = s.largest(best);
    // The vector maximum passes over NaN, so NaN is looked for by itself.
    let broken = row.iter().fold(false, |broken, score| broken | score.is_nan());
    (best.is_finite() && !broken).then_some(best)
}

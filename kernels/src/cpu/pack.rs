//! Rows of a matrix in the order in which tiles read them.

use super::portable::round_bf16;
use super::simd::{LANES, Simd, prefetch};
use crate::buffer::Input;
use half::bf16;
use std::ops::Range;

/// Numbers of a matrix operand.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

impl<'a> From<Input<'a>> for Values<'a> {
    fn from(input: Input<'a>) -> Self {
        match input {
            Input::F32(buffer) => Values::F32(buffer.as_slice()),
            Input::Bf16(buffer) => Values::Bf16(buffer.as_slice()),
        }
    }
}

impl Values<'_> {
    /// The numbers from `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        match self {
            Values::F32(values) => Values::F32(&values[first..]),
            Values::Bf16(values) => Values::Bf16(&values[first..]),
        }
    }

    #[inline(always)]
    fn at(&self, place: usize) -> f32 {
        match self {
            Values::F32(values) => values[place],
            Values::Bf16(values) => values[place].to_f32(),
        }
    }
}

/// A matrix `[rows, inner]` somewhere in memory, as left operand of a product.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: Values<'a>,
    rows: usize,
    inner: usize,
    row_step: usize,
    inner_step: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `inner` consecutive numbers, `row_step` apart.
    pub(crate) fn rows(values: Values<'a>, rows: usize, inner: usize, row_step: usize) -> Self {
        Self { values, rows, inner, row_step, inner_step: 1 }
    }

    /// The transpose of `inner` rows of `rows` consecutive numbers.
    pub(crate) fn transposed(values: Values<'a>, rows: usize, inner: usize) -> Self {
        Self { values, rows, inner, row_step: 1, inner_step: rows }
    }

    /// The same rows, but of the numbers of each only those at `inner`.
    #[inline(always)]
    pub(crate) fn inner_part(&self, inner: Range<usize>) -> Self {
        Self { values: self.values.from(inner.start * self.inner_step), inner: inner.len(), ..*self }
    }

    /// Number of rows.
    pub(crate) fn count(&self) -> usize {
        self.rows
    }

    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    /// One number, zero beyond the matrix.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, inner: usize) -> f32 {
        if row < self.rows && inner < self.inner {
            self.values.at(row * self.row_step + inner * self.inner_step)
        } else {
            0.0
        }
    }

    #[inline(always)]
    fn half(&self, row: usize, inner: usize) -> u32 {
        if row >= self.rows || inner >= self.inner {
            return 0;
        }
        let place = row * self.row_step + inner * self.inner_step;
        let value = match self.values {
            Values::F32(values) => round_bf16(values[place]),
            Values::Bf16(values) => values[place],
        };
        u32::from(value.to_bits())
    }

    #[inline(always)]
    fn pair(&self, row: usize, inner: usize) -> u32 {
        self.half(row, inner) | self.half(row, inner + 1) << 16
    }

    /// `to[k][w]` = number `k` of row `rows.start + w`; rows beyond the range are zero.
    #[inline(always)]
    pub(crate) fn pack<S: Simd, const W: usize>(&self, s: S, rows: Range<usize>, to: &mut [[f32; W]]) {
        let whole = match self.values {
            Values::F32(values) if self.inner_step == 1 => transpose_blocks(
                s,
                &rows,
                self.inner,
                to,
                #[inline(always)]
                |row, first, count| {
                    prefetch(values, (row + W) * self.row_step + first);
                    s.load_any(&values[row * self.row_step + first..][..count])
                },
            ),
            _ => 0,
        };
        for (inner, to) in to.iter_mut().enumerate().skip(whole) {
            for (w, to) in to.iter_mut().enumerate() {
                *to = if rows.start + w < rows.end { self.at(rows.start + w, inner) } else { 0.0 };
            }
        }
    }

    /// `to[k][w]` = numbers `2k` and `2k + 1` of row `rows.start + w`, rounded to bf16.
    #[inline(always)]
    pub(crate) fn pack_pairs<S: Simd, const W: usize>(&self, s: S, rows: Range<usize>, to: &mut [[u32; W]]) {
        let pairs = self.inner / 2;
        let words: &mut [[f32; W]] = bytemuck::cast_slice_mut(&mut *to);
        let whole = match self.values {
            Values::Bf16(values) if self.inner_step == 1 => transpose_blocks(
                s,
                &rows,
                pairs,
                words,
                #[inline(always)]
                |row, first, count| {
                    prefetch(values, (row + W) * self.row_step + 2 * first);
                    load_words(s, &values[row * self.row_step + 2 * first..][..2 * count])
                },
            ),
            Values::F32(values) if self.inner_step == 1 => transpose_blocks(
                s,
                &rows,
                pairs,
                words,
                #[inline(always)]
                |row, first, count| {
                    prefetch(values, (row + W) * self.row_step + 2 * first);
                    prefetch(values, (row + W) * self.row_step + 2 * first + LANES);
                    round_words(s, &values[row * self.row_step + 2 * first..][..2 * count])
                },
            ),
            _ => 0,
        };
        for (inner, to) in to.iter_mut().enumerate().skip(whole) {
            for (w, to) in to.iter_mut().enumerate() {
                *to = if rows.start + w < rows.end { self.pair(rows.start + w, 2 * inner) } else { 0 };
            }
        }
    }

    /// As [`Matrix::pack`], for rows that lie side by side.
    #[inline(always)]
    pub(crate) fn copy<S: Simd, const W: usize>(&self, s: S, rows: Range<usize>, to: &mut [[f32; W]]) {
        copy_blocks(
            s,
            &rows,
            to,
            #[inline(always)]
            |row, k, count| {
                let first = k * self.inner_step + row;
                match self.values {
                    Values::F32(values) => {
                        prefetch(values, first + AHEAD * self.inner_step);
                        load_first(s, &values[first..], count)
                    }
                    Values::Bf16(values) => s.load_part_bf16(&values[first..first + count]),
                }
            },
        );
    }

    /// As [`Matrix::pack_pairs`], for rows that lie side by side.
    #[inline(always)]
    pub(crate) fn copy_pairs<S: Simd, const W: usize>(&self, s: S, rows: Range<usize>, to: &mut [[u32; W]]) {
        copy_blocks(
            s,
            &rows,
            bytemuck::cast_slice_mut::<[u32; W], [f32; W]>(to),
            #[inline(always)]
            |row, k, count| {
                let even = self.halves(s, row, 2 * k, count);
                let odd = if 2 * k + 1 < self.inner {
                    self.halves(s, row, 2 * k + 1, count)
                } else {
                    [bf16::ZERO; LANES]
                };
                let mut words = [0; LANES];
                s.interleave(&even, &odd, &mut words);
                s.load(bytemuck::cast_ref(&words))
            },
        );
    }

    /// Number `inner` of rows `row .. row + count`, which lie side by side, in the first lanes.
    #[inline(always)]
    pub(crate) fn lanes_across<S: Simd>(&self, s: S, row: usize, inner: usize, count: usize) -> S::F {
        let first = inner * self.inner_step + row;
        match self.values {
            Values::F32(values) => {
                prefetch(values, first + AHEAD * self.inner_step);
                s.load_any(&values[first..first + count])
            }
            Values::Bf16(values) => s.load_part_bf16(&values[first..first + count]),
        }
    }

    /// Whether rows lie side by side, and not their numbers.
    pub(crate) fn is_transposed(&self) -> bool {
        self.inner_step != 1
    }

    /// Number `inner` of rows `row .. row + count`, which lie side by side, rounded to bf16; anything after them.
    #[inline(always)]
    fn halves<S: Simd>(&self, s: S, row: usize, inner: usize, count: usize) -> [bf16; LANES] {
        let mut halves = [bf16::ZERO; LANES];
        let first = inner * self.inner_step + row;
        match self.values {
            Values::F32(values) => {
                prefetch(values, first + AHEAD * self.inner_step);
                s.store_bf16(load_first(s, &values[first..], count), &mut halves);
            }
            Values::Bf16(values) => {
                prefetch(values, first + AHEAD * self.inner_step);
                match values[first..].first_chunk::<LANES>() {
                    Some(values) => halves = *values,
                    None => halves[..count].copy_from_slice(&values[first..first + count]),
                }
            }
        }
        halves
    }

    /// `to[k][w]` = numbers `4k … 4k + 3` of row `rows.start + w` as bytes `round(127 · x / largest) + 128`, with
    /// `largest` the row's largest magnitude; the last `to[k]` holds `largest / 127` as bits. A row with a number
    /// that is not finite has NaN there. Rows of consecutive numbers only.
    #[inline(always)]
    pub(crate) fn pack_quads<S: Simd, const W: usize>(&self, s: S, rows: Range<usize>, to: &mut [[u32; W]]) {
        let Some((scales, to)) = to.split_last_mut() else { return };
        let mut inverse = [0.0; W];
        *scales = [0; W];
        for w in 0..rows.len() {
            let largest = self.largest_magnitude(s, rows.start + w);
            scales[w] = (largest / 127.0).to_bits();
            inverse[w] = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        }
        transpose_blocks(
            s,
            &rows,
            self.inner.div_ceil(4),
            bytemuck::cast_slice_mut::<[u32; W], [f32; W]>(to),
            #[inline(always)]
            |row, first, _| self.bytes(s, row, 4 * first, s.splat(inverse[row - rows.start])),
        );
    }

    /// The largest magnitude of a row, NaN where one of its numbers is not finite.
    #[inline(always)]
    fn largest_magnitude<S: Simd>(&self, s: S, row: usize) -> f32 {
        let zero = s.splat(0.0);
        let (mut largest, mut broken) = (zero, zero);
        for first in (0..self.inner).step_by(LANES) {
            let values = self.lanes(s, row, first);
            largest = s.max(s.max(values, s.sub(zero, values)), largest);
            broken = s.fma(values, zero, broken);
        }
        s.largest(largest) + s.sum(broken)
    }

    /// Sixteen numbers of a row, or as many as there are.
    #[inline(always)]
    fn lanes<S: Simd>(&self, s: S, row: usize, first: usize) -> S::F {
        let (start, count) = (row * self.row_step + first, LANES.min(self.inner.saturating_sub(first)));
        match self.values {
            Values::F32(values) => {
                prefetch(values, start + LANES * self.row_step);
                s.load_any(&values[start..start + count])
            }
            Values::Bf16(values) => match values[start..start + count].first_chunk::<LANES>() {
                Some(values) => s.load_bf16(values),
                None => s.load_part_bf16(&values[start..start + count]),
            },
        }
    }

    /// Sixty-four numbers of a row as bytes, in sixteen words.
    #[inline(always)]
    fn bytes<S: Simd>(&self, s: S, row: usize, first: usize, inverse: S::F) -> S::F {
        let mut bytes = [0_u8; 4 * LANES];
        for (block, to) in bytes.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            if first + block * LANES < self.inner {
                s.store_bytes(s.mul(self.lanes(s, row, first + block * LANES), inverse), to);
            }
        }
        s.load_words(bytemuck::cast_ref(&bytes))
    }

    /// `to[r][c]` = number `columns.start + c` of row `r`; what lies beyond the matrix is zero.
    #[inline(always)]
    pub(crate) fn copy_rows<S: Simd>(&self, s: S, columns: Range<usize>, to: &mut [[f32; LANES]]) {
        for (row, to) in to.iter_mut().enumerate() {
            match self.values {
                Values::F32(values) if row < self.rows && self.inner_step == 1 => {
                    let from = &values[row * self.row_step + columns.start..][..columns.len()];
                    s.store(s.load_any(from), to);
                }
                _ => {
                    for (c, to) in to.iter_mut().enumerate() {
                        *to = self.at_column(row, &columns, c);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn at_column(&self, row: usize, columns: &Range<usize>, column: usize) -> f32 {
        if columns.start + column < columns.end { self.at(row, columns.start + column) } else { 0.0 }
    }

    /// `to[r][c]` = number `columns.start + c` of rows `2r` and `2r + 1`, rounded to bf16.
    #[inline(always)]
    pub(crate) fn copy_row_pairs<S: Simd>(&self, s: S, columns: Range<usize>, to: &mut [[u32; LANES]]) {
        for (row, to) in to.iter_mut().enumerate() {
            if let Values::Bf16(values) = self.values
                && self.inner_step == 1
                && 2 * row + 1 < self.rows
                && let from = &values[2 * row * self.row_step + columns.start..]
                && let Some(even) = from[..columns.len()].first_chunk::<LANES>()
                && let Some(odd) = from[self.row_step..][..columns.len()].first_chunk::<LANES>()
            {
                s.interleave(even, odd, to);
                continue;
            }
            for (c, to) in to.iter_mut().enumerate() {
                let column = columns.start + c;
                let inside = column < columns.end;
                *to = if inside {
                    self.half(2 * row, column) | self.half(2 * row + 1, column) << 16
                } else {
                    0
                };
            }
        }
    }
}

/// How many inner indices before their turn numbers that lie far apart are asked for.
const AHEAD: usize = 16;

/// The first `count` numbers, and anything after them.
#[inline(always)]
fn load_first<S: Simd>(s: S, from: &[f32], count: usize) -> S::F {
    match from.first_chunk::<LANES>() {
        Some(from) => s.load(from),
        None => s.load_part(&from[..count], 0.0),
    }
}

/// Fills every `to[k][..]` from rows that lie side by side. `load(row, k, count)` gives number `k` of rows
/// `row .. row + count` in its first lanes and anything in the others.
#[inline(always)]
fn copy_blocks<S: Simd, const W: usize>(
    s: S,
    rows: &Range<usize>,
    to: &mut [[f32; W]],
    load: impl Fn(usize, usize, usize) -> S::F,
) {
    let count = to.len();
    let flat = to.as_flattened_mut();
    for k in 0..count {
        for first in (0..W).step_by(LANES) {
            let (place, width) = (k * W + first, LANES.min(W - first));
            let found = rows.len().saturating_sub(first).min(width);
            // A full store may run into the next `k`, which is written after it.
            if found == width
                && let Some(to) = flat[place..].first_chunk_mut::<LANES>()
            {
                s.store(load(rows.start + first, k, found), to);
                continue;
            }
            let to = &mut flat[place..place + width];
            to[found..].fill(0.0);
            if found > 0 {
                s.store_part(load(rows.start + first, k, found), &mut to[..found]);
            }
        }
    }
}

/// Up to sixteen pairs as words; missing ones are zero.
#[inline(always)]
fn load_words<S: Simd>(s: S, from: &[bf16]) -> S::F {
    if let Some(from) = from.first_chunk::<{ 2 * LANES }>() {
        return s.load_words(from);
    }
    let mut halves = [bf16::ZERO; 2 * LANES];
    halves[..from.len()].copy_from_slice(from);
    s.load_words(&halves)
}

/// As [`load_words`] from numbers still to be rounded.
#[inline(always)]
fn round_words<S: Simd>(s: S, from: &[f32]) -> S::F {
    let mut halves = [bf16::ZERO; 2 * LANES];
    let (low, high) = from.split_at(from.len().min(LANES));
    for (from, to) in [low, high].into_iter().zip(halves.as_chunks_mut::<LANES>().0) {
        s.store_bf16(s.load_any(from), to);
    }
    s.load_words(&halves)
}

/// Fills `to[k][..]` for `k` below `inner`, sixteen at a time, by transposing registers; returns `inner`.
/// `load(row, first, count)` gives numbers `first .. first + count` of a row, and asks for the same of the strip
/// after this one: so many short rows side by side are more than the processor foresees by itself.
#[inline(always)]
fn transpose_blocks<S: Simd, const W: usize>(
    s: S,
    rows: &Range<usize>,
    inner: usize,
    to: &mut [[f32; W]],
    load: impl Fn(usize, usize, usize) -> S::F,
) -> usize {
    for first in (0..W).step_by(LANES) {
        let height = LANES.min(W - first);
        let found = rows.len().saturating_sub(first).min(height);
        let row = rows.start + first;
        let mut block = 0;
        // Whole blocks in a loop of their own: there every count is a constant and lanes stay in registers.
        if found == height {
            while let Some(to) = to[block..].first_chunk_mut::<LANES>()
                && block + LANES <= inner
            {
                let mut lanes = [s.splat(0.0); LANES];
                for lane in 0..height {
                    lanes[lane] = load(row + lane, block, LANES);
                }
                store_columns(s, s.transpose(lanes), first, to);
                block += LANES;
            }
        }
        while block < inner {
            let count = LANES.min(inner - block);
            let mut lanes = [s.splat(0.0); LANES];
            for lane in 0..found {
                lanes[lane] = load(row + lane, block, count);
            }
            store_columns(s, s.transpose(lanes), first, &mut to[block..block + count]);
            block += LANES;
        }
    }
    inner
}

/// `to[k][first ..]` = column `k`, as many lanes as there is room for.
#[inline(always)]
fn store_columns<S: Simd, const W: usize>(s: S, columns: [S::F; LANES], first: usize, to: &mut [[f32; W]]) {
    let count = to.len().min(LANES);
    let flat = to.as_flattened_mut();
    for k in 0..count {
        let place = k * W + first;
        // A full store may run into the next `k`, which is written after it.
        if W < LANES
            && let Some(to) = flat[place..].first_chunk_mut::<LANES>()
        {
            s.store(columns[k], to);
        } else {
            s.store_any(columns[k], &mut flat[place..place + LANES.min(W - first)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuPath;
    use crate::cpu::simd::{Task, Work, dispatch};
    use std::sync::Mutex;

    struct Check<'a>(Matrix<'a>, Mutex<Vec<String>>);

    impl Check<'_> {
        #[inline(always)]
        fn width<S: Simd, const W: usize>(&self, s: S) {
            let matrix = self.0;
            for start in [0, 3] {
                let end = matrix.rows.min(start + W);
                let mut packed = vec![[f32::NAN; W]; matrix.inner];
                let mut pairs = vec![[7_u32; W]; matrix.inner.div_ceil(2)];
                if matrix.is_transposed() {
                    matrix.copy(s, start..end, &mut packed);
                    matrix.copy_pairs(s, start..end, &mut pairs);
                } else {
                    matrix.pack(s, start..end, &mut packed);
                    matrix.pack_pairs(s, start..end, &mut pairs);
                }
                for (k, column) in packed.iter().enumerate() {
                    for (w, found) in column.iter().enumerate() {
                        let inside = start + w < end;
                        let wanted = if inside { matrix.at(start + w, k) } else { 0.0 };
                        let half = if inside { matrix.half(start + w, k) } else { 0 };
                        let found_half = pairs[k / 2][w] >> (16 * (k % 2)) & 0xffff;
                        if found.to_bits() != wanted.to_bits() || half != found_half {
                            self.1.lock().unwrap().push(format!("W {W} k {k} w {w}: {found} {wanted}"));
                        }
                    }
                }
            }
        }
    }

    impl Work for Check<'_> {
        #[inline(always)]
        fn run<S: Simd>(&self, s: S, _: Task) {
            self.width::<S, 1>(s);
            self.width::<S, 6>(s);
            self.width::<S, 14>(s);
            self.width::<S, 32>(s);
        }
    }

    #[test]
    fn packed_numbers_stand_where_tiles_look_for_them() {
        let values: Vec<f32> = (0..40_u16 * 37).map(|i| f32::from(i) * 0.37 - 5.0).collect();
        let halves: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
        for path in CpuPath::ALL.into_iter().filter(|path| path.available()) {
            for inner in [1, 15, 16, 17, 32, 33, 36] {
                for matrix in [
                    Matrix::rows(Values::F32(&values), 40, inner, 37),
                    Matrix::rows(Values::Bf16(&halves), 40, inner, 37),
                    Matrix::transposed(Values::F32(&values), 40, inner),
                    Matrix::transposed(Values::Bf16(&halves), 40, inner),
                ] {
                    let check = Check(matrix, Mutex::new(Vec::new()));
                    dispatch(path, &check, Task { task: 0, worker: 0 });
                    let wrong = check.1.into_inner().unwrap();
                    assert!(wrong.is_empty(), "{}: {:?}", path.name(), &wrong[..wrong.len().min(5)]);
                }
            }
        }
    }
}

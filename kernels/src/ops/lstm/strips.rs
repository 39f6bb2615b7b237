//! States of all units, as products read and write them.
//!
//! Units are cut into panels of 32. Numbers of a state lie by panel, `[panels][B][32]`, so that everything that a thread
//! writes lies together; operands of products are strips of rows as tiles read them, of which every thread packs the part
//! of its own units.

use super::GATES;
use crate::Precision;
use crate::cpu::gemm::{PANEL, Panel, strip_height, strip_occurs};
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd};
use std::ops::Range;

/// Vectors of a panel.
pub(super) const VECTORS: usize = PANEL / LANES;

/// One number of every unit of a panel.
pub(super) type Units = [[f32; LANES]; VECTORS];

/// Most rows of a strip on any path.
pub(super) const ROWS_MOST: usize = 14;

/// The numbers of some rows of a panel.
#[inline(always)]
pub(super) fn units_mut(values: &mut [f32]) -> &mut [Units] {
    values.as_chunks_mut::<LANES>().0.as_chunks_mut::<VECTORS>().0
}

/// How strips of rows of H numbers lie.
#[derive(Clone, Copy)]
pub(super) struct Strips {
    /// H
    pub(super) hidden: usize,
    /// Rows that there is room for.
    pub(super) rows: usize,
    /// Whether operands are pairs of bf16.
    half: bool,
}

impl Strips {
    pub(super) fn new(precision: Precision, hidden: usize, lanes: usize) -> Self {
        // Room for a full strip on every path.
        let rows = lanes.div_ceil(ROWS_MOST) * ROWS_MOST + ROWS_MOST;
        Self { hidden, rows, half: precision != Precision::F32 }
    }

    /// Words of one row.
    pub(super) fn row(self) -> usize {
        if self.half { self.hidden.div_ceil(2) } else { self.hidden }
    }

    /// Words of all rows.
    pub(super) fn words(self) -> usize {
        self.rows * self.row()
    }

    /// Panels of units.
    #[inline(always)]
    pub(super) fn panels(self) -> usize {
        self.hidden.div_ceil(PANEL)
    }

    /// Numbers of a state of `lanes`.
    pub(super) fn state(self, lanes: usize) -> usize {
        self.panels() * lanes * PANEL
    }

    /// Units of a panel.
    #[inline(always)]
    pub(super) fn units(self, panel: usize) -> Range<usize> {
        panel * PANEL..((panel + 1) * PANEL).min(self.hidden)
    }

    /// Packs the units of one panel of the first `live` rows, from `values [B,32]`, into strips from word `base` on.
    ///
    /// # Safety
    /// Nobody else may use these units' part of the strips meanwhile.
    #[inline(always)]
    pub(super) unsafe fn pack<S: Simd>(
        self,
        s: S,
        values: &[f32],
        (panel, live): (usize, usize),
        (strips, base): (&Shared<'_, u32>, usize),
    ) {
        let units = self.units(panel);
        let matrix = Matrix::rows(Values::F32(values), live, units.len(), PANEL);
        let mut first = 0;
        while first < live {
            let height = strip_height::<S>(live - first);
            let rows = first..live.min(first + height);
            let place = base + first * self.row();
            // SAFETY: promised by the caller.
            unsafe {
                match height {
                    14 => self.pack_strip::<S, 14>(s, matrix, rows, (strips, place), &units),
                    8 => self.pack_strip::<S, 8>(s, matrix, rows, (strips, place), &units),
                    6 => self.pack_strip::<S, 6>(s, matrix, rows, (strips, place), &units),
                    _ => self.pack_strip::<S, 4>(s, matrix, rows, (strips, place), &units),
                }
            }
            first += height;
        }
    }

    /// # Safety
    /// As [`Strips::pack`].
    #[inline(always)]
    unsafe fn pack_strip<S: Simd, const R: usize>(
        self,
        s: S,
        matrix: Matrix<'_>,
        rows: Range<usize>,
        (strips, place): (&Shared<'_, u32>, usize),
        units: &Range<usize>,
    ) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        if self.half {
            // SAFETY: promised by the caller.
            let to = unsafe { strips.part(place + units.start / 2 * R, units.len().div_ceil(2) * R) };
            matrix.pack_pairs(s, rows, to.as_chunks_mut::<R>().0);
        } else {
            // SAFETY: as above.
            let to = unsafe { strips.part(place + units.start * R, units.len() * R) };
            matrix.pack(s, rows, bytemuck::cast_slice_mut::<[u32; R], [f32; R]>(to.as_chunks_mut::<R>().0));
        }
    }
}

/// Sums of the rows of a strip with a panel of each gate.
pub(super) type Sums = [[Units; ROWS_MOST]; GATES];

/// Writes the sums of a strip of `R` rows.
#[inline(always)]
pub(super) fn multiply<S: Simd, const R: usize>(s: S, panel: Panel<'_>, strip: &[u32], to: &mut [Units]) {
    if S::VECTORS == 2 {
        let sums = panel.sums::<S, R, 2>(s, strip, 0);
        for r in 0..R {
            for v in 0..2 {
                s.store(sums[r][v], &mut to[r][v]);
            }
        }
        return;
    }
    for half in 0..VECTORS {
        let sums = panel.sums::<S, R, 1>(s, strip, half);
        for r in 0..R {
            s.store(sums[r][0], &mut to[r][half]);
        }
    }
}

//! Operands in the order in which the tile reads them.

use super::tile::{PANEL, Sums, tile_bf16, tile_f32};
use crate::buffer::{Buffer, Element};
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};
use crate::cpu::{Cpu, Precision};
use half::bf16;
use std::ops::Range;
use std::sync::Arc;

/// A matrix `[inner, columns]` cut into panels of 32 columns, packed once and multiplied often.
///
/// f32: `[panel][inner][32]`; bf16: `[panel][inner/2][32][2]`; int8: `[panel][inner/4][32][4]` with scales. Missing
/// columns and inner indices are zero.
#[derive(Debug)]
pub struct PackedMatrix {
    pub(super) columns: usize,
    pub(super) inner: usize,
    /// Panel of the values with which the first column begins.
    pub(super) first_panel: usize,
    pub(super) values: Arc<PackedValues>,
}

#[derive(Debug)]
pub(super) enum PackedValues {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
    Int8(Bytes),
}

/// Weights as bytes `round(127 · w / largest)`, `largest` the largest magnitude of the column.
#[derive(Debug)]
pub(super) struct Bytes {
    pub(super) quads: Buffer<i8>,
    /// `-128 · Σ` of each column's bytes.
    pub(super) corrections: Buffer<i32>,
    /// `largest / 127` of each column.
    pub(super) scales: Buffer<f32>,
}

/// Which way a weight matrix `[N, K]` (rows are outputs) is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// `x[R,K] · Wᵀ`: columns are outputs.
    Forward,
    /// `dy[R,N] · W`: columns are inputs.
    InputGradient,
}

impl PackedMatrix {
    /// Packs `weights` `[N, K]`, rounding to the precision's operands.
    ///
    /// # Panics
    /// When `weights` does not hold `outputs · inputs` numbers.
    #[must_use]
    pub fn new(
        cpu: &Cpu,
        precision: Precision,
        weights: &[f32],
        (outputs, inputs): (usize, usize),
        orientation: Orientation,
    ) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights do not fill their shape");
        let values = Values::F32(weights);
        let (columns, inner, source) = match orientation {
            Orientation::Forward => (outputs, inputs, Matrix::rows(values, outputs, inputs, inputs)),
            Orientation::InputGradient => (inputs, outputs, Matrix::transposed(values, inputs, outputs)),
        };
        Self::of_panels((columns, inner), pack_panels(cpu, precision, source))
    }

    /// All of some packed values.
    pub(super) fn of_panels((columns, inner): (usize, usize), values: PackedValues) -> Self {
        Self { columns, inner, first_panel: 0, values: Arc::new(values) }
    }

    /// The same matrix with some of its columns only, bit for bit. Columns that begin with a panel share the memory of
    /// the whole, others are copied.
    ///
    /// # Panics
    /// When `columns` does not lie inside the matrix.
    #[must_use]
    pub fn columns_of(&self, cpu: &Cpu, columns: Range<usize>) -> Self {
        assert!(columns.start <= columns.end && columns.end <= self.columns, "columns outside the matrix");
        let first = self.first_panel * PANEL + columns.start;
        let (columns, inner) = (columns.len(), self.inner);
        if first.is_multiple_of(PANEL) {
            return Self { columns, inner, first_panel: first / PANEL, values: Arc::clone(&self.values) };
        }
        Self::of_panels((columns, inner), self.values.copy(cpu, inner, first..first + columns))
    }

    /// Whether both read the same memory.
    #[must_use]
    pub fn shares_memory_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }

    /// Number of columns (outputs of the product).
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Inner dimension.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// How the values are held.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match *self.values {
            PackedValues::F32(_) => Precision::F32,
            PackedValues::Bf16(_) => Precision::Bf16,
            PackedValues::Int8(_) => Precision::Int8,
        }
    }

    /// Memory of the packed values in bytes, those of other columns that share it among them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &*self.values {
            PackedValues::F32(values) => values.len() * 4,
            PackedValues::Bf16(values) => values.len() * 2,
            PackedValues::Int8(bytes) => {
                bytes.quads.len() + 4 * (bytes.corrections.len() + bytes.scales.len())
            }
        }
    }
}

/// One panel of a packed matrix, for operations that finish their sums in their own way.
#[derive(Clone, Copy)]
pub(crate) enum Panel<'a> {
    /// `[inner][32]`
    F32(&'a [f32]),
    /// `[inner/2][32][2]`
    Bf16(&'a [bf16]),
}

impl PackedMatrix {
    /// Panel `panel` of the columns.
    ///
    /// # Panics
    /// For bytes, and when there is no such panel.
    #[inline(always)]
    pub(crate) fn panel(&self, panel: usize) -> Panel<'_> {
        let panel = self.first_panel + panel;
        match &*self.values {
            PackedValues::F32(values) => {
                let size = self.inner * PANEL;
                Panel::F32(&values.as_slice()[panel * size..(panel + 1) * size])
            }
            PackedValues::Bf16(values) => {
                let size = self.inner.next_multiple_of(2) * PANEL;
                Panel::Bf16(&values.as_slice()[panel * size..(panel + 1) * size])
            }
            PackedValues::Int8(_) => panic!("bytes have no panels of numbers"),
        }
    }
}

impl Panel<'_> {
    /// Sums of a strip of `R` packed rows with `V` vectors of the panel from `first` on.
    #[inline(always)]
    pub(crate) fn sums<S: Simd, const R: usize, const V: usize>(
        self,
        s: S,
        strip: &[u32],
        first: usize,
    ) -> Sums<S, R, V> {
        match self {
            Self::F32(panel) => tile_f32::<S, R, V>(s, bytemuck::cast_slice(strip), panel, first),
            Self::Bf16(panel) => tile_bf16::<S, R, V>(s, strip, panel, first),
        }
    }
}

impl PackedValues {
    /// Some columns in panels of their own.
    fn copy(&self, cpu: &Cpu, inner: usize, columns: Range<usize>) -> Self {
        // Whatever the precision, 32 bits belong to one column.
        let words = |from: &[u32], to: &mut [u32], groups| copy_words(from, to, groups, columns.clone());
        let length = columns.len().next_multiple_of(PANEL);
        match self {
            Self::F32(values) => {
                let mut to = Buffer::<f32>::scratch(cpu.pool(), inner * length);
                words(cast(values), bytemuck::cast_slice_mut(to.as_mut_slice()), inner);
                Self::F32(to)
            }
            Self::Bf16(values) => {
                let pairs = inner.div_ceil(2);
                let mut to = Buffer::<bf16>::scratch(cpu.pool(), 2 * pairs * length);
                words(cast(values), bytemuck::cast_slice_mut(to.as_mut_slice()), pairs);
                Self::Bf16(to)
            }
            Self::Int8(bytes) => {
                let groups = inner.div_ceil(4);
                let mut quads = Buffer::<i8>::scratch(cpu.pool(), 4 * groups * length);
                words(cast(&bytes.quads), bytemuck::cast_slice_mut(quads.as_mut_slice()), groups);
                let mut corrections = Buffer::<i32>::scratch(cpu.pool(), length);
                words(cast(&bytes.corrections), bytemuck::cast_slice_mut(corrections.as_mut_slice()), 1);
                let mut scales = Buffer::<f32>::scratch(cpu.pool(), length);
                words(cast(&bytes.scales), bytemuck::cast_slice_mut(scales.as_mut_slice()), 1);
                Self::Int8(Bytes { quads, corrections, scales })
            }
        }
    }
}

/// The words of a buffer, whose memory is aligned for them.
fn cast<T: Element>(values: &Buffer<T>) -> &[u32] {
    bytemuck::cast_slice(values.as_slice())
}

/// Copies `columns` of panels `[panel][groups][32]`; columns missing in the last panel are zero.
fn copy_words(from: &[u32], to: &mut [u32], groups: usize, columns: Range<usize>) {
    let rows = to.as_chunks_mut::<PANEL>().0.iter_mut().enumerate();
    for (row, to) in rows {
        let (panel, group) = (row / groups, row % groups);
        let first = columns.start + panel * PANEL;
        for (column, to) in (first..).zip(to) {
            let place = (column / PANEL * groups + group) * PANEL + column % PANEL;
            *to = if column < columns.end { from[place] } else { 0 };
        }
    }
}

/// Packs a right operand, given by its columns: those are the rows of `source`.
fn pack_panels(cpu: &Cpu, precision: Precision, source: Matrix<'_>) -> PackedValues {
    if precision == Precision::Int8 {
        return PackedValues::Int8(pack_bytes(cpu, source));
    }
    let mut values = PackedValues::scratch(cpu, precision, (source.count(), source.inner()));
    let work = PackPanels { source, to: Panels::new(&mut values) };
    cpu.run(source.count().div_ceil(PANEL), &work);
    values
}

impl PackedValues {
    /// Room for `columns` of `inner` numbers, f32 or else bf16.
    pub(super) fn scratch(cpu: &Cpu, precision: Precision, (columns, inner): (usize, usize)) -> Self {
        let places = columns.next_multiple_of(PANEL);
        match precision {
            Precision::F32 => Self::F32(Buffer::scratch(cpu.pool(), places * inner)),
            _ => Self::Bf16(Buffer::scratch(cpu.pool(), places * inner.next_multiple_of(2))),
        }
    }
}

/// Panels of f32 or bf16 that threads fill.
pub(super) enum Panels<'a> {
    F32(Shared<'a, f32>),
    Bf16(Shared<'a, u32>),
}

impl<'a> Panels<'a> {
    /// # Panics
    /// For bytes, which are packed in their own way.
    pub(super) fn new(values: &'a mut PackedValues) -> Self {
        match values {
            PackedValues::F32(values) => Self::F32(Shared::new(values.as_mut_slice())),
            PackedValues::Bf16(values) => {
                Self::Bf16(Shared::new(bytemuck::cast_slice_mut(values.as_mut_slice())))
            }
            PackedValues::Int8(_) => panic!("bytes have no panels of numbers"),
        }
    }

    /// Packs numbers `inner`, from an even one on, of the columns of one panel, which are rows of `source`; these lie
    /// side by side where `COPY` says so.
    ///
    /// # Safety
    /// Nobody else may use this part of the panel meanwhile.
    #[inline(always)]
    pub(super) unsafe fn pack<S: Simd, const COPY: bool>(
        &self,
        s: S,
        source: Matrix<'_>,
        panel: usize,
        inner: Range<usize>,
    ) {
        let columns = panel * PANEL..source.count().min((panel + 1) * PANEL);
        let part = source.inner_part(inner.clone());
        match self {
            Self::F32(to) => {
                let first = (panel * source.inner() + inner.start) * PANEL;
                // SAFETY: promised by the caller.
                let to = unsafe { to.part(first, inner.len() * PANEL) }.as_chunks_mut::<PANEL>().0;
                if COPY { part.copy(s, columns, to) } else { part.pack(s, columns, to) }
            }
            Self::Bf16(to) => {
                let first = (panel * source.inner().div_ceil(2) + inner.start / 2) * PANEL;
                // SAFETY: promised by the caller.
                let to = unsafe { to.part(first, inner.len().div_ceil(2) * PANEL) };
                let to = to.as_chunks_mut::<PANEL>().0;
                if COPY { part.copy_pairs(s, columns, to) } else { part.pack_pairs(s, columns, to) }
            }
        }
    }
}

/// Every task packs one panel.
struct PackPanels<'a> {
    source: Matrix<'a>,
    to: Panels<'a>,
}

impl Work for PackPanels<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (source, inner) = (self.source, 0..self.source.inner());
        // SAFETY: every task packs its own panel.
        unsafe {
            if source.is_transposed() {
                self.to.pack::<S, true>(s, source, task.task, inner);
            } else {
                self.to.pack::<S, false>(s, source, task.task, inner);
            }
        }
    }
}

fn pack_bytes(cpu: &Cpu, source: Matrix<'_>) -> Bytes {
    let panels = source.count().div_ceil(PANEL);
    let size = source.inner().div_ceil(4) * 4 * PANEL;
    let mut quads = Buffer::scratch(cpu.pool(), panels * size);
    let mut corrections = Buffer::scratch(cpu.pool(), panels * PANEL);
    let mut scales = Buffer::scratch(cpu.pool(), panels * PANEL);
    let places = Shared::new(quads.as_mut_slice());
    let (sums, largest) = (Shared::new(corrections.as_mut_slice()), Shared::new(scales.as_mut_slice()));
    cpu.threads().run(panels, &|panel, _| {
        // SAFETY: every task writes its own panel.
        let (to, sums, scales) = unsafe {
            (
                places.part(panel * size, size),
                sums.part(panel * PANEL, PANEL),
                largest.part(panel * PANEL, PANEL),
            )
        };
        for (place, (sum, scale)) in sums.iter_mut().zip(scales).enumerate() {
            let column = panel * PANEL + place;
            let largest =
                (0..source.inner()).fold(0.0_f32, |most, inner| most.max(source.at(column, inner).abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            (*sum, *scale) = (0, largest / 127.0);
            for inner in 0..source.inner().div_ceil(4) * 4 {
                let byte = (source.at(column, inner) * inverse).round_ties_even() as i8;
                to[(inner / 4 * PANEL + place) * 4 + inner % 4] = byte;
                *sum -= 128 * i32::from(byte);
            }
        }
    });
    Bytes { quads, corrections, scales }
}

//! Operands in the order in which the tile reads them.

use super::tile::PANEL;
use crate::buffer::Buffer;
use crate::cpu::portable::round_bf16;
use crate::cpu::shared::Shared;
use crate::cpu::{Cpu, Precision};
use half::bf16;

/// A matrix `[inner, columns]` cut into panels of 32 columns, packed once and multiplied often.
///
/// f32: `[panel][inner][32]`; bf16: `[panel][inner/2][32][2]`. Missing columns and the odd last inner
/// index are zero.
#[derive(Debug)]
pub struct PackedMatrix {
    pub(super) columns: usize,
    pub(super) inner: usize,
    pub(super) values: PackedValues,
}

#[derive(Debug)]
pub(super) enum PackedValues {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
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
        let (columns, inner, column_step, inner_step) = match orientation {
            Orientation::Forward => (outputs, inputs, inputs, 1),
            Orientation::InputGradient => (inputs, outputs, 1, inputs),
        };
        let source = Strided { values: weights, columns, inner, column_step, inner_step };
        Self { columns, inner, values: pack_panels(cpu, precision, &source) }
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
        match self.values {
            PackedValues::F32(_) => Precision::F32,
            PackedValues::Bf16(_) => Precision::Bf16,
        }
    }

    /// Memory of the packed values in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.values {
            PackedValues::F32(values) => values.len() * 4,
            PackedValues::Bf16(values) => values.len() * 2,
        }
    }
}

/// A matrix `[inner, columns]` somewhere in memory.
pub(super) struct Strided<'a> {
    pub(super) values: &'a [f32],
    pub(super) columns: usize,
    pub(super) inner: usize,
    pub(super) column_step: usize,
    pub(super) inner_step: usize,
}

impl Strided<'_> {
    #[inline(always)]
    fn at(&self, inner: usize, column: usize) -> f32 {
        if inner < self.inner && column < self.columns {
            self.values[column * self.column_step + inner * self.inner_step]
        } else {
            0.0
        }
    }
}

pub(super) fn pack_panels(cpu: &Cpu, precision: Precision, source: &Strided<'_>) -> PackedValues {
    let panels = source.columns.div_ceil(PANEL);
    match precision {
        Precision::F32 => {
            let size = source.inner * PANEL;
            let mut values = Buffer::scratch(cpu.pool(), panels * size);
            let shared = Shared::new(values.as_mut_slice());
            cpu.threads().run(panels, &|panel, _| {
                // SAFETY: every task writes its own panel.
                let to = unsafe { shared.part(panel * size, size) };
                for (inner, row) in to.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                    *row = std::array::from_fn(|column| source.at(inner, panel * PANEL + column));
                }
            });
            PackedValues::F32(values)
        }
        Precision::Bf16 => {
            let size = source.inner.div_ceil(2) * 2 * PANEL;
            let mut values = Buffer::scratch(cpu.pool(), panels * size);
            let shared = Shared::new(values.as_mut_slice());
            cpu.threads().run(panels, &|panel, _| {
                // SAFETY: every task writes its own panel.
                let to = unsafe { shared.part(panel * size, size) };
                for (pair, row) in to.as_chunks_mut::<{ 2 * PANEL }>().0.iter_mut().enumerate() {
                    *row = std::array::from_fn(|place| {
                        round_bf16(source.at(2 * pair + place % 2, panel * PANEL + place / 2))
                    });
                }
            });
            PackedValues::Bf16(values)
        }
    }
}

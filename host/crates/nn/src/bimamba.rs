//! BiMamba-S: two Mamba-1 directions between projections that they share (Wang et al., arXiv 2411.08909).
//!
//! ```text
//! [x | z] = n · in_projᵀ
//! y_f     = mamba_fwd(x) from the start,  y_r = mamba_rev(x) from the end of each sequence
//! out     = r + ((y_f + y_r) ⊙ SiLU(z)) · out_projᵀ                                  add
//! out     = r + ((y_f ⊙ SiLU(z)) · out_projᵀ) ⊙ ((y_r ⊙ SiLU(z)) · out_projᵀ)        ew_multiply
//! ```
//!
//! For `add` the authors project each direction and sum; the sum before the projection is the same up to rounding, at
//! half the work. Shapes: `n, r, out [T,C]`, `x, z, y [T,E]`. Keys: `mamba_fwd.in_proj.weight [2E,C]`,
//! `mamba_fwd.out_proj.weight [C,E]`, and those of [`Mamba`] under `mamba_fwd` and `mamba_rev`. `mamba_rev` may hold the
//! projections a second time; then they count for nothing.

use std::ops::Range;
use std::sync::Arc;

use pliant_kernels::Direction;
use pliant_tensor::ops::{Epilogue, LinearPart, add, gate, multiply};
use pliant_tensor::{Dtype, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::linear::{Linear, together};
use crate::mamba::{Mamba, MambaSizes};
use crate::weights::Weights;

/// What the results of the two directions become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Their sum.
    Add,
    /// Their product, number by number.
    Multiply,
}

/// Two directions with shared projections.
#[derive(Debug)]
pub struct BiMamba {
    inner: usize,
    strategy: Strategy,
    /// `[2E,C]`: first x, then z.
    in_proj: Arc<Param>,
    out_proj: Linear,
    /// From the start of each sequence.
    pub mamba_fwd: Mamba,
    /// From the end of each sequence.
    pub mamba_rev: Mamba,
}

impl BiMamba {
    /// Takes every parameter of the mixer. In a new one of `layers` the last projection is begun smaller by `√layers`.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(
        weights: &Weights,
        sizes: MambaSizes,
        strategy: Strategy,
        layers: usize,
    ) -> Result<Self, CheckpointError> {
        let MambaSizes { width, inner, .. } = sizes;
        let (shared, again) = (weights.at("mamba_fwd"), weights.at("mamba_rev"));
        for (name, shape) in [("in_proj.weight", [2 * inner, width]), ("out_proj.weight", [width, inner])] {
            if again.has(name) {
                again.note(name, &shape)?;
            }
        }
        let begin = Init::Uniform { bound: 1.0 / (inner as f32 * layers as f32).sqrt() };
        Ok(Self {
            inner,
            strategy,
            in_proj: shared.matrix("in_proj.weight", [2 * inner, width], Init::kaiming(width))?,
            out_proj: Linear { weight: shared.matrix("out_proj.weight", [width, inner], begin)?, bias: None },
            mamba_fwd: Mamba::new(&shared, sizes)?,
            mamba_rev: Mamba::new(&again, sizes)?,
        })
    }

    /// The mixed states of `normed [T,C]`, added to `residual [T,C]`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(
        &self,
        tape: &Tape,
        normed: &Tensor,
        residual: &Tensor,
        offsets: &Offsets,
    ) -> Result<Tensor, TensorError> {
        let (x_rows, z_rows) = self.rows();
        let [x, z] = together(tape, normed, [self.part(x_rows), self.part(z_rows)])?;
        let y_f = self.mamba_fwd.forward(tape, &x, offsets, Direction::Forward)?;
        let y_r = self.mamba_rev.forward(tape, &x, offsets, Direction::Reverse)?;
        drop(x);
        self.join(tape, [&y_f, &y_r], &z, residual)
    }

    /// What both directions walk through, `x [T,E]` of `normed [T,C]`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn x(&self, tape: &Tape, normed: &Tensor) -> Result<Tensor, TensorError> {
        let [x] = together(tape, normed, [self.part(self.rows().0)])?;
        Ok(x)
    }

    /// What lets their results through, `z [T,E]` of `normed [T,C]`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn z(&self, tape: &Tape, normed: &Tensor) -> Result<Tensor, TensorError> {
        let [z] = together(tape, normed, [self.part(self.rows().1)])?;
        Ok(z)
    }

    /// The results `[T,E]` of the two directions through the gate `z` and back to `[T,C]`, added to `residual`.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn join(
        &self,
        tape: &Tape,
        [y_f, y_r]: [&Tensor; 2],
        z: &Tensor,
        residual: &Tensor,
    ) -> Result<Tensor, TensorError> {
        match self.strategy {
            Strategy::Add => {
                let gated = gate(tape, y_f, Some(y_r), z, tape.operand())?;
                self.out_proj.forward(tape, &gated, Epilogue::Residual(residual), Dtype::F32)
            }
            Strategy::Multiply => {
                let project = |y| {
                    let gated = gate(tape, y, None, z, tape.operand())?;
                    self.out_proj.forward(tape, &gated, Epilogue::Store, Dtype::F32)
                };
                let product = multiply(tape, &project(y_f)?, &project(y_r)?)?;
                add(tape, residual, &product)
            }
        }
    }

    /// Rows of the first projection: those of x, those of z.
    fn rows(&self) -> (Range<usize>, Range<usize>) {
        (0..self.inner, self.inner..2 * self.inner)
    }

    fn part(&self, rows: Range<usize>) -> LinearPart<'_> {
        let (weight, rows) = (&self.in_proj, Some(rows));
        LinearPart { weight, rows, bias: &[], epilogue: Epilogue::Store, out: Dtype::F32 }
    }
}

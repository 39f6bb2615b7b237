//! Linear layer: `y = epilogue(x·Wᵀ + b)`, several at once when they share `x`.
//!
//! Shapes: `x [R,K]`, `W [N,K]`, `b [N]`, `y [R,N]`.
//!
//! Epilogues: nothing; `GELU(s)` with the sum `s` kept where the backward needs it; `s + r` with a
//! residual `r [R,N]`.
//!
//! Backward, with `g = ∂/∂s [R,N]`: `dx = g·W`, `dW += gᵀ·x`, `db += Σ_r g_r`. The GELU's own backward
//! is [`super::elementwise`]'s, or the last step of the product that makes its gradient ([`Landing`]).
//!
//! Rounding with bf16 matrices: `x`, `W` and, in the backward, `g` are rounded to bf16; sums, bias,
//! epilogue are 32-bit; the result is rounded once more where the target is bf16. One sum per output
//! takes K in ascending order (pairs with bf16), so no row depends on its neighbours; `dW` and `db` cut R
//! into chunks of 512 that are added in order.
//!
//! Rounding with 8-bit matrices, forward only: with `m_r` the largest magnitude in row r of `x` and `m_n` that of row n
//! of `W`, operands are `round(127·x/m_r)` and `round(127·w/m_n)`, ties to even; sums are whole numbers and exact,
//! then rounded to 32 bits and multiplied by `m_r/127` and by `m_n/127`; bias and epilogue as above. A row of `x` with
//! a number that is not finite gives NaN.

pub mod cpu;
pub(super) mod cuda;
mod simd;

use crate::buffer::{Buffer, Input, Output};
use crate::cpu::gemm::{Orientation, PackedMatrix};
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Precision, Tolerance};
use std::ops::Range;

const OP: &str = "linear";

/// Distance of the fast f32 path from the f64 oracle on inputs of size about one and weights of size 1/√K: K
/// roundings of partial sums between one and two, each off by 6e-8/√3 in the mean, make 2.5e-6 at K = 5121; four
/// times that holds for thousands of outputs, and covers a GELU error of 1e-6.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// The same with bf16 operands against the f64 oracle on operands that are already rounded: what
/// remains are 32-bit sums.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// The same with 8-bit operands against the f64 oracle on the same bytes and scales: whole sums are exact, what
/// remains is their rounding to 32 bits, two scalings and the bias.
pub const TOLERANCE_INT8: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// A weight matrix, or a stretch of its rows, as a device multiplies with it.
#[derive(Debug)]
pub struct Weights {
    /// Which rows of the matrix are held.
    rows: Range<usize>,
    /// Rows of the whole matrix.
    outputs: usize,
    packed: Packed,
}

#[derive(Debug)]
enum Packed {
    /// Panels for the processor's tiles.
    Cpu(PackedMatrix),
    /// Rows as they are, on the device.
    Cuda(cuda::Matrix),
}

/// Checks that `rows` are some of `outputs`.
fn check_rows(outputs: usize, rows: &Range<usize>) -> Result<(), KernelError> {
    if rows.end > outputs {
        return Err(KernelError::Index {
            op: OP,
            what: "end of the rows",
            found: rows.end,
            limit: outputs + 1,
        });
    }
    check_size(OP, "rows of at least one", rows.len().min(1), 1)
}

impl Weights {
    /// Packs `weights` `[outputs, inputs]` (row by row) for one direction of product.
    ///
    /// # Errors
    /// [`KernelError::Size`] when the numbers do not fill the shape or there are none.
    pub fn pack(
        device: &Device,
        precision: Precision,
        weights: &[f32],
        shape: (usize, usize),
        orientation: Orientation,
    ) -> Result<Self, KernelError> {
        Self::pack_rows(device, precision, weights, (shape, 0..shape.0), orientation)
    }

    /// Packs `rows` of `weights` `[outputs, inputs]` as if there were no others.
    ///
    /// # Errors
    /// As [`Weights::pack`], and [`KernelError`] when `rows` are none or end outside the matrix.
    pub fn pack_rows(
        device: &Device,
        precision: Precision,
        weights: &[f32],
        ((outputs, inputs), rows): ((usize, usize), Range<usize>),
        orientation: Orientation,
    ) -> Result<Self, KernelError> {
        check_size(OP, "number of weights", weights.len(), outputs * inputs)?;
        check_rows(outputs, &rows)?;
        let weights = &weights[rows.start * inputs..rows.end * inputs];
        let shape = (rows.len(), inputs);
        let packed = match device {
            Device::Cpu(cpu) => Packed::Cpu(PackedMatrix::new(cpu, precision, weights, shape, orientation)),
            Device::Cuda(cuda) => {
                Packed::Cuda(cuda::Matrix::new(cuda, precision, weights, shape, orientation)?)
            }
        };
        Ok(Self { rows, outputs, packed })
    }

    /// Some rows of a whole matrix packed in [`Orientation::Forward`], bit for bit; they share its memory where a
    /// panel begins with the first of them.
    ///
    /// # Errors
    /// [`KernelError`] when this is no whole matrix packed that way, or `rows` are none or end outside it.
    pub fn take_rows(&self, device: &Device, rows: Range<usize>) -> Result<Self, KernelError> {
        check_size(OP, "columns of a whole matrix", self.columns(), self.outputs)?;
        check_rows(self.outputs, &rows)?;
        let packed = match (device, &self.packed) {
            (Device::Cpu(cpu), Packed::Cpu(matrix)) => Packed::Cpu(matrix.columns_of(cpu, rows.clone())),
            (Device::Cuda(_), Packed::Cuda(matrix)) => Packed::Cuda(matrix.take_rows(&rows)),
            _ => return Err(cuda::elsewhere()),
        };
        Ok(Self { rows, outputs: self.outputs, packed })
    }

    /// Whether both read the same memory.
    #[must_use]
    pub fn shares_memory_with(&self, other: &Self) -> bool {
        match (&self.packed, &other.packed) {
            (Packed::Cpu(one), Packed::Cpu(other)) => one.shares_memory_with(other),
            (Packed::Cuda(one), Packed::Cuda(other)) => one.shares_memory_with(other),
            _ => false,
        }
    }

    fn check_place(&self, device: &Device) -> Result<(), KernelError> {
        match (device, &self.packed) {
            (Device::Cpu(_), Packed::Cpu(_)) | (Device::Cuda(_), Packed::Cuda(_)) => Ok(()),
            _ => Err(cuda::elsewhere()),
        }
    }

    /// The panels for the processor's tiles.
    pub(crate) fn matrix(&self) -> &PackedMatrix {
        match &self.packed {
            Packed::Cpu(matrix) => matrix,
            Packed::Cuda(_) => unreachable!("the device was matched before"),
        }
    }

    /// Which rows of the matrix are held.
    #[must_use]
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Whether all rows of the matrix are held.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rows == (0..self.outputs)
    }

    /// Columns of the product.
    #[must_use]
    pub fn columns(&self) -> usize {
        match &self.packed {
            Packed::Cpu(matrix) => matrix.columns(),
            Packed::Cuda(matrix) => matrix.columns(),
        }
    }

    /// Inner dimension of the product.
    #[must_use]
    pub fn inner(&self) -> usize {
        match &self.packed {
            Packed::Cpu(matrix) => matrix.inner(),
            Packed::Cuda(matrix) => matrix.inner(),
        }
    }

    /// How operands are held.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match &self.packed {
            Packed::Cpu(matrix) => matrix.precision(),
            Packed::Cuda(matrix) => matrix.precision(),
        }
    }

    /// Memory in bytes; that of the whole matrix where it is shared.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.packed {
            Packed::Cpu(matrix) => matrix.bytes(),
            Packed::Cuda(matrix) => matrix.bytes(),
        }
    }
}

/// Last step of a linear layer.
#[derive(Debug)]
pub enum Epilogue<'a> {
    /// `y = s`
    Store,
    /// `y = GELU(s)`; the sums `s [R,N]` are kept where a buffer is given.
    Gelu(Option<&'a mut Buffer<f32>>),
    /// `y = s + r` with `r [R,N]`.
    Residual(&'a Buffer<f32>),
}

/// One linear layer of several that share their input.
#[derive(Debug)]
pub struct Part<'a> {
    /// Packed in [`Orientation::Forward`].
    pub weights: &'a Weights,
    /// `b` of the whole matrix; used are the numbers of the rows that the weights hold.
    pub bias: Option<&'a Buffer<f32>>,
    /// Last step.
    pub epilogue: Epilogue<'a>,
    /// `y [R,N]`
    pub output: Output<'a>,
}

impl Part<'_> {
    fn check(&self, rows: usize, inner: usize, precision: Precision) -> Result<(), KernelError> {
        let columns = self.weights.columns();
        check_size(OP, "inner dimension of the weights", self.weights.inner(), inner)?;
        self.output.check(OP, "output", rows * columns)?;
        if let Some(bias) = self.bias {
            check_size(OP, "bias", bias.len(), self.weights.outputs)?;
            check_size(OP, "columns of the weights", columns, self.weights.rows.len())?;
        }
        match &self.epilogue {
            Epilogue::Gelu(Some(before)) => check_size(OP, "kept sums", before.len(), rows * columns)?,
            Epilogue::Residual(residual) => check_size(OP, "residual", residual.len(), rows * columns)?,
            Epilogue::Store | Epilogue::Gelu(None) => {}
        }
        if self.weights.precision() == precision {
            Ok(())
        } else {
            Err(KernelError::Unsupported {
                op: OP,
                what: "precision of the weights",
                found: self.weights.precision().name().to_owned(),
                supported: "the same for all parts",
            })
        }
    }
}

/// Bytes have no gradient: their steps are flat.
fn check_trained(precision: Precision) -> Result<(), KernelError> {
    if precision != Precision::Int8 {
        return Ok(());
    }
    let found = precision.name().to_owned();
    Err(KernelError::Unsupported { op: OP, what: "precision of a gradient", found, supported: "f32 or bf16" })
}

/// Runs all `parts` on `input` `[rows, K]`.
///
/// # Errors
/// [`KernelError`] when sizes or precisions do not fit.
pub fn forward(
    device: &Device,
    rows: usize,
    input: Input<'_>,
    parts: &mut [Part<'_>],
) -> Result<(), KernelError> {
    let Some(first) = parts.first() else { return Ok(()) };
    let (inner, precision) = (first.weights.inner(), first.weights.precision());
    input.check(OP, "input", rows * inner)?;
    check_size(OP, "inner dimension of at least one", inner.min(1), 1)?;
    parts.iter().try_for_each(|part| part.check(rows, inner, precision))?;
    parts.iter().try_for_each(|part| part.weights.check_place(device))?;
    match device {
        Device::Cpu(cpu) => simd::forward(cpu, rows, input, parts),
        Device::Cuda(cuda) => cuda::forward(cuda, rows, input, parts)?,
    }
    Ok(())
}

/// What becomes of an input gradient `g·W`.
#[derive(Debug, Clone, Copy)]
pub enum Landing<'a> {
    /// It is written.
    Write,
    /// It is added to what is there.
    Add,
    /// The input was `GELU(s)` of these `s [rows,K]`: times `GELU'(s)` it is written as the gradient of `s`.
    ThroughGelu(&'a Buffer<f32>),
}

/// `dx = g·W`, or what `landing` says; `weights` packed in [`Orientation::InputGradient`].
///
/// # Errors
/// [`KernelError`] when sizes do not fit.
pub fn backward_input(
    device: &Device,
    rows: usize,
    (grad, weights): (&Buffer<f32>, &Weights),
    dx: &mut Buffer<f32>,
    landing: Landing<'_>,
) -> Result<(), KernelError> {
    check_trained(weights.precision())?;
    weights.check_place(device)?;
    check_size(OP, "gradient", grad.len(), rows * weights.inner())?;
    check_size(OP, "input gradient", dx.len(), rows * weights.columns())?;
    if let Landing::ThroughGelu(sums) = landing {
        check_size(OP, "sums before the gelu", sums.len(), dx.len())?;
    }
    match device {
        Device::Cpu(cpu) => simd::backward_input(cpu, rows, (grad, weights), dx, landing),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// `dW += gᵀ·x` and, where given, `db += Σ_r g_r`, for `g [rows,N]`, `x [rows,K]`. With a stretch of the
/// matrix's rows `g` has their columns only, and no other row of `dW` and `db` is touched. Without `accumulate` the rows of
/// `dW` are written and not added to.
///
/// # Errors
/// [`KernelError`] when sizes do not fit.
pub fn backward_weights(
    device: &Device,
    (rows, precision): (usize, Precision),
    (grad, input): (&Buffer<f32>, Input<'_>),
    ((outputs, inputs), stretch): ((usize, usize), Range<usize>),
    (dw, accumulate): (&mut Buffer<f32>, bool),
    db: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    check_trained(precision)?;
    check_rows(outputs, &stretch)?;
    check_size(OP, "gradient", grad.len(), rows * stretch.len())?;
    input.check(OP, "input", rows * inputs)?;
    check_size(OP, "weight gradient", dw.len(), outputs * inputs)?;
    if let Some(db) = &db {
        check_size(OP, "bias gradient", db.len(), outputs)?;
    }
    match device {
        Device::Cpu(cpu) => {
            let sizes = (rows, stretch.len(), inputs);
            let dw = &mut dw.as_mut_slice()[stretch.start * inputs..stretch.end * inputs];
            let db = db.map(|db| &mut db.as_mut_slice()[stretch]);
            simd::backward_weights(cpu, precision, sizes, (grad, input), (dw, accumulate), db);
        }
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

//! Launches of the linear layer: cuBLASLt with the last step behind it, or the plain kernel, which does both.

use super::{Epilogue, OP, Part};
use crate::Precision;
use crate::buffer::{Buffer, Element, Input, Output};
use crate::cpu::gemm::Orientation;
use crate::cuda::{Cuda, Grid, Product, no_training};
use crate::error::KernelError;
use crate::ops::elementwise::cuda as elementwise;
use half::bf16;
use std::ops::Range;
use std::sync::Arc;

/// Codes of last steps in the kernels.
const STORE: usize = 0;
const GELU: usize = 1;
const RESIDUAL: usize = 2;

/// Sides of a block's tile in the plain kernel.
const TILE: usize = 64;

/// A weight matrix on the device, row by row.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    values: Values,
    rows: Range<usize>,
    inner: usize,
}

/// Numbers of weights on the device.
#[derive(Debug, Clone)]
pub(in crate::ops) enum Values {
    F32(Arc<Buffer<f32>>),
    Bf16(Arc<Buffer<bf16>>),
}

/// The nearest bf16; denormal numbers become zero of their sign, as the kernels do it.
fn narrow(value: f32) -> bf16 {
    if value.is_subnormal() { bf16::from_f32(0.0_f32.copysign(value)) } else { bf16::from_f32(value) }
}

impl Matrix {
    pub(super) fn new(
        cuda: &Cuda,
        precision: Precision,
        weights: &[f32],
        (rows, inner): (usize, usize),
        orientation: Orientation,
    ) -> Result<Self, KernelError> {
        if orientation != Orientation::Forward {
            return Err(no_training(OP));
        }
        let values = match precision {
            Precision::F32 => Values::F32(Arc::new(cuda.upload(weights))),
            Precision::Bf16 => {
                let narrowed: Vec<bf16> = weights.iter().map(|&value| narrow(value)).collect();
                Values::Bf16(Arc::new(cuda.upload(&narrowed)))
            }
            Precision::Int8 => {
                return Err(KernelError::Unsupported {
                    op: OP,
                    what: "precision on cuda",
                    found: precision.name().to_owned(),
                    supported: "f32 or bf16",
                });
            }
        };
        // A matrix that found no room is told at once: it is the first that a model asks for.
        cuda.check()?;
        Ok(Self { values, rows: 0..rows, inner })
    }

    /// Some of its rows; they share its memory.
    pub(super) fn take_rows(&self, rows: &Range<usize>) -> Self {
        let start = self.rows.start + rows.start;
        Self { rows: start..start + rows.len(), ..self.clone() }
    }

    pub(super) fn shares_memory_with(&self, other: &Self) -> bool {
        match (&self.values, &other.values) {
            (Values::F32(one), Values::F32(other)) => Arc::ptr_eq(one, other),
            (Values::Bf16(one), Values::Bf16(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn inner(&self) -> usize {
        self.inner
    }

    pub(super) fn precision(&self) -> Precision {
        match self.values {
            Values::F32(_) => Precision::F32,
            Values::Bf16(_) => Precision::Bf16,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => 4 * values.len(),
            Values::Bf16(values) => 2 * values.len(),
        }
    }
}

/// Some rows of weights one below the other, for kernels of other operations: their numbers, and the place of the first.
/// They are read where they are if they follow each other in one matrix, and else copied.
pub(in crate::ops) fn stacked(
    cuda: &Cuda,
    parts: &[&super::Weights],
) -> Result<(Values, usize), KernelError> {
    let matrix = |weights: &&super::Weights| match &weights.packed {
        super::Packed::Cuda(matrix) => Ok(matrix.clone()),
        super::Packed::Cpu(_) => Err(elsewhere()),
    };
    let matrices = parts.iter().map(matrix).collect::<Result<Vec<Matrix>, KernelError>>()?;
    let first = matrices.first().ok_or_else(elsewhere)?;
    let follows =
        |pair: &[Matrix]| pair[0].shares_memory_with(&pair[1]) && pair[0].rows.end == pair[1].rows.start;
    if matrices.windows(2).all(follows) {
        return Ok((first.values.clone(), first.rows.start * first.inner));
    }
    let copied = match first.values {
        Values::F32(_) => Values::F32(joined(cuda, &matrices, Values::f32)?),
        Values::Bf16(_) => Values::Bf16(joined(cuda, &matrices, Values::bf16)?),
    };
    Ok((copied, 0))
}

fn joined<T: Element>(
    cuda: &Cuda,
    matrices: &[Matrix],
    of: impl Fn(&Values) -> Option<&Buffer<T>>,
) -> Result<Arc<Buffer<T>>, KernelError> {
    let part = |matrix: &'_ Matrix| matrix.rows.start * matrix.inner..matrix.rows.end * matrix.inner;
    let mut parts = Vec::with_capacity(matrices.len());
    for matrix in matrices {
        parts.push((of(&matrix.values).ok_or_else(elsewhere)?, part(matrix)));
    }
    Ok(Arc::new(cuda.copy(&parts)?))
}

impl Values {
    fn f32(&self) -> Option<&Buffer<f32>> {
        match self {
            Self::F32(values) => Some(values),
            Self::Bf16(_) => None,
        }
    }

    fn bf16(&self) -> Option<&Buffer<bf16>> {
        match self {
            Self::F32(_) => None,
            Self::Bf16(values) => Some(values),
        }
    }
}

pub(super) fn forward(
    cuda: &Cuda,
    rows: usize,
    input: Input<'_>,
    parts: &mut [Part<'_>],
) -> Result<(), KernelError> {
    if rows == 0 {
        return Ok(());
    }
    parts.iter_mut().try_for_each(|part| {
        let super::Packed::Cuda(matrix) = &part.weights.packed else { return Err(elsewhere()) };
        let matrix = matrix.clone();
        match (input, &matrix.values) {
            (Input::F32(x), Values::F32(values)) => run(cuda, (rows, &matrix), (x, values), part),
            (Input::Bf16(x), Values::Bf16(values)) => run(cuda, (rows, &matrix), (x, values), part),
            (Input::F32(x), Values::Bf16(values)) => {
                let mut narrowed = cuda.scratch(x.len());
                elementwise::of_one(cuda, "elementwise_to_bf16", x, &mut narrowed)?;
                run(cuda, (rows, &matrix), (&narrowed, values), part)
            }
            (Input::Bf16(x), Values::F32(values)) => {
                let mut widened = cuda.scratch(x.len());
                elementwise::of_one(cuda, "elementwise_to_f32", x, &mut widened)?;
                run(cuda, (rows, &matrix), (&widened, values), part)
            }
        }
    })
}

pub(super) fn elsewhere() -> KernelError {
    KernelError::Unsupported {
        op: OP,
        what: "place of the weights",
        found: "another device".to_owned(),
        supported: "the device that computes",
    }
}

fn run<T: Element>(
    cuda: &Cuda,
    (rows, matrix): (usize, &Matrix),
    (x, values): (&Buffer<T>, &Buffer<T>),
    part: &mut Part<'_>,
) -> Result<(), KernelError> {
    let size = (rows, matrix.columns(), matrix.inner);
    // A bias of the whole matrix begins where the rows that are held do.
    let bias = part.bias.map(|bias| (bias, part.weights.rows.start));
    let operands = (x, (values, matrix.rows.start * matrix.inner), bias);
    match cuda.blas() {
        Some(blas) => {
            let made = by_library(cuda, blas, size, operands, part)?;
            if made { Ok(()) } else { plain(cuda, size, operands, part) }
        }
        None => plain(cuda, size, operands, part),
    }
}

/// Input; weights and the element of their first row; bias and the element of its first number.
type Operands<'a, T> = (&'a Buffer<T>, (&'a Buffer<T>, usize), Option<(&'a Buffer<f32>, usize)>);

/// The library writes the sums, with bias and residual where the result is 32-bit and there is nothing more to do.
fn by_library<T: Element>(
    cuda: &Cuda,
    blas: &crate::cuda::Blas,
    size: (usize, usize, usize),
    (x, weights, bias): Operands<'_, T>,
    part: &mut Part<'_>,
) -> Result<bool, KernelError> {
    let (rows, columns, _) = size;
    let residual = match &part.epilogue {
        Epilogue::Residual(residual) => Some(*residual),
        Epilogue::Store | Epilogue::Gelu(_) => None,
    };
    if let (Output::F32(y), Epilogue::Store | Epilogue::Residual(_)) = (&mut part.output, &part.epilogue) {
        return blas.multiply(cuda, &mut Product { size, x, weights, bias, residual, y });
    }
    let mut sums: Buffer<f32> = cuda.scratch(rows * columns);
    let mut product = Product { size, x, weights, bias, residual, y: &mut sums };
    if !blas.multiply(cuda, &mut product)? {
        return Ok(false);
    }
    let kernel = match part.output {
        Output::F32(_) => "linear_epilogue_to_f32",
        Output::Bf16(_) => "linear_epilogue_to_bf16",
    };
    let launch = cuda.launch(OP, kernel).reads(&sums).nothing();
    let (launch, step) = match &mut part.epilogue {
        Epilogue::Gelu(kept) => (launch.may_write(kept.as_deref_mut()), GELU),
        // The residual is in the sums already.
        Epilogue::Store | Epilogue::Residual(_) => (launch.nothing(), STORE),
    };
    let launch = launch.nothing().result(&mut part.output).count(rows).count(columns).count(step);
    launch.over(Grid::Warps(rows))?;
    Ok(true)
}

fn plain<T: Element>(
    cuda: &Cuda,
    (rows, columns, inner): (usize, usize, usize),
    (x, (weights, first), bias): Operands<'_, T>,
    part: &mut Part<'_>,
) -> Result<(), KernelError> {
    let kernel = match (size_of::<T>() == 2, &part.output) {
        (false, Output::F32(_)) => "linear_f32_to_f32",
        (false, Output::Bf16(_)) => "linear_f32_to_bf16",
        (true, Output::F32(_)) => "linear_bf16_to_f32",
        (true, Output::Bf16(_)) => "linear_bf16_to_bf16",
    };
    let launch = cuda.launch(OP, kernel).reads(x).reads_from(weights, first);
    let launch = match bias {
        Some((bias, first)) => launch.reads_from(bias, first),
        None => launch.nothing(),
    };
    let (launch, step) = match &mut part.epilogue {
        Epilogue::Store => (launch.nothing().nothing(), STORE),
        Epilogue::Gelu(kept) => (launch.may_write(kept.as_deref_mut()).nothing(), GELU),
        Epilogue::Residual(residual) => (launch.nothing().reads(residual), RESIDUAL),
    };
    let launch = launch.result(&mut part.output).count(rows).count(columns).count(inner).count(step);
    launch.over(Grid::Blocks(rows.div_ceil(TILE) * columns.div_ceil(TILE)))
}

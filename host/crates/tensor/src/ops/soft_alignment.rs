//! Soft symmetric alignment of pairs of sequences of vectors.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Offsets, Tensor};
use pliant_kernels::ops::soft_alignment::{self, Pairs, Side};

const OP: &str = "soft_alignment";

/// Both sides of some pairs.
fn pairs<'a>(
    (a, a_offsets): (&'a Tensor, &'a Offsets),
    (b, b_offsets): (&'a Tensor, &'a Offsets),
) -> Result<Pairs<'a>, TensorError> {
    let [rows, width] = a.shape();
    a_offsets.check_tokens(OP, rows)?;
    b_offsets.check_tokens(OP, b.rows())?;
    b.check_shape(OP, "second vectors", [b.rows(), width])?;
    let a = Side { vectors: a.f32_of(OP, "first vectors")?, offsets: a_offsets.as_slice() };
    let b = Side { vectors: b.f32_of(OP, "second vectors")?, offsets: b_offsets.as_slice() };
    Ok(Pairs { width, a, b })
}

/// Scores `[B,1]` of pairs of sequences: sequence by sequence of `a` (f32 `[T0,D]`) and `b` (f32 `[T1,D]`), none of them
/// empty. A score is the mean of `-Σ_k |a_ik - b_jk|`, weighed by how much residues `i` and `j` answer each other, and never
/// positive.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a sequence is empty or one side is not f32.
pub fn soft_alignment(
    tape: &Tape,
    a: &Tensor,
    a_offsets: &Offsets,
    b: &Tensor,
    b_offsets: &Offsets,
) -> Result<Tensor, TensorError> {
    let (device, shapes) = (tape.device(), [a.shape(), b.shape()]);
    let mut scores = device.scratch(a_offsets.sequences());
    soft_alignment::forward(device, pairs((a, a_offsets), (b, b_offsets))?, &mut scores)
        .map_err(in_op(OP, shapes))?;
    let scores = Tensor::from_buffer([a_offsets.sequences(), 1], scores);
    if !tape.wants(OP, &[a, b], &[])? {
        return Ok(scores);
    }
    let (a, b) = ((a.clone(), a_offsets.clone()), (b.clone(), b_offsets.clone()));
    Ok(tape.record(scores, move |gradients, dscores| {
        let device = gradients.device();
        let [mut da, mut db] = shapes.map(|[rows, width]| device.scratch(rows * width));
        let pairs = pairs((&a.0, &a.1), (&b.0, &b.1))?;
        soft_alignment::backward(&device, pairs, &dscores, (&mut da, &mut db)).map_err(in_op(OP, shapes))?;
        gradients.add(a.0.slot(), da)?;
        gradients.add(b.0.slot(), db)
    }))
}

/// One pair of sequences, laid open.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftAlignment {
    /// The score, never positive.
    pub score: f32,
    /// `s_ij = -Σ_k |a_ik - b_jk|`, row by row `[n,m]`.
    pub similarities: Vec<f32>,
    /// `c_ij` of 0..=1, how much residues `i` and `j` answer each other, row by row `[n,m]`.
    pub weights: Vec<f32>,
}

/// Soft symmetric alignment of the sequence `a` (f32 `[n,D]`) with `b` (f32 `[m,D]`). It is looked at, never trained through.
///
/// # Errors
/// As [`soft_alignment`].
pub fn soft_alignment_of(tape: &Tape, a: &Tensor, b: &Tensor) -> Result<SoftAlignment, TensorError> {
    let (device, shapes) = (tape.device(), [a.shape(), b.shape()]);
    let [a_offsets, b_offsets] = [Offsets::new(&[0, a.rows()])?, Offsets::new(&[0, b.rows()])?];
    let [mut similarities, mut weights] = [(); 2].map(|()| device.scratch(a.rows() * b.rows()));
    let pairs = pairs((a, &a_offsets), (b, &b_offsets))?;
    let score = soft_alignment::matrices(device, pairs, &mut similarities, &mut weights)
        .map_err(in_op(OP, shapes))?;
    let [similarities, weights] = [similarities, weights].map(|matrix| matrix.as_slice().to_vec());
    Ok(SoftAlignment { score, similarities, weights })
}

//! Soft symmetric alignment: how alike two sequences of vectors are, whichever residues answer each other.
//!
//! Shapes: of each of B pairs, `a [n,D]` and `b [m,D]`; all first sequences lie end to end in `[T0,D]`, all second ones in
//! `[T1,D]`, each with B+1 offsets. Matrices of a pair are `[n,m]`, scores `[B]`. No sequence is empty.
//!
//! `s_ij = -Σ_k |a_ik - b_jk|`, `α` the softmax of every row of `s` over j, `β` that of every column over i,
//! `c = α + β - α·β`, and the score is `y = Σ c·s / Σ c`, which is never positive.
//!
//! Backward, with `W = Σ c`, `e = (s - y)/W`, `u = e·(1 - β)`, `v = e·(1 - α)`, `ρ_i = Σ_j α·u` and `κ_j = Σ_i β·v`:
//! `ds = dy·(c/W + α·(u - ρ_i) + β·(v - κ_j))`, `da_ik = -Σ_j ds_ij·sign(a_ik - b_jk)`,
//! `db_jk = Σ_i ds_ij·sign(a_ik - b_jk)`. Where two numbers are equal no gradient flows between them.
//!
//! Rounding: every step is 32-bit. A similarity is one sum, k ascending. Sums over j use the 16-lane tree, sums over i are
//! one sum per column, i ascending; `Σ c·s` and `Σ c` add the sums of rows in 64 bits, i ascending. `da` takes j, `db` i in
//! ascending order.
//!
//! A thread takes one pair at a time and holds three matrices for it; the backward makes them again.

mod backward;
pub mod cpu;
mod cuda;
mod forward;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_offsets, check_size};
use crate::{Device, Tolerance};

const OP: &str = "soft_alignment";

/// Distance of fast scores and similarities from the f64 oracle for some hundred columns of size about one: similarities of
/// size 100 carry a unit in their last place (8e-6) for every few columns, and weights, whose exponent they are, as much of
/// themselves.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 2e-5, relative: 2e-6 };

/// The same for weights `c`, which are at most 1 and carry the error of a similarity as a relative one.
pub const TOLERANCE_WEIGHTS: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-4 };

/// The same for gradients of scores of size one: they are sums of up to some hundred slopes that partly cancel, each with the
/// relative error of a weight.
pub const TOLERANCE_GRADIENT: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-4 };

/// Sequences of vectors laid end to end.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// `[T,D]`
    pub vectors: &'a Buffer<f32>,
    /// B+1 offsets from 0 to T.
    pub offsets: &'a [usize],
}

impl<'a> Side<'a> {
    fn check(&self, what: &'static str, width: usize) -> Result<(), KernelError> {
        let rows = self.offsets.last().copied().unwrap_or(0);
        check_offsets(OP, self.offsets, rows)?;
        check_size(OP, what, self.vectors.len(), rows * width)?;
        let shortest = self.offsets.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1);
        check_size(OP, "residues of a sequence, of at least one,", shortest.min(1), 1)
    }

    /// Vectors of one sequence.
    fn of(&self, sequence: usize, width: usize) -> &'a [f32] {
        let (start, end) = (self.offsets[sequence], self.offsets[sequence + 1]);
        &self.vectors.as_slice()[start * width..end * width]
    }
}

/// The pairs of a call: sequence by sequence of both sides.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    /// D, at least one.
    pub width: usize,
    /// First sequences, `[T0,D]`.
    pub a: Side<'a>,
    /// Second sequences, `[T1,D]`.
    pub b: Side<'a>,
}

impl<'a> Pairs<'a> {
    /// B
    fn count(&self) -> usize {
        self.a.offsets.len().saturating_sub(1)
    }

    fn check(&self) -> Result<(), KernelError> {
        check_size(OP, "width of at least one", self.width.min(1), 1)?;
        self.a.check("first vectors", self.width)?;
        self.b.check("second vectors", self.width)?;
        check_size(OP, "number of second sequences", self.b.offsets.len(), self.a.offsets.len())
    }

    /// Vectors of both sequences of a pair.
    fn pair(&self, pair: usize) -> (&'a [f32], &'a [f32]) {
        (self.a.of(pair, self.width), self.b.of(pair, self.width))
    }
}

/// `scores [B]` of all pairs.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit or a sequence is empty.
pub fn forward(device: &Device, pairs: Pairs<'_>, scores: &mut Buffer<f32>) -> Result<(), KernelError> {
    pairs.check()?;
    check_size(OP, "scores", scores.len(), pairs.count())?;
    match device {
        Device::Cpu(cpu) => forward::forward(cpu, pairs, scores),
        Device::Cuda(cuda) => cuda::forward(cuda, pairs, scores)?,
    }
    Ok(())
}

/// Score of the one pair, its similarities `s [n,m]` and its weights `c [n,m]`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, a sequence is empty or there is not exactly one pair.
pub fn matrices(
    device: &Device,
    pairs: Pairs<'_>,
    similarities: &mut Buffer<f32>,
    weights: &mut Buffer<f32>,
) -> Result<f32, KernelError> {
    pairs.check()?;
    check_size(OP, "number of pairs", pairs.count(), 1)?;
    let length = pairs.a.offsets[1] * pairs.b.offsets[1];
    check_size(OP, "similarities", similarities.len(), length)?;
    check_size(OP, "weights", weights.len(), length)?;
    match device {
        Device::Cpu(cpu) => Ok(forward::matrices(cpu, pairs, similarities, weights)),
        Device::Cuda(cuda) => cuda::matrices(cuda, pairs, similarities, weights),
    }
}

/// `da [T0,D]` and `db [T1,D]`, overwritten, for the gradients `dscores [B]`.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    pairs: Pairs<'_>,
    dscores: &Buffer<f32>,
    (da, db): (&mut Buffer<f32>, &mut Buffer<f32>),
) -> Result<(), KernelError> {
    pairs.check()?;
    check_size(OP, "score gradient", dscores.len(), pairs.count())?;
    check_size(OP, "gradient of the first vectors", da.len(), pairs.a.vectors.len())?;
    check_size(OP, "gradient of the second vectors", db.len(), pairs.b.vectors.len())?;
    match device {
        Device::Cpu(cpu) => backward::backward(cpu, pairs, dscores, (da, db)),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

//! What can be put beside a matrix that does not change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pliant_kernels::Device;
use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::linear::{self, Landing, Weights};

use crate::error::{TensorError, in_op};
use crate::param::Param;

const OP: &str = "low rank";

/// A product of two narrow matrices beside a matrix `W [N,K]` (Hu et al., arXiv 2106.09685): its layer computes
/// `x·Wᵀ + s·(drop(x)·Aᵀ)·Bᵀ`.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `A [A,K]`
    pub a: Arc<Param>,
    /// `B [N,A]`
    pub b: Arc<Param>,
    /// s
    pub scale: f32,
    /// Part of the numbers of x that is dropped in training.
    pub dropout: f32,
    /// Names what is dropped among all that is dropped on a tape.
    pub op_id: u32,
    /// Whether it counts; one switch for all of a model.
    pub active: Switch,
}

/// Something that can be on or off; clones share it.
#[derive(Debug, Clone)]
pub struct Switch(Arc<AtomicBool>);

impl Default for Switch {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Switch {
    /// Turns it on or off.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl LowRank {
    /// Refuses narrow matrices that do not fit beside one of that shape.
    pub(crate) fn check(&self, [outputs, inputs]: [usize; 2]) -> Result<(), TensorError> {
        let rank = self.a.shape()[0];
        for (what, param, wanted) in
            [("A of a low rank", &self.a, [rank, inputs]), ("B of a low rank", &self.b, [outputs, rank])]
        {
            if param.shape() != wanted {
                let (found, wanted) = (param.shape().to_vec(), wanted.to_vec());
                return Err(TensorError::Shape { op: OP, what, found, wanted });
            }
        }
        Ok(())
    }
}

/// `W + s·B·A` for `W [N,K]`, `B [N,A]`, `A [A,K]`, in f32: each number is one sum over the rank in ascending order, times
/// s, added once.
///
/// # Errors
/// [`TensorError::Kernel`] when sizes do not fit.
pub fn merged(
    device: &Device,
    weights: &[f32],
    (a, b): (&[f32], &[f32]),
    [outputs, rank, inputs]: [usize; 3],
    scale: f32,
) -> Result<Vec<f32>, TensorError> {
    let failed = || in_op(OP, [[outputs, inputs]]);
    let host;
    let device = match device {
        Device::Cpu(_) => device,
        // It is done once, before the numbers go to the device.
        Device::Cuda(_) => {
            host = Device::cpu(1).map_err(failed())?;
            &host
        }
    };
    let shape = (rank, inputs);
    let a = Weights::pack(device, pliant_kernels::Precision::F32, a, shape, Orientation::InputGradient)
        .map_err(failed())?;
    let (b, mut product) = (device.upload(b), device.scratch(outputs * inputs));
    linear::backward_input(device, outputs, (&b, &a), &mut product, Landing::Write).map_err(failed())?;
    let sum = |(weight, change): (&f32, &f32)| weight + scale * change;
    Ok(weights.iter().zip(product.as_slice()).map(sum).collect())
}

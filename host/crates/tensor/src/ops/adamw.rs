//! A step of AdamW on one parameter.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use pliant_kernels::Buffer;
use pliant_kernels::error::check_size;
pub use pliant_kernels::ops::adamw::Step;
use pliant_kernels::ops::adamw::{self, State};

const OP: &str = "adamw";

/// Running means of a parameter's gradients and of their squares, f32, as many as it has values.
#[derive(Debug)]
pub struct Moments {
    first: Buffer<f32>,
    second: Buffer<f32>,
}

impl Moments {
    /// The moments before the first step.
    #[must_use]
    pub fn zeros(param: &Param) -> Self {
        let zeros = || param.device().zeros(param.len());
        Self { first: zeros(), second: zeros() }
    }

    /// Puts others in their place.
    ///
    /// # Errors
    /// [`TensorError::Kernel`] where they are not as many.
    pub fn set(&mut self, first: &[f32], second: &[f32]) -> Result<(), TensorError> {
        let length = self.first.len();
        check_size(OP, "first moment", first.len(), length)
            .and_then(|()| check_size(OP, "second moment", second.len(), length))
            .map_err(in_op(OP, [[1, length]]))?;
        self.first.as_mut_slice().copy_from_slice(first);
        self.second.as_mut_slice().copy_from_slice(second);
        Ok(())
    }

    /// m, the mean of gradients.
    #[must_use]
    pub fn first(&self) -> &[f32] {
        self.first.as_slice()
    }

    /// v, the mean of their squares.
    #[must_use]
    pub fn second(&self) -> &[f32] {
        self.second.as_slice()
    }
}

/// Moves the values of a trainable parameter one step along the gradient it holds, in place. The gradient stays.
///
/// # Errors
/// [`TensorError::NoGradient`] where none arrived, [`TensorError::ParamKind`] for a frozen parameter,
/// [`TensorError::Kernel`] for moments of another parameter.
pub fn adamw(param: &Param, moments: &mut Moments, step: &Step) -> Result<(), TensorError> {
    let Moments { first, second } = moments;
    param.update(OP, |device, values, gradient| {
        adamw::update(device, step, gradient, State { values, first, second })
    })
}

//! Sums over a whole parameter.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use pliant_kernels::ops::reduce;

/// Sum of the squares of a parameter's gradient, finite if and only if the gradient is; `None` where none arrived.
///
/// # Errors
/// [`TensorError::Kernel`] where the device refuses.
pub fn gradient_squares(param: &Param) -> Result<Option<f64>, TensorError> {
    param.read_gradient(reduce::sum_of_squares).transpose().map_err(in_op("reduce", [[1, param.len()]]))
}

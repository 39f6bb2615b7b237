//! What stands in the way of a step.

use pliant_tensor::TensorError;

use crate::error::Name;

/// Why parameters could not be moved, or an optimiser not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum OptimError {
    /// A setting outside the range in which the equations make sense.
    #[error("{what} is {found}, wanted {wanted}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Value found.
        found: f64,
        /// Values that work.
        wanted: &'static str,
    },
    /// Nothing to be trained.
    #[error("none of the {given} parameters can be trained: load the model for training")]
    Nothing {
        /// Number of parameters given.
        given: usize,
    },
    /// Two parameters that saved moments could not tell apart.
    #[error("two parameters are named {name}, wanted every parameter once")]
    Twice {
        /// The name.
        name: String,
    },
    /// A gradient that holds NaN or an infinity.
    #[error(
        "the gradient of parameter {name} is {value} at element {index}: training has diverged; go back to the last \
         checkpoint with a lower learning rate, a longer warm-up or clipped gradients"
    )]
    NotFinite {
        /// Name of the first such parameter.
        name: String,
        /// Position in the gradient, counted from 0.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Saved moments do not cover all parameters.
    #[error("the saved optimiser has no moments of parameter {name}: it belongs to another model")]
    MissingMoments {
        /// Name of the first such parameter.
        name: String,
    },
    /// Saved moments of parameters that are not there.
    #[error("the saved optimiser has moments of {name}, which is no parameter: it belongs to another model")]
    UnknownMoments {
        /// The name found.
        name: Name,
    },
    /// Saved moments of another size.
    #[error(
        "the saved {moment} moment of parameter {name} has {found} values, wanted {wanted}: it belongs to another \
         model"
    )]
    MomentSize {
        /// Name of the parameter.
        name: String,
        /// `first` or `second`.
        moment: &'static str,
        /// Values found.
        found: usize,
        /// Values of the parameter.
        wanted: usize,
    },
    /// A saved moment that no gradients can have left.
    #[error(
        "the saved {moment} moment of parameter {name} is {value} at element {index}, wanted {wanted}: damaged"
    )]
    MomentValue {
        /// Name of the parameter.
        name: String,
        /// `first` or `second`.
        moment: &'static str,
        /// Position, counted from 0.
        index: usize,
        /// Value found.
        value: f32,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A parameter refused.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Checks one setting.
pub(super) fn check(
    what: &'static str,
    found: f64,
    wanted: &'static str,
    good: bool,
) -> Result<(), OptimError> {
    if good { Ok(()) } else { Err(OptimError::Setting { what, found, wanted }) }
}

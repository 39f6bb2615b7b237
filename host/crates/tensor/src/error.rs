//! What can go wrong between shapes, parameters and gradients.

use crate::param::ParamKind;
use crate::tensor::Dtype;
use pliant_kernels::KernelError;

/// An operation on tensors that could not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// A kernel refused its sizes or its device.
    #[error("{op} of tensors {shapes:?}")]
    Kernel {
        /// Operation that was asked for.
        op: &'static str,
        /// `[rows, columns]` of the tensors it was given.
        shapes: Vec<[usize; 2]>,
        /// What the kernel says.
        source: KernelError,
    },
    /// A tensor or parameter does not fit the others.
    #[error("{op}: {what} has shape {found:?}, wanted {wanted:?}")]
    Shape {
        /// Operation that was asked for.
        op: &'static str,
        /// Which tensor or parameter.
        what: &'static str,
        /// Shape found.
        found: Vec<usize>,
        /// Shape wanted.
        wanted: Vec<usize>,
    },
    /// A tensor holds numbers of another type.
    #[error("{op}: {what} holds {} numbers, wanted {}", found.name(), wanted.name())]
    Dtype {
        /// Operation that was asked for.
        op: &'static str,
        /// Which tensor.
        what: &'static str,
        /// Type found.
        found: Dtype,
        /// Type wanted.
        wanted: Dtype,
    },
    /// Offsets that do not describe sequences laid end to end.
    #[error("offset {index} of a pack is {found}, wanted {wanted}")]
    Offsets {
        /// Position in the list of offsets.
        index: usize,
        /// Offset found.
        found: usize,
        /// What an offset there has to be.
        wanted: &'static str,
    },
    /// Values that do not fill a parameter.
    #[error("parameter {name}: {found} values, wanted {wanted} for shape {shape:?}")]
    ParamValues {
        /// Name of the parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Number of values found.
        found: usize,
        /// Number of values wanted.
        wanted: usize,
    },
    /// A shape that a parameter of that kind cannot have.
    #[error("parameter {name}: shape {shape:?} for a {}, wanted {} dimensions, none of them 0", kind.name(), kind.rank())]
    ParamShape {
        /// Name of the parameter.
        name: String,
        /// Shape found.
        shape: Vec<usize>,
        /// Its kind.
        kind: ParamKind,
    },
    /// A parameter that an operation cannot use that way.
    #[error("{op}: parameter {name} is a {}{}, wanted {wanted}", if *trainable { "trainable " } else { "frozen " }, kind.name())]
    ParamKind {
        /// Operation that was asked for.
        op: &'static str,
        /// Name of the parameter.
        name: String,
        /// Its kind.
        kind: ParamKind,
        /// Whether it is trained.
        trainable: bool,
        /// What works.
        wanted: &'static str,
    },
    /// A parameter was given new values while a tape still held results of the old ones.
    #[error("parameter {name} was changed between the forward and the backward; run the forward again")]
    ParamChanged {
        /// Name of the parameter.
        name: String,
    },
    /// A tensor recorded on another tape, whose gradient would be lost.
    #[error(
        "{op}: a tensor is recorded on another tape; detach it, or hand it to the checkpoint as an input"
    )]
    Foreign {
        /// Operation that was asked for.
        op: &'static str,
    },
    /// Random numbers on a tape that was given none.
    #[error("{op}: the tape has no random numbers; give it a seed and a step")]
    NoRandom {
        /// Operation that was asked for.
        op: &'static str,
    },
    /// An operation for inference alone, on a tape that would have to record it.
    #[error("{op}: has no backward; freeze what it reads, or run it on a tape that is off")]
    NoBackward {
        /// Operation that was asked for.
        op: &'static str,
    },
    /// The loss depends on nothing that is trained.
    #[error("the loss depends on no trainable parameter, so there is no gradient to compute")]
    Unrecorded,
    /// Trainable parameters that the forward used and the loss does not depend on.
    #[error("no gradient reached the trainable parameters {}; freeze them or let the loss use them", names.join(", "))]
    NoGradient {
        /// Their names, in order of first use.
        names: Vec<String>,
    },
}

/// Tells which operation, on which shapes, a kernel error comes from.
pub(crate) fn in_op<const N: usize>(
    op: &'static str,
    shapes: [[usize; 2]; N],
) -> impl FnOnce(KernelError) -> TensorError {
    move |source| TensorError::Kernel { op, shapes: shapes.to_vec(), source }
}

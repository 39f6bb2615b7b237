//! What can go wrong below the tensors.

/// A kernel that could not run. Sizes are checked before any number is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A buffer or a size does not fit the others.
    #[error("{op}: {what} is {found}, wanted {wanted}")]
    Size {
        /// Operation that was asked for.
        op: &'static str,
        /// Which size.
        what: &'static str,
        /// Size found.
        found: usize,
        /// Size wanted.
        wanted: usize,
    },
    /// An index points outside its table.
    #[error("{op}: {what} {found} is outside 0..{limit}")]
    Index {
        /// Operation that was asked for.
        op: &'static str,
        /// Which index.
        what: &'static str,
        /// Value found.
        found: usize,
        /// First value that is not allowed.
        limit: usize,
    },
    /// A form of the operation that does not exist.
    #[error("{op}: {what} is {found}, supported: {supported}")]
    Unsupported {
        /// Operation that was asked for.
        op: &'static str,
        /// Which property.
        what: &'static str,
        /// Value found.
        found: String,
        /// Values that work.
        supported: &'static str,
    },
    /// The device cannot be used as asked.
    #[error("device {device}: {reason}")]
    Device {
        /// Device asked for.
        device: String,
        /// What stands in the way.
        reason: String,
    },
    /// A device has not as much memory as is wanted.
    #[error(
        "device {device} is out of memory: wanted are {} MiB, free are {} of {} MiB",
        wanted >> 20, free >> 20, total >> 20
    )]
    OutOfMemory {
        /// Which device.
        device: String,
        /// Bytes wanted.
        wanted: usize,
        /// Bytes that are free.
        free: usize,
        /// Bytes that it has.
        total: usize,
    },
    /// A library that kernels need cannot be used.
    #[error("{name} cannot be used: {reason}; {install}")]
    Library {
        /// Which library.
        name: &'static str,
        /// What stands in the way.
        reason: String,
        /// What to do about it.
        install: &'static str,
    },
    /// A kernel source that does not compile.
    #[error("{op}: its kernels do not compile for {architecture}: {reason}")]
    Compile {
        /// Whose source.
        op: &'static str,
        /// Architecture compiled for.
        architecture: String,
        /// The compiler's words.
        reason: String,
    },
    /// A file of compiled kernels that cannot be written.
    #[error("{path}: {reason}; the folder of compiled kernels must be writable")]
    File {
        /// The file.
        path: String,
        /// What stands in the way.
        reason: String,
    },
}

/// Checks one size of an operation.
///
/// # Errors
/// [`KernelError::Size`] when `found` differs from `wanted`.
pub fn check_size(
    op: &'static str,
    what: &'static str,
    found: usize,
    wanted: usize,
) -> Result<(), KernelError> {
    if found == wanted { Ok(()) } else { Err(KernelError::Size { op, what, found, wanted }) }
}

/// Checks that `offsets` (length B+1) starts at 0, never falls and ends at `tokens`.
///
/// # Errors
/// [`KernelError::Size`] naming the offset that does not fit.
pub fn check_offsets(op: &'static str, offsets: &[usize], tokens: usize) -> Result<(), KernelError> {
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return Err(KernelError::Size { op, what: "number of offsets", found: 0, wanted: 1 });
    };
    check_size(op, "first offset", first, 0)?;
    for pair in offsets.windows(2) {
        if pair[1] < pair[0] {
            return Err(KernelError::Size { op, what: "falling offset", found: pair[1], wanted: pair[0] });
        }
    }
    check_size(op, "last offset", last, tokens)
}

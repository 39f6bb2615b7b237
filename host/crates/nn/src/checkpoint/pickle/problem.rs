//! What can be wrong with a file of `torch.save`.

use crate::error::Name;

/// Why a pickle, or the container around it, is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleProblem {
    /// Neither of the two containers.
    #[error("is no file of PyTorch: it begins neither as a zip archive nor as a pickle of torch.save")]
    NotTorch,
    /// A zip archive that does not hold together.
    #[error("its zip archive is damaged: {what}")]
    Archive {
        /// What does not fit.
        what: &'static str,
    },
    /// An entry of the archive that is not there or cannot be used.
    #[error("entry {entry} of its zip archive {what}")]
    ArchiveEntry {
        /// Name of the entry.
        entry: Name,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Numbers with their bytes in the other order.
    #[error("was saved on a big-endian machine: load it and save it again on a little-endian one")]
    BigEndian,
    /// The pickle ends before its end mark.
    #[error("its pickle ends at byte {at}, before its end: truncated?")]
    Truncated {
        /// Byte of the file.
        at: u64,
    },
    /// An opcode outside the allow-list.
    #[error("its pickle has the opcode {code:#04x} at byte {at}, which torch.save never writes")]
    Opcode {
        /// The opcode.
        code: u8,
        /// Byte of the file.
        at: u64,
    },
    /// Values that do not go together.
    #[error("its pickle is damaged at byte {at}: {what}")]
    Form {
        /// What was found or missed.
        what: &'static str,
        /// Byte of the file.
        at: u64,
    },
    /// Far more values than any checkpoint has.
    #[error("its pickle needs more than {limit} bytes of values at byte {at}: no checkpoint of a model")]
    TooLarge {
        /// Bytes of values that are held at most.
        limit: usize,
        /// Byte of the file.
        at: u64,
    },
    /// A file without a dictionary of tensors.
    #[error(
        "holds no dictionary of tensors, neither by itself nor under \"model\" or \"state_dict\": wanted a state_dict"
    )]
    NoTensors,
    /// A dictionary of tensors that no model has.
    #[error("its dictionary of tensors {what}")]
    Tensors {
        /// What is too much.
        what: &'static str,
    },
    /// The bytes behind the legacy pickles do not fit what they promise.
    #[error("has {found} bytes, its pickles promise {wanted}: truncated or extended")]
    Length {
        /// Bytes there.
        found: u64,
        /// Bytes promised.
        wanted: u64,
    },
    /// Tensors that share bytes many times over.
    #[error("its tensors have {found} bytes, more than {times} times the file's {length}: no honest sharing")]
    Shared {
        /// Bytes of all tensors.
        found: u64,
        /// Bytes of the file.
        length: u64,
        /// How often a byte may be shared on average.
        times: u64,
    },
}

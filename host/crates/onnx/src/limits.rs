//! How large a file, and what is made of it, may be, and how long it may take.

use std::time::Duration;

/// What a file may take. Whatever is over a limit is refused before it is made, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file itself. Protocol buffers end at two gigabytes; more weights lie in files beside it.
    pub file_bytes: u64,
    /// Bytes of the data in files beside it, of all tensors together.
    pub data_bytes: u64,
    /// Parts of the file: operators, tensors, names, attributes.
    pub parts: u64,
    /// Graphs within graphs.
    pub nesting: usize,
    /// Bytes of one result on the way.
    pub result_bytes: u64,
    /// Bytes of all results that are held at once.
    pub held_bytes: u64,
    /// Milliseconds of a call: a protein, or a block of rows of a head; more where there are many weights and tokens.
    pub call_ms: u64,
}

/// Operations in a millisecond that the slowest machine does.
const LEAST_SPEED: f64 = 1e5;

impl Limits {
    /// Bytes of a sidecar.
    pub const SIDECAR_BYTES: u64 = 1 << 20;

    /// How long a call of about so many operations may take.
    pub(crate) fn time(&self, operations: f64) -> Duration {
        Duration::from_millis(self.call_ms.saturating_add((operations / LEAST_SPEED) as u64))
    }
}

impl Default for Limits {
    /// What the largest published encoders of proteins need, with room: a file of 2 GiB with 64 GiB beside it, 4 million
    /// parts, 8 graphs in each other, 8 GiB for one result and 32 GiB for all that are held, 10 s for a call.
    fn default() -> Self {
        Self {
            file_bytes: 2 << 30,
            data_bytes: 64 << 30,
            parts: 4 << 20,
            nesting: 8,
            result_bytes: 8 << 30,
            held_bytes: 32 << 30,
            call_ms: 10_000,
        }
    }
}

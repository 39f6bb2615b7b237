//! What is kept: result files, written atomically and with the same bytes for the same input.
//!
//! This crate never sees a tensor, only slices of `f32` and strings. One file per format ([`npz`], [`tsv`]);
//! [`table`] is the door that chooses among them. Every output goes through [`AtomicFile`], so nothing
//! half-written is ever found under the name that was asked for; several outputs of one run are committed
//! together by an [`OutputSet`]. What was computed before waits in a [`cache`].
//!
//! Letters: C model width, L residues of one sequence.

mod archive;
pub mod atomic;
pub mod cache;
pub mod error;
pub mod failures;
mod ids;
pub mod metadata;
mod npy;
pub mod npz;
pub mod npz_read;
pub mod table;
pub mod target;
pub mod tsv;
pub mod values;

pub use atomic::{Access, AtomicFile, OutputSet};
pub use cache::{Cache, CacheFault, CacheOptions, Sharing};
pub use error::{Action, StoreError};
pub use failures::{Failure, FailureWriter, failures_path};
pub use metadata::{METADATA_KEY, Metadata};
pub use npz_read::{NpzContents, read_npz};
pub use table::{Format, PooledWriter, ResidueWriter, TablePlan, layer_path, output_paths};
pub use target::{Target, check_targets};
pub use values::OutDtype;

//! What is kept: result files, written atomically and with the same bytes for the same input.
//!
//! This crate never sees a tensor, only slices of `f32` and strings. One file per format ([`npz`], [`tsv`],
//! [`h5_table`], [`parquet_table`], [`safetensors_table`]; a few named [`columns`] as text or Parquet); [`table`] and, for
//! square [`maps`], that module are the doors that choose among them, and [`reader`] is the way back. What is looked at is
//! a [`picture`]. Every output goes through [`AtomicFile`], so nothing
//! half-written is ever found under the name that was asked for; several outputs of one run are committed
//! together by an [`OutputSet`]. What was computed before waits in a [`cache`].
//!
//! Letters: C model width, L residues of one sequence.

mod archive;
pub mod atomic;
pub mod cache;
pub mod columns;
pub mod error;
pub mod failures;
mod h5_format;
pub mod h5_table;
mod ids;
pub mod maps;
pub mod metadata;
mod npy;
pub mod npz;
pub mod npz_read;
pub mod parquet_table;
pub mod picture;
pub mod reader;
pub mod safetensors_table;
pub mod sheet;
pub mod split;
mod spool;
pub mod table;
mod table_rows;
mod tally;
pub mod target;
pub mod tsv;
pub mod values;

pub use atomic::{Access, AtomicFile, OutputSet};
pub use cache::{Cache, CacheFault, CacheOptions, Sharing};
pub use columns::{Cell, ColumnKind, ColumnTable};
pub use error::{Action, StoreError};
pub use failures::{Failure, FailureList, FailureWriter, failures_path};
pub use maps::{MapPlan, MapWriter};
pub use metadata::{METADATA_KEY, Metadata};
pub use npz_read::{NpzContents, read_npz};
pub use reader::{ResultKind, ResultReader, StoredRecord, Vectors, read_vectors};
pub use sheet::{Separator, Sheet, SheetRow, SheetWriter};
pub use split::{SPLIT_FORMAT, ShardEntry, SplitFile};
pub use table::{
    Format, H5Layout, PooledWriter, ResidueWriter, TOKENS_KEY, TablePlan, layer_path, output_paths,
};
pub use table_rows::TableRows;
pub use target::{Target, check_targets};
pub use values::OutDtype;

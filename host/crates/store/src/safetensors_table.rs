//! `.safetensors`: what `safetensors.safe_open` reads.
//!
//! | tensor | pooled | per residue |
//! |---|---|---|
//! | `embeddings` | `[records, C]` | `[sum L, C]` |
//! | `offsets` | | `[records + 1]`, I64: rows `offsets[i]..offsets[i+1]` are record `i` |
//!
//! With several layers `embeddings.<N>` for each layer `N` stands in place of `embeddings`. The metadata of the file
//! have one key, `pliant_meta`, because two would be written in any order: a JSON object that holds the `ids` too.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::atomic::{Access, AtomicFile};
use crate::error::{Action, StoreError};
use crate::ids::IdList;
use crate::metadata::METADATA_KEY;
use crate::npz::{EMBEDDINGS, IDS, OFFSETS};
use crate::spool::Spool;
use crate::table::TablePlan;
use crate::tally::Tally;
use crate::values::{Encoder, OutDtype};

/// Longest header that readers of the format take.
pub(crate) const MAX_HEADER_BYTES: usize = 100_000_000;

/// A `.safetensors` being written record by record.
///
/// The header with the ids stands in front, so all values wait in unnamed temporary files beside it.
pub struct SafetensorsTable {
    path: PathBuf,
    file: AtomicFile,
    tally: Tally,
    encoder: Encoder,
    /// One per layer.
    spools: Vec<Spool>,
    ids: IdList,
    /// Rows before each record, and in the end all of them.
    offsets: Vec<u64>,
}

impl SafetensorsTable {
    /// Begins a file with one row per record, or with `residues` rows in all.
    ///
    /// # Errors
    /// An impossible plan, and those of [`AtomicFile::create`].
    pub fn create(path: &Path, plan: &TablePlan, residues: Option<usize>) -> Result<Self, StoreError> {
        let tally = Tally::new(path, plan, residues)?;
        let file = AtomicFile::create(path, Access::Stream)?;
        let spools: io::Result<Vec<_>> =
            plan.layers.iter().map(|_| Spool::create(file.scratch_folder())).collect();
        Ok(Self {
            path: path.to_path_buf(),
            spools: spools.map_err(|cause| StoreError::io(Action::Create, path, cause))?,
            file,
            tally,
            encoder: Encoder::new(plan.dtype, plan.width),
            ids: IdList::default(),
            offsets: vec![0],
        })
    }

    /// Writes the next record: for each layer its rows, C numbers each.
    ///
    /// # Errors
    /// Values of another shape than planned, more records or rows than planned, values that the number type
    /// cannot hold, and [`StoreError::Io`]. After any error the file cannot be finished.
    pub fn push(&mut self, id: &str, layers: &[&[f32]]) -> Result<(), StoreError> {
        let rows = self.tally.begin(id, layers)?;
        for ((spool, values), layer) in self.spools.iter_mut().zip(layers).zip(&self.tally.plan.layers) {
            let bytes = self.encoder.bytes(values, id, *layer)?;
            spool.write(bytes).map_err(|cause| StoreError::io(Action::Write, &self.path, cause))?;
        }
        self.offsets.push(self.offsets.last().unwrap_or(&0) + rows as u64);
        self.ids.push(id);
        self.tally.done(rows);
        Ok(())
    }

    /// Writes the file, ready to be committed.
    ///
    /// # Errors
    /// Fewer records or rows than planned, an earlier failure, more ids than a header can hold, and
    /// [`StoreError::Io`].
    pub fn finish(mut self) -> Result<AtomicFile, StoreError> {
        self.tally.finish()?;
        let header = self.header();
        if header.len() > MAX_HEADER_BYTES {
            return Err(StoreError::TooLarge {
                path: self.path,
                reason: "the ids take more than the 100 MB that a header of safetensors may have",
            });
        }
        let spools = std::mem::take(&mut self.spools);
        self.write(&header, spools).map_err(|cause| StoreError::io(Action::Write, &self.path, cause))?;
        Ok(self.file)
    }

    fn write(&mut self, header: &[u8], spools: Vec<Spool>) -> io::Result<()> {
        self.file.write_all(&(header.len() as u64).to_le_bytes())?;
        self.file.write_all(header)?;
        if self.tally.is_per_residue() {
            self.offsets.iter().try_for_each(|offset| self.file.write_all(&offset.to_le_bytes()))?;
        }
        for spool in spools {
            let mut values: File = spool.into_reader()?;
            io::copy(&mut values, &mut self.file)?;
        }
        Ok(())
    }

    /// The header with spaces up to a multiple of 8 bytes, so that tensors are aligned. Offsets stand first, as
    /// they have the longest numbers.
    fn header(&self) -> Vec<u8> {
        let plan = &self.tally.plan;
        let ids: Vec<&str> = self.ids.iter().collect();
        let metadata = plan.metadata.for_layers(&plan.layers).with(IDS, ids);
        let content = plan.content(EMBEDDINGS);
        let mut entries = Map::new();
        entries.insert("__metadata__".to_owned(), json!({ METADATA_KEY: metadata.to_json() }));
        let mut end = 0;
        let mut add = |name: String, dtype: &str, shape: &[usize], bytes: usize| {
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes] });
            entries.insert(name, entry);
            end += bytes;
        };
        if self.tally.is_per_residue() {
            add(OFFSETS.to_owned(), "I64", &[self.offsets.len()], self.offsets.len() * 8);
        }
        let shape = [self.tally.rows_wanted(), plan.width];
        for layer in &plan.layers {
            let name = match plan.layers.len() {
                1 => content.to_owned(),
                _ => format!("{content}.{layer}"),
            };
            add(name, dtype_name(plan.dtype), &shape, shape[0] * shape[1] * plan.dtype.bytes());
        }
        let mut header = Value::Object(entries).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        header
    }
}

/// The name of a number type in a header.
pub(crate) fn dtype_name(dtype: OutDtype) -> &'static str {
    match dtype {
        OutDtype::F32 => "F32",
        OutDtype::F16 => "F16",
    }
}

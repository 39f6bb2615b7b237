//! `.h5`: one dataset per record, `[C]` pooled or `[L, C]` per residue, one file per layer.
//!
//! | layout | name of a dataset | attributes |
//! |---|---|---|
//! | `uniprot` | the id, see [`dataset_name`] | `original_id`, `index`: the number of the record in the input |
//! | `bio_embeddings` | the number of the record in the input | `original_id` |
//!
//! Numbers count from 0. The root has the attribute `pliant_meta`, and of log-probabilities `tokens`, a list of
//! strings. Values are written as they come; what is held in
//! memory until the end are the ids and lengths.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::atomic::{Access, AtomicFile, OutputSet};
use crate::error::{Action, StoreError};
use crate::h5_format::{self as bytes_of, DatasetHeader, SUPERBLOCK_BYTES};
use crate::ids::IdList;
use crate::metadata::METADATA_KEY;
use crate::table::{Format, H5Layout, TOKENS_KEY, TablePlan, output_paths};
use crate::tally::Tally;
use crate::values::Encoder;

/// HDF5 files being written record by record, one for each layer.
pub struct H5Table {
    path: PathBuf,
    tally: Tally,
    encoder: Encoder,
    /// One per layer.
    files: Vec<Counted>,
    ids: IdList,
    /// Rows of each record.
    rows: Vec<usize>,
    /// Whether a record is a square map, whose numbers count as rows.
    maps: bool,
}

/// A file that knows how far it is.
struct Counted {
    file: AtomicFile,
    position: u64,
}

impl Counted {
    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.position += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|cause| StoreError::io(Action::Write, self.file.path(), cause))
    }
}

impl H5Table {
    /// Begins the files: one row per record, or `residues` rows in all.
    ///
    /// # Errors
    /// An impossible plan, several layers for one stream, and those of [`AtomicFile::create`].
    pub fn create(path: &Path, plan: &TablePlan, residues: Option<usize>) -> Result<Self, StoreError> {
        let tally = Tally::new(path, plan, residues)?;
        let mut files = Vec::new();
        for path in output_paths(path, Format::H5, &plan.layers)? {
            let mut file = Counted { file: AtomicFile::create(&path, Access::Seek)?, position: 0 };
            file.put(&[0; SUPERBLOCK_BYTES as usize])?;
            files.push(file);
        }
        Ok(Self {
            path: path.to_path_buf(),
            tally,
            encoder: Encoder::new(plan.dtype, plan.width),
            files,
            ids: IdList::default(),
            rows: Vec::new(),
            maps: false,
        })
    }

    /// Begins a file with square maps, datasets `[L, L]` of `numbers` numbers in all; the plan has one layer and a width
    /// of 1.
    ///
    /// # Errors
    /// As [`H5Table::create`].
    pub(crate) fn of_maps(path: &Path, plan: &TablePlan, numbers: usize) -> Result<Self, StoreError> {
        Ok(Self { maps: true, ..Self::create(path, plan, Some(numbers))? })
    }

    /// Writes the values of the next record: for each layer its rows, C numbers each.
    ///
    /// # Errors
    /// Values of another shape than planned, more records or rows than planned, values that the number type
    /// cannot hold, an id with a NUL character, and [`StoreError::Io`]. After any error the files cannot be finished.
    pub fn push(&mut self, id: &str, layers: &[&[f32]]) -> Result<(), StoreError> {
        let rows = self.tally.begin(id, layers)?;
        if id.contains('\0') {
            return Err(StoreError::NulInId { id: id.to_owned(), format: Format::H5.name() });
        }
        for ((file, values), layer) in self.files.iter_mut().zip(layers).zip(&self.tally.plan.layers) {
            let bytes = self.encoder.bytes(values, id, *layer)?;
            file.put(bytes)?;
            file.put(&[0; 8][..bytes.len().next_multiple_of(8) - bytes.len()])?;
        }
        self.ids.push(id);
        self.rows.push(rows);
        self.tally.done(rows);
        Ok(())
    }

    /// Writes the names behind the values. The files are then ready to be committed.
    ///
    /// # Errors
    /// Fewer records or rows than planned, an id that came twice, an earlier failure, and [`StoreError::Io`].
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        self.tally.finish()?;
        let members = self.members()?;
        let Self { tally, files, ids, rows, maps, .. } = self;
        let names = Names { tally: &tally, ids: &ids, rows: &rows, maps, members: &members };
        let mut done = Vec::with_capacity(files.len());
        for (mut file, layer) in files.into_iter().zip(&tally.plan.layers) {
            names.write(&mut file, *layer)?;
            done.push(file.file);
        }
        Ok(OutputSet::from(done))
    }

    /// Names of datasets in the order of their bytes, each with the number of its record.
    fn members(&self) -> Result<Vec<(String, usize)>, StoreError> {
        let name = |(record, id): (usize, &str)| match self.tally.plan.h5_layout {
            H5Layout::Uniprot => (dataset_name(id), record),
            H5Layout::BioEmbeddings => (record.to_string(), record),
        };
        let mut members: Vec<_> = self.ids.iter().enumerate().map(name).collect();
        members.sort_unstable();
        match members.array_windows().find(|[one, next]| one.0 == next.0) {
            None => Ok(members),
            Some([(_, record), _]) => {
                let id = self.ids.iter().nth(*record).unwrap_or_default().to_owned();
                Err(StoreError::Twice { path: self.path.clone(), id })
            }
        }
    }
}

/// What stands behind the values of every layer.
struct Names<'a> {
    tally: &'a Tally,
    ids: &'a IdList,
    rows: &'a [usize],
    maps: bool,
    members: &'a [(String, usize)],
}

impl Names<'_> {
    /// Strings, object headers, the group and at last the front of the file.
    fn write(&self, file: &mut Counted, layer: usize) -> Result<(), StoreError> {
        let plan = &self.tally.plan;
        let metadata = plan.metadata.for_layers(&[layer]).to_json();
        let tokens = plan.tokens().unwrap_or_default();
        let texts = std::iter::once(metadata.as_str()).chain(self.ids.iter()).chain(tokens.iter().copied());
        let (heaps, places) = bytes_of::string_heaps(texts, file.position);
        let (ids, tokens) = places[1..].split_at(self.ids.len());
        file.put(&heaps)?;
        let mut data = SUPERBLOCK_BYTES;
        let mut headers = Vec::with_capacity(self.rows.len());
        for (record, (rows, place)) in self.rows.iter().zip(ids).enumerate() {
            headers.push(file.position);
            let side = rows.isqrt() as u64;
            let shape = if self.maps { [side, side] } else { [*rows as u64, plan.width as u64] };
            let header = DatasetHeader {
                dtype: plan.dtype,
                shape: if self.tally.is_per_residue() { &shape } else { &shape[1..] },
                data,
                original_id: *place,
                index: (plan.h5_layout == H5Layout::Uniprot).then_some(record as u64),
            };
            file.put(&header.bytes())?;
            data += ((rows * plan.width * plan.dtype.bytes()) as u64).next_multiple_of(8);
        }
        let members: Vec<_> =
            self.members.iter().map(|(name, record)| (name.clone(), headers[*record])).collect();
        let group = bytes_of::group(&members, file.position);
        file.put(&group.bytes)?;
        let root = file.position;
        let list = (!tokens.is_empty()).then_some((TOKENS_KEY, tokens));
        file.put(&bytes_of::root_header((group.tree, group.heap), (METADATA_KEY, places[0]), list))?;
        let front = bytes_of::superblock(file.position, root, group.tree, group.heap);
        let sought = file.file.seek(SeekFrom::Start(0));
        sought.map_err(|cause| StoreError::io(Action::Write, file.file.path(), cause))?;
        file.put(&front)
    }
}

/// The name of the dataset of an id in the layout `uniprot`: the id, with `%2F` for `/` and `%25` for `%`, which
/// gives each id a name of its own. Names that HDF5 keeps for itself are escaped too: `%2E` is the id `.`, `%2E.`
/// the id `..`, and `%` alone the empty id.
pub fn dataset_name(id: &str) -> String {
    match id {
        "" => "%".to_owned(),
        "." => "%2E".to_owned(),
        ".." => "%2E.".to_owned(),
        plain => plain.replace('%', "%25").replace('/', "%2F"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_name_of_its_own() {
        let ids = ["", ".", "..", "%", "/", "%2E", "%2F", "%2E.", "a/b", "a%2Fb", "...", "é b"];
        let mut names: Vec<_> = ids.iter().map(|id| dataset_name(id)).collect();
        assert_eq!(names[8], "a%2Fb");
        assert_eq!(names[11], "é b");
        names.sort_unstable();
        assert!(names.array_windows().all(|[one, next]| one != next), "{names:?}");
        assert!(names.iter().all(|name| !name.contains('/') && ![".", ""].contains(&name.as_str())));
    }
}

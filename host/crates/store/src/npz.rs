//! `.npz`: what `numpy.load` opens without pickle.
//!
//! | array | pooled | per residue |
//! |---|---|---|
//! | `pliant_meta` | JSON, a string of shape `[]` | same |
//! | `embeddings` | `[records, C]` | `[sum L, C]` |
//! | `offsets` | | `[records + 1]`, int64: rows `offsets[i]..offsets[i+1]` are record `i` |
//! | `ids` | `[records]`, strings | same |
//!
//! Log-probabilities are `logprobs` `[sum L, V]` in place of `embeddings`, with `tokens` `[V]`, strings.
//!
//! Square maps ([`crate::maps`]) are `contacts` `[sum L²]`: numbers `offsets[i]..offsets[i+1]` are the map of record `i`, row
//! by row, and `lengths` `[records]`, int64, tells its side.
//!
//! With several layers `embeddings.<N>` for each layer `N` stands in place of `embeddings`.

use std::path::Path;

use crate::archive::Archive;
use crate::atomic::AtomicFile;
use crate::error::{Action, StoreError};
use crate::ids::IdList;
use crate::metadata::METADATA_KEY;
use crate::npy;
use crate::spool::Spool;
use crate::table::{Format, TablePlan};
use crate::tally::Tally;
use crate::values::Encoder;

/// Name of the array of embeddings, and of its per-layer forms up to the dot.
pub(crate) const EMBEDDINGS: &str = "embeddings";
/// Name of the array of the tokens of columns.
const TOKENS: &str = "tokens";
/// Name of the array of square maps.
const CONTACTS: &str = "contacts";
/// Name of the array of sides of maps.
const LENGTHS: &str = "lengths";
/// Name of the array of row ranges.
pub(crate) const OFFSETS: &str = "offsets";
/// Name of the array of ids.
pub(crate) const IDS: &str = "ids";

/// Bytes gathered before strings and offsets are handed on.
const BLOCK_BYTES: usize = 1 << 16;

/// A `.npz` file being written record by record.
///
/// The archive takes one array at a time: rows of the first layer go straight into it, those of further layers
/// wait in unnamed temporary files beside it.
pub struct NpzTable {
    archive: Archive,
    tally: Tally,
    encoder: Encoder,
    /// One per layer after the first.
    spools: Vec<Spool>,
    ids: IdList,
    /// Rows before each record, and in the end all of them.
    offsets: Vec<u64>,
    /// Whether a record is a square map, whose numbers count as rows.
    maps: bool,
}

impl NpzTable {
    /// Begins a file with one row per record, or with `residues` rows in all.
    ///
    /// # Errors
    /// An impossible plan, and those of [`AtomicFile::create`].
    pub fn create(path: &Path, plan: &TablePlan, residues: Option<usize>) -> Result<Self, StoreError> {
        Self::begin(path, plan, residues, false)
    }

    /// Begins a file with square maps of `numbers` numbers in all; the plan has one layer and a width of 1.
    ///
    /// # Errors
    /// As [`NpzTable::create`].
    pub(crate) fn of_maps(path: &Path, plan: &TablePlan, numbers: usize) -> Result<Self, StoreError> {
        Self::begin(path, plan, Some(numbers), true)
    }

    fn begin(path: &Path, plan: &TablePlan, residues: Option<usize>, maps: bool) -> Result<Self, StoreError> {
        let tally = Tally::new(path, plan, residues)?;
        let mut archive = Archive::create(path)?;
        let metadata = plan.metadata.for_layers(&plan.layers).to_json();
        let length = metadata.chars().count();
        let mut bytes = Vec::new();
        npy::put_string(&metadata, length, &mut bytes);
        start_array(&mut archive, METADATA_KEY, &npy::string_descr(length), &[], bytes.len())?;
        archive.write(&bytes)?;
        if let Some(tokens) = plan.tokens() {
            let mut list = IdList::default();
            tokens.iter().for_each(|token| list.push(token));
            write_strings(&mut archive, TOKENS, &list)?;
        }
        let spools: Result<Vec<_>, StoreError> = plan.layers[1..].iter().map(|_| archive.spool()).collect();
        let spools = spools?;
        let encoder = Encoder::new(plan.dtype, plan.width);
        let mut table =
            Self { archive, tally, encoder, spools, ids: IdList::default(), offsets: vec![0], maps };
        table.start_embeddings(0)?;
        Ok(table)
    }

    /// Writes the next record: for each layer its rows, C numbers each; one row in a pooled file, L in a
    /// per-residue file.
    ///
    /// # Errors
    /// Values of another shape than planned, more records or rows than planned, values that the number type
    /// cannot hold, and [`StoreError::Io`]. After any error the file cannot be finished.
    pub fn push(&mut self, id: &str, layers: &[&[f32]]) -> Result<(), StoreError> {
        let rows = self.tally.begin(id, layers)?;
        if id.contains('\0') {
            return Err(StoreError::NulInId { id: id.to_owned(), format: Format::Npz.name() });
        }
        for (place, values) in layers.iter().enumerate() {
            let bytes = self.encoder.bytes(values, id, self.tally.plan.layers[place])?;
            match place.checked_sub(1) {
                None => self.archive.write(bytes)?,
                Some(spool) => self.spools[spool]
                    .write(bytes)
                    .map_err(|cause| StoreError::io(Action::Write, self.archive.path(), cause))?,
            }
        }
        self.offsets.push(self.offsets.last().unwrap_or(&0) + rows as u64);
        self.ids.push(id);
        self.tally.done(rows);
        Ok(())
    }

    /// Writes what waited: further layers, offsets, ids. The file is then ready to be committed.
    ///
    /// # Errors
    /// Fewer records or rows than planned, an earlier failure, and [`StoreError::Io`].
    pub fn finish(mut self) -> Result<AtomicFile, StoreError> {
        self.tally.finish()?;
        for (place, spool) in std::mem::take(&mut self.spools).into_iter().enumerate() {
            let file = spool.into_reader();
            let mut file = file.map_err(|cause| StoreError::io(Action::Write, self.archive.path(), cause))?;
            self.start_embeddings(place + 1)?;
            self.archive.copy(&mut file)?;
        }
        if self.tally.is_per_residue() {
            write_counts(&mut self.archive, OFFSETS, &self.offsets)?;
        }
        if self.maps {
            let sides =
                self.offsets.array_windows().map(|[start, end]| (end - start).isqrt()).collect::<Vec<_>>();
            write_counts(&mut self.archive, LENGTHS, &sides)?;
        }
        write_strings(&mut self.archive, IDS, &self.ids)?;
        self.archive.finish()
    }

    fn start_embeddings(&mut self, place: usize) -> Result<(), StoreError> {
        let plan = &self.tally.plan;
        let content = plan.content(EMBEDDINGS);
        let name = match plan.layers.as_slice() {
            [_] => content.to_owned(),
            layers => format!("{content}.{}", layers[place]),
        };
        let rows = self.tally.rows_wanted();
        let data = rows * plan.width * plan.dtype.bytes();
        if self.maps {
            return start_array(&mut self.archive, CONTACTS, npy::descr(plan.dtype), &[rows as u64], data);
        }
        start_array(&mut self.archive, &name, npy::descr(plan.dtype), &[rows as u64, plan.width as u64], data)
    }
}

/// Writes one array of strings.
fn write_strings(archive: &mut Archive, name: &str, texts: &IdList) -> Result<(), StoreError> {
    let longest = texts.longest();
    let data = texts.len().saturating_mul(longest.max(1) * 4);
    start_array(archive, name, &npy::string_descr(longest), &[texts.len() as u64], data)?;
    let mut block = Vec::new();
    for text in texts.iter() {
        npy::put_string(text, longest, &mut block);
        if block.len() >= BLOCK_BYTES {
            archive.write(&block)?;
            block.clear();
        }
    }
    archive.write(&block)
}

/// Writes one array of whole numbers.
fn write_counts(archive: &mut Archive, name: &str, counts: &[u64]) -> Result<(), StoreError> {
    start_array(archive, name, "<i8", &[counts.len() as u64], counts.len() * 8)?;
    for block in counts.chunks(BLOCK_BYTES / 8) {
        let bytes: Vec<u8> = block.iter().flat_map(|count| count.to_le_bytes()).collect();
        archive.write(&bytes)?;
    }
    Ok(())
}

/// Begins one array of `data` bytes.
fn start_array(
    archive: &mut Archive,
    name: &str,
    descr: &str,
    shape: &[u64],
    data: usize,
) -> Result<(), StoreError> {
    let header =
        npy::header(descr, shape).map_err(|cause| StoreError::io(Action::Write, archive.path(), cause))?;
    archive.start(&format!("{name}.npy"), (header.len() + data) as u64)?;
    archive.write(&header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::npz_read::read_npz;
    use crate::values::OutDtype;

    fn plan(rows: usize, layers: &[usize], dtype: OutDtype) -> TablePlan {
        let metadata = Metadata::new().with("model", "modèle").with("pool", "mean");
        TablePlan { rows, width: 2, layers: layers.to_vec(), dtype, metadata, h5_layout: Default::default() }
    }

    fn write_pooled(path: &Path) {
        let mut table = NpzTable::create(path, &plan(3, &[4, 2], OutDtype::F32), None).unwrap();
        table.push("sp|P1|A", &[&[1.0, 2.0], &[10.0, 20.0]]).unwrap();
        table.push("β", &[&[3.0, -0.0], &[30.0, 40.0]]).unwrap();
        table.push("", &[&[5.0, 1.0e-30], &[50.0, 60.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
    }

    fn write_residues(path: &Path) {
        let mut table = NpzTable::create(path, &plan(2, &[6], OutDtype::F16), Some(3)).unwrap();
        table.push("a", &[&[1.0, 2.0, 3.0, 4.0]]).unwrap();
        table.push("b", &[&[0.1, 6.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
    }

    #[test]
    fn pooled_layers_come_back_in_the_order_of_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.npz");
        write_pooled(&path);
        let found = read_npz(&path).unwrap();
        assert_eq!(found.ids, ["sp|P1|A", "β", ""]);
        assert_eq!(found.offsets, None);
        let layers: Vec<_> = found.embeddings.iter().map(|array| array.layer).collect();
        assert_eq!(layers, [Some(4), Some(2)]);
        assert_eq!(found.embeddings[0].values, [1.0, 2.0, 3.0, -0.0, 5.0, 1.0e-30]);
        assert_eq!(found.embeddings[1].values, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(found.metadata.unwrap().to_json(), r#"{"layers":[4,2],"model":"modèle","pool":"mean"}"#);
    }

    #[test]
    fn residues_come_back_with_their_ranges() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.npz");
        write_residues(&path);
        let found = read_npz(&path).unwrap();
        assert_eq!(found.offsets, Some(vec![0, 2, 3]));
        assert_eq!(found.embeddings[0].layer, None);
        assert_eq!(found.embeddings[0].dtype, OutDtype::F16);
        assert_eq!(found.embeddings[0].values, [1.0, 2.0, 3.0, 4.0, 0.099_975_586, 6.0]);
    }

    #[test]
    fn the_same_records_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for write in [write_pooled, write_residues] {
            let [one, two] = ["one.npz", "two.npz"].map(|name| folder.path().join(name));
            write(&one);
            write(&two);
            assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        }
    }

    #[test]
    fn an_empty_table_is_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.npz");
        let table = NpzTable::create(&path, &plan(0, &[6], OutDtype::F32), Some(0)).unwrap();
        table.finish().unwrap().commit().unwrap();
        let found = read_npz(&path).unwrap();
        assert_eq!((found.ids.len(), found.offsets), (0, Some(vec![0])));
    }

    #[test]
    fn wrong_counts_are_never_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.npz");
        let begin = || NpzTable::create(&path, &plan(2, &[6], OutDtype::F32), Some(3)).unwrap();
        let (two, one): (&[f32], &[f32]) = (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0]);
        let counts = |error| match error {
            StoreError::Count { unit, wanted, found, .. } => (unit, wanted, found),
            other => panic!("{other:?}"),
        };
        let mut fewer = begin();
        fewer.push("a", &[two]).unwrap();
        assert_eq!(counts(fewer.finish().err().unwrap()), ("records", 2, 1));
        let mut shorter = begin();
        shorter.push("a", &[one]).unwrap();
        shorter.push("b", &[one]).unwrap();
        assert_eq!(counts(shorter.finish().err().unwrap()), ("residues", 3, 2));
        let mut longer = begin();
        longer.push("a", &[two]).unwrap();
        assert_eq!(counts(longer.push("b", &[two]).err().unwrap()), ("residues", 3, 4));
        assert!(longer.push("b", &[one]).is_err(), "an error is for good");
        assert!(longer.finish().is_err());
        let mut more = begin();
        more.push("a", &[two]).unwrap();
        more.push("b", &[one]).unwrap();
        assert_eq!(counts(more.push("c", &[&[]]).err().unwrap()), ("records", 2, 3));
        drop(more);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "leftovers");
    }

    #[test]
    fn records_of_another_shape_are_refused_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.npz");
        let pooled = |layers: &[&[f32]]| {
            let mut table = NpzTable::create(&path, &plan(1, &[4, 2], OutDtype::F32), None).unwrap();
            table.push("rec", layers).unwrap_err()
        };
        let row: &[f32] = &[1.0, 2.0];
        assert!(matches!(pooled(&[row]), StoreError::Layers { wanted: 2, found: 1, .. }));
        assert!(matches!(pooled(&[row, &[1.0]]), StoreError::Shape { layer: 2, wanted: 2, found: 1, .. }));
        assert!(pooled(&[&[1.0; 4], &[1.0; 4]]).to_string().contains("\"rec\""));
        let residues = |layers: &[&[f32]]| {
            let mut table = NpzTable::create(&path, &plan(1, &[4, 2], OutDtype::F32), Some(2)).unwrap();
            table.push("rec", layers)
        };
        assert!(residues(&[&[1.0; 3], &[1.0; 3]]).is_err(), "half a row");
        assert!(residues(&[&[1.0; 4], &[1.0; 2]]).is_err(), "layers of different lengths");
        assert!(residues(&[&[1.0; 4], &[1.0; 4]]).is_ok());
    }

    #[test]
    fn an_id_that_numpy_would_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut table =
            NpzTable::create(&folder.path().join("e.npz"), &plan(1, &[6], OutDtype::F32), None).unwrap();
        assert!(matches!(table.push("a\0", &[&[1.0, 2.0]]), Err(StoreError::NulInId { .. })));
    }

    /// The archive is sent at the commit; the cause and its code reach the caller.
    #[test]
    fn a_full_device_is_an_error_at_the_commit() {
        let mut table =
            NpzTable::create(Path::new("/dev/full"), &plan(1, &[6], OutDtype::F32), None).unwrap();
        table.push("a", &[&[1.0, 2.0]]).unwrap();
        let error = table.finish().unwrap().commit().unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let code = source.downcast_ref::<std::io::Error>().unwrap().raw_os_error();
        assert_eq!(code, Some(28), "ENOSPC");
        assert!(error.to_string().contains("free some space"), "{error}");
    }
}

//! Square maps: `[L, L]` numbers per record, as `.npz` or `.h5`.
//!
//! | format | maps | beside them |
//! |---|---|---|
//! | `.npz` | `contacts` `[sum L²]`, the map of record `i` from `offsets[i]` to `offsets[i+1]`, row by row | `ids` `[records]`, `lengths` `[records]`, `offsets` `[records + 1]`, `pliant_meta` |
//! | `.h5` | a dataset `[L, L]` for each record, named by its id | attributes `original_id` and `index` of each, `pliant_meta` of the root |

use std::path::Path;

use crate::atomic::OutputSet;
use crate::error::StoreError;
use crate::h5_table::H5Table;
use crate::metadata::Metadata;
use crate::npz::NpzTable;
use crate::table::{Format, H5Layout, TablePlan, suffixes};
use crate::values::OutDtype;

/// What a file of maps will hold.
#[derive(Debug, Clone)]
pub struct MapPlan {
    /// Number of records: exactly so many must be pushed.
    pub records: usize,
    /// The sum of L² over them.
    pub numbers: usize,
    /// The layer that the maps come from, counted from 0, the embedding: for `layers` in the metadata.
    pub layer: usize,
    /// Number type in the file.
    pub dtype: OutDtype,
    /// What the file says about itself.
    pub metadata: Metadata,
}

impl MapPlan {
    /// The same as a table whose rows are numbers.
    fn table(&self) -> TablePlan {
        TablePlan {
            rows: self.records,
            width: 1,
            layers: vec![self.layer],
            dtype: self.dtype,
            metadata: self.metadata.clone(),
            h5_layout: H5Layout::Uniprot,
        }
    }

    /// Bytes that the file will take; `id_chars` are the letters of the longest id.
    pub fn estimated_bytes(&self, format: Format, id_chars: usize) -> u64 {
        format.estimated_bytes(&self.table(), Some(self.numbers), id_chars)
    }
}

/// A file of maps being written record by record.
pub struct MapWriter {
    table: Table,
}

enum Table {
    Npz(Box<NpzTable>),
    H5(Box<H5Table>),
}

impl MapWriter {
    /// Begins the file.
    ///
    /// # Errors
    /// [`StoreError::NoMaps`] for a format that holds none, an impossible plan, and whatever the system says to a new
    /// file.
    pub fn create(path: &Path, format: Format, plan: &MapPlan) -> Result<Self, StoreError> {
        let table = plan.table();
        let table = match format {
            Format::Npz => Table::Npz(Box::new(NpzTable::of_maps(path, &table, plan.numbers)?)),
            Format::H5 => Table::H5(Box::new(H5Table::of_maps(path, &table, plan.numbers)?)),
            Format::Tsv | Format::Parquet | Format::Safetensors => return Err(no_maps(path, format)),
        };
        Ok(Self { table })
    }

    /// Writes the map of the next record in input order: `length` rows of as many numbers.
    ///
    /// # Errors
    /// Another number of values, more records or numbers than planned, values that the number type or an id that the
    /// format cannot hold, and [`StoreError::Io`]. After any error the file cannot be finished.
    pub fn push(&mut self, id: &str, length: usize, map: &[f32]) -> Result<(), StoreError> {
        let wanted = length.saturating_mul(length);
        if map.len() != wanted {
            return Err(StoreError::Shape { id: id.to_owned(), layer: 0, wanted, found: map.len() });
        }
        match &mut self.table {
            Table::Npz(table) => table.push(id, &[map]),
            Table::H5(table) => table.push(id, &[map]),
        }
    }

    /// Completes the file, which still lacks its name: commit the set for that.
    ///
    /// # Errors
    /// Fewer records or numbers than planned, an earlier failure, and [`StoreError::Io`].
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        match self.table {
            Table::Npz(table) => Ok(OutputSet::from(vec![table.finish()?])),
            Table::H5(table) => table.finish(),
        }
    }
}

/// Refuses a format that holds no maps.
///
/// # Errors
/// [`StoreError::NoMaps`].
pub fn check_format(path: &Path, format: Format) -> Result<(), StoreError> {
    if format.holds_maps() { Ok(()) } else { Err(no_maps(path, format)) }
}

fn no_maps(path: &Path, format: Format) -> StoreError {
    let able = suffixes(Format::holds_maps);
    StoreError::NoMaps { path: path.to_path_buf(), format: format.name(), able }
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::NpyFile;
    use std::io::Read;

    const MAPS: [(&str, usize, [f32; 9]); 3] = [
        ("sp|P1|A/B", 3, [0.5, 0.25, 0.0, 0.25, 0.5, 1.0, 0.0, 1.0, 0.125]),
        ("none", 0, [0.0; 9]),
        ("é", 1, [0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ];

    fn plan(dtype: OutDtype) -> MapPlan {
        MapPlan { records: 3, numbers: 10, layer: 6, dtype, metadata: Metadata::new().with("model", "m") }
    }

    fn write(path: &Path, format: Format, dtype: OutDtype) {
        let mut writer = MapWriter::create(path, format, &plan(dtype)).unwrap();
        for (id, length, map) in &MAPS {
            writer.push(id, *length, &map[..length * length]).unwrap();
        }
        writer.finish().unwrap().commit().unwrap();
    }

    fn array<T: npyz::Deserialize>(path: &Path, name: &str) -> (Vec<u64>, Vec<T>) {
        let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut bytes = Vec::new();
        archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
        let file = NpyFile::new(bytes.as_slice()).unwrap();
        (file.shape().to_vec(), file.into_vec().unwrap())
    }

    #[test]
    fn an_npz_has_flat_maps_with_their_places_and_sides() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.npz");
        write(&path, Format::Npz, OutDtype::F32);
        let wanted: Vec<f32> = MAPS[0].2.iter().copied().chain([0.75]).collect();
        assert_eq!(array::<f32>(&path, "contacts"), (vec![10], wanted));
        assert_eq!(array::<i64>(&path, "offsets"), (vec![4], vec![0, 9, 9, 10]));
        assert_eq!(array::<i64>(&path, "lengths"), (vec![3], vec![3, 0, 1]));
        let bytes = std::fs::read(&path).unwrap();
        write(&path, Format::Npz, OutDtype::F32);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        write(&path, Format::Npz, OutDtype::F16);
        assert_eq!(array::<half::f16>(&path, "contacts").1[5], half::f16::ONE);
    }

    #[test]
    fn an_h5_has_a_square_dataset_for_each_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.h5");
        for dtype in [OutDtype::F32, OutDtype::F16] {
            write(&path, Format::H5, dtype);
            let file = hdf5_pure::File::open(&path).unwrap();
            let map = file.dataset("sp|P1|A%2FB").unwrap();
            assert_eq!(map.shape().unwrap(), [3, 3]);
            assert_eq!(file.dataset("é").unwrap().shape().unwrap(), [1, 1]);
            if dtype == OutDtype::F32 {
                assert_eq!(map.read_f32().unwrap(), MAPS[0].2);
            }
        }
    }

    #[test]
    fn maps_that_are_not_square_or_not_all_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Npz, Format::H5] {
            let path = folder.path().join("c");
            let mut writer = MapWriter::create(&path, format, &plan(OutDtype::F32)).unwrap();
            assert!(matches!(
                writer.push("a", 2, &[0.0; 3]),
                Err(StoreError::Shape { wanted: 4, found: 3, .. })
            ));
            writer.push("a", 3, &[0.0; 9]).unwrap();
            assert!(writer.finish().is_err());
        }
        let error = MapWriter::create(&folder.path().join("c.tsv"), Format::Tsv, &plan(OutDtype::F32));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("tsv") && error.contains(".npz, .h5"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

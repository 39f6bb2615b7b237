//! Reading `.npz` files of this crate back as a whole. What is read may come from anywhere: nothing in it is trusted.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::error::{Action, StoreError};
use crate::metadata::Metadata;
use crate::reader::{NpzRows, read_error};
use crate::values::OutDtype;

/// The embeddings of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerArray {
    /// The layer, where the name of the array tells it.
    pub layer: Option<usize>,
    /// Number type in the file.
    pub dtype: OutDtype,
    /// C, numbers per row.
    pub width: usize,
    /// Rows x C numbers, row by row.
    pub values: Vec<f32>,
}

/// Everything in a `.npz` of results.
#[derive(Debug, Clone, PartialEq)]
pub struct NpzContents {
    /// The ids of the records.
    pub ids: Vec<String>,
    /// What the file says about itself; other programs' files do not.
    pub metadata: Option<Metadata>,
    /// The embeddings in the order of the file, at least one.
    pub embeddings: Vec<LayerArray>,
    /// Per residue: record `i` has the rows `offsets[i]..offsets[i + 1]`. Ascending from 0 to the number of rows.
    pub offsets: Option<Vec<usize>>,
}

/// Reads a whole `.npz` of pooled or per-residue results into memory.
///
/// Entries must be stored uncompressed, so memory is bounded by a small multiple of the file's size.
///
/// # Errors
/// [`StoreError::Io`] where the file cannot be read; [`StoreError::Malformed`] where it is no such archive, is
/// compressed or damaged (checksums are verified), or where its arrays do not fit together.
pub fn read_npz(path: &Path) -> Result<NpzContents, StoreError> {
    let file = File::open(path).map_err(|cause| StoreError::io(Action::Read, path, cause))?;
    let size = file.metadata().map_err(|cause| StoreError::io(Action::Read, path, cause))?.len();
    read_archive(file, size).map_err(|cause| read_error(path, cause))
}

/// Reads an archive of `size` bytes.
fn read_archive(file: impl Read + Seek, size: u64) -> io::Result<NpzContents> {
    let (head, mut rows) = NpzRows::open(file, size)?;
    let array = |layer: &crate::reader::LayerRows| LayerArray {
        layer: layer.layer,
        dtype: layer.dtype,
        width: layer.width,
        values: Vec::with_capacity(layer.rows * layer.width),
    };
    let mut embeddings: Vec<LayerArray> = rows.layers.iter().map(array).collect();
    while let Some(record) = rows.next_record()? {
        for (layer, values) in embeddings.iter_mut().zip(&record.layers) {
            layer.values.extend_from_slice(values);
        }
    }
    Ok(NpzContents { ids: rows.ids, metadata: head.metadata, embeddings, offsets: rows.offsets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::NpzTable;
    use crate::table::TablePlan;

    fn sample(path: &Path) {
        let plan = TablePlan {
            rows: 2,
            width: 3,
            layers: vec![6],
            dtype: OutDtype::F32,
            metadata: Metadata::new().with("model", "m"),
            h5_layout: Default::default(),
        };
        let mut table = NpzTable::create(path, &plan, Some(3)).unwrap();
        table.push("P1", &[&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]).unwrap();
        table.push("Q22", &[&[-1.0, 0.5, 9.0]]).unwrap();
        table.finish().unwrap().commit().unwrap();
    }

    /// Every bit of a file flipped and the file cut at every length: an error, or what was written.
    #[test]
    fn damage_is_seen_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.npz");
        sample(&path);
        let good = read_npz(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut refused = 0;
        let mut check =
            |bytes: &[u8], what: &str| match read_archive(io::Cursor::new(bytes), bytes.len() as u64) {
                Ok(found) => {
                    assert_eq!((&found.ids, &found.embeddings), (&good.ids, &good.embeddings), "{what}")
                }
                Err(_) => refused += 1,
            };
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                check(&flipped, &format!("bit {bit} of byte {place}"));
            }
        }
        for end in 0..bytes.len() {
            check(&bytes[..end], &format!("cut at {end}"));
        }
        assert!(refused > bytes.len(), "only {refused} refused");
    }

    #[test]
    fn what_is_no_archive_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.npz");
        assert!(matches!(read_npz(&path), Err(StoreError::Io { action: Action::Read, .. })));
        std::fs::write(&path, "id\te0\n").unwrap();
        let error = read_npz(&path).unwrap_err();
        assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("no.npz"), "{error}");
    }
}

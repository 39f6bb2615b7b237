//! The door for the host: one writer per kind of result, whatever the format.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::atomic::OutputSet;
use crate::error::StoreError;
use crate::h5_table::H5Table;
use crate::metadata::Metadata;
use crate::npz::NpzTable;
use crate::parquet_table::{GROUP_ROWS, ParquetTable};
use crate::safetensors_table::SafetensorsTable;
use crate::target::Target;
use crate::tsv::TsvTable;
use crate::values::OutDtype;

/// A format of result files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// numpy archive: pooled and per residue, all layers in one file.
    Npz,
    /// Tab-separated text: pooled only, one file per layer.
    Tsv,
    /// HDF5, one dataset per record: pooled and per residue, one file per layer.
    H5,
    /// Parquet: pooled and per residue, one file per layer.
    Parquet,
    /// Safetensors: pooled and per residue, all layers in one file.
    Safetensors,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Npz, Self::Tsv, Self::H5, Self::Parquet, Self::Safetensors];

    /// The name of the format, which is its suffix without the dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Tsv => "tsv",
            Self::H5 => "h5",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
        }
    }

    /// The format called `name`, in any case of letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The format that the suffix of `path` stands for.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`] with the known suffixes.
    pub fn of_path(path: &Path) -> Result<Self, StoreError> {
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        suffix
            .and_then(Self::from_name)
            .ok_or_else(|| StoreError::UnknownFormat { path: path.to_path_buf(), known: suffixes(|_| true) })
    }

    /// Whether it can hold per-residue states.
    pub fn holds_residues(self) -> bool {
        self != Self::Tsv
    }

    /// Whether it can hold square maps of pairs of residues.
    pub fn holds_maps(self) -> bool {
        matches!(self, Self::Npz | Self::H5)
    }

    /// Whether several layers go into one file.
    pub fn holds_layers(self) -> bool {
        matches!(self, Self::Npz | Self::Safetensors)
    }

    /// Whether it tells the length of each protein beside its pooled vector.
    pub fn tells_lengths(self) -> bool {
        self == Self::Parquet
    }

    /// Bytes that results of this plan will take, over all files; for TSV an estimate from 11 characters per
    /// number. `residues` is the sum of L for per-residue states, `id_chars` the letters of the longest id.
    pub fn estimated_bytes(self, plan: &TablePlan, residues: Option<usize>, id_chars: usize) -> u64 {
        let layers = plan.layers.len() as u64;
        let rows = residues.unwrap_or(plan.rows) as u64;
        let numbers = rows.saturating_mul(plan.width as u64).saturating_mul(layers);
        let records = plan.rows as u64;
        let ids = records * id_chars as u64;
        let values = numbers.saturating_mul(plan.dtype.bytes() as u64);
        let offsets = residues.map_or(0, |_| 8 * records);
        match self {
            Self::Npz => values + ids * 4 + offsets,
            Self::Tsv => numbers.saturating_mul(12) + ids * layers,
            // Object header, entry and name of each dataset.
            Self::H5 => values + (records * H5_RECORD_BYTES + ids * 2) * layers,
            Self::Parquet => values + (rows * 4 + ids + records * 4) * layers,
            Self::Safetensors => values + ids + records * 3 + offsets,
        }
    }
}

impl Format {
    /// Bytes of results that a writer of this plan holds in memory at a time; `residues` as in
    /// [`Format::estimated_bytes`].
    pub fn held_bytes(self, plan: &TablePlan, residues: Option<usize>) -> u64 {
        match self {
            Self::Parquet => {
                let rows = residues.unwrap_or(plan.rows).min(GROUP_ROWS) * plan.layers.len();
                (rows as u64).saturating_mul((plan.width * plan.dtype.bytes()) as u64)
            }
            Self::Npz | Self::Tsv | Self::H5 | Self::Safetensors => 0,
        }
    }
}

/// Bytes that a dataset takes in a `.h5` beside its numbers and its id.
const H5_RECORD_BYTES: u64 = 360;

/// Names of the datasets of a `.h5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum H5Layout {
    /// The id, as in the files of UniProt.
    #[default]
    Uniprot,
    /// The number of the record in the input, as in the files of bio_embeddings.
    BioEmbeddings,
}

impl H5Layout {
    /// Every layout.
    pub const ALL: [Self; 2] = [Self::Uniprot, Self::BioEmbeddings];

    /// The name of the layout.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniprot => "uniprot",
            Self::BioEmbeddings => "bio_embeddings",
        }
    }

    /// The layout called `name`, in any case of letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name().eq_ignore_ascii_case(name))
    }
}

/// What a result file will hold. The host knows all of it before the first number is computed.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Number of records: exactly so many must be pushed.
    pub rows: usize,
    /// C, numbers per row; at least 1.
    pub width: usize,
    /// Layers in the order of every push, counted from 0 (the embedding): at least one, none twice.
    pub layers: Vec<usize>,
    /// Number type in the file.
    pub dtype: OutDtype,
    /// What the file says about itself; the key `layers` is filled in by the writers.
    pub metadata: Metadata,
    /// Names of the datasets of a `.h5`; other formats do not look at it.
    pub h5_layout: H5Layout,
}

/// Key of the metadata of log-probabilities: the token of each of their V columns. A table with it says `logprobs` where
/// others say `embeddings`, and names the tokens in a place of its own, where its format has one.
pub const TOKENS_KEY: &str = "tokens";

/// What stands in the place of `embeddings` in names of arrays and columns of log-probabilities.
pub(crate) const LOGPROBS: &str = "logprobs";

impl TablePlan {
    /// The token of each column, where the numbers are log-probabilities.
    pub(crate) fn tokens(&self) -> Option<Vec<&str>> {
        let tokens = self.metadata.get(TOKENS_KEY)?.as_array()?;
        tokens.iter().map(serde_json::Value::as_str).collect()
    }

    /// The name of what the table holds, where that of an embedding would be `embeddings`.
    pub(crate) fn content(&self, embeddings: &'static str) -> &'static str {
        if self.tokens().is_some() { LOGPROBS } else { embeddings }
    }

    /// Refuses what no file can hold.
    pub(crate) fn check(&self, path: &Path, rows: usize) -> Result<(), StoreError> {
        let impossible = |reason| Err(StoreError::Plan { path: path.to_path_buf(), reason });
        if self.width == 0 {
            return impossible("a row needs at least one number");
        }
        if self.layers.is_empty() {
            return impossible("at least one layer is wanted");
        }
        if (1..self.layers.len()).any(|place| self.layers[..place].contains(&self.layers[place])) {
            return impossible("a layer is named twice");
        }
        // Numpy's own limit, with room for the header of the array.
        match rows.checked_mul(self.width).and_then(|count| count.checked_mul(8)) {
            Some(bytes) if i64::try_from(bytes).is_ok() => Ok(()),
            _ => impossible("the table is larger than any file"),
        }
    }

    /// Checks that one record has the planned layers with `rows` rows each.
    pub(crate) fn check_layers(&self, id: &str, layers: &[&[f32]], rows: usize) -> Result<(), StoreError> {
        if layers.len() != self.layers.len() {
            return Err(StoreError::Layers {
                id: id.to_owned(),
                wanted: self.layers.len(),
                found: layers.len(),
            });
        }
        let wanted = rows * self.width;
        match layers.iter().position(|values| values.len() != wanted) {
            None => Ok(()),
            Some(place) => Err(StoreError::Shape {
                id: id.to_owned(),
                layer: self.layers[place],
                wanted,
                found: layers[place].len(),
            }),
        }
    }
}

/// One kind of writer per format, for either kind of result.
enum Table {
    Npz(Box<NpzTable>),
    Tsv(Box<TsvTable>),
    H5(Box<H5Table>),
    Parquet(Box<ParquetTable>),
    Safetensors(Box<SafetensorsTable>),
}

impl Table {
    fn create(
        target: &Path,
        format: Format,
        plan: &TablePlan,
        residues: Option<usize>,
    ) -> Result<Self, StoreError> {
        Ok(match format {
            Format::Npz => Self::Npz(Box::new(NpzTable::create(target, plan, residues)?)),
            Format::Tsv => Self::Tsv(Box::new(TsvTable::create(target, plan)?)),
            Format::H5 => Self::H5(Box::new(H5Table::create(target, plan, residues)?)),
            Format::Parquet => Self::Parquet(Box::new(ParquetTable::create(target, plan, residues)?)),
            Format::Safetensors => {
                Self::Safetensors(Box::new(SafetensorsTable::create(target, plan, residues)?))
            }
        })
    }

    fn push(&mut self, id: &str, length: usize, layers: &[&[f32]]) -> Result<(), StoreError> {
        match self {
            Self::Npz(table) => table.push(id, layers),
            Self::Tsv(table) => table.push(id, layers),
            Self::H5(table) => table.push(id, layers),
            Self::Parquet(table) => table.push(id, length, layers),
            Self::Safetensors(table) => table.push(id, layers),
        }
    }

    fn finish(self) -> Result<OutputSet, StoreError> {
        match self {
            Self::Npz(table) => Ok(OutputSet::from(vec![table.finish()?])),
            Self::Tsv(table) => table.finish(),
            Self::H5(table) => table.finish(),
            Self::Parquet(table) => table.finish(),
            Self::Safetensors(table) => Ok(OutputSet::from(vec![table.finish()?])),
        }
    }
}

/// Pooled vectors: one row of C numbers per record and layer.
pub struct PooledWriter {
    table: Table,
}

impl PooledWriter {
    /// Begins the file or files of `target`.
    ///
    /// # Errors
    /// An impossible plan, several layers for a format that needs a file for each and a target that is a
    /// stream, and whatever the system says to new files.
    pub fn create(target: &Path, format: Format, plan: &TablePlan) -> Result<Self, StoreError> {
        Ok(Self { table: Table::create(target, format, plan, None)? })
    }

    /// Writes the next record in input order: for each layer of the plan its C numbers. `length` is L, the
    /// residues of the record, for the formats that tell it.
    ///
    /// # Errors
    /// Values of another shape than planned, too many records, values that the number type or an id that the format
    /// cannot hold, and [`StoreError::Io`]. After any error the writer cannot be finished.
    pub fn push(&mut self, id: &str, length: usize, layers: &[&[f32]]) -> Result<(), StoreError> {
        self.table.push(id, length, layers)
    }

    /// Completes the files, which still lack their names: commit the set for that.
    ///
    /// # Errors
    /// Fewer records than planned, an earlier failure, and [`StoreError::Io`].
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        self.table.finish()
    }
}

/// Per-residue states: L rows of C numbers per record and layer.
pub struct ResidueWriter {
    table: Table,
}

impl ResidueWriter {
    /// Begins the file or files of `target`, which will have `residues` rows (sum of L).
    ///
    /// # Errors
    /// A format that cannot hold states, and those of [`PooledWriter::create`].
    pub fn create(
        target: &Path,
        format: Format,
        plan: &TablePlan,
        residues: usize,
    ) -> Result<Self, StoreError> {
        if !format.holds_residues() {
            return Err(StoreError::NoResidues {
                path: target.to_path_buf(),
                format: format.name(),
                able: suffixes(Format::holds_residues),
            });
        }
        Ok(Self { table: Table::create(target, format, plan, Some(residues))? })
    }

    /// Writes the next record in input order: for each layer of the plan its L x C numbers, row by row.
    ///
    /// # Errors
    /// As [`PooledWriter::push`], and more residues than planned.
    pub fn push(&mut self, id: &str, layers: &[&[f32]]) -> Result<(), StoreError> {
        // Every format takes the length of a per-residue record from its rows.
        self.table.push(id, 0, layers)
    }

    /// Completes the files, which still lack their names: commit the set for that.
    ///
    /// # Errors
    /// As [`PooledWriter::finish`], and fewer residues than planned.
    pub fn finish(self) -> Result<OutputSet, StoreError> {
        self.table.finish()
    }
}

/// The files that a result of these layers goes to, in the order of the layers.
///
/// # Errors
/// Those of [`Target::resolve`], and [`StoreError::OneTable`] where a stream would have to take several.
pub fn output_paths(target: &Path, format: Format, layers: &[usize]) -> Result<Vec<PathBuf>, StoreError> {
    if format.holds_layers() || layers.len() == 1 {
        return Ok(vec![target.to_path_buf()]);
    }
    if Target::resolve(target)?.is_stream() {
        return Err(StoreError::OneTable { path: target.to_path_buf(), layers: layers.len() });
    }
    Ok(layers.iter().map(|layer| layer_path(target, *layer)).collect())
}

/// The file of one layer, for formats with one file per layer: `.layer<N>` before the suffix.
pub fn layer_path(target: &Path, layer: usize) -> PathBuf {
    let mut name = OsString::from(target.file_stem().unwrap_or_default());
    name.push(format!(".layer{layer}"));
    if let Some(suffix) = target.extension() {
        name.push(".");
        name.push(suffix);
    }
    target.with_file_name(name)
}

/// The suffixes of the formats that `chosen` takes, for messages.
pub(crate) fn suffixes(chosen: impl Fn(Format) -> bool) -> String {
    let names: Vec<String> = Format::ALL
        .into_iter()
        .filter(|format| chosen(*format))
        .map(|format| format!(".{}", format.name()))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_decides_and_the_error_lists_what_is_known() {
        assert_eq!(Format::of_path(Path::new("a/b.c.NPZ")).unwrap(), Format::Npz);
        assert_eq!(Format::of_path(Path::new("b.tsv")).unwrap(), Format::Tsv);
        for unknown in ["b.csv", "b", "-", ".npz", "b.tsv.gz"] {
            let text = Format::of_path(Path::new(unknown)).unwrap_err().to_string();
            assert!(text.contains(".npz, .tsv, .h5, .parquet, .safetensors"), "{text}");
        }
    }

    #[test]
    fn writers_may_move_to_a_thread_of_their_own() {
        fn is_send<T: Send>() {}
        is_send::<PooledWriter>();
        is_send::<ResidueWriter>();
        is_send::<OutputSet>();
        is_send::<crate::ResultReader>();
    }

    #[test]
    fn the_layer_stands_before_the_suffix() {
        assert_eq!(layer_path(Path::new("d.x/out.v1.tsv"), 12), Path::new("d.x/out.v1.layer12.tsv"));
        assert_eq!(layer_path(Path::new("out"), 0), Path::new("out.layer0"));
    }

    #[test]
    fn plans_that_no_file_can_follow_are_refused() {
        let plan = |rows, width, layers: &[usize]| {
            let plan = TablePlan {
                rows,
                width,
                layers: layers.to_vec(),
                dtype: OutDtype::F32,
                metadata: Metadata::new(),
                h5_layout: H5Layout::default(),
            };
            plan.check(Path::new("x.npz"), rows)
        };
        assert!(plan(0, 1, &[0]).is_ok());
        assert!(plan(1, 0, &[0]).is_err());
        assert!(plan(1, 1, &[]).is_err());
        assert!(plan(1, 1, &[3, 4, 3]).is_err());
        assert!(plan(usize::MAX / 4, 5, &[0]).is_err());
    }

    #[test]
    fn residues_as_text_are_refused_with_the_formats_that_can() {
        let plan = TablePlan {
            rows: 1,
            width: 1,
            layers: vec![1],
            dtype: OutDtype::F32,
            metadata: Metadata::new(),
            h5_layout: H5Layout::default(),
        };
        let error = ResidueWriter::create(Path::new("r.tsv"), Format::Tsv, &plan, 1).err().unwrap();
        assert!(
            error.to_string().ends_with("formats that can are .npz, .h5, .parquet, .safetensors"),
            "{error}"
        );
    }

    #[test]
    fn one_stream_cannot_take_several_tables() {
        for stream in ["-", "/dev/null"] {
            let stream = Path::new(stream);
            assert!(matches!(
                output_paths(stream, Format::Tsv, &[1, 2]),
                Err(StoreError::OneTable { layers: 2, .. })
            ));
            assert!(output_paths(stream, Format::Tsv, &[1]).is_ok());
            assert!(output_paths(stream, Format::Npz, &[1, 2]).is_ok());
        }
    }
}

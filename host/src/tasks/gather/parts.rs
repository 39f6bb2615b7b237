//! Parts, looked at and put in order before any of them is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pliant_store::{
    FailureList, Metadata, OutDtype, ResultKind, ResultReader, SplitFile, StoreError, failures_path,
    layer_path,
};
use serde_json::Value;

use super::error::GatherError;
use crate::cli::gather::GatherPlan;

/// Key of the metadata that places a part: the hash of the records it was computed from.
pub(super) const INPUT_KEY: &str = "input";

/// What the metadata of a table of scores says that it holds.
const SCORES: &str = "perplexity";

/// The result for one shard, looked at and closed again.
pub(super) struct Part {
    /// Its path.
    pub(super) path: PathBuf,
    /// The number of its shard, from 0.
    pub(super) shard: usize,
    /// What it says of itself.
    pub(super) metadata: Metadata,
    /// What its values are.
    pub(super) kind: ResultKind,
    /// C, numbers of a row.
    pub(super) width: usize,
    /// Its layers.
    pub(super) layers: Vec<usize>,
    /// Number type in the file.
    pub(super) dtype: OutDtype,
    /// Records it holds.
    pub(super) records: usize,
    /// Residues it holds, where its values are states of residues.
    pub(super) residues: Option<usize>,
    /// The failed records of its run, where a list stands beside it.
    pub(super) failures: Option<FailureList>,
}

/// Looks at all parts of `plan` and puts them in the order of the shards. All of them fit each other, and there is
/// one for each shard.
///
/// # Errors
/// A part that cannot be read, and every [`GatherError`] of a set of parts that is no whole.
pub(super) fn ordered(plan: &GatherPlan, split: &SplitFile) -> anyhow::Result<Vec<Part>> {
    let places: BTreeMap<&str, usize> =
        split.shards.iter().enumerate().map(|(place, shard)| (shard.input.as_str(), place)).collect();
    let mut parts = Vec::with_capacity(plan.parts.len());
    for path in &plan.parts {
        parts.push(Part::look(path, plan, split, &places)?);
    }
    // Stable: two parts of one shard stand in the order in which they were named.
    parts.sort_by_key(|part| part.shard);
    if let Some((first, others)) = parts.split_first() {
        others.iter().try_for_each(|other| first.same_settings(other))?;
    }
    // A file without records need not know the width of its rows.
    let filled: Vec<&Part> = parts.iter().filter(|part| part.records > 0).collect();
    if let Some((first, others)) = filled.split_first() {
        others.iter().try_for_each(|other| first.same_shape(other))?;
    }
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].shard == pair[1].shard) {
        return Err(GatherError::Doubled {
            first: pair[0].path.clone(),
            second: pair[1].path.clone(),
            shard: split.shards[pair[0].shard].file.clone(),
        }
        .into());
    }
    let found: BTreeSet<usize> = parts.iter().map(|part| part.shard).collect();
    let missing = (0..split.shards.len()).filter(|shard| !found.contains(shard));
    let missing: Vec<String> = missing.map(|shard| split.shards[shard].file.clone()).collect();
    if !missing.is_empty() {
        let (shards, split) = (split.shards.len(), plan.split.clone().unwrap_or_default());
        return Err(GatherError::Missing { missing, shards, split }.into());
    }
    parts.iter().try_for_each(|part| part.holds_its_shard(plan, split))?;
    Ok(parts)
}

impl Part {
    fn look(
        path: &Path,
        plan: &GatherPlan,
        split: &SplitFile,
        places: &BTreeMap<&str, usize>,
    ) -> anyhow::Result<Self> {
        let reader = ResultReader::open(path)?;
        let (part, file) = (path.to_path_buf(), plan.split.clone().unwrap_or_default());
        let Some(metadata) = reader.metadata().cloned() else {
            return Err(GatherError::Nameless { part, split: file }.into());
        };
        let Some(input) = metadata.get(INPUT_KEY).and_then(Value::as_str) else {
            return Err(GatherError::Nameless { part, split: file }.into());
        };
        let Some(&shard) = places.get(input) else {
            let (input, id, whole) = (input.to_owned(), split.id.clone(), input == split.input);
            return Err(GatherError::Foreign { part, split: file, input, id, whole }.into());
        };
        Ok(Self {
            shard,
            kind: reader.kind(),
            width: reader.width(),
            layers: reader.layers().to_vec(),
            dtype: reader.dtype(),
            records: reader.records(),
            residues: reader.residues(),
            failures: failures_of(path, reader.layers())?,
            metadata,
            path: part,
        })
    }

    /// Whether its rows are scores of proteins, a table of named columns, and no vectors.
    pub(super) fn is_scores(&self) -> bool {
        self.metadata.get("output").and_then(Value::as_str) == Some(SCORES)
    }

    /// Opens the part again and checks that it is still what it was.
    ///
    /// # Errors
    /// [`GatherError::Changed`], and what the reader says.
    pub(super) fn open(&self) -> anyhow::Result<ResultReader> {
        let reader = ResultReader::open(&self.path)?;
        let same = reader.metadata() == Some(&self.metadata)
            && (reader.kind(), reader.width(), reader.dtype()) == (self.kind, self.width, self.dtype)
            && reader.layers() == self.layers
            && reader.residues() == self.residues;
        if same && reader.records() == self.records {
            return Ok(reader);
        }
        Err(self.changed(reader.records()).into())
    }

    /// The error where the part has other records now.
    pub(super) fn changed(&self, found: usize) -> GatherError {
        let wanted = format!("{} records as first seen", self.records);
        GatherError::Changed { part: self.path.clone(), found: format!("{found} records"), wanted }
    }

    /// Checks that another part was computed in the same way.
    fn same_settings(&self, other: &Self) -> Result<(), GatherError> {
        let keys: BTreeSet<&str> = self.metadata.keys().chain(other.metadata.keys()).collect();
        let shown = |part: &Self, key: &str| match part.metadata.get(key) {
            None => "not there".to_owned(),
            Some(value) => value.to_string(),
        };
        for key in keys.into_iter().filter(|key| *key != INPUT_KEY) {
            if self.metadata.get(key) != other.metadata.get(key) {
                return Err(self.differs(other, key, shown(self, key), shown(other, key)));
            }
        }
        Ok(())
    }

    /// Checks that another part has rows of the same kind. Files of this program with the same settings do.
    fn same_shape(&self, other: &Self) -> Result<(), GatherError> {
        let properties = |part: &Self| {
            [
                ("kind", format!("{:?}", part.kind)),
                ("width", part.width.to_string()),
                ("layers", format!("{:?}", part.layers)),
                ("dtype", format!("{:?}", part.dtype)),
            ]
        };
        let mut pairs = properties(self).into_iter().zip(properties(other));
        match pairs.find(|(ours, theirs)| ours != theirs) {
            None => Ok(()),
            Some(((what, ours), (_, theirs))) => Err(self.differs(other, what, ours, theirs)),
        }
    }

    fn differs(&self, other: &Self, what: &str, first_value: String, second_value: String) -> GatherError {
        let (first, second) = (self.path.clone(), other.path.clone());
        GatherError::Differ { first, second, what: what.to_owned(), first_value, second_value }
    }

    /// Checks the number of records. A part may lack those of its shard that were too long for its policy; where a
    /// list stands beside it, it tells them all.
    fn holds_its_shard(&self, plan: &GatherPlan, split: &SplitFile) -> Result<(), GatherError> {
        let shard = &split.shards[self.shard];
        let (part, found, wanted) = (self.path.clone(), self.records, shard.records);
        let file = shard.file.clone();
        if found as u64 > wanted {
            return Err(GatherError::TooMany {
                part,
                split: plan.split.clone().unwrap_or_default(),
                shard: file,
                found,
                wanted,
            });
        }
        let lacking = wanted - found as u64;
        let explained = match &self.failures {
            Some(list) => list.rows() == lacking,
            None => lacking == 0 || self.may_leave_out(),
        };
        if explained {
            return Ok(());
        }
        let list = self.failures.as_ref().map(|list| (list.path().to_path_buf(), list.rows()));
        Err(GatherError::TooFew { part, shard: file, found, wanted, list })
    }

    /// Whether records may be missing without a list, as for the states of residues, whose list stands beside the
    /// pooled vectors.
    fn may_leave_out(&self) -> bool {
        matches!(self.metadata.get("long").and_then(Value::as_str), Some("skip" | "error"))
    }
}

/// The list of failed records beside a part. That of a file of one layer may be named after the whole result.
fn failures_of(part: &Path, layers: &[usize]) -> Result<Option<FailureList>, StoreError> {
    let whole = match layers {
        [layer] => without_layer(part, *layer),
        _ => None,
    };
    for candidate in [Some(part.to_path_buf()), whole].into_iter().flatten() {
        match failures_path(&candidate)? {
            Some(list) if list.exists() => return FailureList::read(&list).map(Some),
            _ => {}
        }
    }
    Ok(None)
}

/// The path that [`layer_path`] made `part` of.
fn without_layer(part: &Path, layer: usize) -> Option<PathBuf> {
    let stem = part.file_stem()?.to_str()?.strip_suffix(&format!(".layer{layer}"))?;
    let mut whole = part.with_file_name(stem);
    if let Some(suffix) = part.extension() {
        whole.as_mut_os_string().push(".");
        whole.as_mut_os_string().push(suffix);
    }
    (layer_path(&whole, layer) == part).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_whole_is_found_from_that_of_a_layer() {
        assert_eq!(without_layer(Path::new("d/a.b.layer6.tsv"), 6), Some(PathBuf::from("d/a.b.tsv")));
        assert_eq!(without_layer(Path::new("a.layer6"), 6), None);
        assert_eq!(without_layer(Path::new("a.layer6.tsv"), 5), None);
        assert_eq!(without_layer(Path::new("a.tsv"), 6), None);
    }
}

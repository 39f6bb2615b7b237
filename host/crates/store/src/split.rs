//! `split.json`: which shards an input was cut into, and how to know them again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Action, StoreError};

/// Names the layout of the file; changes when that layout changes.
pub const SPLIT_FORMAT: &str = "pliant-split-1";

/// Bytes of a `split.json` at most: room for about a million shards.
const MAX_BYTES: u64 = 256 << 20;

/// Digits of a hash of records.
const HASH_DIGITS: usize = 64;

/// An input that was cut into contiguous shards. The fields stand in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFile {
    /// [`SPLIT_FORMAT`].
    pub format: String,
    /// The part of the headers that is the id, as `--id` names it.
    pub id: String,
    /// The hash of all records.
    pub input: String,
    /// Good, unique records of the input.
    pub records: u64,
    /// Their residues.
    pub residues: u64,
    /// The shards in the order of the input, at least one.
    pub shards: Vec<ShardEntry>,
}

/// One shard. The fields stand in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Name of its file, which lies beside `split.json`.
    pub file: String,
    /// Number of its first record in the input, from 0.
    pub first: u64,
    /// The hash of its records.
    pub input: String,
    /// Its records, at least one.
    pub records: u64,
    /// Their residues.
    pub residues: u64,
}

impl SplitFile {
    /// The bytes of the file: JSON with sorted keys, the same for the same content.
    ///
    /// # Errors
    /// None that is known: text and numbers can all be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Reads the file back and checks that it is one whole.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Malformed`] where it is no such file or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::io(Action::Read, path, cause);
        let malformed = |reason| StoreError::Malformed { path: path.to_path_buf(), reason };
        let mut text = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text)).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(malformed(format!(
                "it has more than {MAX_BYTES} bytes, so 'pliant split' did not write it"
            )));
        }
        let found: Self = serde_json::from_slice(&text)
            .map_err(|cause| malformed(format!("it is not what 'pliant split' writes: {cause}")))?;
        found.check().map_err(malformed)?;
        Ok(found)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != SPLIT_FORMAT {
            return Err(format!("found format {:?}, wanted {SPLIT_FORMAT:?}", self.format));
        }
        check_hash("the input", &self.input)?;
        let (mut records, mut residues) = (0u64, 0u64);
        let (mut files, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        for (place, shard) in self.shards.iter().enumerate() {
            shard.check(place, records)?;
            // Neither can wrap: `first` follows the one, and a record has a bounded length.
            records = records.checked_add(shard.records).ok_or("it counts more records than there can be")?;
            residues =
                residues.checked_add(shard.residues).ok_or("it counts more residues than there can be")?;
            if !files.insert(&shard.file) {
                return Err(format!("two shards have the file {:?}", shard.file));
            }
            if !hashes.insert(&shard.input) {
                return Err(format!("two shards have the hash {}", shard.input));
            }
        }
        if self.shards.is_empty() {
            return Err("it has no shard".to_owned());
        }
        if (records, residues) != (self.records, self.residues) {
            return Err(format!(
                "its shards have {records} records and {residues} residues, but it announces {} and {}",
                self.records, self.residues
            ));
        }
        Ok(())
    }
}

impl ShardEntry {
    /// Checks shard number `place`, before which `records` records stand.
    fn check(&self, place: usize, records: u64) -> Result<(), String> {
        let plain = !self.file.is_empty() && ![".", ".."].contains(&self.file.as_str());
        if !plain || self.file.contains(['/', '\\', '\0']) {
            return Err(format!("shard {place} has the file {:?}, a plain name was wanted", self.file));
        }
        check_hash(&self.file, &self.input)?;
        if self.first != records {
            return Err(format!("{} begins at record {}, wanted {records}", self.file, self.first));
        }
        if self.records == 0 || self.residues < self.records {
            return Err(format!(
                "{} has {} records with {} residues; each must have one at least",
                self.file, self.records, self.residues
            ));
        }
        Ok(())
    }
}

fn check_hash(of: &str, hash: &str) -> Result<(), String> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match hash.len() == HASH_DIGITS && hash.bytes().all(digit) {
        true => Ok(()),
        false => Err(format!("the hash of {of} is {hash:?}, wanted {HASH_DIGITS} hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SplitFile {
        let shard = |number: u64| ShardEntry {
            file: format!("shard_{:04}.fasta", number + 1),
            first: number * 2,
            input: format!("{number:064x}"),
            records: 2,
            residues: 30,
        };
        SplitFile {
            format: SPLIT_FORMAT.to_owned(),
            id: "word".to_owned(),
            input: "ab".repeat(32),
            records: 4,
            residues: 60,
            shards: vec![shard(0), shard(1)],
        }
    }

    fn read(text: &str) -> Result<SplitFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split.json");
        std::fs::write(&path, text).unwrap();
        SplitFile::read(&path).map_err(|error| {
            assert!(
                matches!(error, StoreError::Malformed { .. }) && error.to_string().contains("split.json")
            );
            error.to_string()
        })
    }

    #[test]
    fn what_was_written_is_read_back_and_its_keys_are_sorted() {
        let text = sample().to_json().unwrap();
        assert_eq!(read(&text), Ok(sample()));
        let keys = |indent: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(indent)?.strip_prefix('"'));
            lines.map(|line| line.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys("  "), ["format", "id", "input", "records", "residues", "shards"]);
        assert_eq!(keys("      ")[..5], ["file", "first", "input", "records", "residues"]);
    }

    #[test]
    fn contradictions_are_refused() {
        let case = |change: &dyn Fn(&mut SplitFile), wanted: &str| {
            let mut split = sample();
            change(&mut split);
            let reason = read(&split.to_json().unwrap()).unwrap_err();
            assert!(reason.contains(wanted), "{reason}");
        };
        case(&|split| split.format = "pliant-split-2".into(), "pliant-split-2");
        case(&|split| split.input = "AB".repeat(32), "hash of the input");
        case(&|split| split.shards[1].input = "0".into(), "hash of shard_0002.fasta");
        case(&|split| split.shards[1].input = split.shards[0].input.clone(), "two shards have the hash");
        case(&|split| split.shards[1].file = split.shards[0].file.clone(), "two shards have the file");
        case(&|split| split.shards[1].first = 3, "begins at record 3, wanted 2");
        case(&|split| split.shards[1].records = 0, "one at least");
        case(&|split| split.shards[1].residues = 1, "one at least");
        case(&|split| split.records = 5, "announces 5");
        case(&|split| split.residues = 61, "and 61");
        case(&|split| drop(split.shards.pop()), "announces 4");
        case(&|split| split.shards.clear(), "no shard");
        case(&|split| split.shards[0].residues = u64::MAX, "more residues");
        for name in ["", ".", "..", "/etc/passwd", "a/b", "..\\b", "a\0"] {
            case(&|split| split.shards[0].file = name.into(), "a plain name");
        }
    }

    #[test]
    fn what_is_no_split_file_is_refused() {
        let good = sample().to_json().unwrap();
        for end in 0..good.trim_end().len() {
            assert!(read(&good[..end]).is_err(), "cut at {end}");
        }
        for text in [
            "[]".to_owned(),
            good.replace("\"id\"", "\"extra\": 1,\n  \"id\""),
            good.replace("\"first\": 2", "\"first\": -2"),
            good.replace("\"first\": 2", "\"first\": 2.5"),
            good.replace("\"records\": 4", "\"records\": 4, \"records\": 4"),
            "[".repeat(100_000),
        ] {
            assert!(read(&text).is_err(), "{}", &text[..text.len().min(200)]);
        }
    }
}

//! Counting.

use std::fs;
use std::path::Path;

use super::super::database;
use super::super::entry::Kind;
use super::super::error::CacheFault;
use super::super::files::{StateFiles, with_suffix};
use super::super::shard;
use super::{CacheOptions, scan};

/// What a cache holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Number of its schema.
    pub schema: i64,
    /// Pooled vectors.
    pub pooled: u64,
    /// Per-residue results.
    pub residues: u64,
    /// Rows that are damaged, as far as the rows themselves tell.
    pub damaged: u64,
    /// Bytes of the database, its log included.
    pub database_bytes: u64,
    /// Files of states.
    pub files: u64,
    /// Bytes of them.
    pub file_bytes: u64,
    /// Shards that wait to be merged.
    pub shards: u64,
    /// Bytes of them.
    pub shard_bytes: u64,
    /// The first and the last day on which an entry was used, from 1970-01-01.
    pub used: Option<(i64, i64)>,
}

/// Counts what a cache holds.
///
/// # Errors
/// A cache that is missing, no cache, or cannot be read.
pub fn stats(options: &CacheOptions) -> Result<Overview, CacheFault> {
    let path = &options.path;
    let connection = database::look(path, options.sharing)?;
    let mut found = Overview { schema: database::SCHEMA, ..Overview::default() };
    let count = |scanned: super::Scanned<'_>| {
        let Ok((columns, shape)) = scanned.entry else {
            found.damaged += 1;
            return Ok(());
        };
        match shape.kind {
            Kind::Pooled => found.pooled += 1,
            Kind::Residues => found.residues += 1,
        }
        let day = columns.last_used;
        let (first, last) = found.used.unwrap_or((day, day));
        found.used = Some((first.min(day), last.max(day)));
        Ok(())
    };
    scan(&connection, false, count, |error| CacheFault::database("read", path)(error))?;
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    found.database_bytes = size(path) + size(&with_suffix(path, "-wal"));
    let files = StateFiles::beside(path).list().map_err(CacheFault::io("list the files of", path))?;
    found.files = files.len() as u64;
    found.file_bytes = files.iter().map(|file| file.bytes).sum();
    let shards = shard::published(path).map_err(CacheFault::io("list the shards of", path))?;
    found.shards = shards.len() as u64;
    found.shard_bytes = shards.iter().map(|shard| size(shard)).sum();
    Ok(found)
}

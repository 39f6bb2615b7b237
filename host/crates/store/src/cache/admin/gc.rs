//! Shrinking a cache: what was not used for longest goes first.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::super::CacheOptions;
use super::super::entry::{HASH_BYTES, today};
use super::super::error::CacheFault;
use super::super::kill::point;
use super::super::shard;
use super::super::writer::begin;
use super::merge::open_shard;
use super::{Owned, bytes_of, scan};

/// A file of states that no row names is kept so long, because its row may be on its way.
const ORPHAN_AGE: Duration = Duration::from_secs(60 * 60);

/// What a cache may keep.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Bytes of all entries, those of files included.
    pub max_bytes: Option<u64>,
    /// Days since an entry was last used.
    pub max_days: Option<u64>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What was removed, and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Entries removed, damaged ones among them.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Entries left.
    pub left: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// Files removed that no entry named.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
}

/// An entry, as far as its fate depends on it.
struct Candidate {
    last_used: i64,
    rowid: i64,
    bytes: u64,
    hash: Option<[u8; HASH_BYTES]>,
    damaged: bool,
}

/// Removes what is beyond the limits, and files of states that no entry names, nor one of a shard that waits to be
/// merged.
///
/// # Errors
/// A cache that is missing, no cache, damaged in its structure, being changed by another owner, or cannot be written.
pub fn collect(options: &CacheOptions, limits: &Limits) -> Result<Collected, CacheFault> {
    let owned = Owned::open(options, false)?;
    let candidates = candidates(&owned)?;
    let (gone, mut collected) = choose(&candidates, limits);
    if !limits.dry_run {
        remove(&owned, options, &gone)?;
        point("gc: committed");
    }
    let kept = candidates.iter().filter(|candidate| !gone.contains(&candidate.rowid));
    let mut named: BTreeSet<[u8; HASH_BYTES]> = kept.filter_map(|candidate| candidate.hash).collect();
    name_those_of_shards(&options.path, &mut named)?;
    // Files of entries that go now are old enough to go with them.
    let left: BTreeSet<[u8; HASH_BYTES]> = candidates
        .iter()
        .filter(|candidate| gone.contains(&candidate.rowid))
        .filter_map(|gone| gone.hash)
        .collect();
    let files = owned.files.list().map_err(CacheFault::io("list the files of", &options.path))?;
    let now = SystemTime::now();
    for file in files {
        let old = now.duration_since(file.modified).is_ok_and(|age| age > ORPHAN_AGE);
        let of_gone = file.hash.is_some_and(|hash| left.contains(&hash));
        if file.hash.is_some_and(|hash| named.contains(&hash)) || !(old || of_gone) {
            continue;
        }
        if !of_gone {
            collected.orphans += 1;
            collected.orphan_bytes += file.bytes;
        }
        if !limits.dry_run {
            // One that stays is found by the next run.
            let _ = fs::remove_file(&file.path);
        }
    }
    if !limits.dry_run {
        owned.publish()?;
    }
    Ok(collected)
}

/// Adds the files of the shards that wait to be merged, which lie among those of the cache.
fn name_those_of_shards(cache: &Path, named: &mut BTreeSet<[u8; HASH_BYTES]>) -> Result<(), CacheFault> {
    for shard in shard::published(cache).map_err(CacheFault::io("list the shards of", cache))? {
        let look = |scanned: super::Scanned<'_>| {
            named.extend(scanned.entry.ok().and_then(|(columns, _)| columns.hash()));
            Ok(())
        };
        // A merge takes from a shard what can be read of it, and refuses it for the rest.
        let _ = open_shard(&shard).and_then(|source| {
            scan(&source, true, look, |error| CacheFault::database("read", &shard)(error))
        });
    }
    Ok(())
}

/// Every entry, the one that was not used for longest first; damaged ones before all.
fn candidates(owned: &Owned) -> Result<Vec<Candidate>, CacheFault> {
    let mut candidates = Vec::new();
    let look = |scanned: super::Scanned<'_>| {
        let rowid = scanned.rowid;
        candidates.push(match scanned.entry {
            Ok((columns, shape)) => Candidate {
                last_used: columns.last_used,
                rowid,
                bytes: bytes_of(shape),
                hash: columns.hash(),
                damaged: false,
            },
            Err(_) => Candidate { last_used: i64::MIN, rowid, bytes: 0, hash: None, damaged: true },
        });
        Ok(())
    };
    scan(&owned.connection, false, look, |error| owned.failed("read")(error))?;
    candidates.sort_by_key(|candidate| (candidate.last_used, candidate.rowid));
    Ok(candidates)
}

fn choose(candidates: &[Candidate], limits: &Limits) -> (BTreeSet<i64>, Collected) {
    let oldest = limits.max_days.map(|days| today().saturating_sub(i64::try_from(days).unwrap_or(i64::MAX)));
    let mut gone = BTreeSet::new();
    let mut collected = Collected::default();
    let mut left_bytes: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
    for candidate in candidates {
        let too_old = oldest.is_some_and(|oldest| candidate.last_used < oldest);
        let too_much = limits.max_bytes.is_some_and(|most| left_bytes > most);
        if !(too_old || too_much || candidate.damaged) {
            continue;
        }
        left_bytes -= candidate.bytes;
        gone.insert(candidate.rowid);
        collected.removed += 1;
        collected.removed_bytes += candidate.bytes;
    }
    collected.left = (candidates.len() - gone.len()) as u64;
    collected.left_bytes = left_bytes;
    (gone, collected)
}

fn remove(owned: &Owned, options: &CacheOptions, gone: &BTreeSet<i64>) -> Result<(), CacheFault> {
    let connection = &owned.connection;
    let work = || {
        begin(connection, options.wait)?;
        let mut statement = connection.prepare("DELETE FROM entry WHERE rowid = ?1")?;
        gone.iter().try_for_each(|rowid| statement.execute([rowid]).map(|_| ()))?;
        connection.execute_batch("COMMIT")?;
        // Gives pages back to the disk, a page for each step.
        let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(())
    };
    work().map_err(owned.failed("shrink"))
}

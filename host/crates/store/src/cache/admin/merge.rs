//! Adding the rows of shards to a cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::super::database::{self, Use};
use super::super::entry::{Columns, Shape};
use super::super::error::{CacheFault, Damage};
use super::super::files::{StateFiles, with_suffix};
use super::super::key::Key;
use super::super::kill::point;
use super::super::writer::{begin, insert};
use super::super::{CacheOptions, shard};
use super::{Owned, Scanned, scan};

/// Rows of a transaction: in tests few, so that a merge has many of them.
const BATCH_ROWS: u64 = if cfg!(test) { 4 } else { 4096 };

/// What a merge did.
#[derive(Debug, Default)]
pub struct Merged {
    /// Shards read, in their order.
    pub shards: Vec<PathBuf>,
    /// Entries added.
    pub added: u64,
    /// Entries that the cache had already.
    pub known: u64,
    /// Entries of the shards that are damaged and were left out, with their shard.
    pub bad: Vec<(PathBuf, Option<Key>, Damage)>,
    /// Shards that could not be read to their end, and why. They stay where they are.
    pub refused: Vec<(PathBuf, CacheFault)>,
}

/// Adds every undamaged row of `shards` to the cache, and the files of states that they name. With no shard named
/// those that tasks have published beside the cache are taken, and removed when they are in it.
///
/// # Errors
/// A cache that is no cache, is being changed by another owner, or cannot be written.
pub fn merge(options: &CacheOptions, shards: &[PathBuf]) -> Result<Merged, CacheFault> {
    let path = &options.path;
    let owned = Owned::open(options, true)?;
    let own = match shards {
        [] => shard::published(path).map_err(CacheFault::io("list the shards of", path))?,
        _ => Vec::new(),
    };
    let mut merged = Merged::default();
    for shard in shards.iter().chain(&own) {
        match take_all(&owned, shard, options, &mut merged) {
            Ok(()) => merged.shards.push(shard.clone()),
            Err(Stop::Shard(fault)) => merged.refused.push((shard.clone(), fault)),
            Err(Stop::Cache(fault)) => return Err(fault),
        }
    }
    owned.publish()?;
    for shard in own.iter().filter(|shard| merged.shards.contains(shard)) {
        // One that stays is merged again, which adds nothing.
        let _ = fs::remove_file(shard);
        point("merge: shard removed");
    }
    Ok(merged)
}

/// What ended the reading of a shard.
enum Stop {
    /// The shard itself.
    Shard(CacheFault),
    /// The cache that it goes to.
    Cache(CacheFault),
}

fn take_all(owned: &Owned, shard: &Path, options: &CacheOptions, merged: &mut Merged) -> Result<(), Stop> {
    let same = fs::canonicalize(shard).ok().zip(fs::canonicalize(&owned.path).ok());
    if same.is_some_and(|(shard, cache)| shard == cache) {
        let (path, found) = (shard.to_path_buf(), "the cache that it would be merged into");
        return Err(Stop::Shard(CacheFault::NotACache { path, found }));
    }
    let source = open_shard(shard).map_err(Stop::Shard)?;
    let cache = |error| Stop::Cache(owned.failed("write")(error));
    begin(&owned.connection, options.wait).map_err(cache)?;
    let (files, wait) = (StateFiles::of_shard(shard), options.wait);
    let mut taker = Taker { owned, files, shard, merged, wait, rows: 0, failed: None };
    let scanned =
        scan(&source, true, |row| taker.take(row), |error| CacheFault::database("read", shard)(error));
    if let Some(fault) = taker.failed.take() {
        // What it refused is rolled back as the connection ends.
        return Err(Stop::Cache(fault));
    }
    owned.connection.execute_batch("COMMIT").map_err(cache)?;
    point("merge: batch committed");
    scanned.map_err(Stop::Shard)
}

/// Opens a shard, which nobody writes. A cache that was used on a local disk may be merged too, log and all.
pub(super) fn open_shard(shard: &Path) -> Result<Connection, CacheFault> {
    let logged = fs::metadata(with_suffix(shard, "-wal")).is_ok_and(|log| log.len() > 0);
    database::open(shard, if logged { Use::Read } else { Use::Frozen })
}

/// Takes the rows of one shard.
struct Taker<'a> {
    owned: &'a Owned,
    files: Vec<StateFiles>,
    shard: &'a Path,
    merged: &'a mut Merged,
    /// How long a batch waits for tasks that write to the cache meanwhile.
    wait: Duration,
    rows: u64,
    /// What the cache refused.
    failed: Option<CacheFault>,
}

impl Taker<'_> {
    fn take(&mut self, row: Scanned<'_>) -> Result<(), CacheFault> {
        let (columns, shape) = match row.entry {
            Ok(entry) => entry,
            Err(damage) => return self.leave_out(None, damage),
        };
        match self.bring_file(&columns, shape) {
            Ok(Ok(())) => {}
            Ok(Err(damage)) => return self.leave_out(Some(columns.key), damage),
            Err(error) => return self.stop(CacheFault::io("write states beside", &self.owned.path)(error)),
        }
        let connection = &self.owned.connection;
        match insert(connection, &columns) {
            Ok(true) => self.merged.added += 1,
            Ok(false) => self.merged.known += 1,
            Err(error) => return self.stop(self.owned.failed("write")(error)),
        }
        self.rows += 1;
        if self.rows.is_multiple_of(BATCH_ROWS) {
            let begun = connection.execute_batch("COMMIT").and_then(|()| begin(connection, self.wait));
            if let Err(error) = begun {
                return self.stop(self.owned.failed("write")(error));
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, key: Option<Key>, damage: Damage) -> Result<(), CacheFault> {
        self.merged.bad.push((self.shard.to_path_buf(), key, damage));
        Ok(())
    }

    /// Ends the reading because of the cache.
    fn stop(&mut self, fault: CacheFault) -> Result<(), CacheFault> {
        self.failed = Some(fault);
        Err(CacheFault::Missing { path: PathBuf::new() })
    }

    /// Has the file of states that a row names beside the cache.
    fn bring_file(&self, columns: &Columns<'_>, shape: Shape) -> io::Result<Result<(), Damage>> {
        let Some(hash) = columns.hash() else { return Ok(Ok(())) };
        let bytes = shape.bytes();
        let mine = &self.owned.files;
        if mine.read(&hash, bytes).is_ok() {
            return Ok(Ok(()));
        }
        let mut found = Err(Damage::NoFile);
        for files in &self.files {
            found = files.read(&hash, bytes);
            if found.is_ok() {
                break;
            }
        }
        match found {
            Ok(content) => {
                mine.write(&content)?;
                point("merge: file named");
                Ok(Ok(()))
            }
            Err(damage) => Ok(Err(damage)),
        }
    }
}

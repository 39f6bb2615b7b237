//! What people do with a cache between runs.
//!
//! Reading needs nothing. Merging, shrinking and repairing have one owner at a time, who holds a lock beside the
//! cache; tasks that use the cache go on meanwhile. On a network file system the owner changes a copy on a disk of
//! this machine, which then replaces the cache in one step.

mod gc;
mod merge;
mod salvage;
mod stats;
mod verify;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::TempDir;

use super::database::{self, Use};
use super::entry::{COLUMNS, Columns, Kind, Shape};
use super::error::{CacheFault, Damage};
use super::files::with_suffix;
use super::files::{StateFiles, folder_beside};
use super::kill::point;
use super::shard::copy_durably;
use super::{CacheOptions, Sharing};

pub use gc::{Collected, Limits, collect};
pub use merge::{Merged, merge};
pub use stats::{Overview, stats};
pub use verify::{BadEntry, Checked, repair, verify};

/// Longest column `data` that a scan reads: a vector of four million numbers.
const DATA_BYTES: i64 = 16 << 20;

/// A cache that one process may rearrange.
struct Owned {
    connection: Connection,
    files: StateFiles,
    path: PathBuf,
    /// The copy that is worked on, where the cache itself cannot be.
    copy: Option<TempDir>,
    /// Held as long as this lives.
    _lock: File,
}

impl Owned {
    /// Takes the lock and opens the cache; where there is none and `create`, makes one.
    fn open(options: &CacheOptions, create: bool) -> Result<Self, CacheFault> {
        let path = &options.path;
        if !create && !path.exists() {
            return Err(CacheFault::Missing { path: path.clone() });
        }
        let lock = lock(path)?;
        let (target, copy) = match options.sharing {
            Sharing::Local => (path.clone(), None),
            Sharing::Network => {
                let copy = tempfile::tempdir().map_err(CacheFault::io("make a scratch folder for", path))?;
                let target = copy.path().join("cache.sqlite");
                if path.exists() {
                    fs::copy(path, &target).map_err(CacheFault::io("copy", path))?;
                    copy_log(path, &target)?;
                }
                (target, Some(copy))
            }
        };
        if !target.exists() {
            database::create(&target)?;
        }
        let connection = database::open(&target, Use::Write)?;
        let prepared = if copy.is_some() { database::own(&connection) } else { database::share(&connection) };
        prepared.map_err(CacheFault::database("open", path))?;
        Ok(Self { connection, files: StateFiles::beside(path), path: path.clone(), copy, _lock: lock })
    }

    /// Ends the work: the copy, where there is one, becomes the cache.
    fn publish(self) -> Result<(), CacheFault> {
        let Self { connection, path, copy, .. } = self;
        if copy.is_none() {
            // Tasks that hold the log keep it; it is then shortened by the last of them.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        let closed = connection.close().map_err(|(_, error)| error);
        closed.map_err(CacheFault::database("write", &path))?;
        if let Some(copy) = copy {
            // Its rows are in the copy. Beside a new database it would be taken for the log of that.
            for part in ["-wal", "-shm"] {
                let _ = fs::remove_file(with_suffix(&path, part));
            }
            let copied = copy_durably(&copy.path().join("cache.sqlite"), &path);
            copied.map_err(CacheFault::io("replace", &path))?;
        }
        point("merge: published");
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rusqlite::Error) -> CacheFault + use<> {
        CacheFault::database(action, &self.path)
    }
}

/// Copies the log that a process left which used the cache as one of its own machine, and was killed.
fn copy_log(cache: &Path, copy: &Path) -> Result<(), CacheFault> {
    let log = with_suffix(cache, "-wal");
    match fs::copy(&log, with_suffix(copy, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheFault::io("copy", &log)(error)),
        _ => Ok(()),
    }
}

/// Takes the lock of a cache, without waiting.
fn lock(cache: &Path) -> Result<File, CacheFault> {
    let folder = folder_beside(cache);
    let path = folder.join("lock");
    let above = cache.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !above.is_dir() {
        return Err(CacheFault::MissingFolder { path: cache.to_path_buf(), folder: above.to_path_buf() });
    }
    fs::create_dir_all(&folder).map_err(CacheFault::io("make", &folder))?;
    let file =
        File::options().create(true).append(true).open(&path).map_err(CacheFault::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        // Some network file systems have no such locks at all. Two owners there lose entries, never a number.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(CacheFault::Locked { path: cache.to_path_buf(), seconds: 0 }),
        Err(error) => Err(CacheFault::io("lock", &path)(error.into())),
    }
}

/// A row of a scan.
struct Scanned<'a> {
    rowid: i64,
    entry: Result<(Columns<'a>, Shape), Damage>,
}

/// Calls `look` for every row, sorted by key or, to find every row of a damaged file too, in the order of the file.
fn scan(
    connection: &Connection,
    by_key: bool,
    mut look: impl FnMut(Scanned<'_>) -> Result<(), CacheFault>,
    failed: impl Fn(rusqlite::Error) -> CacheFault,
) -> Result<(), CacheFault> {
    let order = if by_key { "key" } else { "rowid" };
    // `NOT INDEXED` reads the table itself, whose rows the index may not know.
    let hint = if by_key { "" } else { "NOT INDEXED" };
    let text = format!("SELECT {COLUMNS}, rowid FROM entry {hint} ORDER BY {order}");
    let mut statement = connection.prepare(&text).map_err(&failed)?;
    let mut rows = statement.query(params![0, DATA_BYTES]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let rowid = row.get(8).map_err(&failed)?;
        let entry = Columns::read(row).and_then(|(columns, _)| Ok((columns, columns.shape()?)));
        look(Scanned { rowid, entry })?;
    }
    Ok(())
}

/// Checks the file of an entry of states; says nothing about others.
fn check_file(files: &StateFiles, columns: &Columns<'_>, shape: Shape) -> Result<(), Damage> {
    match columns.hash() {
        Some(hash) => files.read(&hash, shape.bytes()).map(|_| ()),
        None => Ok(()),
    }
}

/// Bytes that an entry takes, near enough to rank and to sum.
fn bytes_of(shape: Shape) -> u64 {
    /// Columns beside the data, the index, and what SQLite adds.
    const OVERHEAD: u64 = 160;
    let states = if shape.kind == Kind::Residues { shape.bytes() as u64 } else { 0 };
    OVERHEAD + shape.column_bytes() as u64 + states
}

//! Results that were computed before, in one SQLite file that many processes share.
//!
//! | file | knows |
//! |---|---|
//! | [`key`] | what an entry is found by |
//! | [`entry`] | the columns of a row and their checksum |
//! | `database` | the file: how it is made and opened without trusting it |
//! | `files` | states of residues, in files named by their content |
//! | `writer` | the one thread that writes |
//! | `shard` | the private database of a task on a network file system |
//! | [`admin`] | what people do with a cache: counting, checking, merging, shrinking |
//!
//! Values are kept as f32, bit for bit. Whatever is wrong with a cache is a fault that is counted, and a miss: it
//! never ends a task and never changes a number.
//!
//! ```text
//! <cache>                       the database (and, while it is used, <cache>-wal and <cache>-shm)
//! <cache>.d/ab/ab…              states [L, C] of one record and layer
//! <cache>.d/shards/….sqlite     what tasks on a network file system have added and nobody has merged yet
//! <cache>.d/lock                held while the cache is merged, shrunk or repaired
//! ```

pub mod admin;
mod database;
pub mod entry;
pub mod error;
mod files;
pub mod key;
mod kill;
mod shard;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use database::Use;
use entry::{COLUMNS, Columns, to_bytes, to_values, today};
pub use entry::{Kind, Shape};
use error::Damage;
pub use error::{CacheFault, FaultKind};
use files::StateFiles;
pub use key::{Key, KeyBase};
use shard::Shard;
pub use tally::CacheStats;
use tally::Tally;
use writer::{Desk, Kept, Order, Used, Writer};

/// Rows whose day of use is changed together.
const USED_ROWS: usize = 256;

/// Faults of the reader after which it stops to ask.
const READ_FAULTS: u32 = 1000;

/// How processes share a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// All of them run on this machine and the cache lies on a disk of it: they write to it together.
    Local,
    /// They run anywhere and the cache lies on a network file system, whose locks cannot be relied on: they only
    /// read it, and each adds a shard beside it.
    Network,
}

/// What a cache is opened for.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// The database file.
    pub path: PathBuf,
    /// How it is shared.
    pub sharing: Sharing,
    /// How long a batch of rows waits for other processes before it is dropped.
    pub wait: Duration,
}

/// What is kept of one record.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// Its key.
    pub key: Key,
    /// Its shape.
    pub shape: Shape,
    /// `[rows, width]` values.
    pub values: &'a [f32],
}

/// What became of a cache in a run.
#[derive(Debug, Default)]
pub struct CacheReport {
    /// The counts.
    pub stats: CacheStats,
    /// The first of the faults, in their order.
    pub faults: Vec<CacheFault>,
    /// The shard that waits to be merged, where one was written.
    pub shard: Option<PathBuf>,
}

/// An open cache, or what is left of one that cannot be used: it then finds nothing and keeps nothing.
pub struct Cache {
    path: PathBuf,
    files: StateFiles,
    tally: Arc<Tally>,
    reader: Mutex<Option<Reader>>,
    writer: Option<Writer>,
    shard: Option<Shard>,
}

/// The reading side.
struct Reader {
    connection: Connection,
    used: Vec<Used>,
    today: i64,
    faults: u32,
}

impl Reader {
    fn new(connection: Connection) -> Self {
        Self { connection, used: Vec::new(), today: today(), faults: 0 }
    }
}

impl Cache {
    /// Opens a cache, or makes one where there is none. Never fails: what goes wrong is in [`Cache::finish`].
    pub fn open(options: &CacheOptions) -> Self {
        let mut cache = Self {
            path: options.path.clone(),
            files: StateFiles::beside(&options.path),
            tally: Arc::default(),
            reader: Mutex::new(None),
            writer: None,
            shard: None,
        };
        let opened = match options.sharing {
            Sharing::Local => cache.open_local(options),
            Sharing::Network => cache.open_network(options),
        };
        if let Err(fault) = opened {
            cache.tally.fault(fault);
        }
        cache
    }

    fn open_local(&mut self, options: &CacheOptions) -> Result<(), CacheFault> {
        let path = &options.path;
        if !path.exists() {
            database::create(path)?;
        }
        let writing = database::open(path, Use::Write).and_then(|connection| {
            database::share(&connection).map_err(CacheFault::database("open", path))?;
            Ok((connection, database::open(path, Use::Read)?))
        });
        match writing {
            Ok((writing, reading)) => {
                self.reader = Mutex::new(Some(Reader::new(reading)));
                self.start_writer(writing, options)
            }
            Err(fault) if fault.kind() != FaultKind::Io => Err(fault),
            Err(fault) => {
                // What cannot be written can often be read.
                self.reader =
                    Mutex::new(Some(Reader::new(database::open(path, Use::Frozen).map_err(|_| fault)?)));
                Err(CacheFault::ReadOnly { path: path.clone() })
            }
        }
    }

    fn open_network(&mut self, options: &CacheOptions) -> Result<(), CacheFault> {
        let path = &options.path;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(CacheFault::MissingFolder { path: path.clone(), folder: folder.to_path_buf() });
        }
        if path.exists() {
            self.reader = Mutex::new(Some(Reader::new(database::open(path, Use::Frozen)?)));
        }
        let (shard, connection) = Shard::create(path)?;
        self.shard = Some(shard);
        self.start_writer(connection, options)
    }

    fn start_writer(&mut self, connection: Connection, options: &CacheOptions) -> Result<(), CacheFault> {
        let (path, files, tally) = (options.path.clone(), self.files.clone(), Arc::clone(&self.tally));
        let desk = Desk { connection, path, files, tally, wait: options.wait };
        self.writer =
            Some(Writer::start(desk).map_err(CacheFault::io("start the writer of", &options.path))?);
        Ok(())
    }

    /// Whether anything can be found or kept.
    pub fn is_usable(&self) -> bool {
        self.writer.is_some() || self.reader.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The values `[rows, width]` of an entry, bit for bit those that were kept; `None` where there is none, or
    /// none that is undamaged.
    pub fn get(&self, key: &Key, shape: Shape) -> Option<Vec<f32>> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let found = reader.as_mut()?.find(key, shape, &self.files);
        match found {
            Ok(None) => None,
            Ok(Some(values)) => {
                self.tally.read(shape.bytes() as u64);
                self.hand_over(reader.as_mut()?, USED_ROWS);
                Some(values)
            }
            Err(Trouble::Damaged(damage, hash)) => {
                let damaged = CacheFault::Damaged { path: self.path.clone(), key: *key, damage };
                self.tally.fault(damaged);
                if let Some(hash) = hash
                    && self.writer.is_some()
                {
                    self.files.remove(&hash);
                }
                self.give(Order::Forget(*key));
                None
            }
            Err(Trouble::Refused(error)) => {
                let stop = database::is_busy(&error) || reader.as_mut()?.count_fault() > READ_FAULTS;
                self.tally.fault(CacheFault::database("read", &self.path)(error));
                if stop {
                    *reader = None;
                }
                None
            }
        }
    }

    /// Keeps results. Those that are not finite are left out, and those that are there already stay.
    pub fn put(&self, entries: &[NewEntry<'_>]) {
        if self.writer.is_none() {
            return self.tally.dropped(entries.len() as u64);
        }
        let finite = |entry: &&NewEntry<'_>| {
            size_of_val(entry.values) == entry.shape.bytes()
                && !entry.values.is_empty()
                && entry.values.iter().all(|value| value.is_finite())
        };
        let keep =
            |entry: &NewEntry<'_>| Kept { key: entry.key, shape: entry.shape, bytes: to_bytes(entry.values) };
        self.give(Order::Keep(entries.iter().filter(finite).map(keep).collect()));
    }

    fn give(&self, order: Order) {
        if let Some(writer) = &self.writer {
            writer.give(order);
        }
    }

    /// Sends the rows that were used when there are `enough`.
    fn hand_over(&self, reader: &mut Reader, enough: usize) {
        // A network cache is not written to by those who read it.
        if self.shard.is_some() {
            reader.used.clear();
        } else if reader.used.len() >= enough.max(1) {
            self.give(Order::Used(std::mem::take(&mut reader.used)));
        }
    }

    /// Writes what waits and tells how it went.
    pub fn finish(mut self) -> CacheReport {
        let shard = self.close();
        CacheReport { stats: self.tally.stats(), faults: self.tally.faults(), shard }
    }

    fn close(&mut self) -> Option<PathBuf> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut reader) = reader {
            self.hand_over(&mut reader, 1);
        }
        let connection = self.writer.take()?.finish();
        let (shard, connection) = (self.shard.take()?, connection?);
        if self.tally.stats().written == 0 {
            return None;
        }
        match shard.publish(connection) {
            Ok(path) => Some(path),
            Err(fault) => {
                self.tally.fault(fault);
                self.tally.lost();
                None
            }
        }
    }
}

impl Drop for Cache {
    /// What was computed before a task failed is not computed again.
    fn drop(&mut self) {
        self.close();
    }
}

/// Why an entry is not found.
enum Trouble {
    /// It is not what was written; the file that is not either.
    Damaged(Damage, Option<[u8; entry::HASH_BYTES]>),
    /// SQLite cannot say.
    Refused(rusqlite::Error),
}

impl Reader {
    fn find(&mut self, key: &Key, shape: Shape, files: &StateFiles) -> Result<Option<Vec<f32>>, Trouble> {
        let text = format!("SELECT {COLUMNS} FROM entry WHERE key = ?3");
        let mut statement = self.connection.prepare_cached(&text).map_err(Trouble::Refused)?;
        let bytes = i64::try_from(shape.column_bytes()).unwrap_or(i64::MAX);
        let today = self.today;
        let read = |row: &rusqlite::Row<'_>| Ok(Self::checked(row, key, shape, files, today));
        let found = statement.query_row(params![bytes, bytes, key.0], read);
        let Some((values, used)) = found.optional().map_err(Trouble::Refused)?.transpose()? else {
            return Ok(None);
        };
        self.used.extend(used);
        Ok(Some(values))
    }

    /// The values of a row, and the change of its day of use where that is another.
    fn checked(
        row: &rusqlite::Row<'_>,
        key: &Key,
        shape: Shape,
        files: &StateFiles,
        today: i64,
    ) -> Result<(Vec<f32>, Option<Used>), Trouble> {
        let plain = |damage| Trouble::Damaged(damage, None);
        let (columns, was) = Columns::read(row).map_err(plain)?;
        if columns.key != *key || columns.shape().map_err(plain)? != shape {
            return Err(plain(Damage::Shape));
        }
        let values = match columns.hash() {
            None => to_values(columns.data).map_err(plain)?,
            Some(hash) => {
                let content = files.read(&hash, shape.bytes()).and_then(|content| to_values(&content));
                content.map_err(|damage| Trouble::Damaged(damage, Some(hash)))?
            }
        };
        let used = (columns.last_used < today).then(|| {
            let becomes = Columns { last_used: today, ..columns }.checksum();
            Used { key: *key, was, becomes, last_used: today }
        });
        Ok((values, used))
    }

    fn count_fault(&mut self) -> u32 {
        self.faults += 1;
        self.faults
    }
}

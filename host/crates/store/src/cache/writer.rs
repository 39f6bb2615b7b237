//! The one thread of a process that writes.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::database::is_busy;
use super::entry::{CHECKSUM_BYTES, Columns, Kind, Shape, today};
use super::error::CacheFault;
use super::files::StateFiles;
use super::key::Key;
use super::kill::point;
use super::tally::Tally;

/// Rows of a transaction: enough that its cost is spread, few enough that others do not wait long.
const BATCH_ROWS: usize = 256;

/// How long rows wait for others before they are written anyway.
const IDLE: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to begin.
const PAUSE_MS: u64 = 50;

/// Something to be written.
pub(super) enum Order {
    /// Results of one stretch of the input.
    Keep(Vec<Kept>),
    /// Entries were used today.
    Used(Vec<Used>),
    /// An entry is damaged.
    Forget(Key),
}

/// A result.
pub(super) struct Kept {
    pub(super) key: Key,
    pub(super) shape: Shape,
    /// The values as they are stored.
    pub(super) bytes: Vec<u8>,
}

/// A row whose day of use is out of date.
pub(super) struct Used {
    pub(super) key: Key,
    pub(super) was: [u8; CHECKSUM_BYTES],
    pub(super) becomes: [u8; CHECKSUM_BYTES],
    pub(super) last_used: i64,
}

/// A change of one row.
enum Step {
    Insert { key: Key, shape: Shape, data: Vec<u8> },
    Use(Used),
    Forget(Key),
}

/// The door to the thread.
pub(super) struct Writer {
    orders: SyncSender<Order>,
    thread: JoinHandle<Connection>,
}

/// What the thread works with.
pub(super) struct Desk {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) files: StateFiles,
    pub(super) tally: Arc<Tally>,
    /// How long a batch waits for other processes.
    pub(super) wait: Duration,
}

impl Writer {
    /// Starts it.
    pub(super) fn start(desk: Desk) -> std::io::Result<Self> {
        // One order waits while one is written; a caller that is faster waits too.
        let (orders, received) = sync_channel(1);
        let work = move || Work { desk, steps: Vec::new(), given_up: false }.run(&received);
        Ok(Self { orders, thread: thread::Builder::new().name("cache".to_owned()).spawn(work)? })
    }

    /// Hands something over.
    pub(super) fn give(&self, order: Order) {
        // The thread ends before its door only by a fault of the program, which costs the entry.
        let _ = self.orders.send(order);
    }

    /// Waits until everything is written or dropped, and gives the connection back.
    pub(super) fn finish(self) -> Option<Connection> {
        let Self { orders, thread } = self;
        drop(orders);
        thread.join().ok()
    }
}

struct Work {
    desk: Desk,
    steps: Vec<Step>,
    /// After a refusal that will not pass, nothing more is tried.
    given_up: bool,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) -> Connection {
        loop {
            match orders.recv_timeout(IDLE) {
                Ok(order) => {
                    self.take(order);
                    while self.steps.len() >= BATCH_ROWS {
                        self.flush();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        while !self.steps.is_empty() {
            self.flush();
        }
        point("end: before the checkpoint");
        if !self.given_up {
            // What others still read stays in the log; the next writer goes on with it.
            let _ = self.desk.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        self.desk.connection
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Keep(results) => {
                for kept in results {
                    if self.given_up {
                        self.desk.tally.dropped(1);
                    } else {
                        self.keep(kept);
                    }
                }
            }
            Order::Used(rows) => self.steps.extend(rows.into_iter().map(Step::Use)),
            Order::Forget(key) => self.steps.push(Step::Forget(key)),
        }
    }

    /// Prepares a row; states become a file before their row, which so never names a file that is not there.
    fn keep(&mut self, kept: Kept) {
        let Kept { key, shape, bytes } = kept;
        let data = match shape.kind {
            Kind::Pooled => bytes,
            Kind::Residues => match self.desk.files.write(&bytes) {
                Ok(hash) => hash.to_vec(),
                Err(error) => {
                    self.desk.tally.dropped(1);
                    self.give_up(CacheFault::io("write states beside", &self.desk.path)(error));
                    return;
                }
            },
        };
        self.steps.push(Step::Insert { key, shape, data });
    }

    /// Writes one batch, or drops it.
    fn flush(&mut self) {
        let batch: Vec<Step> = self.steps.drain(..self.steps.len().min(BATCH_ROWS)).collect();
        let inserts = batch.iter().filter(|step| matches!(step, Step::Insert { .. })).count() as u64;
        if batch.is_empty() {
            return;
        }
        if self.given_up {
            self.desk.tally.dropped(inserts);
            return;
        }
        match self.write(&batch) {
            Ok((rows, bytes)) => self.desk.tally.written(rows, bytes),
            Err(fault) => {
                self.desk.tally.dropped(inserts);
                self.give_up(fault);
            }
        }
    }

    fn give_up(&mut self, fault: CacheFault) {
        self.desk.tally.fault(fault);
        self.given_up = true;
    }

    /// Rows and bytes that are new.
    fn write(&self, batch: &[Step]) -> Result<(u64, u64), CacheFault> {
        let Desk { connection, path, wait, .. } = &self.desk;
        begin(connection, *wait).map_err(|error| match is_busy(&error) {
            true => CacheFault::Locked { path: path.clone(), seconds: wait.as_secs() },
            false => CacheFault::database("write", path)(error),
        })?;
        point("batch: begun");
        let written = batch.iter().try_fold((0, 0), |(rows, bytes), step| {
            let new = apply(connection, step)?;
            point("batch: row");
            Ok((rows + u64::from(new > 0), bytes + new))
        });
        point("batch: full");
        let done = written.and_then(|written| connection.execute_batch("COMMIT").map(|()| written));
        point("batch: committed");
        done.map_err(|error| {
            // Where SQLite has rolled back itself there is nothing left to roll back.
            let _ = connection.execute_batch("ROLLBACK");
            CacheFault::database("write", path)(error)
        })
    }
}

/// Begins a transaction that may write, and waits for other processes in pauses that are never the same, so that
/// processes which started together do not meet again.
pub(super) fn begin(connection: &Connection, wait: Duration) -> Result<(), rusqlite::Error> {
    let start = Instant::now();
    connection.busy_timeout(Duration::ZERO)?;
    loop {
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Err(error) if is_busy(&error) && start.elapsed() < wait => {
                let random = RandomState::new().build_hasher().finish();
                thread::sleep(Duration::from_millis(1 + random % PAUSE_MS));
            }
            answer => return answer,
        }
    }
}

/// Changes one row; gives the bytes of a new one.
fn apply(connection: &Connection, step: &Step) -> Result<u64, rusqlite::Error> {
    match step {
        Step::Insert { key, shape, data } => {
            let new = insert(connection, &columns(*key, *shape, data))?;
            Ok(if new { shape.bytes() as u64 } else { 0 })
        }
        Step::Use(Used { key, was, becomes, last_used }) => {
            let text = "UPDATE entry SET last_used = ?3, checksum = ?4 WHERE key = ?1 AND checksum = ?2";
            connection.prepare_cached(text)?.execute(params![key.0, was, last_used, becomes])?;
            Ok(0)
        }
        Step::Forget(key) => {
            connection.prepare_cached("DELETE FROM entry WHERE key = ?1")?.execute([key.0])?;
            Ok(0)
        }
    }
}

/// The row of an entry that is new today.
fn columns(key: Key, shape: Shape, data: &[u8]) -> Columns<'_> {
    // Lengths of buffers that exist fit an i64.
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (kind, rows, width, today) = (shape.kind.number(), number(shape.rows), number(shape.width), today());
    Columns { key, kind, rows, width, data, created: today, last_used: today }
}

/// Adds a row unless there is one of that key; says whether it did.
pub(super) fn insert(connection: &Connection, columns: &Columns<'_>) -> Result<bool, rusqlite::Error> {
    let text = "INSERT INTO entry (key, kind, rows, width, data, created, last_used, checksum) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (key) DO NOTHING";
    let Columns { key, kind, rows, width, data, created, last_used } = columns;
    let values = params![key.0, kind, rows, width, data, created, last_used, columns.checksum()];
    Ok(connection.prepare_cached(text)?.execute(values)? > 0)
}

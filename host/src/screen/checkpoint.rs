//! A tally that outlives its process: a folder beside the answer, which is removed when that is there.
//!
//! | file | holds |
//! |---|---|
//! | `tally` | a [`super::part`]: what was kept after so many units |
//! | `numbers` | what proteins give to the head |
//! | `edges` | pairs, where all are kept; only the first so many, as `tally` says, count |
//! | `lock` | nothing: who has locked it works here |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kill::point;
use super::part::{self, EDGE_BYTES, Head, Part, edge_bytes, edge_of};
use super::tally::Tally;
use super::{Edge, ScreenError};

const TALLY: &str = "tally";
const EDGES: &str = "edges";
const LOCK: &str = "lock";

/// What proteins give to the head, which whoever computes it may keep there too.
pub const NUMBERS: &str = "numbers";

/// Bytes that are read at once.
const PIECE: usize = EDGE_BYTES << 14;

/// Where a screen that is stopped goes on.
pub struct Checkpoint {
    folder: PathBuf,
    /// What must be at least between two of them.
    every: Duration,
    last: Instant,
    edges: Option<Written>,
    /// Two processes would put their pairs into one file.
    _lock: File,
}

/// Pairs in their file.
struct Written {
    path: PathBuf,
    file: File,
    count: u64,
    hasher: blake3::Hasher,
}

impl Checkpoint {
    /// Begins in a folder, or goes on where an earlier process of the same screen was stopped: `head` and `tally` then are
    /// as they were. Anything else in the folder is left behind.
    ///
    /// # Errors
    /// [`ScreenError::Busy`] where another process works there, and what the system says.
    pub fn open(
        folder: &Path,
        every: Duration,
        head: &mut Head,
        tally: &mut Tally,
    ) -> Result<Self, ScreenError> {
        fs::create_dir_all(folder).map_err(ScreenError::io("make the folder", folder))?;
        let lock = locked(folder)?;
        point("checkpoint: begun");
        let earlier = part::read(&folder.join(TALLY)).ok().filter(|earlier| same(&earlier.head, head));
        let keeps_all = tally.keep.best.is_none();
        let mut opened =
            Self { folder: folder.to_owned(), every, last: Instant::now(), edges: None, _lock: lock };
        if keeps_all {
            let wanted = earlier.as_ref().and_then(|earlier| earlier.head.edges.clone());
            let edges = Written::open(&folder.join(EDGES), wanted.as_ref().map(|wanted| wanted.0))?;
            let is_whole = wanted.is_some_and(|(_, digest)| digest == edges.digest());
            opened.edges = Some(edges);
            if !is_whole {
                opened.edges = Some(Written::open(&folder.join(EDGES), None)?);
                return Ok(opened);
            }
        }
        if let Some(Part { head: old, tally: kept }) = earlier {
            head.done = old.done;
            *tally = kept;
        }
        Ok(opened)
    }

    /// Pairs that were put aside.
    pub fn edges(&self) -> u64 {
        self.edges.as_ref().map_or(0, |edges| edges.count)
    }

    /// Keeps the tally, unless that was done just before.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&mut self, head: &Head, tally: &mut Tally) -> anyhow::Result<()> {
        point("unit: done");
        if self.last.elapsed() < self.every {
            return Ok(());
        }
        let mut head = head.clone();
        if let Some(edges) = &mut self.edges {
            edges.append(&tally.edges)?;
            tally.edges.clear();
            head.edges = Some((edges.count, edges.digest()));
        }
        point("checkpoint: edges written");
        // The names of the proteins are those of the screen, which the process that goes on has itself.
        let file = part::write(&self.folder.join(TALLY), &head, tally)?;
        point("checkpoint: tally written");
        file.commit()?;
        point("checkpoint: named");
        self.last = Instant::now();
        Ok(())
    }

    /// All pairs that were put aside come back into the tally.
    ///
    /// # Errors
    /// What the system says.
    pub fn gather(&mut self, tally: &mut Tally) -> Result<(), ScreenError> {
        let Some(edges) = &mut self.edges else { return Ok(()) };
        tally.edges.extend(edges.read()?);
        Ok(())
    }

    /// Removes the folder, as the answer is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(self) -> Result<(), ScreenError> {
        for name in [TALLY, EDGES, NUMBERS, LOCK] {
            let path = self.folder.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(ScreenError::io("remove", &path))?;
            }
        }
        // What somebody else put there stays.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }
}

/// Locks the folder against other processes. A file system without such locks is taken at its word.
fn locked(folder: &Path) -> Result<File, ScreenError> {
    let path = folder.join(LOCK);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(ScreenError::io("open", &path))?;
    let busy = || ScreenError::Busy { folder: folder.to_owned() };
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(busy());
    }
    // A screen that came to its end has removed the file between its opening and its locking.
    let own = file.metadata().map_err(ScreenError::io("lock", &path))?.ino();
    if fs::metadata(&path).is_ok_and(|there| there.ino() == own) { Ok(file) } else { Err(busy()) }
}

/// Whether two describe the same part of the same screen.
fn same(one: &Head, other: &Head) -> bool {
    let but_progress = |head: &Head| Head { done: 0, edges: None, ..head.clone() };
    but_progress(one) == but_progress(other)
}

impl Written {
    /// The first `count` pairs of a file, or none.
    fn open(path: &Path, count: Option<u64>) -> Result<Self, ScreenError> {
        let failed = || ScreenError::io("write", path);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path).map_err(failed())?;
        let size = count.unwrap_or(0).saturating_mul(EDGE_BYTES as u64);
        let there = file.metadata().map_err(failed())?.len();
        let kept = if there < size { 0 } else { size };
        file.set_len(kept).map_err(failed())?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(failed())?;
        Ok(Self { path: path.to_owned(), file, count: kept / EDGE_BYTES as u64, hasher })
    }

    fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// Adds pairs, durably.
    fn append(&mut self, edges: &[Edge]) -> Result<(), ScreenError> {
        for edges in edges.chunks(PIECE / EDGE_BYTES) {
            let bytes: Vec<u8> = edges.iter().flat_map(edge_bytes).collect();
            self.hasher.update(&bytes);
            self.file.write_all(&bytes).map_err(ScreenError::io("write", &self.path))?;
        }
        self.count += edges.len() as u64;
        self.file.sync_data().map_err(ScreenError::io("write", &self.path))
    }

    fn read(&self) -> Result<Vec<Edge>, ScreenError> {
        let mut file = File::open(&self.path).map_err(ScreenError::io("read", &self.path))?;
        let mut edges = Vec::with_capacity(usize::try_from(self.count).unwrap_or_default());
        let mut bytes = Vec::with_capacity(PIECE);
        loop {
            bytes.clear();
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut bytes);
            read.map_err(ScreenError::io("read", &self.path))?;
            if bytes.is_empty() {
                return Ok(edges);
            }
            edges.extend(bytes.as_chunks::<EDGE_BYTES>().0.iter().map(edge_of));
        }
    }
}

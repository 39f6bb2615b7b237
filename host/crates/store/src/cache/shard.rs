//! The private database of one task, where many machines share a cache over a network file system.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::database::{self, Use};
use super::error::CacheFault;
use super::files::{folder_beside, write_whole};
use super::key::hex;
use super::kill::point;

/// The end of the names of shards.
const SUFFIX: &str = ".sqlite";

/// A shard that is being written, on a disk of this machine.
pub(super) struct Shard {
    scratch: TempDir,
    cache: PathBuf,
}

impl Shard {
    /// An empty shard of the cache at `cache`, and a connection that writes to it.
    pub(super) fn create(cache: &Path) -> Result<(Self, Connection), CacheFault> {
        let scratch = tempfile::tempdir().map_err(CacheFault::io("make a scratch folder for", cache))?;
        let shard = Self { scratch, cache: cache.to_path_buf() };
        let path = shard.path();
        database::create(&path)?;
        let connection = database::open(&path, Use::Write)?;
        database::own(&connection).map_err(CacheFault::database("write", &path))?;
        Ok((shard, connection))
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("shard.sqlite")
    }

    /// Gives the shard a name of its own beside the cache, where a merge finds it.
    pub(super) fn publish(self, connection: Connection) -> Result<PathBuf, CacheFault> {
        let closed = connection.close().map_err(|(_, error)| error);
        closed.map_err(CacheFault::database("write", &self.cache))?;
        point("shard: written");
        let path = folder_of(&self.cache).join(random_name() + SUFFIX);
        let copied = copy_durably(&self.path(), &path);
        copied.map_err(CacheFault::io("write", &path))?;
        point("shard: named");
        Ok(path)
    }
}

/// Where the shards of a cache lie.
pub(super) fn folder_of(cache: &Path) -> PathBuf {
    folder_beside(cache).join("shards")
}

/// The published shards of a cache, sorted by name.
pub(super) fn published(cache: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder_of(cache)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut shards = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(SUFFIX) && !name.starts_with('.') {
            shards.push(path);
        }
    }
    shards.sort();
    Ok(shards)
}

/// Copies a file under a hidden name, to the disk, and then renames it.
pub(super) fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    write_whole(to, |file| {
        io::copy(&mut fs::File::open(from)?, file)?;
        point("shard: copied");
        file.sync_all()
    })
}

/// A name that no other task of any machine takes.
fn random_name() -> String {
    let mut hasher = blake3::Hasher::new();
    for _ in 0..4 {
        hasher.update(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    hasher.update(&since.as_nanos().to_le_bytes()).update(&std::process::id().to_le_bytes());
    hex(&hasher.finalize().as_bytes()[..16])
}

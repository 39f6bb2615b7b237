//! States of residues: files named by the hash of their content, two levels deep beside the database.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::entry::HASH_BYTES;
use super::error::Damage;
use super::key::hex;
use super::kill::point;
use crate::atomic::{PARTIAL_PREFIX, PARTIAL_SUFFIX, hidden_file};

/// The folder of the files of one cache.
#[derive(Debug, Clone)]
pub(super) struct StateFiles {
    folder: PathBuf,
}

/// A file of the folder.
#[derive(Debug)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    /// What it is named by; `None` for one that was never finished.
    pub(super) hash: Option<[u8; HASH_BYTES]>,
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
}

/// The folder of everything that belongs to a database and is not in it.
pub(super) fn folder_beside(database: &Path) -> PathBuf {
    with_suffix(database, ".d")
}

/// The path with more letters at the end of its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

impl StateFiles {
    /// The files of the cache `database`.
    pub(super) fn beside(database: &Path) -> Self {
        Self { folder: folder_beside(database) }
    }

    /// Where the files of a shard may lie: beside it, or beside the cache among whose shards it was published.
    pub(super) fn of_shard(shard: &Path) -> Vec<Self> {
        let above = shard.parent().filter(|folder| folder.ends_with("shards")).and_then(Path::parent);
        let above = above.map(|folder| Self { folder: folder.to_path_buf() });
        [Some(Self::beside(shard)), above].into_iter().flatten().collect()
    }

    /// Where the file of that content lies or would lie.
    pub(super) fn path(&self, hash: &[u8; HASH_BYTES]) -> PathBuf {
        let name = hex(hash);
        self.folder.join(&name[..2]).join(name)
    }

    /// Keeps `bytes`; gives their hash. They are not forced to the disk: a file that a crash cuts short has another
    /// hash than its name, which is found when it is read.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<[u8; HASH_BYTES]> {
        let hash = *blake3::hash(bytes).as_bytes();
        let path = self.path(&hash);
        let there =
            fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() == bytes.len() as u64);
        // A file that no row names any more is removed when it is old: it must look new before a row names it again.
        if there && File::open(&path).and_then(|file| file.set_modified(SystemTime::now())).is_ok() {
            return Ok(hash);
        }
        write_whole(&path, |file| file.write_all(bytes))?;
        point("file: named");
        Ok(hash)
    }

    /// The content of a file that has `bytes` bytes.
    pub(super) fn read(&self, hash: &[u8; HASH_BYTES], bytes: usize) -> Result<Vec<u8>, Damage> {
        let mut file = File::open(self.path(hash)).map_err(|_| Damage::NoFile)?;
        let found = file.metadata().map_err(|_| Damage::NoFile)?;
        if !found.is_file() || found.len() != bytes as u64 {
            return Err(Damage::Content);
        }
        let mut content = vec![0; bytes];
        file.read_exact(&mut content).map_err(|_| Damage::Content)?;
        if blake3::hash(&content).as_bytes() == hash { Ok(content) } else { Err(Damage::Content) }
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, hash: &[u8; HASH_BYTES]) {
        // What cannot be removed is found again, and never believed.
        let _ = fs::remove_file(self.path(hash));
    }

    /// Every file of states, finished or not, in no order.
    pub(super) fn list(&self) -> io::Result<Vec<StateFile>> {
        let mut files = Vec::new();
        for number in 0..=u8::MAX {
            let folder = self.folder.join(format!("{number:02x}"));
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                // A file may go while the folder is read.
                let Ok(found) = entry.metadata() else { continue };
                let name = entry.file_name().to_string_lossy().into_owned();
                let partial = name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX);
                let hash = from_hex(&name);
                if found.is_file() && (partial || hash.is_some()) {
                    let modified = found.modified()?;
                    files.push(StateFile { path: entry.path(), hash, bytes: found.len(), modified });
                }
            }
        }
        Ok(files)
    }
}

fn from_hex(name: &str) -> Option<[u8; HASH_BYTES]> {
    if name.len() != 2 * HASH_BYTES || !name.bytes().all(|letter| matches!(letter, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let mut hash = [0; HASH_BYTES];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(name.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Writes a file under a hidden name in the folder of `path`, which is made where it is missing, and renames it.
pub(super) fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut partial = hidden_file(folder)?;
    fill(partial.as_file_mut())?;
    point("file: written");
    partial.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_found_by_its_hash_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let files = StateFiles::beside(&folder.path().join("c"));
        let hash = files.write(b"12345678").unwrap();
        assert_eq!(files.write(b"12345678").unwrap(), hash);
        assert_eq!(files.read(&hash, 8).unwrap(), b"12345678");
        assert_eq!(files.read(&hash, 4), Err(Damage::Content));
        let listed = files.list().unwrap();
        assert_eq!((listed.len(), listed[0].hash, listed[0].bytes), (1, Some(hash), 8));
        fs::write(files.path(&hash), b"12345679").unwrap();
        assert_eq!(files.read(&hash, 8), Err(Damage::Content));
        files.remove(&hash);
        files.remove(&hash);
        assert_eq!(files.read(&hash, 8), Err(Damage::NoFile));
    }

    #[test]
    fn files_of_a_shard_lie_beside_it_or_beside_its_cache() {
        let folders: Vec<PathBuf> = StateFiles::of_shard(Path::new("x/c.d/shards/s.sqlite"))
            .into_iter()
            .map(|files| files.folder)
            .collect();
        assert_eq!(folders, [Path::new("x/c.d/shards/s.sqlite.d"), Path::new("x/c.d")]);
        assert_eq!(StateFiles::of_shard(Path::new("s.sqlite")).len(), 1);
    }
}

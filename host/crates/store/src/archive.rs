//! A zip archive with fixed bytes: no compression, no time, fixed permissions.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use crate::atomic::{Access, AtomicFile};
use crate::error::{Action, StoreError};
use crate::spool::Spool;

/// From this entry size on the long fields are used; some room is left below the 4 GiB where they must be.
const LONG_ENTRY_BYTES: u64 = u32::MAX as u64 - (1 << 20);

/// A zip archive on its way into an [`AtomicFile`].
///
/// Lengths and checksums stand in front of each entry and not behind it: readers that walk the local headers
/// (cnpy) need them there. That takes a file that can seek, so a stream target gets the archive at the commit.
pub(crate) struct Archive {
    zip: Option<ZipWriter<Sink>>,
    path: PathBuf,
    scratch: PathBuf,
    alive: Arc<AtomicBool>,
}

impl Archive {
    /// Opens an archive for writing.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`].
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = AtomicFile::create(path, Access::Seek)?;
        let alive = Arc::new(AtomicBool::new(true));
        let scratch = file.scratch_folder().to_path_buf();
        let sink = Sink { file, alive: Arc::clone(&alive), position: 0, end: 0 };
        Ok(Self { zip: Some(ZipWriter::new(sink)), path: path.to_path_buf(), scratch, alive })
    }

    /// The path as the user gave it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins the entry `name`, which will have `bytes` bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn start(&mut self, name: &str, bytes: u64) -> Result<(), StoreError> {
        let started = self.zip().and_then(|zip| zip.start_file(name, options(bytes)).map_err(into_io));
        started.map_err(|cause| self.refused(cause))
    }

    /// Appends to the entry begun last.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.zip().and_then(|zip| zip.write_all(bytes));
        written.map_err(|cause| self.refused(cause))
    }

    /// Appends everything that `from` gives to the entry begun last.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn copy(&mut self, from: &mut impl Read) -> Result<(), StoreError> {
        let copied = self.zip().and_then(|zip| io::copy(from, zip));
        copied.map(|_| ()).map_err(|cause| self.refused(cause))
    }

    /// Writes the directory of the archive; the file is then ready to be committed.
    ///
    /// # Errors
    /// [`StoreError::Io`], also where an earlier write failed.
    pub(crate) fn finish(mut self) -> Result<AtomicFile, StoreError> {
        let zip = self.zip.take().ok_or_else(closed);
        let finished = zip.and_then(|zip| zip.finish().map_err(into_io));
        match finished {
            Ok(sink) if self.alive.load(Ordering::Relaxed) => Ok(sink.file),
            Ok(_) => Err(self.refused(closed())),
            Err(cause) => Err(self.refused(cause)),
        }
    }

    /// A place for values that wait, beside the archive.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn spool(&self) -> Result<Spool, StoreError> {
        Spool::create(&self.scratch).map_err(|cause| StoreError::io(Action::Create, &self.path, cause))
    }

    fn zip(&mut self) -> io::Result<&mut ZipWriter<Sink>> {
        if !self.alive.load(Ordering::Relaxed) {
            return Err(closed());
        }
        self.zip.as_mut().ok_or_else(closed)
    }

    fn refused(&self, cause: io::Error) -> StoreError {
        self.alive.store(false, Ordering::Relaxed);
        StoreError::io(Action::Write, &self.path, cause)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}

/// What the zip writer writes to.
///
/// A dropped `ZipWriter` completes its archive and prints to stderr where that fails. A sink that is no longer
/// alive therefore takes everything and keeps nothing; its first failure ends its life.
struct Sink {
    file: AtomicFile,
    alive: Arc<AtomicBool>,
    position: u64,
    end: u64,
}

impl Sink {
    fn settle<T>(&self, answer: io::Result<T>) -> io::Result<T> {
        if let Err(cause) = &answer
            && cause.kind() != io::ErrorKind::Interrupted
        {
            self.alive.store(false, Ordering::Relaxed);
        }
        answer
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut count = bytes.len();
        if self.is_alive() {
            let answer = self.file.write(bytes);
            count = self.settle(answer)?;
        }
        self.position += count as u64;
        self.end = self.end.max(self.position);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let answer = self.file.flush();
        self.settle(answer)
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let wanted = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(change) => self.position.checked_add_signed(change),
            SeekFrom::End(change) => self.end.checked_add_signed(change),
        };
        let wanted = wanted.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if self.is_alive() && wanted != self.position {
            let answer = self.file.seek(SeekFrom::Start(wanted));
            self.settle(answer)?;
        }
        self.position = wanted;
        Ok(wanted)
    }
}

/// Everything about an entry that is not its content.
fn options(bytes: u64) -> SimpleFileOptions {
    SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644)
        .system(System::Unix)
        .large_file(is_long(bytes))
}

/// Whether an entry of `bytes` bytes needs the fields for 4 GiB and more.
fn is_long(bytes: u64) -> bool {
    bytes >= LONG_ENTRY_BYTES
}

/// Keeps the system's error as it was given.
fn into_io(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(cause) => cause,
        other => io::Error::other(other),
    }
}

fn closed() -> io::Error {
    io::Error::other("an earlier write to this file failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_four_gib_use_the_long_fields() {
        assert!(!is_long(0));
        assert!(!is_long(4_000_000_000));
        assert!(is_long(u64::from(u32::MAX) - 1));
        assert!(is_long(u64::from(u32::MAX)));
        assert!(is_long(1 << 40));
    }

    /// The local header of a long entry has the marks of the long fields and their extra block.
    #[test]
    fn a_long_entry_is_declared_in_its_local_header() {
        let folder = tempfile::tempdir().unwrap();
        let local = |bytes| {
            let path = folder.path().join("x.npz");
            let mut archive = Archive::create(&path).unwrap();
            archive.start("a", bytes).unwrap();
            archive.write(b"short").unwrap();
            archive.finish().unwrap().commit().unwrap();
            std::fs::read(&path).unwrap()
        };
        let (short, long) = (local(5), local(1 << 33));
        assert_eq!(&short[18..26], [5, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(&long[18..26], [0xff; 8]);
        assert_eq!(&long[31..35], [1, 0, 16, 0], "extra field 1 with two 8-byte sizes");
        assert_eq!(&long[35..43], 5_u64.to_le_bytes());
    }

    #[test]
    fn after_a_failed_write_there_is_no_archive() {
        let mut archive = Archive::create(Path::new("/dev/full")).unwrap();
        archive.start("a", 5).unwrap();
        archive.refused(closed());
        assert!(archive.write(b"x").is_err());
        assert!(archive.start("b", 5).is_err());
        assert!(archive.finish().is_err());
    }
}

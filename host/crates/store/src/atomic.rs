//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::error::{Action, StoreError};
use crate::target::Target;

/// Bytes gathered before the system is called.
const BUFFER_BYTES: usize = 256 * 1024;

/// How the name of a file begins that is still being written.
pub(crate) const PARTIAL_PREFIX: &str = ".pliant-";

/// How it ends.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// What a writer does with its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Bytes in order only: a stream target gets them as they come.
    Stream,
    /// Goes back to fill in lengths: for a stream target the bytes are gathered in an unnamed temporary
    /// file first and sent at the commit, so they are the same bytes that a regular file would hold.
    Seek,
}

/// One output, under a hidden temporary name in the folder of its target until it is committed.
///
/// Dropped without a commit it removes what it wrote, and a file that had the name before is untouched. A
/// killed process leaves the hidden `.pliant-*.partial` file behind, never a damaged target. Targets that are
/// no regular files (standard output, devices, FIFOs) are written directly.
#[derive(Debug)]
pub struct AtomicFile {
    typed: PathBuf,
    scratch: PathBuf,
    writer: BufWriter<File>,
    end: End,
}

/// What happens to the written bytes at the commit.
#[derive(Debug)]
enum End {
    Rename { temporary: TempPath, path: PathBuf },
    Nothing,
    Copy(File),
}

impl AtomicFile {
    /// Opens an output for writing. `-` is the standard output.
    ///
    /// # Errors
    /// Those of [`Target::resolve`], and whatever the system says to a new file in that folder.
    pub fn create(typed: &Path, access: Access) -> Result<Self, StoreError> {
        let refused = |source| StoreError::io(Action::Create, typed, source);
        let (file, scratch, end) = match Target::resolve(typed)? {
            Target::File { path, folder, replaced } => {
                let (file, temporary) = hidden_file(&folder).map_err(refused)?.into_parts();
                if let Some(permissions) = replaced {
                    let mode = permissions.mode() & 0o777;
                    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(refused)?;
                }
                (file, folder, End::Rename { temporary, path })
            }
            stream => {
                let sink = open_stream(&stream).map_err(refused)?;
                let scratch = std::env::temp_dir();
                match access {
                    Access::Stream => (sink, scratch, End::Nothing),
                    Access::Seek => {
                        let spool = scratch_file(&scratch)
                            .map_err(|source| StoreError::io(Action::Create, &scratch, source))?;
                        (spool, scratch, End::Copy(sink))
                    }
                }
            }
        };
        let writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { typed: typed.to_path_buf(), scratch, writer, end })
    }

    /// The path as the user gave it, for messages.
    pub fn path(&self) -> &Path {
        &self.typed
    }

    /// Where scratch data of this output belongs: the folder of a regular target, which must have room for the
    /// bytes anyway, or the system's folder for temporary files.
    pub fn scratch_folder(&self) -> &Path {
        &self.scratch
    }

    /// Makes the bytes durable and gives them their name.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the target is then as it was before.
    pub fn commit(self) -> Result<(), StoreError> {
        OutputSet::from(vec![self]).commit()
    }

    /// Whether the commit renames; otherwise it sends or has already sent.
    fn renames(&self) -> bool {
        matches!(self.end, End::Rename { .. })
    }

    /// First half of a commit: every byte is on its device, or on its way through the stream.
    fn settle(&mut self) -> Result<(), StoreError> {
        let Self { typed, writer, end, .. } = self;
        settle(writer, end).map_err(|source| StoreError::io(Action::Write, typed, source))
    }

    /// Second half: the name.
    fn publish(self) -> Result<(), StoreError> {
        if let End::Rename { temporary, path } = self.end {
            temporary
                .persist(&path)
                .map_err(|refused| StoreError::io(Action::Replace, &self.typed, refused.error))?;
            // Makes the rename itself durable. Not every file system can, and the file is whole either way.
            let _ = File::open(&self.scratch).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.writer.seek(position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        self.writer.stream_position()
    }
}

/// Outputs that belong together: all are complete and on their devices before the first gets its name.
#[derive(Debug, Default)]
pub struct OutputSet {
    files: Vec<AtomicFile>,
}

impl OutputSet {
    /// A set without outputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one output.
    pub fn push(&mut self, file: AtomicFile) {
        self.files.push(file);
    }

    /// Adds all outputs of another set, after those of this one.
    pub fn append(&mut self, mut other: Self) {
        self.files.append(&mut other.files);
    }

    /// The paths of the outputs as the user gave them, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(AtomicFile::path)
    }

    /// Makes all outputs durable, then renames them one after another.
    ///
    /// Streams are sent after every file is safe and before the first rename, because what is sent cannot be
    /// taken back.
    ///
    /// # Errors
    /// [`StoreError::Io`] of the first output that fails. Before the renames nothing has changed; a rename
    /// that fails leaves those before it done.
    pub fn commit(mut self) -> Result<(), StoreError> {
        for file in self.files.iter_mut().filter(|file| file.renames()) {
            file.settle()?;
        }
        for file in self.files.iter_mut().filter(|file| !file.renames()) {
            file.settle()?;
        }
        self.files.into_iter().try_for_each(AtomicFile::publish)
    }
}

impl From<Vec<AtomicFile>> for OutputSet {
    fn from(files: Vec<AtomicFile>) -> Self {
        Self { files }
    }
}

/// A new file with a hidden name and the permissions of any new file.
///
/// Opened here, because the crate's own opening hides the system's error code behind a text.
pub(crate) fn hidden_file(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(PARTIAL_PREFIX).suffix(PARTIAL_SUFFIX).make_in(folder, |path| {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o666).open(path)
    })
}

/// A new file in `folder` that has no name and vanishes when it is closed.
///
/// # Errors
/// Whatever the system says to a new file there.
pub(crate) fn scratch_file(folder: &Path) -> io::Result<File> {
    hidden_file(folder).map(NamedTempFile::into_file)
}

/// Flushes, then syncs a file or sends a spool.
fn settle(writer: &mut BufWriter<File>, end: &mut End) -> io::Result<()> {
    writer.flush()?;
    match end {
        End::Nothing => Ok(()),
        End::Rename { .. } => match writer.get_ref().sync_all() {
            // Some network and user-space file systems have no fsync; a refusal of the call is no lost byte.
            Err(refused)
                if matches!(refused.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                Ok(())
            }
            answer => answer,
        },
        End::Copy(sink) => {
            let spool = writer.get_mut();
            spool.rewind()?;
            copy(spool, sink)
        }
    }
}

/// Sends everything that is left in `from`. `io::copy` would use `sendfile` and `splice`, which some devices
/// refuse with errors of their own.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.flush(),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Opens a target that is no regular file; a FIFO waits here for its reader.
fn open_stream(target: &Target) -> io::Result<File> {
    match target {
        Target::Stream(path) | Target::File { path, .. } => OpenOptions::new().write(true).open(path),
        Target::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn write(path: &Path, text: &str) -> Result<(), StoreError> {
        let mut file = AtomicFile::create(path, Access::Stream)?;
        file.write_all(text.as_bytes()).map_err(|cause| StoreError::io(Action::Write, path, cause))?;
        file.commit()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.tsv");
        fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path, Access::Stream).unwrap();
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()).len(), 2, "the temporary file lies in the same folder");
        assert!(names(folder.path())[0].starts_with(".pliant-"));
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["out.tsv"]);
        write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["out.tsv"]);
    }

    #[test]
    fn permissions_are_those_of_any_new_file_or_of_the_file_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, ours] = ["plain", "ours"].map(|name| folder.path().join(name));
        fs::write(&plain, "").unwrap();
        write(&ours, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&ours), mode(&plain));
        for wanted in [0o640, 0o777] {
            fs::set_permissions(&ours, fs::Permissions::from_mode(wanted)).unwrap();
            write(&ours, "again").unwrap();
            assert_eq!(mode(&ours), wanted);
        }
    }

    #[test]
    fn a_link_stays_and_its_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        let (link, second) = (folder.path().join("link"), folder.path().join("second"));
        symlink("there/file", &link).unwrap();
        symlink("link", &second).unwrap();
        // At first the links dangle, then they lead to a file.
        for text in ["one", "two"] {
            write(&second, text).unwrap();
            assert_eq!(fs::read_to_string(there.join("file")).unwrap(), text);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::symlink_metadata(&second).unwrap().is_symlink());
            assert_eq!(names(&there), ["file"]);
        }
        let round = folder.path().join("round");
        symlink("round", &round).unwrap();
        assert!(matches!(write(&round, ""), Err(StoreError::Io { .. })));
    }

    #[test]
    fn impossible_places_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let create = |path: &Path| AtomicFile::create(path, Access::Stream).unwrap_err();
        let missing = folder.path().join("no/such/out.npz");
        let error = create(&missing);
        assert!(
            matches!(&error, StoreError::MissingFolder { folder: f, .. } if *f == folder.path().join("no/such"))
        );
        assert!(error.to_string().contains("create it or choose another path"), "{error}");
        assert!(matches!(create(folder.path()), StoreError::IsFolder { .. }));
        assert!(matches!(create(&folder.path().join("new/")), StoreError::IsFolder { .. }));
        assert!(matches!(create(Path::new("")), StoreError::IsFolder { .. }));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(create(&file.join("out.npz")), StoreError::MissingFolder { .. }));
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_folder_or_file_without_permission_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        if fs::metadata(folder.path()).unwrap().uid() == 0 {
            println!("SKIPPED a_folder_or_file_without_permission_is_refused: root may write everywhere");
            return;
        }
        let protected = folder.path().join("protected");
        fs::write(&protected, "result").unwrap();
        fs::set_permissions(&protected, fs::Permissions::from_mode(0o444)).unwrap();
        let mut errors = vec![write(&protected, "").unwrap_err()];
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        errors.push(write(&folder.path().join("new"), "").unwrap_err());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for error in errors {
            assert_eq!(error.io_error().unwrap().raw_os_error(), Some(13), "EACCES");
            assert!(error.to_string().contains("may write to"), "{error}");
        }
        assert_eq!(fs::read_to_string(&protected).unwrap(), "result");
        assert_eq!(names(folder.path()), ["protected"]);
    }

    /// One output that fails keeps all others from appearing.
    #[test]
    fn a_set_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        fs::write(&one, "old").unwrap();
        let set = |last: &Path| {
            let mut set = OutputSet::new();
            for path in [&one, &two, last] {
                let mut file = AtomicFile::create(path, Access::Stream).unwrap();
                file.write_all(b"new").unwrap();
                set.push(file);
            }
            set
        };
        let error = set(Path::new("/dev/full")).commit().unwrap_err();
        assert_eq!(error.io_error().unwrap().raw_os_error(), Some(28));
        assert_eq!(fs::read_to_string(&one).unwrap(), "old");
        assert_eq!(names(folder.path()), ["one"]);
        set(Path::new("/dev/null")).commit().unwrap();
        assert_eq!(fs::read_to_string(&one).unwrap(), "new");
        assert_eq!(names(folder.path()), ["one", "two"]);
    }

    #[test]
    fn a_fifo_gets_the_bytes_that_a_file_would_hold() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for access in [Access::Stream, Access::Seek] {
            let reader = std::thread::spawn({
                let fifo = fifo.clone();
                move || fs::read(fifo).unwrap()
            });
            let mut file = AtomicFile::create(&fifo, access).unwrap();
            file.write_all(b"bytes").unwrap();
            if access == Access::Seek {
                file.seek(SeekFrom::Start(0)).unwrap();
                file.write_all(b"B").unwrap();
            }
            file.commit().unwrap();
            let wanted: &[u8] = if access == Access::Seek { b"Bytes" } else { b"bytes" };
            assert_eq!(reader.join().unwrap(), wanted);
        }
        assert_eq!(names(folder.path()), ["pipe"], "the FIFO is still there and nothing else");
    }
}

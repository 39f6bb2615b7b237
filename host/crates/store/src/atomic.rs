//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
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

/// One output, in the folder of its target and without a name until it is committed.
///
/// Dropped without a commit it removes what it wrote, and a file that had the name before is untouched. So does
/// a killed process; only one killed within a commit, or on a file system that has no files without names (NFS,
/// FAT), leaves a hidden `.pliant-*.partial` file behind, never a damaged target. Targets that are no regular
/// files (standard output, devices, FIFOs) are written directly.
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
    /// The hidden name is one from the start, or from the commit on.
    Rename {
        temporary: Option<TempPath>,
        path: PathBuf,
    },
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
                let (file, temporary) = begin(&folder).map_err(refused)?;
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

    /// Sees to it that a file that will be renamed has a name.
    fn name(&mut self) -> Result<(), StoreError> {
        let Self { typed, scratch, writer, end } = self;
        if let End::Rename { temporary: temporary @ None, .. } = end {
            let named = give_hidden_name(writer.get_mut(), scratch);
            *temporary = Some(named.map_err(|source| StoreError::io(Action::Replace, typed, source))?);
        }
        Ok(())
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
}

/// A regular file that is complete and on its device, under its hidden name. Dropped, it is removed.
#[derive(Debug)]
struct Settled {
    typed: PathBuf,
    folder: PathBuf,
    temporary: TempPath,
    path: PathBuf,
}

impl Settled {
    /// Second half of a commit: the name that was asked for.
    fn publish(self) -> Result<(), StoreError> {
        self.temporary
            .persist(&self.path)
            .map_err(|refused| StoreError::io(Action::Replace, &self.typed, refused.error))?;
        // Makes the rename itself durable. Not every file system can, and the file is whole either way.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
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
    /// Complete, before all of `files` in the order of the set.
    settled: Vec<Settled>,
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

    /// Adds all outputs of another set, after those of this one; what of it is settled already gets its name
    /// with those of this one that are.
    pub fn append(&mut self, mut other: Self) {
        self.settled.append(&mut other.settled);
        self.files.append(&mut other.files);
    }

    /// The paths of the outputs as the user gave them, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let settled = self.settled.iter().map(|file| file.typed.as_path());
        settled.chain(self.files.iter().map(AtomicFile::path))
    }

    /// Makes the regular files of the set durable and closes them, without giving them their names: a set of
    /// thousands of files then needs neither as many descriptors nor their buffers.
    ///
    /// # Errors
    /// [`StoreError::Io`] of the first file that fails; the set must not be committed after that.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.files.iter_mut().filter(|file| file.renames()).try_for_each(AtomicFile::settle)?;
        self.close()
    }

    /// Gives the regular files of the set, which are on their devices, hidden names, and closes them.
    fn close(&mut self) -> Result<(), StoreError> {
        let mut streams = Vec::new();
        for mut file in std::mem::take(&mut self.files) {
            file.name()?;
            let AtomicFile { typed, scratch, writer, end } = file;
            match end {
                End::Rename { temporary: Some(temporary), path } => {
                    self.settled.push(Settled { typed, folder: scratch, temporary, path });
                }
                end => streams.push(AtomicFile { typed, scratch, writer, end }),
            }
        }
        self.files = streams;
        Ok(())
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
        // As late as this, because a hidden name is what a killed process leaves.
        self.close()?;
        self.settled.into_iter().try_for_each(Settled::publish)
    }
}

impl From<Vec<AtomicFile>> for OutputSet {
    fn from(files: Vec<AtomicFile>) -> Self {
        Self { settled: Vec::new(), files }
    }
}

/// A new file with the permissions of any new file: without a name where the file system has such files and gives
/// them one later, else with a hidden one.
fn begin(folder: &Path) -> io::Result<(File, Option<TempPath>)> {
    // Through this folder of the system the file gets its name.
    if Path::new(OPEN_FILES).exists()
        && let Ok(file) = unnamed_file(folder)
    {
        return Ok((file, None));
    }
    // What speaks against the other kind of file lets this one pass or comes up again.
    let (file, temporary) = hidden_file(folder)?.into_parts();
    Ok((file, Some(temporary)))
}

/// The open files of this process.
const OPEN_FILES: &str = "/proc/self/fd";

fn unnamed_file(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666))?))
}

fn hidden_name() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL_PREFIX).suffix(PARTIAL_SUFFIX);
    builder
}

/// Gives a file of [`unnamed_file`] a hidden name in its folder.
fn give_hidden_name(file: &mut File, folder: &Path) -> io::Result<TempPath> {
    let open = format!("{OPEN_FILES}/{}", file.as_raw_fd());
    let link = |path: &Path| Ok(rustix::fs::linkat(CWD, &open, CWD, path, AtFlags::SYMLINK_FOLLOW)?);
    match hidden_name().make_in(folder, link) {
        Ok(named) => Ok(named.into_temp_path()),
        // Hours of work are not lost to a file system that has such files and cannot name them.
        Err(_) => copied(file, folder),
    }
}

/// A copy of a file with a hidden name, on its device.
fn copied(file: &mut File, folder: &Path) -> io::Result<TempPath> {
    let (mut named, temporary) = hidden_file(folder)?.into_parts();
    named.set_permissions(file.metadata()?.permissions())?;
    file.rewind()?;
    copy(file, &mut named)?;
    sync(&named)?;
    Ok(temporary)
}

/// A new file with a hidden name and the permissions of any new file.
///
/// Opened here, because the crate's own opening hides the system's error code behind a text.
pub(crate) fn hidden_file(folder: &Path) -> io::Result<NamedTempFile> {
    hidden_name().make_in(folder, |path| {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o666).open(path)
    })
}

/// A new file in `folder` that has no name and vanishes when it is closed.
///
/// # Errors
/// Whatever the system says to a new file there.
pub(crate) fn scratch_file(folder: &Path) -> io::Result<File> {
    unnamed_file(folder).or_else(|_| hidden_file(folder).map(NamedTempFile::into_file))
}

/// Flushes, then syncs a file or sends a spool.
fn settle(writer: &mut BufWriter<File>, end: &mut End) -> io::Result<()> {
    writer.flush()?;
    match end {
        End::Nothing => Ok(()),
        End::Rename { .. } => sync(writer.get_ref()),
        End::Copy(sink) => {
            let spool = writer.get_mut();
            spool.rewind()?;
            copy(spool, sink)
        }
    }
}

/// Waits until a file is on its device.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // Some network and user-space file systems have no fsync; a refusal of the call is no lost byte.
        Err(refused)
            if matches!(refused.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        answer => answer,
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
        if unnamed_file(folder.path()).is_ok() {
            assert_eq!(names(folder.path()), ["out.tsv"], "a killed process would leave nothing");
        }
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["out.tsv"]);
        write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["out.tsv"]);
    }

    /// As on a file system without files that have no name.
    #[test]
    fn a_file_with_a_hidden_name_is_renamed_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.tsv");
        let hidden = || {
            let (file, temporary) = hidden_file(folder.path()).unwrap().into_parts();
            let (typed, scratch) = (path.clone(), folder.path().to_path_buf());
            let end = End::Rename { temporary: Some(temporary), path: path.clone() };
            AtomicFile { typed, scratch, writer: BufWriter::new(file), end }
        };
        let mut file = hidden();
        assert!(names(folder.path())[0].starts_with(".pliant-"));
        file.write_all(b"bytes").unwrap();
        file.commit().unwrap();
        drop(hidden());
        assert_eq!(names(folder.path()), ["out.tsv"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "bytes");
    }

    #[test]
    fn a_file_that_cannot_be_linked_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = scratch_file(folder.path()).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        file.write_all(b"bytes").unwrap();
        let named = copied(&mut file, folder.path()).unwrap();
        assert_eq!(fs::read(&named).unwrap(), b"bytes");
        assert_eq!(fs::metadata(&named).unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()).len(), 1);
        drop(named);
        assert_eq!(names(folder.path()), [""; 0]);
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
    fn a_settled_set_has_no_names_and_needs_no_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u32| folder.path().join(format!("{number:04}"));
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        let mut set = OutputSet::new();
        for number in 0..500 {
            let mut file = AtomicFile::create(&path(number), Access::Stream).unwrap();
            file.write_all(&number.to_le_bytes()).unwrap();
            set.push(file);
            set.settle().unwrap();
        }
        // Other tests open files at the same time, but not hundreds.
        assert!(descriptors() < before + 100);
        assert!(!path(0).exists());
        assert_eq!(set.paths().last(), Some(path(499).as_path()));
        drop(set);
        assert_eq!(names(folder.path()), [""; 0], "a set that is dropped removes what it wrote");
        let mut file = AtomicFile::create(&path(1), Access::Stream).unwrap();
        file.write_all(b"x").unwrap();
        let mut set = OutputSet::from(vec![file]);
        set.settle().unwrap();
        set.commit().unwrap();
        assert_eq!(fs::read(path(1)).unwrap(), b"x");
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

//! Inputs by name: files, standard input, pipes; plain or compressed; readable more than once.
//!
//! The host reads an input twice, first to check it and to plan, then to compute. What can be read only once
//! (standard input, a FIFO, process substitution) is kept, as it comes, in an anonymous temporary file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use liblzma::read::XzDecoder;
use niffler::send::compression::Format;

use crate::error::InputError;

/// Bytes read at once from a file and from a decompressor.
const BUFFER_BYTES: usize = 128 * 1024;

/// `niffler` needs this many bytes to tell a format, and refuses shorter input, which is plain.
const MAGIC_BYTES: u64 = 5;

/// One input that can be opened again and again.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    origin: Origin,
    bytes: u64,
    columns: Option<Arc<SequenceColumns>>,
}

/// The columns of a table of sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceColumns {
    /// Those that may hold the sequences: the first that is there does.
    pub sequence: Vec<String>,
    /// Those that together may name a protein, with `/` between them: the first of which all are there do.
    pub id: Vec<Vec<String>>,
    /// Whether one of them must be there; else rows without a name are called by their lines, `line7`.
    pub must_be_named: bool,
}

#[derive(Debug, Clone)]
enum Origin {
    File(PathBuf),
    Spooled(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Source {
    /// The inputs that a command line names, in its order; `-` is standard input and may stand once.
    ///
    /// # Errors
    /// [`InputError`] when one is missing, a folder, or cannot be kept for a second reading.
    pub fn from_arguments<P: AsRef<Path>>(arguments: &[P]) -> Result<Vec<Self>, InputError> {
        let is_stdin = |argument: &&P| argument.as_ref().as_os_str() == "-";
        if arguments.iter().filter(is_stdin).count() > 1 {
            return Err(InputError::StdinTwice);
        }
        let source = |argument: &P| {
            if is_stdin(&argument) {
                Self::spooled(Arc::from("-"), &mut io::stdin().lock())
            } else {
                Self::from_path(argument.as_ref())
            }
        };
        arguments.iter().map(source).collect()
    }

    /// The file at `path`. What is no regular file is read to its end now.
    ///
    /// # Errors
    /// [`InputError`] when it is missing, a folder, cannot be opened, or cannot be kept.
    pub fn from_path(path: &Path) -> Result<Self, InputError> {
        let name: Arc<str> = path.to_string_lossy().into();
        let metadata = fs::metadata(path).map_err(|source| open_error(&name, source))?;
        if metadata.is_dir() {
            return Err(InputError::Folder { file: name });
        }
        let mut file = File::open(path).map_err(|source| open_error(&name, source))?;
        if metadata.is_file() {
            let origin = Origin::File(path.to_owned());
            return Ok(Self { name, origin, bytes: metadata.len(), columns: None });
        }
        Self::spooled(name, &mut file)
    }

    /// Text or compressed text at hand; `name` is what messages call it.
    pub fn from_bytes(name: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into();
        Self { name: name.into(), bytes: bytes.len() as u64, origin: Origin::Memory(bytes), columns: None }
    }

    fn spooled(name: Arc<str>, input: &mut dyn Read) -> Result<Self, InputError> {
        let folder = std::env::temp_dir();
        let spool_error = |source| InputError::Spool {
            file: Arc::clone(&name),
            folder: folder.display().to_string(),
            source,
        };
        let mut spool = tempfile::tempfile_in(&folder).map_err(spool_error)?;
        let bytes = io::copy(input, &mut spool).map_err(spool_error)?;
        Ok(Self { name, origin: Origin::Spooled(Arc::new(spool)), bytes, columns: None })
    }

    /// The same input, of which records are read as rows of a table with these columns.
    #[must_use]
    pub fn as_table(self, columns: &Arc<SequenceColumns>) -> Self {
        Self { columns: Some(Arc::clone(columns)), ..self }
    }

    /// The columns of its sequences, where it is a table; else it is FASTA.
    pub(crate) fn columns(&self) -> Option<&SequenceColumns> {
        self.columns.as_deref()
    }

    /// The input as it was named.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Bytes as stored, compressed where they are compressed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The text from its start, decompressed where the first bytes say gzip (also in members, as bgzip writes
    /// it), bzip2, xz or zstd. Stored bytes are counted in `progress` as they are read.
    ///
    /// # Errors
    /// [`InputError::Missing`], [`InputError::Open`] or [`InputError::Damaged`].
    pub fn open(&self, progress: &Progress) -> Result<Box<dyn BufRead + Send>, InputError> {
        let stored: Box<dyn Read + Send> = match &self.origin {
            Origin::File(path) => {
                let file = File::open(path).map_err(|source| open_error(&self.name, source))?;
                Box::new(file)
            }
            Origin::Spooled(file) => Box::new(FileReader { file: Arc::clone(file), offset: 0 }),
            Origin::Memory(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
        };
        let counted = Counted { input: stored, progress: progress.clone() };
        let buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
        decompressed(buffered).map_err(|source| read_error(&self.name, 1, source))
    }
}

impl Source {
    /// All of the text, decompressed: for inputs that are held in memory as a whole.
    ///
    /// # Errors
    /// Those of [`Source::open`], and [`InputError::Read`] or [`InputError::Damaged`].
    pub fn text(&self) -> Result<Vec<u8>, InputError> {
        let mut text = Vec::new();
        let read = self.open(&Progress::default())?.read_to_end(&mut text);
        read.map_err(|source| read_error(&self.name, 1, source))?;
        Ok(text)
    }
}

/// Bytes read so far, shared between the reader and whoever shows it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Stored (compressed) bytes read so far; compare with the sum of [`Source::bytes`].
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    input: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.progress.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Reads a shared file from its start with a position of its own.
struct FileReader {
    file: Arc<File>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn decompressed<R: BufRead + Send + 'static>(mut stored: R) -> io::Result<Box<dyn BufRead + Send>> {
    let mut start = Vec::new();
    stored.by_ref().take(MAGIC_BYTES).read_to_end(&mut start)?;
    let short = (start.len() as u64) < MAGIC_BYTES;
    let whole = Cursor::new(start).chain(stored);
    if short {
        return Ok(Box::new(whole));
    }
    let (whole, format) = niffler::send::sniff(Box::new(whole)).map_err(io_error)?;
    let text: Box<dyn Read + Send> = match format {
        // niffler's own xz decoder stops silently after the first stream of a concatenated file.
        Format::Lzma => Box::new(XzDecoder::new_multi_decoder(whole)),
        Format::No => whole,
        _ => niffler::send::get_reader(whole).map_err(io_error)?.0,
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, text)))
}

fn io_error(error: niffler::Error) -> io::Error {
    match error {
        niffler::Error::IOError(source) => source,
        other => io::Error::other(other),
    }
}

fn open_error(name: &Arc<str>, source: io::Error) -> InputError {
    let file = Arc::clone(name);
    match source.kind() {
        io::ErrorKind::NotFound => InputError::Missing { file },
        _ => InputError::Open { file, source },
    }
}

/// An error while reading: one that carries a code came from the operating system, any other from a
/// decompressor.
pub(crate) fn read_error(name: &Arc<str>, line: u64, source: io::Error) -> InputError {
    let file = Arc::clone(name);
    if source.raw_os_error().is_some() {
        InputError::Read { file, line, source }
    } else {
        InputError::Damaged { file, line, source }
    }
}

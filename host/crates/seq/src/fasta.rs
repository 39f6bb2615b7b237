//! FASTA text to raw records.
//!
//! The reader of `bio` is not used here, only its alphabet (see `letters`) and, in the tests, as the oracle
//! for plain files: it gives no line numbers, holds a whole line whatever its length, stops for good at a
//! byte order mark, a comment, a leading blank line or a byte that is not UTF-8, and keeps blanks inside a
//! sequence. The tests in `bio_reader` show it.
//!
//! Lines end with LF, CRLF or a lone CR. A line beginning with `;` is a comment. A UTF-8 byte order mark at
//! the start of a file is skipped. Memory is bounded: of a sequence no more than `max_residues` letters are
//! kept, of a header no more than [`HEADER_BYTES`]; the rest is counted.

use std::io::{self, BufRead};

use crate::letters::{self, Class, Letters};

/// Bytes of a header that are kept: room for the longest id with a database prefix and for a message.
pub(crate) const HEADER_BYTES: usize = 4096;

/// The longest UTF-8 form of one character, which is all that a message shows.
const CHARACTER_BYTES: usize = 4;

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// One record as it stands in the file, its characters sorted out, nothing judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRecord {
    /// 1-based line of the header.
    pub(crate) line: u64,
    /// The header after `>` without the blanks around it, at most [`HEADER_BYTES`].
    pub(crate) header: Vec<u8>,
    /// The header goes on after what `header` holds.
    pub(crate) header_cut: bool,
    /// Upper-case letters `[L]`; empty when there are more than `max_residues` or a fault.
    pub(crate) residues: Vec<u8>,
    /// Letters of the sequence, kept or not.
    pub(crate) letters: u64,
    /// Gaps removed.
    pub(crate) gaps: u64,
    /// A stop was dropped at the end.
    pub(crate) stop: bool,
    /// The first character that has no place in a sequence.
    pub(crate) fault: Option<Fault>,
}

/// A character out of place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// 1-based, blanks not counted.
    pub(crate) position: u64,
    /// 1-based line of the file.
    pub(crate) line: u64,
    /// Up to four bytes of a character that belongs in no sequence; `None` for a stop inside one.
    pub(crate) character: Option<Vec<u8>>,
}

/// Why the text ended early.
#[derive(Debug)]
pub(crate) enum FastaError {
    /// Reading failed.
    Io(io::Error),
    /// Text before the first header; what was found, ready for a message.
    NotFasta(String),
}

/// Raw records of one file.
#[derive(Debug)]
pub(crate) struct FastaReader<R> {
    input: R,
    parser: Parser,
}

impl<R: BufRead> FastaReader<R> {
    /// Reads from `input`, keeping at most `max_residues` letters of a sequence.
    pub(crate) fn new(input: R, max_residues: u32) -> Self {
        Self { input, parser: Parser::new(max_residues) }
    }

    /// The line (1-based) that the reader has come to.
    pub(crate) fn line(&self) -> u64 {
        self.parser.line
    }

    /// The next record, or `None` at the end of the file.
    ///
    /// # Errors
    /// [`FastaError`] when reading fails or the text does not begin with a header. The reader is of no use
    /// then.
    pub(crate) fn next_record(&mut self) -> Result<Option<RawRecord>, FastaError> {
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FastaError::Io(error)),
            };
            if chunk.is_empty() {
                return self.parser.finish();
            }
            let (used, record) = self.parser.feed(chunk)?;
            self.input.consume(used);
            if record.is_some() {
                return Ok(record);
            }
        }
    }
}

/// A record that stands in a row of a table: its id and its residues, which may go over several lines.
pub(crate) fn record_of_cells(
    line: u64,
    id: &[u8],
    residues: &[u8],
    (letters, max_residues): (&Letters, u32),
) -> RawRecord {
    let mut draft = Draft::new(line);
    draft.extend_header(id);
    let (mut at, mut place) = (0, line);
    while let Some(&byte) = residues.get(at) {
        at += draft.take(&residues[at..], (letters, max_residues), place);
        place += u64::from(byte == b'\n');
    }
    draft.finish()
}

/// Where in the text the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of the file, so many bytes of a byte order mark seen.
    FileStart(usize),
    LineStart,
    Header,
    Comment,
    Sequence,
}

/// The text automaton: its state does not depend on how the bytes are cut into chunks.
#[derive(Debug)]
struct Parser {
    letters: Letters,
    max_residues: u32,
    line: u64,
    place: Place,
    /// The last line ended with CR: an LF right after it belongs to it.
    after_cr: bool,
    draft: Option<Draft>,
}

impl Parser {
    fn new(max_residues: u32) -> Self {
        Self {
            letters: Letters::proteins(),
            max_residues,
            line: 1,
            place: Place::FileStart(0),
            after_cr: false,
            draft: None,
        }
    }

    /// Takes bytes from the front of `chunk` up to the end of a record or of the chunk.
    /// Returns how many were taken and the record that ended.
    fn feed(&mut self, chunk: &[u8]) -> Result<(usize, Option<RawRecord>), FastaError> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            at += match self.place {
                Place::FileStart(seen) => self.file_start(seen, byte)?,
                Place::LineStart => {
                    if byte == b'>'
                        && let Some(draft) = self.draft.take()
                    {
                        return Ok((at, Some(draft.finish())));
                    }
                    self.line_start(byte)
                }
                Place::Header => self.header(&chunk[at..]),
                Place::Comment => self.comment(&chunk[at..]),
                Place::Sequence => self.sequence(&chunk[at..])?,
            };
        }
        Ok((at, None))
    }

    /// The last record, once the input has ended.
    fn finish(&mut self) -> Result<Option<RawRecord>, FastaError> {
        if let Place::FileStart(1 | 2) = self.place {
            return Err(FastaError::NotFasta(letters::shown(&BYTE_ORDER_MARK[..1])));
        }
        Ok(self.draft.take().map(Draft::finish))
    }

    fn file_start(&mut self, seen: usize, byte: u8) -> Result<usize, FastaError> {
        match BYTE_ORDER_MARK.get(seen) {
            Some(&mark) if mark == byte => {
                self.place = Place::FileStart(seen + 1);
                Ok(1)
            }
            Some(_) if seen > 0 => Err(FastaError::NotFasta(letters::shown(&BYTE_ORDER_MARK[..1]))),
            _ => {
                self.place = Place::LineStart;
                Ok(0)
            }
        }
    }

    fn line_start(&mut self, byte: u8) -> usize {
        let second_half = self.after_cr && byte == b'\n';
        self.after_cr = false;
        if second_half {
            return 1;
        }
        match byte {
            b'>' => {
                self.draft = Some(Draft::new(self.line));
                self.place = Place::Header;
                1
            }
            b';' => {
                self.place = Place::Comment;
                1
            }
            _ => {
                self.place = Place::Sequence;
                0
            }
        }
    }

    fn end_line(&mut self, byte: u8) {
        self.line += 1;
        self.after_cr = byte == b'\r';
        self.place = Place::LineStart;
    }

    fn header(&mut self, chunk: &[u8]) -> usize {
        let length = line_length(chunk);
        if let Some(draft) = &mut self.draft {
            draft.extend_header(&chunk[..length]);
        }
        self.after_line(chunk, length)
    }

    fn comment(&mut self, chunk: &[u8]) -> usize {
        self.after_line(chunk, line_length(chunk))
    }

    /// Bytes taken once `length` bytes of a line are done with: its end too, where the chunk has it.
    fn after_line(&mut self, chunk: &[u8], length: usize) -> usize {
        match chunk.get(length) {
            Some(&end) => {
                self.end_line(end);
                length + 1
            }
            None => length,
        }
    }

    fn sequence(&mut self, chunk: &[u8]) -> Result<usize, FastaError> {
        let Some(draft) = &mut self.draft else {
            return self.before_first_header(chunk);
        };
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.letters.class(byte) == Class::LineEnd {
                self.end_line(byte);
                return Ok(at + 1);
            }
            at += draft.take(&chunk[at..], (&self.letters, self.max_residues), self.line);
        }
        Ok(at)
    }

    fn before_first_header(&mut self, chunk: &[u8]) -> Result<usize, FastaError> {
        for (at, &byte) in chunk.iter().enumerate() {
            match self.letters.class(byte) {
                Class::Blank => {}
                Class::LineEnd => {
                    self.end_line(byte);
                    return Ok(at + 1);
                }
                // A byte that begins a longer character is named by its value: the rest may be in the next
                // chunk.
                _ => return Err(FastaError::NotFasta(letters::shown(&[byte]))),
            }
        }
        Ok(chunk.len())
    }
}

/// Bytes before the end of the line, or all of the chunk.
fn line_length(chunk: &[u8]) -> usize {
    chunk.iter().position(|&byte| matches!(byte, b'\n' | b'\r')).unwrap_or(chunk.len())
}

/// A record while it is read.
#[derive(Debug)]
struct Draft {
    raw: RawRecord,
    /// Bytes of the header up to its last character that is no blank, leading blanks left out.
    header_bytes: u64,
    /// Bytes of the header, leading blanks left out.
    header_seen: u64,
    /// Characters of the sequence so far, blanks left out.
    position: u64,
    /// A stop that will be dropped if no letter follows: its position and line.
    pending_stop: Option<(u64, u64)>,
}

impl Draft {
    fn new(line: u64) -> Self {
        Self {
            raw: RawRecord {
                line,
                header: Vec::new(),
                header_cut: false,
                residues: Vec::new(),
                letters: 0,
                gaps: 0,
                stop: false,
                fault: None,
            },
            header_bytes: 0,
            header_seen: 0,
            position: 0,
            pending_stop: None,
        }
    }

    fn extend_header(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let blank = byte.is_ascii_whitespace();
            if blank && self.header_seen == 0 {
                continue;
            }
            self.header_seen += 1;
            if !blank {
                self.header_bytes = self.header_seen;
            }
            if self.raw.header.len() < HEADER_BYTES {
                self.raw.header.push(byte);
            }
        }
    }

    /// Takes letters of a sequence from the front of `chunk`, or one byte that is none, an end of a line included.
    fn take(&mut self, chunk: &[u8], (letters, max_residues): (&Letters, u32), line: u64) -> usize {
        let Some(&byte) = chunk.first() else { return 0 };
        match letters.class(byte) {
            Class::Letter => {
                let length = chunk.iter().take_while(|&&byte| letters.class(byte) == Class::Letter).count();
                self.extend_residues(&chunk[..length], max_residues);
                return length;
            }
            Class::Gap => self.gap(),
            Class::Stop => self.stop(line),
            Class::Blank | Class::LineEnd => {}
            Class::Other => self.other(byte, line),
        }
        1
    }

    fn extend_residues(&mut self, run: &[u8], max_residues: u32) {
        self.inner_stop();
        self.position += run.len() as u64;
        self.raw.letters += run.len() as u64;
        if self.raw.fault.is_some() || self.raw.letters > u64::from(max_residues) {
            self.raw.residues = Vec::new();
        } else {
            self.raw.residues.extend(run.iter().map(u8::to_ascii_uppercase));
        }
    }

    fn gap(&mut self) {
        self.position += 1;
        self.raw.gaps += 1;
    }

    fn stop(&mut self, line: u64) {
        self.inner_stop();
        self.position += 1;
        self.pending_stop = Some((self.position, line));
    }

    /// A letter or a stop follows: a stop before it was inside the sequence.
    fn inner_stop(&mut self) {
        if let Some((position, line)) = self.pending_stop.take() {
            self.blame(Fault { position, line, character: None });
        }
    }

    fn other(&mut self, byte: u8, line: u64) {
        self.position += 1;
        let position = self.position;
        if let Some(Fault { position: first, line: first_line, character: Some(bytes) }) = &mut self.raw.fault
        {
            // The rest of a character of several bytes follows its first byte directly.
            let follows = *first + bytes.len() as u64 == position && *first_line == line;
            if follows && bytes.len() < CHARACTER_BYTES && byte >= 0x80 {
                bytes.push(byte);
            }
            return;
        }
        self.blame(Fault { position, line, character: Some(vec![byte]) });
    }

    /// Keeps the first fault; a record with one needs no residues.
    fn blame(&mut self, fault: Fault) {
        if self.raw.fault.is_none() {
            self.raw.fault = Some(fault);
            self.raw.residues = Vec::new();
        }
    }

    fn finish(self) -> RawRecord {
        let mut raw = self.raw;
        let kept = usize::try_from(self.header_bytes).unwrap_or(usize::MAX);
        raw.header_cut = kept > raw.header.len();
        raw.header.truncate(kept);
        raw.stop = self.pending_stop.is_some();
        raw
    }
}

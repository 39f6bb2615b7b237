//! Inputs to records: ids, letter rules, the length limit and the duplicate rule.
//!
//! - Same id and same sequence as an earlier record: a [`Duplicate`], computed and written once.
//! - Same id and another sequence: a [`Failure`]; the earlier record stands.
//! - A record that fails for another reason takes no id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::BufRead;
use std::sync::Arc;

use crate::error::{InputError, RecordError};
use crate::fasta::{FastaError, FastaReader, RawRecord};
use crate::hash::InputHasher;
use crate::id::{self, IdStyle};
use crate::input::{Progress, Source, read_error};
use crate::letters;
use crate::record::{Duplicate, Failure, Item, Record, Warnings};
use crate::tables::{SequenceRows, TableError};

/// The `max_residues` that holds where the user names none.
pub const DEFAULT_MAX_RESIDUES: u32 = 65_536;

/// How records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which part of a header is the id.
    pub id_style: IdStyle,
    /// Longer records fail, and are never held in memory whole.
    pub max_residues: u32,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { id_style: IdStyle::default(), max_residues: DEFAULT_MAX_RESIDUES }
    }
}

/// What a reader has yielded so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Headers seen: records, failures and duplicates together.
    pub headers: u64,
    /// Good, unique records.
    pub records: u64,
    /// Residues of those.
    pub residues: u64,
    /// Repetitions left out.
    pub duplicates: u64,
    /// Records that failed.
    pub failures: u64,
    /// Repairs made.
    pub warnings: Warnings,
    /// How often each letter `A..=Z` stands in the good, unique records.
    pub letters: [u64; 26],
}

/// Reads the records of several inputs, one after another. Deterministic: the same bytes give the same items.
///
/// After an [`InputError`] it yields nothing more. It holds about 64 bytes for each id seen.
pub struct RecordReader {
    sources: std::vec::IntoIter<Source>,
    options: ReadOptions,
    current: Option<Current>,
    progress: Progress,
    seen: HashMap<[u8; 16], Seen>,
    files: Vec<Arc<str>>,
    totals: Totals,
    hasher: InputHasher,
    header: Vec<u8>,
    stopped: bool,
}

struct Current {
    file: Arc<str>,
    text: Text,
}

enum Text {
    Fasta(FastaReader<Box<dyn BufRead + Send>>),
    Table(SequenceRows),
}

impl Current {
    /// A cell of ids is an id as it stands.
    fn id_style(&self, options: ReadOptions) -> IdStyle {
        match self.text {
            Text::Fasta(_) => options.id_style,
            Text::Table(_) => IdStyle::Full,
        }
    }

    fn next_record(&mut self) -> Result<Option<RawRecord>, InputError> {
        let fasta = match &mut self.text {
            Text::Fasta(fasta) => fasta,
            Text::Table(rows) => return rows.next_record().map_err(table_error),
        };
        fasta.next_record().map_err(|error| match error {
            FastaError::Io(source) => read_error(&self.file, fasta.line(), source),
            FastaError::NotFasta(found) => {
                InputError::NotFasta { file: Arc::clone(&self.file), line: fasta.line(), found }
            }
        })
    }
}

/// What cannot be read is that, whatever stands in it.
fn table_error(error: TableError) -> InputError {
    match error {
        TableError::Input(error) => error,
        error => InputError::Table(Box::new(error)),
    }
}

/// The record that has an id. Hashes instead of texts: a proteome collection has tens of millions of ids.
struct Seen {
    sequence: [u8; 16],
    index: u64,
    line: u64,
    file: u32,
}

impl RecordReader {
    /// A reader over `sources` in their order. Opens them one by one as it comes to them.
    pub fn new(sources: &[Source], options: ReadOptions) -> Self {
        Self {
            sources: Vec::from(sources).into_iter(),
            options,
            current: None,
            progress: Progress::default(),
            seen: HashMap::new(),
            files: Vec::new(),
            totals: Totals::default(),
            hasher: InputHasher::new(),
            header: Vec::new(),
            stopped: false,
        }
    }

    /// The count of stored bytes read, to be watched from elsewhere.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// What has been yielded so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The [`InputHasher`] of the records yielded so far. At the end of the input it names the input: spelling,
    /// line breaks, compression, duplicates and failed records do not enter it.
    pub fn input_hash(&self) -> String {
        self.hasher.to_hex()
    }

    /// The header of the record yielded last, without `>`, as far as it is kept.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        loop {
            let Some(current) = &mut self.current else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            match current.next_record()? {
                Some(raw) => {
                    let (file, style) = (Arc::clone(&current.file), current.id_style(self.options));
                    return Ok(Some(self.item(raw, file, style)));
                }
                None => self.current = None,
            }
        }
    }

    fn open_next(&mut self) -> Result<bool, InputError> {
        let Some(source) = self.sources.next() else { return Ok(false) };
        let most = self.options.max_residues;
        let text = match source.columns() {
            Some(columns) => {
                let rows = SequenceRows::open(&source, columns, (most, &self.progress));
                Text::Table(rows.map_err(table_error)?)
            }
            None => Text::Fasta(FastaReader::new(source.open(&self.progress)?, most)),
        };
        let file = Arc::clone(source.name());
        self.files.push(Arc::clone(&file));
        self.current = Some(Current { file, text });
        Ok(true)
    }

    fn item(&mut self, raw: RawRecord, file: Arc<str>, style: IdStyle) -> Item {
        self.totals.headers += 1;
        let checked = style.choose(&raw.header, raw.header_cut).map(str::to_owned);
        let checked = checked.and_then(|id| match sequence_error(&raw, self.options.max_residues) {
            Some(reason) => Err(reason),
            None => Ok(id),
        });
        match checked {
            Ok(id) => self.admit(raw, id, file),
            Err(reason) => {
                let shown = style.choose(&raw.header, raw.header_cut);
                let shown = shown.map_or_else(|_| id::shown(&raw.header), str::to_owned);
                self.failure(raw.line, shown, file, reason)
            }
        }
    }

    fn failure(&mut self, line: u64, id: String, file: Arc<str>, reason: RecordError) -> Item {
        self.totals.failures += 1;
        Item::Failure(Failure { file, line, record: self.totals.headers, id, reason })
    }

    /// Applies the duplicate rule to a record that is good in itself.
    fn admit(&mut self, raw: RawRecord, id: String, file: Arc<str>) -> Item {
        let sequence = short_hash(&raw.residues);
        let index = self.totals.records;
        match self.seen.entry(short_hash(id.as_bytes())) {
            Entry::Vacant(entry) => {
                let number = self.files.len().saturating_sub(1);
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                entry.insert(Seen { sequence, index, line: raw.line, file: number });
            }
            Entry::Occupied(entry) if entry.get().sequence == sequence => {
                self.totals.duplicates += 1;
                let (record, of) = (self.totals.headers, entry.get().index);
                return Item::Duplicate(Duplicate { file, line: raw.line, record, id, of });
            }
            Entry::Occupied(entry) => {
                let first = entry.get();
                let first_file = self.files.get(first.file as usize).unwrap_or(&file);
                let reason = RecordError::IdTaken {
                    file: Arc::clone(&file),
                    line: raw.line,
                    first_file: Arc::clone(first_file),
                    first_line: first.line,
                };
                return self.failure(raw.line, id, file, reason);
            }
        }
        self.count(&raw);
        self.hasher.push(&id, &raw.residues);
        self.header = raw.header;
        let record = self.totals.headers;
        Item::Record(Record { index, id, residues: raw.residues, file, line: raw.line, record })
    }

    fn count(&mut self, raw: &RawRecord) {
        let totals = &mut self.totals;
        totals.records += 1;
        totals.residues += raw.residues.len() as u64;
        totals.warnings.gaps += raw.gaps;
        totals.warnings.gap_records += u64::from(raw.gaps > 0);
        totals.warnings.stop_records += u64::from(raw.stop);
        for letter in &raw.residues {
            if let Some(count) = totals.letters.get_mut(usize::from(letter.wrapping_sub(b'A'))) {
                *count += 1;
            }
        }
    }
}

impl Iterator for RecordReader {
    type Item = Result<Item, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped {
            return None;
        }
        let item = self.next_item().transpose();
        self.stopped = !matches!(item, Some(Ok(_)));
        item
    }
}

/// What is wrong with the sequence, the first fault in the file before its length.
pub(crate) fn sequence_error(raw: &RawRecord, max_residues: u32) -> Option<RecordError> {
    if let Some(fault) = &raw.fault {
        let (position, line) = (fault.position, fault.line);
        return Some(match &fault.character {
            Some(bytes) => RecordError::Character { found: letters::shown(bytes), position, line },
            None => RecordError::InnerStop { position, line },
        });
    }
    if raw.letters == 0 {
        return Some(RecordError::Empty);
    }
    (raw.letters > u64::from(max_residues))
        .then_some(RecordError::TooLong { residues: raw.letters, max_residues })
}

/// Half a BLAKE3 of some bytes: no two texts of an input will share it.
pub(crate) fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

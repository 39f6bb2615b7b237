//! Records to families: FASTA with the headers of Pfam, and tables with a column of families.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use super::Families;
use crate::corpus::{Builder, Corpus, CorpusOptions, CorpusReport, Count, Intake, MOST_SEQUENCES};
use crate::error::{CorpusError, InputError, RecordError};
use crate::fasta::{FastaReader, RawRecord};
use crate::id;
use crate::input::{Progress, Source, read_error};
use crate::reader::{ReadOptions, RecordReader, Totals, sequence_error};
use crate::record::{Failure, Item, Warnings};
use crate::tables::{Rows, Separator};

/// The columns of a table of families.
const COLUMNS: [&str; 2] = ["family", "sequence"];

/// The column that names a record of a table, where there is one.
const ID_COLUMN: &str = "id";

/// What is kept of the good records.
#[derive(Debug, Clone, Copy)]
pub struct FamilyOptions<'a> {
    /// What is kept of them whatever their families.
    pub corpus: CorpusOptions<'a>,
    /// Longer records fail.
    pub max_residues: u32,
    /// Families with fewer sequences, counted when all others are left out, are left out whole.
    pub min_family: usize,
}

/// What was read and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FamilyReport {
    /// Records, whatever their families; rows of tables are records. One that names no family has failed.
    pub corpus: CorpusReport,
    /// Families that are too small.
    pub small_families: u64,
    /// Records of those.
    pub small: Count,
}

impl Families {
    /// Reads every source to its end: FASTA whose headers are Pfam's, `>NAME/FROM-TO WORD PF00001.20;7tm_1;`, where the
    /// family is the second field of the third word; or a table, `.csv` or `.tsv`, with the columns `family` and
    /// `sequence`, and `id` where records have names. Sources of FASTA come before tables.
    ///
    /// # Errors
    /// [`CorpusError`] where an input cannot be read to its end, and where nothing is kept.
    pub fn read(
        sources: &[Source],
        options: &FamilyOptions<'_>,
    ) -> Result<(Self, FamilyReport), CorpusError> {
        let mut draft = Draft::new(options);
        let (mut fasta, mut tables) = (Vec::new(), Vec::new());
        for source in sources {
            if is_fasta(source)? { fasta.push(source.clone()) } else { tables.push(source) }
        }
        draft.read_fasta(&fasta)?;
        for source in tables {
            draft.read_table(source)?;
        }
        draft.finish()
    }
}

/// Families as they grow.
struct Draft<'a> {
    options: &'a FamilyOptions<'a>,
    intake: Intake<'a>,
    kept: Builder,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    family_of: Vec<u32>,
    totals: Totals,
    failures: Vec<Failure>,
}

impl<'a> Draft<'a> {
    fn new(options: &'a FamilyOptions<'a>) -> Self {
        Self {
            options,
            intake: Intake::new(&options.corpus),
            kept: Builder::new(),
            names: Vec::new(),
            numbers: HashMap::new(),
            family_of: Vec::new(),
            totals: Totals::default(),
            failures: Vec::new(),
        }
    }

    fn read_fasta(&mut self, sources: &[Source]) -> Result<(), CorpusError> {
        let options = ReadOptions { max_residues: self.options.max_residues, ..ReadOptions::default() };
        let mut reader = RecordReader::new(sources, options);
        let mut nameless = Count::default();
        while let Some(item) = reader.next() {
            match item? {
                Item::Record(record) => match pfam_family(reader.header()) {
                    Ok(family) => self.push(&record.residues, family)?,
                    Err(reason) => {
                        nameless.add(&record.residues);
                        self.failures.push(record.failure(reason));
                    }
                },
                Item::Duplicate(_) => {}
                Item::Failure(failure) => self.failures.push(failure),
            }
        }
        self.totals = *reader.totals();
        self.totals.failures += nameless.records;
        self.totals.records -= nameless.records;
        self.totals.residues -= nameless.residues;
        Ok(())
    }

    fn read_table(&mut self, source: &Source) -> Result<(), CorpusError> {
        let mut table = Labelled::open(source, &COLUMNS)?;
        while table.next_row()? {
            self.totals.headers += 1;
            match self.understood(&table) {
                Ok((raw, family)) => {
                    count(&mut self.totals, &raw);
                    self.push(&raw.residues, &family)?;
                }
                Err(reason) => {
                    self.totals.failures += 1;
                    self.failures.push(table.failure(self.totals.headers, reason));
                }
            }
        }
        Ok(())
    }

    /// The sequence and the family of a row.
    fn understood(&self, table: &Labelled) -> Result<(RawRecord, String), RecordError> {
        let cells = table.cells();
        let [family, sequence] = [0, 1].map(|place| cells.get(place).copied().unwrap_or_default());
        let family = std::str::from_utf8(family).ok().filter(|family| !family.is_empty());
        let family = family.ok_or_else(|| RecordError::Cell {
            place: format!("the column '{}'", COLUMNS[0]),
            found: "nothing, or bytes that are no text".to_owned(),
            wanted: "the name of a family".to_owned(),
        })?;
        Ok((residues_of(sequence, table.line(), self.options.max_residues)?, family.to_owned()))
    }

    /// Takes a good record.
    fn push(&mut self, residues: &[u8], family: &str) -> Result<(), CorpusError> {
        if !self.intake.admits(residues) {
            return Ok(());
        }
        if self.kept.sequences() as u64 >= MOST_SEQUENCES {
            return Err(CorpusError::TooMany { limit: MOST_SEQUENCES });
        }
        self.kept.push(residues);
        let number = match self.numbers.get(family) {
            Some(&number) => number,
            None => {
                // There are no more families than sequences.
                let number = self.names.len() as u32;
                self.names.push(family.to_owned());
                self.numbers.insert(family.to_owned(), number);
                number
            }
        };
        self.family_of.push(number);
        Ok(())
    }

    /// Leaves out what is too small.
    fn finish(self) -> Result<(Families, FamilyReport), CorpusError> {
        let Self { options, intake, kept, names, mut family_of, totals, failures, .. } = self;
        let mut sizes = vec![0usize; names.len()];
        family_of.iter().for_each(|&family| sizes[family as usize] += 1);
        let stays = |family: u32| sizes[family as usize] >= options.min_family;
        let keep: Vec<bool> = family_of.iter().map(|&family| stays(family)).collect();
        let mut small = Count::default();
        for (place, _) in keep.iter().enumerate().filter(|(_, keep)| !**keep) {
            small.add(kept.sequence(place));
        }
        let small_families = sizes.iter().filter(|&&size| size < options.min_family).count() as u64;
        let corpus: Option<Corpus> = kept.retain(&keep).finish();
        family_of.retain(|&family| stays(family));
        let left_out = intake.left_out;
        let Totals { headers, failures: failed, duplicates, .. } = totals;
        let corpus = corpus.ok_or(if small_families > 0 {
            CorpusError::SmallFamilies { families: small_families, least: options.min_family }
        } else {
            CorpusError::Empty { headers, failures: failed, duplicates, left_out }
        })?;
        let report = CorpusReport { totals, failures, left_out };
        let report = FamilyReport { corpus: report, small_families, small };
        Ok((Families::new(corpus, &names, family_of), report))
    }
}

/// Counts a good row as a reader counts a record.
fn count(totals: &mut Totals, raw: &RawRecord) {
    totals.records += 1;
    totals.residues += raw.residues.len() as u64;
    warn(&mut totals.warnings, raw);
    for letter in &raw.residues {
        if let Some(count) = totals.letters.get_mut(usize::from(letter.wrapping_sub(b'A'))) {
            *count += 1;
        }
    }
}

/// Counts what was repaired.
pub(super) fn warn(warnings: &mut Warnings, raw: &RawRecord) {
    warnings.gaps += raw.gaps;
    warnings.gap_records += u64::from(raw.gaps > 0);
    warnings.stop_records += u64::from(raw.stop);
}

/// The family that a header of Pfam names: the second field of `PF00001.20;7tm_1;`, its third word.
fn pfam_family(header: &[u8]) -> Result<&str, RecordError> {
    let mut words = header.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let family = words.nth(2).and_then(|word| word.split(|&byte| byte == b';').nth(1));
    let family = family.and_then(|family| std::str::from_utf8(family).ok());
    family.filter(|family| !family.is_empty()).ok_or(RecordError::NoFamily)
}

/// Whether the text begins as FASTA does: with a header or a comment.
fn is_fasta(source: &Source) -> Result<bool, InputError> {
    let mut text = source.open(&Progress::default())?;
    loop {
        let chunk = text.fill_buf().map_err(|error| read_error(source.name(), 1, error))?;
        // A byte order mark is no letter either way.
        let first = chunk.iter().find(|byte| !byte.is_ascii_whitespace() && byte.is_ascii());
        match (first, chunk.len()) {
            (Some(first), _) => return Ok(matches!(first, b'>' | b';')),
            (None, 0) => return Ok(true),
            (None, length) => text.consume(length),
        }
    }
}

/// The sequence of a cell, by the rules of FASTA; it has one residue at least.
pub(super) fn residues_of(cell: &[u8], line: u64, max_residues: u32) -> Result<RawRecord, RecordError> {
    let text: &[u8] = &[b">cell\n", cell].concat();
    let raw = FastaReader::new(text, max_residues).next_record().ok().flatten();
    let mut raw = raw.ok_or(RecordError::Empty)?;
    if let Some(fault) = &mut raw.fault {
        fault.line = line;
    }
    match sequence_error(&raw, max_residues) {
        None => Ok(raw),
        Some(reason) => Err(reason),
    }
}

/// A table some of whose columns are read, and its name of a record.
pub(super) struct Labelled {
    rows: Rows,
    columns: Vec<usize>,
    id: Option<usize>,
}

impl Labelled {
    /// Reads the names of the columns, of which there must be `columns`.
    pub(super) fn open(source: &Source, columns: &[&str]) -> Result<Self, CorpusError> {
        let rows = Rows::open(source, Separator::of(source)?)?;
        let columns = columns.iter().map(|column| rows.column(column)).collect::<Result<_, _>>()?;
        let id = rows.column(ID_COLUMN).ok();
        Ok(Self { rows, columns, id })
    }

    /// Goes to the next row; false at the end.
    pub(super) fn next_row(&mut self) -> Result<bool, CorpusError> {
        Ok(self.rows.next_row()?)
    }

    /// The line on which the row begins, from 1.
    pub(super) fn line(&self) -> u64 {
        self.rows.line()
    }

    /// The cells of the columns asked for, in that order.
    pub(super) fn cells(&self) -> Vec<&[u8]> {
        self.columns.iter().map(|&column| self.rows.cell(column)).collect()
    }

    /// The failure of the row, which is record `record` of the whole input.
    pub(super) fn failure(&self, record: u64, reason: RecordError) -> Failure {
        let line = self.line();
        let id = self.id.map_or_else(|| format!("line{line}"), |id| id::shown(self.rows.cell(id)));
        Failure { file: Arc::clone(self.rows.file()), line, record, id, reason }
    }
}

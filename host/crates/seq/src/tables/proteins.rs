//! Proteins by their ids, for pairs that name them.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::TableError;
use super::lines::{Lines, Rows, Separator};
use super::options::GroupColumn;
use super::set::Texts;
use crate::id::IdStyle;
use crate::input::Source;
use crate::letters::{Class, Letters};
use crate::reader::{ReadOptions, RecordReader, short_hash};
use crate::record::Item;

/// The columns of a table of proteins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProteinTable {
    /// Its ids.
    pub id: String,
    /// Its sequences.
    pub sequence: String,
    /// What keeps proteins together where some are held out.
    pub group: Option<GroupColumn>,
}

/// Proteins by their ids: at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Proteins {
    file: Arc<str>,
    letters: Vec<u8>,
    offsets: Vec<usize>,
    ids: Texts,
    groups: Option<Texts>,
    numbers: HashMap<[u8; 16], u32>,
}

impl Proteins {
    /// Reads a FASTA, or a table where `table` names its columns. Every sequence must be good, as a pair may need it.
    ///
    /// # Errors
    /// [`TableError::Input`] and those of a table, [`TableError::Sequence`] for the first bad sequence and for an id that
    /// stands for two.
    pub fn read(
        source: &Source,
        max_residues: u32,
        table: Option<&ProteinTable>,
    ) -> Result<Self, TableError> {
        let mut proteins = Self {
            file: Arc::clone(source.name()),
            letters: Vec::new(),
            offsets: vec![0],
            ids: Texts::default(),
            groups: table.and_then(|table| table.group.as_ref()).map(|_| Texts::default()),
            numbers: HashMap::new(),
        };
        match table {
            None => proteins.read_fasta(source, max_residues)?,
            Some(table) => proteins.read_table(source, max_residues, table)?,
        }
        if proteins.len() == 0 {
            let (file, found) = (Arc::clone(&proteins.file), "nothing".to_owned());
            return Err(TableError::Form {
                file,
                line: 1,
                found,
                wanted: "sequences of the proteins that pairs name",
            });
        }
        Ok(proteins)
    }

    /// Whether the text begins as FASTA does.
    ///
    /// # Errors
    /// [`TableError::Input`].
    pub fn is_fasta(source: &Source) -> Result<bool, TableError> {
        let mut lines = Lines::open(source)?;
        while let Some(line) = lines.next_line()? {
            let line = line.trim_ascii();
            if !line.is_empty() && line[0] != b';' {
                return Ok(line[0] == b'>');
            }
        }
        Ok(false)
    }

    fn read_fasta(&mut self, source: &Source, max_residues: u32) -> Result<(), TableError> {
        let options = ReadOptions { max_residues, ..ReadOptions::default() };
        for item in RecordReader::new(std::slice::from_ref(source), options) {
            match item? {
                Item::Record(record) => self.push(&record.id, &record.residues, None)?,
                Item::Duplicate(_) => {}
                Item::Failure(failure) => {
                    let (file, line, id) = (failure.file, failure.line, failure.id);
                    return Err(TableError::Sequence { file, line, id, reason: failure.reason.to_string() });
                }
            }
        }
        Ok(())
    }

    fn read_table(
        &mut self,
        source: &Source,
        max_residues: u32,
        table: &ProteinTable,
    ) -> Result<(), TableError> {
        let mut rows = Rows::open(source, Separator::of(source)?)?;
        let [id, sequence] = [rows.column(&table.id)?, rows.column(&table.sequence)?];
        let group = table.group.as_ref();
        let group =
            group.map(|group| Ok::<_, TableError>((group, rows.column(&group.column)?))).transpose()?;
        let letters = Letters::proteins();
        while rows.next_row()? {
            let refused = |reason: String| TableError::Sequence {
                file: Arc::clone(rows.file()),
                line: rows.line(),
                id: crate::id::shown(rows.cell(id)),
                reason,
            };
            let name =
                IdStyle::Full.choose(rows.cell(id), false).map_err(|reason| refused(reason.to_string()))?;
            let residues = rows.cell(sequence).to_ascii_uppercase();
            if residues.is_empty() || residues.len() > max_residues as usize {
                let found = residues.len();
                return Err(refused(format!("found {found} residues, wanted 1 to {max_residues}")));
            }
            if let Some(at) = residues.iter().position(|&byte| letters.class(byte) != Class::Letter) {
                let found = crate::letters::shown(&residues[at..]);
                return Err(refused(format!(
                    "found {found} at position {}, wanted a residue letter",
                    at + 1
                )));
            }
            let group = group.map(|(column, place)| grouped(rows.cell(place), column.fields));
            let number = self.numbers.get(&short_hash(name.as_bytes())).copied();
            match number {
                Some(known) if self.residues(known as usize) == residues => {}
                Some(_) => return Err(refused("the id stands for another sequence already".to_owned())),
                None => self.push(name, &residues, group.as_deref())?,
            }
        }
        Ok(())
    }

    fn push(&mut self, id: &str, residues: &[u8], group: Option<&str>) -> Result<(), TableError> {
        let limit = u64::from(u32::MAX);
        let number =
            u32::try_from(self.len()).map_err(|_| TableError::TooMany { what: "sequences", limit })?;
        self.numbers.insert(short_hash(id.as_bytes()), number);
        self.letters.extend_from_slice(residues);
        self.offsets.push(self.letters.len());
        self.ids.push(id);
        if let (Some(groups), Some(group)) = (&mut self.groups, group) {
            groups.push(group);
        }
        Ok(())
    }

    /// Number of proteins, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "they are never empty")]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The input as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The number of the protein with this id.
    pub fn number(&self, id: &[u8]) -> Option<u32> {
        self.numbers.get(&short_hash(id)).copied()
    }

    /// Residues `[L]` of a protein: upper-case letters.
    ///
    /// # Panics
    /// When there is no such protein.
    pub fn residues(&self, number: usize) -> &[u8] {
        &self.letters[self.offsets[number]..self.offsets[number + 1]]
    }

    /// The id of a protein.
    ///
    /// # Panics
    /// When there is no such protein.
    pub fn id(&self, number: usize) -> &str {
        self.ids.get(number)
    }

    /// What keeps a protein together with others.
    ///
    /// # Panics
    /// When there is no such protein.
    pub fn group(&self, number: usize) -> Option<&str> {
        self.groups.as_ref().map(|groups| groups.get(number))
    }
}

/// The first fields of a cell, or all of it.
pub(super) fn grouped(cell: &[u8], fields: Option<usize>) -> String {
    let text = String::from_utf8_lossy(cell);
    match fields {
        None => text.into_owned(),
        Some(count) => text.split('.').take(count).collect::<Vec<_>>().join("."),
    }
}

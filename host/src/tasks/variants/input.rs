//! Tables and proteins to mutants.

use std::collections::HashMap;
use std::path::Path;

use pliant_seq::{Item, ReadOptions, RecordError, RecordReader, Source, Vocabulary};
use pliant_store::Sheet;

use super::error::VariantError;
use super::mutant::{Grammar, Mutation, Wrong, scan};
use crate::cli::variants::{Mutants, VariantsPlan, WildType};
use crate::tasks::files;

/// A mutant of one of the wild types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    /// The number of its wild type.
    pub(super) wild: usize,
    /// What is other, in the order of the places.
    pub(super) mutations: Vec<Mutation>,
}

/// Everything that is scored.
pub(super) struct Input {
    /// The file, for provenance.
    pub(super) name: String,
    /// The table of the mutants; none in a scan.
    pub(super) sheet: Option<Sheet>,
    /// The wild types, each once, upper-case letters.
    pub(super) wild_types: Vec<Vec<u8>>,
    /// In the order of the rows.
    pub(super) variants: Vec<Variant>,
    /// The file of the one wild type, where it is no column.
    wild_file: Option<String>,
}

impl Input {
    /// Reads what `plan` names.
    ///
    /// # Errors
    /// [`VariantError`], and files that cannot be read.
    pub(super) fn read(plan: &VariantsPlan, vocabulary: &'static Vocabulary) -> anyhow::Result<Self> {
        match &plan.mutants {
            Mutants::Scan(path) => {
                let wild = wild_type(path)?;
                if let Some((place, letter)) = vocabulary.untold(&wild) {
                    let (file, letter) = (path.display().to_string(), char::from(letter));
                    let found = format!("the letter {letter} at position {}", place + 1);
                    let wanted = "a wild type of amino acids that the model tells apart";
                    return Err(VariantError::Untold { file, found, wanted }.into());
                }
                let single = |mutation| Variant { wild: 0, mutations: vec![mutation] };
                let variants = scan(&wild).into_iter().map(single).collect();
                let name = path.display().to_string();
                Ok(Self {
                    wild_file: Some(name.clone()),
                    name,
                    sheet: None,
                    wild_types: vec![wild],
                    variants,
                })
            }
            Mutants::Table { path, column, wild_type: place } => {
                let sheet = files::sheet(path)?;
                let reading = Reading {
                    file: path.display().to_string(),
                    sheet: &sheet,
                    mutants: column,
                    grammar: Grammar { offset: plan.offset, vocabulary },
                };
                reading.check(plan.score.name())?;
                let ((wild_types, variants), wild_file) = match place {
                    WildType::Fasta(fasta) => {
                        (reading.of_one(wild_type(fasta)?)?, Some(fasta.display().to_string()))
                    }
                    WildType::Column(column) => (reading.of_column(column)?, None),
                };
                Ok(Self { name: reading.file, wild_types, variants, sheet: Some(sheet), wild_file })
            }
        }
    }

    /// The error where a protein cannot be computed: of a mutant its row, of the one wild type its file.
    pub(super) fn refused(&self, variant: usize, is_mutant: bool, reason: &RecordError) -> VariantError {
        let line = self.sheet.as_ref().and_then(|sheet| sheet.rows().nth(variant)).map(|row| row.line());
        let place = match (&self.wild_file, line) {
            (Some(file), _) if !is_mutant => file.clone(),
            (_, Some(line)) => format!("{}:{line}", self.name),
            (_, None) => self.name.clone(),
        };
        let what = if is_mutant { "the mutant" } else { "the wild type" };
        VariantError::Refused { place, what, reason: reason.clone() }
    }
}

/// A table being read.
struct Reading<'a> {
    file: String,
    sheet: &'a Sheet,
    mutants: &'a str,
    grammar: Grammar,
}

type Read = (Vec<Vec<u8>>, Vec<Variant>);

impl Reading<'_> {
    /// Refuses a table without rows, or with the column that is to be added.
    fn check(&self, added: &'static str) -> Result<(), VariantError> {
        if self.sheet.column(added).is_some() {
            return Err(VariantError::Taken { file: self.file.clone(), column: added });
        }
        match self.sheet.rows().len() {
            0 => Err(VariantError::Empty { file: self.file.clone() }),
            _ => Ok(()),
        }
    }

    /// The mutants of one wild type.
    fn of_one(&self, wild: Vec<u8>) -> Result<Read, VariantError> {
        let mutants = self.column(self.mutants)?;
        let variant = |row: pliant_store::SheetRow<'_>| self.variant(row.line(), row.cell(mutants), 0, &wild);
        let variants = self.sheet.rows().map(variant).collect::<Result<_, _>>()?;
        Ok((vec![wild], variants))
    }

    /// The mutants of the wild types in a column.
    fn of_column(&self, name: &str) -> Result<Read, VariantError> {
        let (mutants, sequences) = (self.column(self.mutants)?, self.column(name)?);
        let (mut wild_types, mut variants) = (Vec::new(), Vec::new());
        let mut known: HashMap<&str, usize> = HashMap::new();
        for row in self.sheet.rows() {
            let text = row.cell(sequences);
            let number = match known.get(text) {
                Some(&number) => number,
                None => {
                    wild_types.push(self.sequence(row.line(), name, text)?);
                    known.insert(text, wild_types.len() - 1);
                    wild_types.len() - 1
                }
            };
            variants.push(self.variant(row.line(), row.cell(mutants), number, &wild_types[number])?);
        }
        Ok((wild_types, variants))
    }

    fn column(&self, name: &str) -> Result<usize, VariantError> {
        let (file, column) = (self.file.clone(), name.to_owned());
        match self.sheet.places(name).as_slice() {
            [place] => Ok(*place),
            [] => {
                let found = self.sheet.columns().collect::<Vec<_>>().join(", ");
                Err(VariantError::NoColumn { file, column, found })
            }
            _ => Err(VariantError::TwoColumns { file, column }),
        }
    }

    fn variant(&self, line: u64, text: &str, wild: usize, letters: &[u8]) -> Result<Variant, VariantError> {
        match self.grammar.read(text, letters) {
            Ok(mutations) => Ok(Variant { wild, mutations }),
            Err(wrong) => Err(self.cell(line, self.mutants, wrong)),
        }
    }

    /// The letters of a wild type in upper case; nothing is repaired, as that would move its places.
    fn sequence(&self, line: u64, column: &str, text: &str) -> Result<Vec<u8>, VariantError> {
        let letters = text.trim();
        let strange = letters.chars().find(|letter| !letter.is_ascii_alphabetic());
        let found = match strange {
            None if letters.is_empty() => "nothing".to_owned(),
            None => return Ok(letters.to_ascii_uppercase().into_bytes()),
            Some(letter) => format!("{letter:?}"),
        };
        let wanted = "the letters of a protein".to_owned();
        Err(self.cell(line, column, Wrong { found, wanted, place: false }))
    }

    fn cell(&self, line: u64, column: &str, wrong: Wrong) -> VariantError {
        let Wrong { found, wanted, place } = wrong;
        let (file, column) = (self.file.clone(), column.to_owned());
        VariantError::Cell { file, line, column, found, wanted, place }
    }
}

/// The one protein of a FASTA.
fn wild_type(path: &Path) -> anyhow::Result<Vec<u8>> {
    let sources = Source::from_arguments(&[path])?;
    let mut found = Vec::new();
    for item in RecordReader::new(&sources, ReadOptions::default()) {
        match item? {
            Item::Record(record) => found.push(record.residues),
            Item::Duplicate(_) => {}
            Item::Failure(failure) => {
                let found =
                    format!("on line {} a record that cannot be read: {}", failure.line, failure.reason);
                return Err(VariantError::WildType { file: path.display().to_string(), found }.into());
            }
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        count => {
            let found = format!("{count} proteins");
            Err(VariantError::WildType { file: path.display().to_string(), found }.into())
        }
    }
}

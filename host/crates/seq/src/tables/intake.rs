//! Examples one by one: what is right with each goes into the set, what is wrong becomes a failure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::build::Draft;
use super::error::TableError;
use super::labels::{IGNORED, ResidueAlphabet};
use super::options::{LabelForm, SetOptions};
use super::set::LabelledSet;
use crate::error::RecordError;
use crate::id::{self, IdStyle};
use crate::letters::{self, Class, Letters};
use crate::reader::short_hash;
use crate::record::Failure;

/// What was read and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetReport {
    /// Examples of the input: those of the set, those that failed, repeat another or are left out.
    pub rows: u64,
    /// Examples that failed, in the order of the input. They are not in the set; whether to go on is the caller's decision.
    pub failures: Vec<Failure>,
    /// Examples with the id, the sequences and the label of an earlier one.
    pub duplicates: u64,
    /// Rows that [`Columns::only`](super::Columns::only) leaves out.
    pub left_out: u64,
    /// Examples with the sequences, in any order, and the label of an earlier one, under another id. They are in the set.
    pub repeated: u64,
    /// Examples with the sequences, in any order, of an earlier one and another label. They are in the set.
    pub contradictions: u64,
    /// Sequences of which a stop `*` at the end was dropped.
    pub stops: u64,
}

/// The proteins of an example as they stand in the input.
pub(super) enum RawProteins<'a> {
    One(&'a [u8]),
    /// Sequences, with ids where there are any.
    Two([&'a [u8]; 2], Option<[&'a [u8]; 2]>),
    /// Ids of proteins of the options.
    Named([&'a [u8]; 2]),
}

/// One example as it stands in the input.
pub(super) struct RawExample<'a> {
    pub(super) file: &'a Arc<str>,
    /// From 1.
    pub(super) line: u64,
    pub(super) id: Option<&'a [u8]>,
    pub(super) proteins: RawProteins<'a>,
    /// A label, or one cell for each class.
    pub(super) label: &'a [&'a [u8]],
    /// What messages call the label.
    pub(super) label_name: &'a str,
    pub(super) mask: Option<(&'a str, &'a [u8])>,
    pub(super) part: Option<&'a [u8]>,
    pub(super) weight: Option<(&'a str, &'a [u8])>,
    pub(super) group: Option<&'a [u8]>,
}

/// A label that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Understood {
    Class(String),
    Classes(Vec<String>),
    Number(f64),
    Level(u8),
    Residues(Vec<u8>),
}

impl Understood {
    fn hash(&self) -> [u8; 16] {
        match self {
            Self::Class(name) => short_hash(name.as_bytes()),
            Self::Classes(names) => short_hash(names.join("\0").as_bytes()),
            Self::Number(number) => short_hash(&number.to_le_bytes()),
            Self::Level(level) => short_hash(&[*level]),
            Self::Residues(of) => short_hash(of),
        }
    }
}

/// The proteins of an example that were understood.
pub(super) enum Known {
    One(Vec<u8>),
    Two([Vec<u8>; 2], [String; 2]),
    Named([u32; 2]),
}

/// An example that is right in itself.
pub(super) struct Checked {
    pub(super) id: String,
    pub(super) proteins: Known,
    pub(super) label: Understood,
    pub(super) part: Option<String>,
    pub(super) weight: Option<f32>,
    pub(super) group: Option<String>,
}

/// The example that has an id.
struct Seen {
    sequences: [u8; 16],
    label: [u8; 16],
    file: Arc<str>,
    line: u64,
}

/// Examples on their way into a set.
pub(super) struct Intake<'a> {
    options: &'a SetOptions,
    letters: Letters,
    draft: Draft<'a>,
    ids: HashMap<[u8; 16], Seen>,
    /// The label of the first example with these sequences.
    labels: HashMap<[u8; 16], [u8; 16]>,
    /// Names of the columns where labels are several columns.
    class_columns: &'a [String],
    pub(super) report: SetReport,
}

impl<'a> Intake<'a> {
    pub(super) fn new(options: &'a SetOptions, class_columns: &'a [String]) -> Self {
        Self {
            options,
            letters: Letters::proteins(),
            draft: Draft::new(options),
            ids: HashMap::new(),
            labels: HashMap::new(),
            class_columns,
            report: SetReport::default(),
        }
    }

    /// Takes the next example.
    pub(super) fn push(&mut self, raw: &RawExample<'_>) -> Result<(), TableError> {
        self.report.rows += 1;
        let admitted = self.checked(raw).and_then(|checked| match self.admits(raw, &checked)? {
            true => Ok(Some(checked)),
            false => Ok(None),
        });
        match admitted {
            Ok(Some(checked)) => self.draft.push(raw.file, raw.line, self.report.rows, checked),
            Ok(None) => {
                self.report.duplicates += 1;
                Ok(())
            }
            Err(reason) => {
                let name = format!("line{}", raw.line);
                self.fail(raw.file, raw.line, raw.id.unwrap_or(name.as_bytes()), reason);
                Ok(())
            }
        }
    }

    /// Counts an example that was found wrong before it came here.
    pub(super) fn refuse(&mut self, file: &Arc<str>, line: u64, id: &[u8], reason: RecordError) {
        self.report.rows += 1;
        self.fail(file, line, id, reason);
    }

    fn fail(&mut self, file: &Arc<str>, line: u64, id: &[u8], reason: RecordError) {
        let (file, record, id) = (Arc::clone(file), self.report.rows, id::shown(id));
        self.report.failures.push(Failure { file, line, record, id, reason });
    }

    /// The set, with what became of all examples. `inputs` is what messages call them.
    pub(super) fn finish(self, inputs: &str) -> Result<(LabelledSet, SetReport), TableError> {
        let (draft, mut report) = (self.draft, self.report);
        let set = draft.finish(inputs, &mut report)?;
        Ok((set, report))
    }

    fn checked(&mut self, raw: &RawExample<'_>) -> Result<Checked, RecordError> {
        let id = match raw.id {
            Some(id) => IdStyle::Full.choose(id, false)?.to_owned(),
            None => format!("line{}", raw.line),
        };
        let proteins = match &raw.proteins {
            RawProteins::One(text) => Known::One(self.residues(text, raw.line)?),
            RawProteins::Two([first, second], ids) => {
                let both = [self.residues(first, raw.line)?, self.residues(second, raw.line)?];
                let names = match ids {
                    Some([first, second]) => [text_id(first)?, text_id(second)?],
                    None => [1, 2].map(|number| format!("{id}/{number}")),
                };
                Known::Two(both, names)
            }
            RawProteins::Named(ids) => Known::Named(self.draft.numbers(ids)?),
        };
        let length = if let Known::One(residues) = &proteins { residues.len() } else { 0 };
        let label = self.label(raw, length)?;
        let text = |bytes: &[u8], what: &str| match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() => Ok(text.to_owned()),
            Ok(_) => Err(cell(what, "nothing", "a word")),
            Err(_) => Err(cell(what, "bytes that are no text in UTF-8", "text")),
        };
        let part = raw.part.map(|part| text(part, "the column of parts")).transpose()?;
        let group = raw.group.map(|group| text(group, "the column of groups")).transpose()?;
        let weight = raw.weight.map(|(name, text)| weight(name, text)).transpose()?;
        Ok(Checked { id, proteins, label, part, weight, group })
    }

    /// Upper-case residues. Nothing is repaired but for a stop at the end, as labels belong to places.
    fn residues(&mut self, text: &[u8], line: u64) -> Result<Vec<u8>, RecordError> {
        let stop = text.last() == Some(&b'*');
        let text = if stop { &text[..text.len() - 1] } else { text };
        let strange = text.iter().position(|&byte| self.letters.class(byte) != Class::Letter);
        if let Some(at) = strange {
            let position = at as u64 + 1;
            return Err(match self.letters.class(text[at]) {
                Class::Stop => RecordError::InnerStop { position, line },
                _ => RecordError::Character { found: letters::shown(&text[at..]), position, line },
            });
        }
        if text.is_empty() {
            return Err(RecordError::Empty);
        }
        let (residues, max_residues) = (text.len() as u64, self.options.max_residues);
        if residues > u64::from(max_residues) {
            return Err(RecordError::TooLong { residues, max_residues });
        }
        self.report.stops += u64::from(stop);
        Ok(text.to_ascii_uppercase())
    }

    fn label(&self, raw: &RawExample<'_>, length: usize) -> Result<Understood, RecordError> {
        let name = raw.label_name;
        let text = raw.label.first().copied().unwrap_or_default();
        match &self.options.label {
            LabelForm::Class(_) => {
                let class = utf8(name, text)?;
                let found = |class: &str| Understood::Class(class.to_owned());
                if class.is_empty() { Err(cell(name, "nothing", "a class")) } else { Ok(found(class)) }
            }
            LabelForm::Classes(_, separator) if raw.label.len() == 1 => {
                let words = utf8(name, text)?.split(*separator).map(str::trim);
                let mut classes: Vec<String> =
                    words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
                classes.sort();
                classes.dedup();
                Ok(Understood::Classes(classes))
            }
            LabelForm::Symmetries(words) => Ok(Understood::Classes(words.classes(name, utf8(name, text)?)?)),
            LabelForm::Classes(..) => {
                let mut classes = Vec::new();
                for (cells, column) in raw.label.iter().zip(self.class_columns) {
                    match *cells {
                        b"0" | b"0.0" => {}
                        b"1" | b"1.0" => classes.push(column.clone()),
                        other => {
                            return Err(cell(&format!("column '{column}'"), &shown(other), "0 or 1"));
                        }
                    }
                }
                classes.sort();
                Ok(Understood::Classes(classes))
            }
            LabelForm::Number => match number(text) {
                Some(number) => Ok(Understood::Number(number)),
                None => Err(cell(name, &shown(text), "a finite number")),
            },
            LabelForm::Level(highest) => {
                let level = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u8>().ok());
                let level = level.filter(|level| level <= highest);
                let wanted = || format!("a whole number from 0 to {highest}");
                level.map(Understood::Level).ok_or_else(|| cell(name, &shown(text), &wanted()))
            }
            LabelForm::Residues(alphabet) => residue_labels(raw, text, alphabet, length),
        }
    }

    /// Whether the example is a new one; an id that stands for another one already is an error.
    fn admits(&mut self, raw: &RawExample<'_>, checked: &Checked) -> Result<bool, RecordError> {
        let label = checked.label.hash();
        let (sequences, unordered, key) = match &checked.proteins {
            Known::One(residues) => {
                let hash = short_hash(residues);
                (hash, hash, raw.id.map(short_hash))
            }
            Known::Two(both, names) => {
                let hashes = [short_hash(&both[0]), short_hash(&both[1])];
                self.draft.agrees(raw, names, &hashes)?;
                let key = matches!(raw.proteins, RawProteins::Two(_, Some(_))).then(|| pair_key(names));
                (joined(hashes, false), joined(hashes, true), key)
            }
            Known::Named(numbers) => {
                let hashes = numbers.map(|number| short_hash(&number.to_le_bytes()));
                (joined(hashes, false), joined(hashes, true), Some(joined(hashes, false)))
            }
        };
        if let Some(key) = key {
            match self.ids.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(Seen { sequences, label, file: Arc::clone(raw.file), line: raw.line });
                }
                Entry::Occupied(entry) => return taken(raw, entry.get(), sequences, label).map(|()| false),
            }
        }
        match self.labels.entry(unordered) {
            Entry::Occupied(entry) if *entry.get() == label => self.report.repeated += 1,
            Entry::Occupied(_) => self.report.contradictions += 1,
            Entry::Vacant(entry) => {
                entry.insert(label);
            }
        }
        Ok(true)
    }
}

/// What an id that was seen before means: a repetition, or an error.
fn taken(
    raw: &RawExample<'_>,
    first: &Seen,
    sequences: [u8; 16],
    label: [u8; 16],
) -> Result<(), RecordError> {
    let (file, line) = (Arc::clone(raw.file), raw.line);
    let (first_file, first_line) = (Arc::clone(&first.file), first.line);
    if first.sequences != sequences {
        Err(RecordError::IdTaken { file, line, first_file, first_line })
    } else if first.label != label {
        Err(RecordError::OtherLabel { file, line, first_file, first_line })
    } else {
        Ok(())
    }
}

fn residue_labels(
    raw: &RawExample<'_>,
    text: &[u8],
    alphabet: &ResidueAlphabet,
    length: usize,
) -> Result<Understood, RecordError> {
    let each = |name: &str, found: usize| {
        let (found, wanted) = (format!("{found} letters"), format!("{length}, one for each residue"));
        Err(cell(name, &found, &wanted))
    };
    if text.len() != length {
        return each(raw.label_name, text.len());
    }
    let mut classes = Vec::with_capacity(length);
    for (at, &letter) in text.iter().enumerate() {
        let Some(class) = alphabet.class(letter) else {
            let found = format!("{} at position {}", letters::shown(&text[at..]), at + 1);
            return Err(cell(raw.label_name, &found, &format!("letters of {}", alphabet.letters())));
        };
        classes.push(class);
    }
    if let Some((name, mask)) = raw.mask {
        if mask.len() != length {
            return each(&format!("column '{name}'"), mask.len());
        }
        for (at, (class, &counts)) in classes.iter_mut().zip(mask).enumerate() {
            match counts {
                b'1' => {}
                b'0' => *class = IGNORED,
                _ => {
                    let found = format!("{} at position {}", letters::shown(&mask[at..]), at + 1);
                    return Err(cell(
                        &format!("column '{name}'"),
                        &found,
                        "1 where a residue counts and 0 elsewhere",
                    ));
                }
            }
        }
    }
    Ok(Understood::Residues(classes))
}

fn weight(name: &str, text: &[u8]) -> Result<f32, RecordError> {
    let found =
        number(text).map(|number| number as f32).filter(|weight| weight.is_finite() && *weight >= 0.0);
    found.ok_or_else(|| cell(&format!("column '{name}'"), &shown(text), "a weight: a number, 0 or more"))
}

fn number(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

fn text_id(id: &[u8]) -> Result<String, RecordError> {
    IdStyle::Full.choose(id, false).map(str::to_owned)
}

fn utf8<'b>(name: &str, text: &'b [u8]) -> Result<&'b str, RecordError> {
    std::str::from_utf8(text).map_err(|_| cell(name, "bytes that are no text in UTF-8", "text"))
}

fn pair_key(names: &[String; 2]) -> [u8; 16] {
    joined([short_hash(names[0].as_bytes()), short_hash(names[1].as_bytes())], false)
}

/// Two hashes as one; without an order, the smaller stands first.
fn joined(mut hashes: [[u8; 16]; 2], sorted: bool) -> [u8; 16] {
    if sorted {
        hashes.sort_unstable();
    }
    short_hash(hashes.as_flattened())
}

/// What stands in a cell, for a message.
pub(super) fn shown(text: &[u8]) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("'{}'", id::shown(text)) }
}

pub(super) fn cell(place: &str, found: &str, wanted: &str) -> RecordError {
    RecordError::Cell { place: place.to_owned(), found: found.to_owned(), wanted: wanted.to_owned() }
}

//! A set as it grows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::error::{CLASSES, TableError};
use super::intake::{Checked, Known, RawExample, SetReport, Understood, cell, shown};
use super::labels::{Labels, sort_classes};
use super::options::{ClassList, Form, LabelForm, ProteinColumns, SetOptions};
use super::proteins::Proteins;
use super::set::{LabelledSet, Place, Texts};
use super::symmetry::SYMMETRIES;
use crate::error::RecordError;
use crate::record::Failure;

/// Examples and sequences are numbered by u32.
const MOST: usize = u32::MAX as usize;

/// Words with numbers in the order of their coming.
#[derive(Default)]
struct Words {
    numbers: BTreeMap<String, u32>,
}

impl Words {
    fn number(&mut self, word: String) -> u32 {
        // No more words than examples.
        let next = self.numbers.len() as u32;
        *self.numbers.entry(word).or_insert(next)
    }

    /// The words by their numbers.
    fn list(&self) -> Vec<String> {
        let mut list = vec![String::new(); self.numbers.len()];
        self.numbers.iter().for_each(|(word, &number)| list[number as usize].clone_from(word));
        list
    }
}

/// Labels before it is known which classes there are.
enum DraftLabels {
    Class(Vec<u32>),
    /// Classes end to end, and where those of each example end.
    Classes(Vec<u32>, Vec<usize>),
    Number(Vec<f64>),
    Level(Vec<u8>),
    Residues(Vec<u8>),
}

/// The words of each example.
struct Own {
    words: Vec<u32>,
    /// Where those of each end; one each without.
    ends: Option<Vec<usize>>,
}

impl Own {
    fn of(&self, example: usize) -> &[u32] {
        let Some(ends) = &self.ends else { return &self.words[example..=example] };
        let start = example.checked_sub(1).map_or(0, |before| ends[before]);
        &self.words[start..ends[example]]
    }
}

/// The sequence that an id of a pair stands for.
struct Named {
    number: u32,
    residues: [u8; 16],
    file: Arc<str>,
    line: u64,
}

pub(super) struct Draft<'a> {
    options: &'a SetOptions,
    /// The proteins that pairs name.
    proteins: Option<&'a Proteins>,
    letters: Vec<u8>,
    offsets: Vec<usize>,
    ids: Texts,
    groups: Texts,
    pairs: Vec<[u32; 2]>,
    /// The numbers of proteins of pairs, by their numbers in `proteins` or by the hash of their ids.
    taken: BTreeMap<u32, u32>,
    named: HashMap<[u8; 16], Named>,
    words: Words,
    labels: DraftLabels,
    weights: Vec<f32>,
    part_words: Words,
    parts: Vec<u32>,
    files: Vec<Arc<str>>,
    places: Vec<Place>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(options: &'a SetOptions) -> Self {
        let labels = match options.label {
            LabelForm::Class(_) => DraftLabels::Class(Vec::new()),
            LabelForm::Classes(..) | LabelForm::Symmetries(_) => DraftLabels::Classes(Vec::new(), Vec::new()),
            LabelForm::Number => DraftLabels::Number(Vec::new()),
            LabelForm::Level(_) => DraftLabels::Level(Vec::new()),
            LabelForm::Residues(_) => DraftLabels::Residues(Vec::new()),
        };
        let proteins = match &options.form {
            Form::Table(columns) => match &columns.proteins {
                ProteinColumns::Named { proteins, .. } => Some(proteins.as_ref()),
                _ => None,
            },
            _ => None,
        };
        Self {
            options,
            proteins,
            letters: Vec::new(),
            offsets: vec![0],
            ids: Texts::default(),
            groups: Texts::default(),
            pairs: Vec::new(),
            taken: BTreeMap::new(),
            named: HashMap::new(),
            words: Words::default(),
            labels,
            weights: Vec::new(),
            part_words: Words::default(),
            parts: Vec::new(),
            files: Vec::new(),
            places: Vec::new(),
        }
    }

    /// The numbers among the proteins of the options of these ids.
    pub(super) fn numbers(&self, ids: &[&[u8]; 2]) -> Result<[u32; 2], RecordError> {
        let number = |id: &[u8]| {
            let proteins = self.proteins.ok_or(RecordError::NoId)?;
            let number = proteins.number(id);
            number.ok_or_else(|| {
                cell("the ids", &shown(id), &format!("the id of a sequence of {}", proteins.file()))
            })
        };
        Ok([number(ids[0])?, number(ids[1])?])
    }

    /// Whether the ids of a pair stand for the sequences that they stood for before.
    pub(super) fn agrees(
        &self,
        raw: &RawExample<'_>,
        names: &[String; 2],
        hashes: &[[u8; 16]; 2],
    ) -> Result<(), RecordError> {
        for (name, hash) in names.iter().zip(hashes) {
            let key = crate::reader::short_hash(name.as_bytes());
            if let Some(first) = self.named.get(&key).filter(|first| first.residues != *hash) {
                return Err(RecordError::IdTaken {
                    file: Arc::clone(raw.file),
                    line: raw.line,
                    first_file: Arc::clone(&first.file),
                    first_line: first.line,
                });
            }
        }
        match names[0] == names[1] && hashes[0] != hashes[1] {
            true => {
                Err(cell("the ids", &format!("'{}' for two sequences", names[0]), "an id for each sequence"))
            }
            false => Ok(()),
        }
    }

    pub(super) fn push(
        &mut self,
        file: &Arc<str>,
        line: u64,
        record: u64,
        checked: Checked,
    ) -> Result<(), TableError> {
        if self.places.len() >= MOST || self.offsets.len() >= MOST {
            return Err(TableError::TooMany { what: "examples", limit: MOST as u64 });
        }
        if self.files.last().is_none_or(|last| last != file) {
            self.files.push(Arc::clone(file));
        }
        // As many files as arguments at most.
        self.places.push(Place { file: self.files.len() as u32 - 1, line, record });
        let Checked { id, proteins, label, part, weight, group } = checked;
        match proteins {
            Known::One(residues) => {
                self.sequence(&id, group.as_deref(), &residues);
            }
            Known::Two(both, names) => {
                let pair = [0, 1].map(|side| self.pair_sequence(file, line, &names[side], &both[side]));
                self.pairs.push(pair);
            }
            Known::Named(numbers) => {
                let pair = numbers.map(|number| self.named_sequence(number));
                self.pairs.push(pair);
            }
        }
        match (&mut self.labels, label) {
            (DraftLabels::Class(of), Understood::Class(name)) => of.push(self.words.number(name)),
            (DraftLabels::Classes(of, ends), Understood::Classes(names)) => {
                of.extend(names.into_iter().map(|name| self.words.number(name)));
                ends.push(of.len());
            }
            (DraftLabels::Number(of), Understood::Number(number)) => of.push(number),
            (DraftLabels::Level(of), Understood::Level(level)) => of.push(level),
            (DraftLabels::Residues(of), Understood::Residues(classes)) => of.extend(classes),
            // Both come of the same options.
            _ => {}
        }
        self.weights.extend(weight);
        self.parts.extend(part.map(|part| self.part_words.number(part)));
        Ok(())
    }

    /// The number of a new sequence.
    fn sequence(&mut self, id: &str, group: Option<&str>, residues: &[u8]) -> u32 {
        self.letters.extend_from_slice(residues);
        self.offsets.push(self.letters.len());
        self.ids.push(id);
        if let Some(group) = group {
            self.groups.push(group);
        }
        self.offsets.len() as u32 - 2
    }

    fn pair_sequence(&mut self, file: &Arc<str>, line: u64, id: &str, residues: &[u8]) -> u32 {
        let key = crate::reader::short_hash(id.as_bytes());
        if let Some(known) = self.named.get(&key) {
            return known.number;
        }
        let number = self.sequence(id, None, residues);
        let residues = crate::reader::short_hash(residues);
        self.named.insert(key, Named { number, residues, file: Arc::clone(file), line });
        number
    }

    fn named_sequence(&mut self, number: u32) -> u32 {
        let Some(proteins) = self.proteins else { return 0 };
        if let Some(&known) = self.taken.get(&number) {
            return known;
        }
        let place = number as usize;
        let own = self.sequence(proteins.id(place), proteins.group(place), proteins.residues(place));
        self.taken.insert(number, own);
        own
    }

    /// The set, unless there is no example or one class alone.
    pub(super) fn finish(mut self, inputs: &str, report: &mut SetReport) -> Result<LabelledSet, TableError> {
        let empty = |report: &SetReport| TableError::Empty {
            rows: report.rows,
            inputs: inputs.to_owned(),
            failures: report.failures.len() as u64,
            duplicates: report.duplicates,
            left_out: report.left_out,
        };
        if self.places.is_empty() {
            return Err(empty(report));
        }
        let (labels, unknown) = self.take_labels(inputs)?;
        let parts = (!self.parts.is_empty()).then(|| sorted_parts(&self.part_words, &self.parts));
        let are_pairs = !self.pairs.is_empty();
        let some = |texts: Texts| (texts != Texts::default()).then_some(texts);
        let mut set = LabelledSet {
            letters: self.letters,
            offsets: self.offsets,
            ids: self.ids,
            pairs: are_pairs.then_some(self.pairs),
            labels,
            weights: (!self.weights.is_empty()).then_some(self.weights),
            parts,
            groups: some(self.groups),
            files: self.files,
            places: self.places,
            digest: [0; 32],
        };
        set.letters.shrink_to_fit();
        if unknown.is_empty() {
            return Ok(set.sealed());
        }
        let wanted = format!("one of the classes {}", listed(set.classes()));
        for (example, word) in &unknown {
            let place = set.places[*example];
            let reason = cell("the class", &shown(word.as_bytes()), &wanted);
            let (file, id) = (Arc::clone(&set.files[place.file as usize]), set.name(*example));
            report.failures.push(Failure { file, line: place.line, record: place.record, id, reason });
        }
        report.failures.sort_by_key(|failure| failure.record);
        let mut unknown = unknown.into_iter().map(|(example, _)| example).peekable();
        let known = (0..set.len()).filter(|example| unknown.next_if_eq(example).is_none());
        let known: Vec<usize> = known.collect();
        set.select(&known).ok_or_else(|| empty(report))
    }

    /// The labels, and the examples with a class that is none of the list.
    fn take_labels(&mut self, inputs: &str) -> Result<(Labels, Vec<(usize, String)>), TableError> {
        let labels = std::mem::replace(&mut self.labels, DraftLabels::Number(Vec::new()));
        match (labels, &self.options.label) {
            (DraftLabels::Number(of), _) => Ok((Labels::Number { of }, Vec::new())),
            (DraftLabels::Level(of), LabelForm::Level(highest)) => {
                Ok((Labels::Level { highest: *highest, of }, Vec::new()))
            }
            (DraftLabels::Residues(of), LabelForm::Residues(alphabet)) => {
                Ok((Labels::Residues { alphabet: alphabet.clone(), of }, Vec::new()))
            }
            (DraftLabels::Class(words), LabelForm::Class(list)) => {
                self.class_labels(inputs, list, &Own { words, ends: None })
            }
            (DraftLabels::Classes(words, ends), LabelForm::Classes(list, _)) => {
                self.class_labels(inputs, list, &Own { words, ends: Some(ends) })
            }
            (DraftLabels::Classes(words, ends), LabelForm::Symmetries(_)) => {
                let list = ClassList::Ordered(SYMMETRIES.map(str::to_owned).to_vec());
                self.class_labels(inputs, &list, &Own { words, ends: Some(ends) })
            }
            _ => Err(TableError::Options { what: "labels of two kinds; name one" }),
        }
    }

    fn class_labels(
        &self,
        inputs: &str,
        list: &ClassList,
        own: &Own,
    ) -> Result<(Labels, Vec<(usize, String)>), TableError> {
        let words = self.words.list();
        let (examples, single) = (self.places.len(), own.ends.is_none());
        let classes = self.classes(list, &words, own)?;
        if classes.len() < if single { 2 } else { 1 } {
            let class = classes.first().cloned().unwrap_or_default();
            return Err(TableError::OneClass { inputs: inputs.to_owned(), what: CLASSES, class, examples });
        }
        let numbers: BTreeMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
        let number = |word: u32| numbers.get(words[word as usize].as_str()).copied();
        let (mut unknown, mut of, mut flags) = (Vec::new(), Vec::new(), Vec::new());
        for example in 0..examples {
            let own = own.of(example);
            if let Some(&word) = own.iter().find(|&&word| number(word).is_none()) {
                unknown.push((example, words[word as usize].clone()));
            }
            let mut known = own.iter().filter_map(|&word| number(word));
            if single {
                of.push(known.next().unwrap_or_default());
            } else {
                let start = flags.len();
                flags.resize(start + classes.len(), false);
                known.for_each(|class| flags[start + class as usize] = true);
            }
        }
        let labels =
            if single { Labels::Class { classes, of } } else { Labels::Classes { classes, of: flags } };
        Ok((labels, unknown))
    }

    /// The classes, sorted but for those that have an order.
    fn classes(&self, list: &ClassList, words: &[String], own: &Own) -> Result<Vec<String>, TableError> {
        let mut classes = match list {
            ClassList::Ordered(classes) => return Ok(classes.clone()),
            ClassList::Given(classes) => classes.clone(),
            ClassList::Found => words.to_vec(),
            ClassList::FoundIn(part) => {
                let Some(&wanted) = self.part_words.numbers.get(part) else {
                    let found = self.part_words.numbers.keys().cloned().collect::<Vec<_>>().join(", ");
                    return Err(TableError::NoPart { part: part.clone(), found });
                };
                let of_part = self.parts.iter().enumerate().filter(|(_, part)| **part == wanted);
                of_part
                    .flat_map(|(example, _)| own.of(example))
                    .map(|&word| words[word as usize].clone())
                    .collect()
            }
        };
        sort_classes(&mut classes);
        Ok(classes)
    }
}

/// Names of parts in their order, and the part of each example.
fn sorted_parts(words: &Words, parts: &[u32]) -> (Vec<String>, Vec<u32>) {
    // The words are sorted already; only their numbers are not.
    let mut ranks = vec![0; words.numbers.len()];
    (0u32..).zip(words.numbers.values()).for_each(|(rank, &number)| ranks[number as usize] = rank);
    (words.numbers.keys().cloned().collect(), parts.iter().map(|&part| ranks[part as usize]).collect())
}

/// Names for a message: not more than a line has room for.
pub(super) fn listed(names: &[String]) -> String {
    const MOST_NAMES: usize = 20;
    let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

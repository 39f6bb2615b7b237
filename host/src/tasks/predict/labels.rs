//! Answers as rows of a file.

use std::io::Write as _;
use std::path::Path;

use pliant_seq::tables::LabelKind;
use pliant_store::{
    Access, Action, AtomicFile, Cell, ColumnKind, ColumnTable, METADATA_KEY, Metadata, OutputSet, StoreError,
};
use serde_json::{Map, Value, json};

use crate::cli::predict::LabelFormat;
use crate::supervised::answers::{expected, greatest, meaning};
use crate::supervised::card::HeadFolder;

/// A class of several holds where its probability is at least this.
const HOLDS: f64 = 0.5;

/// What stands between classes of one protein.
const BETWEEN: &str = "|";

/// The file of labels being written.
pub(super) struct Labels<'a> {
    head: &'a HeadFolder,
    /// Columns that name an example: `id` or those of a pair.
    ids: Vec<&'static str>,
    has_length: bool,
    sink: Sink,
}

enum Sink {
    Table(Box<ColumnTable>),
    Lines { file: AtomicFile, path: std::path::PathBuf },
}

/// What is told of an example.
struct Told {
    /// Named values in their order: the answer first, then probabilities.
    answers: Vec<(String, Answer)>,
}

enum Answer {
    Text(String),
    Count(u64),
    Number(f64),
}

impl<'a> Labels<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// What the system says to a new file.
    pub(super) fn create(
        out: &Path,
        format: LabelFormat,
        head: &'a HeadFolder,
        (ids, has_length): (Vec<&'static str>, bool),
        metadata: &Metadata,
    ) -> anyhow::Result<Self> {
        let sink = match format {
            LabelFormat::Table(format) => {
                let columns = columns(head, &ids, has_length);
                let columns: Vec<(&str, ColumnKind)> =
                    columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
                Sink::Table(Box::new(ColumnTable::create(out, format, &columns, metadata)?))
            }
            LabelFormat::JsonLines => {
                let mut file = AtomicFile::create(out, Access::Stream)?;
                let first: Value = serde_json::from_str(&metadata.to_json())?;
                write(&mut file, out, &json!({ METADATA_KEY: first }))?;
                Sink::Lines { file, path: out.to_owned() }
            }
        };
        Ok(Self { head, ids, has_length, sink })
    }

    /// Writes what `given`, the numbers of the head, say of an example; `length` are its residues.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn push(&mut self, ids: &[&str], length: usize, given: &[f32]) -> anyhow::Result<()> {
        let told = told(self.head, given);
        match &mut self.sink {
            Sink::Table(table) => {
                let mut cells: Vec<Cell<'_>> = ids.iter().map(|id| Cell::Text(id)).collect();
                cells.extend(self.has_length.then_some(Cell::Count(length as u64)));
                cells.extend(told.answers.iter().map(|(_, answer)| match answer {
                    Answer::Text(text) => Cell::Text(text),
                    Answer::Count(count) => Cell::Count(*count),
                    Answer::Number(number) => Cell::Number(*number),
                }));
                Ok(table.push(&cells)?)
            }
            Sink::Lines { file, path } => {
                let mut line = Map::new();
                for (name, id) in self.ids.iter().zip(ids) {
                    line.insert((*name).to_owned(), json!(id));
                }
                if self.has_length {
                    line.insert("length".to_owned(), json!(length));
                }
                let (mut probabilities, kind) = (Map::new(), self.head.kind);
                for (place, (name, answer)) in told.answers.into_iter().enumerate() {
                    let value = match answer {
                        Answer::Text(text) if kind == LabelKind::Classes => {
                            text.split(BETWEEN).filter(|name| !name.is_empty()).collect()
                        }
                        Answer::Text(text) => json!(text),
                        Answer::Count(count) => json!(count),
                        Answer::Number(number) => json!(number),
                    };
                    match place.checked_sub(answers_before_probabilities(kind)) {
                        Some(class) => {
                            let name = self.head.card.labels.classes.get(class).cloned();
                            probabilities.insert(name.unwrap_or_else(|| class.to_string()), value);
                        }
                        None => drop(line.insert(name, value)),
                    }
                }
                if !probabilities.is_empty() {
                    line.insert("probabilities".to_owned(), Value::Object(probabilities));
                }
                Ok(write(file, path, &Value::Object(line))?)
            }
        }
    }

    /// The file, complete but for its name.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn finish(self) -> anyhow::Result<OutputSet> {
        match self.sink {
            Sink::Table(table) => Ok(table.finish()?),
            Sink::Lines { file, .. } => Ok(OutputSet::from(vec![file])),
        }
    }
}

fn write(file: &mut AtomicFile, path: &Path, line: &Value) -> Result<(), StoreError> {
    let written = file.write_all(format!("{line}\n").as_bytes());
    written.map_err(|source| StoreError::io(Action::Write, path, source))
}

/// The probabilities `[L,K]` of residues, row by row.
pub(super) fn probabilities(head: &HeadFolder, given: &[f32]) -> Vec<f32> {
    let width = head.card.head.outputs;
    let rows = given.chunks_exact(width).flat_map(|row| meaning(head.kind, head.scale(), row));
    rows.map(|number| number as f32).collect()
}

/// Values of a row that are no probabilities of classes.
fn answers_before_probabilities(kind: LabelKind) -> usize {
    match kind {
        LabelKind::Level => 2,
        _ => 1,
    }
}

fn columns(head: &HeadFolder, ids: &[&str], has_length: bool) -> Vec<(String, ColumnKind)> {
    let mut columns: Vec<(String, ColumnKind)> =
        ids.iter().map(|name| ((*name).to_owned(), ColumnKind::Text)).collect();
    columns.extend(has_length.then(|| ("length".to_owned(), ColumnKind::Count)));
    let empty = vec![0.0; head.card.head.outputs];
    columns.extend(told(head, &empty).answers.into_iter().map(|(name, answer)| {
        let kind = match answer {
            Answer::Text(_) => ColumnKind::Text,
            Answer::Count(_) => ColumnKind::Count,
            Answer::Number(_) => ColumnKind::Number,
        };
        (name, kind)
    }));
    columns
}

/// The column of a class: letters, digits and `_` alone, which every format can name.
fn column(class: &str) -> String {
    let word: String =
        class.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    format!("p_{word}")
}

fn told(head: &HeadFolder, given: &[f32]) -> Told {
    let (kind, scale, classes) = (head.kind, head.scale(), &head.card.labels.classes);
    let name = |class: usize| classes.get(class).cloned().unwrap_or_default();
    let width = head.card.head.outputs;
    if kind == LabelKind::Residues {
        let letter = |row: &[f32]| name(greatest(&meaning(kind, scale, row)));
        let letters: Vec<String> = given.chunks_exact(width).map(letter).collect();
        let between = if classes.iter().all(|class| class.len() == 1) { "" } else { "," };
        return Told { answers: vec![("labels".to_owned(), Answer::Text(letters.join(between)))] };
    }
    let meant = meaning(kind, scale, given);
    let mut answers = match kind {
        LabelKind::Class => vec![("label".to_owned(), Answer::Text(name(greatest(&meant))))],
        LabelKind::Classes => {
            let held = meant.iter().enumerate().filter(|(_, probability)| **probability >= HOLDS);
            let names: Vec<String> = held.map(|(class, _)| name(class)).collect();
            vec![("labels".to_owned(), Answer::Text(names.join(BETWEEN)))]
        }
        LabelKind::Level => vec![
            ("level".to_owned(), Answer::Count(greatest(&meant) as u64)),
            ("score".to_owned(), Answer::Number(expected(&meant))),
        ],
        LabelKind::Number | LabelKind::Residues => {
            return Told {
                answers: vec![(
                    "value".to_owned(),
                    Answer::Number(meant.first().copied().unwrap_or(f64::NAN)),
                )],
            };
        }
    };
    let probabilities = meant.into_iter().enumerate().map(|(class, probability)| {
        let name = classes.get(class).map_or_else(|| class.to_string(), Clone::clone);
        (column(&name), Answer::Number(probability))
    });
    answers.extend(probabilities);
    Told { answers }
}

//! Answers as rows of a file.

use std::io::Write as _;
use std::path::Path;

use pliant_seq::tables::LabelKind;
use pliant_store::{
    Access, Action, AtomicFile, Cell, ColumnKind, ColumnTable, METADATA_KEY, Metadata, OutputSet, StoreError,
};
use serde_json::{Map, Value, json};

use crate::cli::predict::LabelFormat;
use crate::supervised::HeadError;
use crate::supervised::answers::{expected, greatest};
use crate::supervised::telling::{Telling, shortest};

/// A class of several holds where its probability is at least this.
const HOLDS: f64 = 0.5;

/// What stands between classes of one protein.
const BETWEEN: &str = "|";

/// The file of labels being written.
pub(super) struct Labels<'a> {
    telling: &'a Telling,
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
    /// Columns in their order: the answer first, then what each class or number has.
    answers: Vec<(String, Answer)>,
    /// How many stand before those.
    before_named: usize,
}

enum Answer {
    Text(String),
    Names(Vec<String>),
    Count(u64),
    Number(f64),
    /// A number of each residue.
    Numbers(Vec<f64>),
}

impl<'a> Labels<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// What the system says to a new file.
    pub(super) fn create(
        out: &Path,
        format: LabelFormat,
        telling: &'a Telling,
        (ids, has_length): (Vec<&'static str>, bool),
        metadata: &Metadata,
    ) -> anyhow::Result<Self> {
        let sink = match format {
            LabelFormat::Table(format) => {
                let columns = columns(telling, &ids, has_length)?;
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
        Ok(Self { telling, ids, has_length, sink })
    }

    /// Writes what `given`, the numbers of the head, say of an example; `length` are its residues.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn push(&mut self, ids: &[&str], length: usize, given: &[f32]) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Table(table) if has_positions(self.telling) => {
                for (row, position) in given.chunks_exact(self.telling.width).zip(1..) {
                    let mut cells: Vec<Cell<'_>> = ids.iter().map(|id| Cell::Text(id)).collect();
                    cells.push(Cell::Count(position));
                    cells.extend(row.iter().map(|&number| Cell::Number(shortest(number))));
                    table.push(&cells)?;
                }
                Ok(())
            }
            Sink::Table(table) => {
                let told = told(self.telling, given);
                let mut cells: Vec<Cell<'_>> = ids.iter().map(|id| Cell::Text(id)).collect();
                cells.extend(self.has_length.then_some(Cell::Count(length as u64)));
                let texts: Vec<String> = told.answers.iter().map(|(_, answer)| answer.text()).collect();
                cells.extend(told.answers.iter().zip(&texts).map(|((_, answer), text)| match answer {
                    Answer::Count(count) => Cell::Count(*count),
                    Answer::Number(number) => Cell::Number(*number),
                    Answer::Text(_) | Answer::Names(_) | Answer::Numbers(_) => Cell::Text(text),
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
                add(&mut line, told(self.telling, given), self.telling);
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

/// What is told, as keys of a line.
fn add(line: &mut Map<String, Value>, told: Told, telling: &Telling) {
    let (mut named, before) = (Map::new(), told.before_named);
    for (place, (name, answer)) in told.answers.into_iter().enumerate() {
        let value = match answer {
            Answer::Text(text) => json!(text),
            Answer::Names(names) => json!(names),
            Answer::Count(count) => json!(count),
            Answer::Number(number) => json!(number),
            Answer::Numbers(numbers) => json!(numbers),
        };
        match place.checked_sub(before) {
            Some(place) => drop(named.insert(telling.name(place), value)),
            None => drop(line.insert(name, value)),
        }
    }
    if !named.is_empty() {
        let key = if telling.kind == LabelKind::Number { "values" } else { "probabilities" };
        line.insert(key.to_owned(), Value::Object(named));
    }
}

/// What the rows of residues `[L,K]` mean, row by row.
pub(super) fn meanings(telling: &Telling, given: &[f32]) -> Vec<f32> {
    let rows = given.chunks_exact(telling.width).flat_map(|row| telling.meaning(row));
    rows.map(|number| number as f32).collect()
}

/// Whether a table has a row for each residue: where numbers are told of it, which no letter can stand for.
fn has_positions(telling: &Telling) -> bool {
    telling.by_residue && telling.kind == LabelKind::Number
}

fn columns(
    telling: &Telling,
    ids: &[&str],
    has_length: bool,
) -> Result<Vec<(String, ColumnKind)>, HeadError> {
    let mut columns: Vec<(String, ColumnKind)> =
        ids.iter().map(|name| ((*name).to_owned(), ColumnKind::Text)).collect();
    if has_positions(telling) {
        columns.push(("position".to_owned(), ColumnKind::Count));
        columns.extend(telling.names.iter().map(|name| (letters(name), ColumnKind::Number)));
    } else {
        columns.extend(has_length.then(|| ("length".to_owned(), ColumnKind::Count)));
        let empty = vec![0.0; telling.width];
        columns.extend(told(telling, &empty).answers.into_iter().map(|(name, answer)| {
            let kind = match answer {
                Answer::Count(_) => ColumnKind::Count,
                Answer::Number(_) => ColumnKind::Number,
                Answer::Text(_) | Answer::Names(_) | Answer::Numbers(_) => ColumnKind::Text,
            };
            (letters(&name), kind)
        }));
    }
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(HeadError::Unfit {
            what: format!(
                "two columns would be named {:?}: the head tells {}; --format jsonl keeps the names as they are",
                pair[0],
                telling.names.join(", ")
            ),
        }),
        None => Ok(columns),
    }
}

/// A name of a column: letters, digits and `_` alone, which every format can name.
fn letters(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

impl Answer {
    /// What stands in a cell of text.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Names(names) => names.join(BETWEEN),
            Self::Count(_) | Self::Number(_) | Self::Numbers(_) => String::new(),
        }
    }
}

fn told(telling: &Telling, given: &[f32]) -> Told {
    let rows = || given.chunks_exact(telling.width);
    let alone = |name: &str, answer| Told { answers: vec![(name.to_owned(), answer)], before_named: 1 };
    let name = |place: usize| telling.names.get(place).cloned().unwrap_or_default();
    if telling.kind == LabelKind::Residues {
        let each: Vec<String> = rows().map(|row| name(greatest(&telling.meaning(row)))).collect();
        let between = if telling.names.iter().all(|class| class.len() == 1) { "" } else { "," };
        return alone("labels", Answer::Text(each.join(between)));
    }
    if has_positions(telling) {
        let meant: Vec<Vec<f64>> = rows().map(|row| telling.meaning(row)).collect();
        let column = |place: usize| Answer::Numbers(meant.iter().map(|row| row[place]).collect());
        let answers = (0..telling.width).map(|place| (name(place), column(place))).collect();
        return Told { answers, before_named: 0 };
    }
    let meant = telling.meaning(given);
    let mut answers = match telling.kind {
        LabelKind::Class => vec![("label".to_owned(), Answer::Text(name(greatest(&meant))))],
        LabelKind::Classes => {
            let held = meant.iter().enumerate().filter(|(_, probability)| **probability >= HOLDS);
            vec![("labels".to_owned(), Answer::Names(held.map(|(class, _)| name(class)).collect()))]
        }
        LabelKind::Level => vec![
            ("level".to_owned(), Answer::Count(greatest(&meant) as u64)),
            ("score".to_owned(), Answer::Number(expected(&meant))),
        ],
        LabelKind::Number | LabelKind::Residues if telling.names.is_empty() => {
            return alone("value", Answer::Number(meant.first().copied().unwrap_or(f64::NAN)));
        }
        LabelKind::Number | LabelKind::Residues => Vec::new(),
    };
    let before_named = answers.len();
    let prefix = if telling.kind == LabelKind::Number { "" } else { "p_" };
    let named = |(place, value)| (format!("{prefix}{}", telling.name(place)), Answer::Number(value));
    answers.extend(meant.into_iter().enumerate().map(named));
    Told { answers, before_named }
}

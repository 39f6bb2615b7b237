//! Files of every form to examples.

use super::error::TableError;
use super::intake::{Intake, RawExample, RawProteins, SetReport};
use super::lines::{Lines, Rows, Separator};
use super::mutants;
use super::options::{Columns, Form, HeaderLabel, LabelForm, ProteinColumns, SetOptions};
use super::proteins::grouped;
use super::set::LabelledSet;
use crate::input::Source;

impl LabelledSet {
    /// Reads all `sources` as one set, in their order.
    ///
    /// # Errors
    /// [`TableError`] when an input cannot be read or is not of the form, a column is missing, options do not go together,
    /// or nothing is left to tell apart. An example that is wrong is a failure in the report.
    pub fn read(sources: &[Source], options: &SetOptions) -> Result<(Self, SetReport), TableError> {
        check(options)?;
        let columns = match &options.form {
            Form::Table(columns) if columns.label.len() > 1 => columns.label.as_slice(),
            _ => &[],
        };
        let mut intake = Intake::new(options, columns);
        for source in sources {
            match &options.form {
                Form::Table(columns) => read_table(source, columns, &mut intake)?,
                Form::Headers(label) => read_headers(source, *label, &mut intake)?,
                Form::RecordPairs => read_record_pairs(source, &mut intake)?,
                Form::ThreeLines => read_three_lines(source, &mut intake)?,
            }
        }
        let names: Vec<&str> = sources.iter().map(|source| source.name().as_ref()).collect();
        intake.finish(&names.join(", "))
    }
}

/// Options that cannot be together.
fn check(options: &SetOptions) -> Result<(), TableError> {
    let residues = matches!(options.label, LabelForm::Residues(_));
    let refused = |what: &'static str| Err(TableError::Options { what });
    match &options.form {
        Form::Table(columns) if residues && columns.proteins.are_pairs() => {
            refused("labels of residues belong to single proteins, not to pairs")
        }
        Form::Table(columns) if columns.mask.is_some() && !residues => {
            refused("a column that masks residues needs labels of residues")
        }
        Form::Table(columns) if columns.label.is_empty() => refused("a table needs a column of labels"),
        Form::Table(columns)
            if columns.label.len() > 1 && !matches!(options.label, LabelForm::Classes(..)) =>
        {
            refused("several columns of labels are for examples with any of several classes; name one column")
        }
        Form::Headers(_) if residues => refused("labels of residues stand in no header"),
        Form::RecordPairs | Form::ThreeLines if !residues => refused("this form has labels of residues"),
        _ => Ok(()),
    }
}

/// The places of the columns of one table.
struct Places {
    proteins: Vec<usize>,
    pair_ids: Option<[usize; 2]>,
    label: Vec<usize>,
    id: Vec<usize>,
    mask: Option<usize>,
    part: Option<usize>,
    weight: Option<usize>,
    group: Option<usize>,
    only: Option<usize>,
}

impl Places {
    fn of(rows: &Rows, columns: &Columns) -> Result<Self, TableError> {
        let all =
            |names: &[String]| names.iter().map(|name| rows.column(name)).collect::<Result<Vec<_>, _>>();
        let one = |name: Option<&String>| name.map(|name| rows.column(name)).transpose();
        let two =
            |names: &[String; 2]| Ok::<_, TableError>([rows.column(&names[0])?, rows.column(&names[1])?]);
        let (proteins, pair_ids) = match &columns.proteins {
            ProteinColumns::One { sequence } => (vec![rows.column(sequence)?], None),
            ProteinColumns::Two { sequences, ids } => (all(sequences)?, ids.as_ref().map(two).transpose()?),
            ProteinColumns::Named { ids, .. } => (all(ids)?, None),
            ProteinColumns::Mutants { column, .. } => (vec![rows.column(column)?], None),
        };
        Ok(Self {
            proteins,
            pair_ids,
            label: all(&columns.label)?,
            id: all(&columns.id)?,
            mask: one(columns.mask.as_ref())?,
            part: one(columns.part.as_ref())?,
            weight: one(columns.weight.as_ref())?,
            group: one(columns.group.as_ref().map(|group| &group.column))?,
            only: one(columns.only.as_ref().map(|(column, _)| column))?,
        })
    }

    /// Whether a row is wanted.
    fn takes(&self, rows: &Rows, columns: &Columns) -> bool {
        let Some((place, (_, words))) = self.only.zip(columns.only.as_ref()) else { return true };
        words.iter().any(|word| word.as_bytes() == rows.cell(place))
    }

    fn example_id(&self, rows: &Rows) -> Option<Vec<u8>> {
        (!self.id.is_empty()).then(|| rows.joined(&self.id))
    }
}

fn read_table(source: &Source, columns: &Columns, intake: &mut Intake<'_>) -> Result<(), TableError> {
    let mut rows = Rows::open(source, Separator::of(source)?)?;
    if let Some(names) = &columns.headless {
        rows.name_headless(names);
    }
    let places = Places::of(&rows, columns)?;
    let label_name = match columns.label.as_slice() {
        [one] => format!("column '{one}'"),
        _ => "the columns of classes".to_owned(),
    };
    while rows.next_row()? {
        if !places.takes(&rows, columns) {
            intake.report.rows += 1;
            intake.report.left_out += 1;
            continue;
        }
        let cell = |place: usize| rows.cell(place);
        let named = |name: &'_ Option<String>, place: Option<usize>| {
            name.as_ref().zip(place).map(|(name, place)| (name.clone(), place))
        };
        let (mask, weight) = (named(&columns.mask, places.mask), named(&columns.weight, places.weight));
        let labels: Vec<&[u8]> = places.label.iter().map(|&place| cell(place)).collect();
        let group_fields = columns.group.as_ref().and_then(|group| group.fields);
        let group = places.group.map(|place| grouped(cell(place), group_fields));
        let id = places.example_id(&rows);
        let mutated;
        let (proteins, id) = match &columns.proteins {
            ProteinColumns::One { .. } => (RawProteins::One(cell(places.proteins[0])), id.as_deref()),
            ProteinColumns::Two { .. } => {
                let both = [0, 1].map(|side| cell(places.proteins[side]));
                (RawProteins::Two(both, places.pair_ids.map(|ids| ids.map(cell))), None)
            }
            ProteinColumns::Named { .. } => {
                (RawProteins::Named([0, 1].map(|side| cell(places.proteins[side]))), None)
            }
            ProteinColumns::Mutants { column, wild_type } => {
                let text = cell(places.proteins[0]);
                match mutants::mutated(text, wild_type) {
                    Ok(residues) => mutated = residues,
                    Err(wrong) => {
                        intake.refuse(rows.file(), rows.line(), text, wrong.reason(column));
                        continue;
                    }
                }
                (RawProteins::One(&mutated), id.as_deref().or(Some(text)))
            }
        };
        intake.push(&RawExample {
            file: rows.file(),
            line: rows.line(),
            id,
            proteins,
            label: &labels,
            label_name: &label_name,
            mask: mask.as_ref().map(|(name, place)| (name.as_str(), cell(*place))),
            part: places.part.map(cell),
            weight: weight.as_ref().map(|(name, place)| (name.as_str(), cell(*place))),
            group: group.as_deref().map(str::as_bytes),
        })?;
    }
    Ok(())
}

/// One record of a text of lines.
struct Entry {
    line: u64,
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Entry {
    fn example<'a>(
        &'a self,
        lines: &'a Lines,
        id: &'a [u8],
        residues: &'a [u8],
        label: &'a [&'a [u8]],
    ) -> RawExample<'a> {
        RawExample {
            file: lines.file(),
            line: self.line,
            id: Some(id),
            proteins: RawProteins::One(residues),
            label,
            label_name: "the label",
            mask: None,
            part: None,
            weight: None,
            group: None,
        }
    }
}

/// The records of FASTA whatever their letters are. Lines that begin with `#` or `;` are comments.
struct Entries {
    lines: Lines,
    /// The header of the next record, and its line.
    next: Option<(u64, Vec<u8>)>,
}

impl Entries {
    fn open(source: &Source) -> Result<Self, TableError> {
        let mut entries = Self { lines: Lines::open(source)?, next: None };
        while let Some(line) = entries.lines.next_line()? {
            let line = line.trim_ascii();
            match line.first() {
                None | Some(b'#' | b';') => {}
                Some(b'>') => {
                    let header = line[1..].trim_ascii().to_vec();
                    entries.next = Some((entries.lines.number(), header));
                    break;
                }
                Some(_) => {
                    let found = crate::letters::shown(line);
                    return Err(entries.refused(found, "a header, which begins with '>'"));
                }
            }
        }
        Ok(entries)
    }

    fn refused(&self, found: String, wanted: &'static str) -> TableError {
        let (file, line) = (std::sync::Arc::clone(self.lines.file()), self.lines.number());
        TableError::Form { file, line, found, wanted }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, TableError> {
        let Some((line, header)) = self.next.take() else { return Ok(None) };
        let mut entry = Entry { line, header, body: Vec::new() };
        while let Some(text) = self.lines.next_line()? {
            let text = text.trim_ascii();
            match text.first() {
                None | Some(b'#' | b';') => {}
                Some(b'>') => {
                    let header = text[1..].trim_ascii().to_vec();
                    self.next = Some((self.lines.number(), header));
                    break;
                }
                Some(_) => entry.body.extend_from_slice(text),
            }
        }
        Ok(Some(entry))
    }
}

fn read_headers(source: &Source, label: HeaderLabel, intake: &mut Intake<'_>) -> Result<(), TableError> {
    let mut entries = Entries::open(source)?;
    while let Some(entry) = entries.next_entry()? {
        let words: Vec<&[u8]> =
            entry.header.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let id = words.first().copied().unwrap_or_default();
        let word = if label.last { words.iter().skip(1).last() } else { words.get(1) };
        let mut word = word.copied().unwrap_or_default();
        let mut encoded = [0; 4];
        if let Some(end) = label.until {
            let end = end.encode_utf8(&mut encoded).as_bytes();
            let at = word.windows(end.len()).position(|part| part == end);
            word = &word[..at.unwrap_or(word.len())];
        }
        let labels = [word];
        let mut example = entry.example(&entries.lines, id, &entry.body, &labels);
        example.label_name = "the label in the header";
        intake.push(&example)?;
    }
    Ok(())
}

/// The name of a header and what its record holds: the last part behind a colon.
fn kind_of(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = header.iter().rposition(|&byte| byte == b':')?;
    Some((&header[..colon], &header[colon + 1..]))
}

fn read_record_pairs(source: &Source, intake: &mut Intake<'_>) -> Result<(), TableError> {
    const SEQUENCE: &str = "a record '>name:sequence' and below it '>name:secstr'";
    let mut entries = Entries::open(source)?;
    while let Some(sequence) = entries.next_entry()? {
        let found = |entry: &Entry| format!("the header '{}'", crate::id::shown(&entry.header));
        let refused = |entry: &Entry| TableError::Form {
            file: std::sync::Arc::clone(source.name()),
            line: entry.line,
            found: found(entry),
            wanted: SEQUENCE,
        };
        let Some((name, b"sequence")) = kind_of(&sequence.header) else { return Err(refused(&sequence)) };
        let Some(labels) = entries.next_entry()? else { return Err(refused(&sequence)) };
        if kind_of(&labels.header) != Some((name, b"secstr".as_slice())) {
            return Err(refused(&labels));
        }
        let label = [labels.body.as_slice()];
        let mut example = sequence.example(&entries.lines, name, &sequence.body, &label);
        example.label_name = "the record of labels";
        intake.push(&example)?;
    }
    Ok(())
}

fn read_three_lines(source: &Source, intake: &mut Intake<'_>) -> Result<(), TableError> {
    let mut lines = Lines::open(source)?;
    loop {
        let mut entry = [const { Vec::new() }; 3];
        let mut begun = 0;
        for (place, part) in entry.iter_mut().enumerate() {
            // Blank lines may stand between proteins, not within one.
            let mut line = lines.next_line()?.map(<[u8]>::trim_ascii);
            while place == 0 && line.is_some_and(<[u8]>::is_empty) {
                line = lines.next_line()?.map(<[u8]>::trim_ascii);
            }
            let Some(line) = line else { break };
            *part = line.to_vec();
            begun += 1;
            if place == 0 && line.first() != Some(&b'>') {
                break;
            }
        }
        if begun == 0 {
            return Ok(());
        }
        if begun < 3 {
            let (file, line) = (std::sync::Arc::clone(lines.file()), lines.number());
            let found = super::intake::shown(&entry[begun - 1]);
            let wanted = "three lines for each protein: '>id', its residues, a label letter for each";
            return Err(TableError::Form { file, line, found, wanted });
        }
        let [header, residues, labels] = entry;
        let line = lines.number() - 2;
        let entry = Entry { line, header: header[1..].trim_ascii().to_vec(), body: residues };
        let id = entry.header.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let label = [labels.as_slice()];
        let mut example = entry.example(&lines, id, &entry.body, &label);
        example.label_name = "the line of labels";
        intake.push(&example)?;
    }
}

//! What was found, as a table or as JSON.

use std::path::Path;

use pliant_store::{Cell, ColumnKind, ColumnTable, METADATA_KEY, Metadata, OutputSet};
use serde_json::{Map, Value, json};

use super::score::{Measure, Scored};
use crate::cli::evaluate::ReportFormat;
use crate::tasks::files;

/// Numbers of bins.
const COUNTS: [&str; 4] = ["proteins", "residues", "chosen", "masked"];

/// What is measured; each has an interval.
const MEASURES: [&str; 4] = ["loss", "masked_loss", "perplexity", "accuracy"];

/// A yardstick for the loss: that of a model that knows how frequent each residue is, and nothing else.
const ENTROPY: &str = "unigram_entropy";

/// The report, complete but for its name.
///
/// # Errors
/// What the system says to a new file.
pub(super) fn write(
    out: &Path,
    format: ReportFormat,
    lines: &[Scored],
    metadata: &Metadata,
) -> anyhow::Result<OutputSet> {
    match format {
        ReportFormat::Json => {
            let text = format!("{:#}\n", object(lines, metadata)?);
            Ok(OutputSet::from(vec![files::text_file(out, &text)?]))
        }
        ReportFormat::Table(format) => {
            let columns = columns();
            let columns: Vec<(&str, ColumnKind)> =
                columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
            let mut table = ColumnTable::create(out, format, &columns, metadata)?;
            for line in lines {
                let name = line.name();
                let counts = counts(line).map(Cell::Count);
                let numbers = measures(line).into_iter().flat_map(three).chain([line.entropy]);
                let cells: Vec<Cell<'_>> =
                    [Cell::Text(&name)].into_iter().chain(counts).chain(numbers.map(Cell::Number)).collect();
                table.push(&cells)?;
            }
            Ok(table.finish()?)
        }
    }
}

fn columns() -> Vec<(String, ColumnKind)> {
    let mut columns = vec![("bin".to_owned(), ColumnKind::Text)];
    columns.extend(COUNTS.map(|name| (name.to_owned(), ColumnKind::Count)));
    for name in MEASURES {
        columns.extend(ends(name).map(|name| (name, ColumnKind::Number)));
    }
    columns.push((ENTROPY.to_owned(), ColumnKind::Number));
    columns
}

fn counts(line: &Scored) -> [u64; COUNTS.len()] {
    [line.proteins, line.residues, line.chosen, line.masked]
}

fn measures(line: &Scored) -> [Measure; MEASURES.len()] {
    [line.loss, line.masked_loss, line.loss.through(libm::exp), line.accuracy]
}

/// The names of a measure and of the ends of its interval.
fn ends(name: &str) -> [String; 3] {
    ["", "_low", "_high"].map(|end| format!("{name}{end}"))
}

fn three(measure: Measure) -> [f64; 3] {
    [measure.value, measure.low, measure.high]
}

/// The whole report: what was asked with which model, all proteins, and the bins.
fn object(lines: &[Scored], metadata: &Metadata) -> serde_json::Result<Value> {
    let metadata: Value = serde_json::from_str(&metadata.to_json())?;
    let (all, bins): (Vec<&Scored>, Vec<&Scored>) = lines.iter().partition(|line| line.from.is_none());
    let bins: Vec<Value> = bins.into_iter().map(line).collect();
    let all = all.first().map_or(Value::Null, |all| line(all));
    Ok(json!({ "all": all, "bins": bins, METADATA_KEY: metadata }))
}

fn line(scored: &Scored) -> Value {
    let mut object = Map::new();
    object.insert("bin".to_owned(), json!(scored.name()));
    if let Some(from) = scored.from {
        object.insert("from".to_owned(), json!(from));
        object.insert("to".to_owned(), json!(scored.to));
    }
    for (name, count) in COUNTS.into_iter().zip(counts(scored)) {
        object.insert(name.to_owned(), json!(count));
    }
    for (name, measure) in MEASURES.into_iter().zip(measures(scored)) {
        let numbers = ends(name).into_iter().zip(three(measure).map(finite));
        object.extend(numbers);
    }
    object.insert(ENTROPY.to_owned(), finite(scored.entropy));
    Value::Object(object)
}

/// A number as JSON has it: what is none is null.
pub(super) fn finite(number: f64) -> Value {
    if number.is_finite() { json!(number) } else { Value::Null }
}

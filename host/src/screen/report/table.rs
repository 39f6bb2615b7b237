//! A table with everything that is known of each pair.

use std::path::Path;

use pliant_store::{Cell, ColumnKind, ColumnTable, Format, Metadata, OutputSet};

use super::{Report, rounded, short};
use crate::screen::Proteins;
use crate::screen::answer::{Answer, Row};

pub(super) fn write(
    out: &Path,
    format: Format,
    report: &Report<'_>,
    answer: &Answer,
    metadata: &Metadata,
) -> anyhow::Result<OutputSet> {
    let mut table = ColumnTable::create_repeating(out, format, &columns(report), metadata)?;
    for row in answer.rows() {
        let flags = report.flags(&row);
        let mut cells = vec![Cell::Text(report.id(row.edge.first)), Cell::Text(report.id(row.edge.second))];
        cells.extend(numbers(report, &row).into_iter().map(|number| match number {
            Value::Count(count) => Cell::Count(count),
            Value::Number(number) => Cell::Number(number),
        }));
        cells.push(Cell::Text(&flags));
        table.push(&cells)?;
    }
    Ok(table.finish()?)
}

/// A number of a row.
pub(super) enum Value {
    Count(u64),
    Number(f64),
}

/// The columns between the ids and the flags, and whether each is a count.
pub(super) fn names(report: &Report<'_>) -> Vec<(&'static str, bool)> {
    names_of(report.proteins, report.worth.is_some())
}

/// The same where only this much is known.
pub(super) fn names_of(proteins: &Proteins, is_calibrated: bool) -> Vec<(&'static str, bool)> {
    let mut names = vec![("logit", false)];
    if is_calibrated {
        names.extend([("probability", false), ("expected_precision", false)]);
    }
    names.extend([
        ("rank1", true),
        ("rank2", true),
        ("reciprocal_rank", false),
        ("z1", false),
        ("z2", false),
    ]);
    if proteins.lengths.is_some() {
        names.extend([("length1", true), ("length2", true)]);
    }
    if proteins.identities.is_some() {
        names.extend([("identity1", false), ("identity2", false)]);
    }
    names
}

/// The values of those columns. A rank behind the best that were kept is 0.
pub(super) fn numbers(report: &Report<'_>, row: &Row) -> Vec<Value> {
    let both = [row.edge.first, row.edge.second];
    let mut values = vec![Value::Number(short(row.edge.logit))];
    if let Some(worth) = report.worth {
        let logit = f64::from(row.edge.logit);
        let of = [worth.probability(logit), worth.precision(logit)];
        values.extend(of.map(|number| Value::Number(rounded(number))));
    }
    values.extend(row.ranks.map(|rank| Value::Count(rank.unwrap_or_default())));
    values.push(Value::Number(rounded(row.reciprocal_rank())));
    values.extend(row.z.map(|z| Value::Number(rounded(z))));
    if report.proteins.lengths.is_some() {
        values.extend(both.map(|number| Value::Count(report.length(number).unwrap_or_default().into())));
    }
    if report.proteins.identities.is_some() {
        values.extend(both.map(|number| Value::Number(short(report.identity(number).unwrap_or_default()))));
    }
    values
}

fn columns(report: &Report<'_>) -> Vec<(&'static str, ColumnKind)> {
    let kind = |is_count| if is_count { ColumnKind::Count } else { ColumnKind::Number };
    let mut columns = vec![("protein1", ColumnKind::Text), ("protein2", ColumnKind::Text)];
    columns.extend(names(report).into_iter().map(|(name, is_count)| (name, kind(is_count))));
    columns.push(("flags", ColumnKind::Text));
    columns
}

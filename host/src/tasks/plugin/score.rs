//! `pliant plugin run` of a metric: predictions and labels as tables that are joined by their ids.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use pliant_plugin::{Plugin, Rows};
use pliant_store::{OutputSet, Sheet, StoreError};
use serde_json::{Map, Value, json};

use super::pass_on;
use crate::Context;
use crate::cli::plugin::RunArgs;
use crate::tasks::files;

/// What names a row: the protein and, where there is such a column, the residue.
type Key = (String, String);

/// Numbers of a table, row by row.
struct Numbers {
    keys: Vec<Key>,
    columns: usize,
    values: Vec<f32>,
}

pub(super) fn run(
    plugin: &Plugin,
    name: &str,
    args: &RunArgs,
    labels: &Path,
    context: &Context,
) -> Result<()> {
    let predictions = numbers(&args.input, false)?;
    let labels = join(&predictions, numbers(labels, true)?, &args.input, labels)?;
    let mut metric = plugin.metric().with_context(|| format!("plugin {name}"))?;
    let offsets = proteins(&predictions.keys);
    let rows = Rows {
        predictions: &predictions.values,
        columns: predictions.columns,
        labels: &labels.values,
        label_columns: labels.columns,
        offsets: &offsets,
    };
    metric.add(&rows).with_context(|| format!("plugin {name}"))?;
    let scores = metric.finish().with_context(|| format!("plugin {name}"))?;
    pass_on(&metric.take_log(), name, context);
    let scores: Map<String, Value> = scores
        .into_iter()
        .map(|score| (score.name, score.value.map_or(Value::Null, |value| json!(value))))
        .collect();
    let about = metric.about();
    let report = json!({
        "plugin": format!("{} {}", about.name, about.version),
        "plugin_identity": plugin.identity(),
        "proteins": offsets.len() - 1,
        "rows": predictions.keys.len(),
        "scores": scores,
    });
    Ok(OutputSet::from(vec![files::text_file(&args.out, &format!("{report:#}\n"))?]).commit()?)
}

/// A table of numbers beside `id` and, where it is there, `position`. In labels an empty cell is not known.
fn numbers(path: &Path, empty_allowed: bool) -> Result<Numbers> {
    let wrong = |reason: String| StoreError::NotATable { path: path.to_path_buf(), reason };
    let sheet = Sheet::read(path)?;
    let id = sheet.column("id").ok_or_else(|| wrong("it has no column id".to_owned()))?;
    let position = sheet.column("position");
    let names: Vec<&str> = sheet.columns().collect();
    let used: Vec<usize> =
        (0..names.len()).filter(|place| *place != id && Some(*place) != position).collect();
    if used.is_empty() {
        return Err(wrong("it has no column of numbers".to_owned()).into());
    }
    let mut numbers = Numbers { keys: Vec::new(), columns: used.len(), values: Vec::new() };
    for row in sheet.rows() {
        numbers.keys.push((row.cell(id).to_owned(), position.map_or("", |place| row.cell(place)).to_owned()));
        for &place in &used {
            let cell = row.cell(place).trim();
            let value = if cell.is_empty() && empty_allowed { Some(f32::NAN) } else { cell.parse().ok() };
            numbers.values.push(value.ok_or_else(|| {
                wrong(format!(
                    "line {}, column {}: found {cell:?}, wanted a number",
                    row.line(),
                    names[place]
                ))
            })?);
        }
    }
    Ok(numbers)
}

/// The labels in the order of the predictions.
fn join(predictions: &Numbers, labels: Numbers, path: &Path, label_path: &Path) -> Result<Numbers> {
    let wrong = |path: &Path, reason: String| StoreError::NotATable { path: path.to_path_buf(), reason };
    let named = |key: &Key| match key {
        (id, position) if position.is_empty() => format!("{id:?}"),
        (id, position) => format!("{id:?} at position {position}"),
    };
    let mut places: BTreeMap<&Key, usize> = BTreeMap::new();
    for (place, key) in labels.keys.iter().enumerate() {
        if places.insert(key, place).is_some() {
            return Err(wrong(label_path, format!("{} has two rows", named(key))).into());
        }
    }
    let mut values = Vec::with_capacity(predictions.keys.len() * labels.columns);
    for key in &predictions.keys {
        let place = places.remove(key).ok_or_else(|| {
            wrong(path, format!("{} has no row in {}, or has two here", named(key), label_path.display()))
        })?;
        values.extend_from_slice(&labels.values[place * labels.columns..(place + 1) * labels.columns]);
    }
    Ok(Numbers { keys: Vec::new(), columns: labels.columns, values })
}

/// Bounds of runs of rows of one protein.
fn proteins(keys: &[Key]) -> Vec<usize> {
    let mut offsets = vec![0];
    offsets.extend((1..keys.len()).filter(|place| keys[*place].0 != keys[place - 1].0));
    offsets.extend((!keys.is_empty()).then_some(keys.len()));
    offsets
}

//! `pliant plugin run`: a head over stored embeddings.

use std::path::Path;

use anyhow::{Context as _, Result};
use pliant_plugin::{Head, Plugin, PluginError, Row, World};
use pliant_store::{Cell, ColumnKind, ColumnTable, Format, Metadata, ResultKind, ResultReader, StoreError};

use super::{pass_on, score};
use crate::Context;
use crate::cli::plugin::RunArgs;
use crate::cli::reading::format_among;
use crate::exit::TaskError;
use crate::plugins;

/// Vectors that are read before the head is asked.
const ROWS_AT_ONCE: usize = 1024;

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<()> {
    let (manifest, plugin) = plugins::load(&args.guest.manifest, &args.guest.flags.words())?;
    let usage = |what: &str| Err(TaskError::Usage { what: what.to_owned() }.into());
    match (plugin.world(), &args.labels) {
        (World::Metric, Some(labels)) => score::run(&plugin, manifest.name(), args, labels, context),
        (World::Metric, None) => usage("a metric needs --labels"),
        (World::Head, Some(_)) => usage("a head takes no --labels"),
        (World::Head, None) => predict(&plugin, manifest.name(), args, context),
    }
}

fn predict(plugin: &Plugin, name: &str, args: &RunArgs, context: &Context) -> Result<()> {
    let mut reader = ResultReader::open(&args.input)?;
    let mut head = plugin.head().with_context(|| format!("plugin {name}"))?;
    let residues = reader.kind() == ResultKind::Residues;
    if reader.layers().len() > 1 {
        return Err(StoreError::NotVectors { path: args.input.clone(), reason: "several layers" }.into());
    }
    let format = format_among(Some(&args.out), &ColumnTable::FORMATS)?;
    let metadata = metadata(plugin, &head, reader.metadata())?;
    let mut table = Table::create(&args.out, format, &head, residues, &metadata)?;
    let width = reader.width();
    let mut waiting: Vec<(String, Vec<f32>)> = Vec::new();
    let progress = context.print.progress(reader.records() as u64, "proteins");
    while let Some(record) = reader.next_record()? {
        let values = record.layers.into_iter().next().unwrap_or_default();
        waiting.push((record.id, values));
        if waiting.iter().map(|(_, values)| values.len()).sum::<usize>() >= ROWS_AT_ONCE * width {
            progress.advance(waiting.len() as u64);
            table.answer(&mut head, width, &mut waiting).with_context(|| format!("plugin {name}"))?;
        }
    }
    table.answer(&mut head, width, &mut waiting).with_context(|| format!("plugin {name}"))?;
    drop(progress);
    pass_on(&head.take_log(), name, context);
    Ok(table.table.finish()?.commit()?)
}

/// What the table says about itself: the plugin, and what its input says.
fn metadata(plugin: &Plugin, head: &Head, input: Option<&Metadata>) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    let about = head.about();
    metadata.set("plugin", format!("{} {}", about.name, about.version));
    metadata.set("plugin_identity", plugin.identity());
    metadata.set("meaning", about.meaning.name());
    if let Some(input) = input {
        let input: serde_json::Value = serde_json::from_str(&input.to_json())?;
        metadata.set("embeddings", input);
    }
    Ok(metadata)
}

/// The answers on their way to a file.
struct Table {
    table: ColumnTable,
    /// Whether the embeddings are those of residues, and whether the rows are.
    residues: bool,
    positions: bool,
}

impl Table {
    fn create(path: &Path, format: Format, head: &Head, residues: bool, metadata: &Metadata) -> Result<Self> {
        let positions = residues && head.about().row == Row::Residue;
        let mut columns = vec![("id", ColumnKind::Text)];
        columns.extend(positions.then_some(("position", ColumnKind::Count)));
        columns.extend(head.about().outputs.iter().map(|name| (name.as_str(), ColumnKind::Number)));
        Ok(Self { table: ColumnTable::create(path, format, &columns, metadata)?, residues, positions })
    }

    /// Asks for the waiting records, and writes what is answered.
    fn answer(&mut self, head: &mut Head, width: usize, waiting: &mut Vec<(String, Vec<f32>)>) -> Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        let answers = ask(head, width, waiting, self.residues)?;
        let mut rows = answers.chunks(head.columns());
        for (id, values) in waiting.drain(..) {
            let count = if self.positions { values.len() / width } else { 1 };
            for (row, position) in rows.by_ref().take(count).zip(1..) {
                let mut cells = vec![Cell::Text(&id)];
                cells.extend(self.positions.then_some(Cell::Count(position)));
                cells.extend(row.iter().map(|value| Cell::Number(shortest(*value))));
                self.table.push(&cells)?;
            }
        }
        Ok(())
    }
}

/// Asks a head for all records at once; where that goes wrong, names the first record that does so alone.
fn ask(head: &mut Head, width: usize, records: &[(String, Vec<f32>)], residues: bool) -> Result<Vec<f32>> {
    let together = once(head, width, records, residues);
    if matches!(&together, Err(error) if error.concerns_input()) {
        for record in records {
            let alone = once(head, width, std::slice::from_ref(record), residues);
            alone.with_context(|| format!("record {:?}", record.0))?;
        }
    }
    Ok(together?)
}

fn once(
    head: &mut Head,
    width: usize,
    records: &[(String, Vec<f32>)],
    residues: bool,
) -> Result<Vec<f32>, PluginError> {
    let all: Vec<f32> = records.iter().flat_map(|(_, values)| values).copied().collect();
    if !residues {
        return head.predict(&all, width);
    }
    let mut offsets = vec![0];
    for (_, values) in records {
        offsets.push(offsets[offsets.len() - 1] + values.len() / width);
    }
    head.predict_residues(&all, width, &offsets)
}

/// The number whose shortest text is that of the 32-bit number.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

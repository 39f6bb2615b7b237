//! `pliant perplexity`: how well a model knows proteins.

use std::time::Instant;

use pliant_seq::Source;
use pliant_store::{Cell, ColumnKind, ColumnTable, OutputSet};
use serde_json::json;

use crate::Context;
use crate::cli::perplexity::{Method, PerplexityPlan};
use crate::engine;
use crate::pipeline::{Masks, Output};
use crate::tasks::run::{ID_CHARS, Order, Ready, Sizes};

/// The columns of the table.
const COLUMNS: [(&str, ColumnKind); 4] = [
    ("id", ColumnKind::Text),
    ("length", ColumnKind::Count),
    ("log_likelihood", ColumnKind::Number),
    ("perplexity", ColumnKind::Number),
];

/// Letters of the numbers of a row, in the estimate of output sizes.
const NUMBER_CHARS: usize = 42;

/// Reads the input twice: to know what there is, and to compute it.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &PerplexityPlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    let order = Order {
        start,
        task: "perplexity",
        plan: &plan.run,
        sources: Source::from_arguments(&plan.run.inputs)?,
        output: Output::Losses,
        masks: if plan.method == Method::Pseudo { Masks::Each } else { Masks::None },
    };
    let ready = Ready::new(card, order)?;
    let bytes = ready.selection().records * (ID_CHARS + NUMBER_CHARS);
    let sizes = Sizes { held_bytes: 0, output_bytes: json!({ "total": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let session = ready.load(&sizes, print)?;
    let method = plan.method.name();
    let metadata = session.metadata("perplexity", "f64").with("method", method);
    let create = |out| ColumnTable::create(out, plan.format, &COLUMNS, &metadata);
    let mut table = plan.out.as_deref().map(create).transpose()?;
    let computed = session.compute(print, |row| {
        let likelihood = row.log_likelihood();
        let perplexity = libm::exp(-likelihood / row.length as f64);
        let numbers = [Cell::Count(row.length as u64), Cell::Number(likelihood), Cell::Number(perplexity)];
        let cells = [&[Cell::Text(&row.id)][..], &numbers].concat();
        table.as_mut().map_or(Ok(()), |table| Ok(table.push(&cells)?))
    })?;
    let files = table.map_or_else(|| Ok(OutputSet::new()), ColumnTable::finish)?;
    session.finish(files, &computed, &[("method", json!(method))], context)
}

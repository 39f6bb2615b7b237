//! `pliant logits`: proteins to log-probabilities of all tokens in every place.

use std::time::Instant;

use pliant_seq::Source;
use pliant_store::{H5Layout, Metadata, OutDtype, OutputSet, ResidueWriter, TOKENS_KEY, TablePlan};
use serde_json::json;

use crate::Context;
use crate::cli::logits::LogitsPlan;
use crate::engine;
use crate::pipeline::{Masks, Output};
use crate::tasks::run::{ID_CHARS, Order, Ready, Selection, Sizes};

/// Reads the input twice: to know what there is, and to compute it.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &LogitsPlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    let (tokens, layer) = (&card.vocabulary.tokens[..card.vocabulary.told], card.about.layers);
    let table = |selection: &Selection, metadata: Metadata| TablePlan {
        rows: selection.records,
        width: tokens.len(),
        layers: vec![layer],
        dtype: OutDtype::F32,
        metadata,
        h5_layout: H5Layout::default(),
    };
    let order = Order {
        start,
        task: "logits",
        plan: &plan.run,
        sources: Source::from_arguments(&plan.run.inputs)?,
        output: Output::LogProbs,
        masks: if plan.masked { Masks::Each } else { Masks::None },
    };
    let ready = Ready::new(card, order)?;
    let (planned, residues) = (table(ready.selection(), Metadata::new()), ready.selection().residues);
    let bytes = plan.format.estimated_bytes(&planned, Some(residues), ID_CHARS);
    let held_bytes = plan.format.held_bytes(&planned, Some(residues));
    let sizes = Sizes { held_bytes, output_bytes: json!({ "total": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let session = ready.load(&sizes, print)?;
    let metadata = session.metadata(session.kind(), OutDtype::F32.name()).with(TOKENS_KEY, json!(tokens));
    let table = table(session.selection(), metadata);
    let create = |out| ResidueWriter::create(out, plan.format, &table, residues);
    let mut writer = plan.out.as_deref().map(create).transpose()?;
    let computed = session.compute(print, |row| {
        let rows: Vec<&[f32]> = row.residues.iter().map(Vec::as_slice).collect();
        writer.as_mut().map_or(Ok(()), |writer| Ok(writer.push(&row.id, &rows)?))
    })?;
    let files = writer.map_or_else(|| Ok(OutputSet::new()), ResidueWriter::finish)?;
    session.finish(files, &computed, &[("masked", json!(plan.masked)), ("tokens", json!(tokens))], context)
}

//! Masked language modelling: which residues stand where some are hidden.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use pliant_seq::{MlmSettings, Sampler, SamplerSettings, Source};
use pliant_store::{Cell, ColumnKind, ColumnTable, Format, Metadata, OutputSet};
use serde_json::json;

use super::report;
use super::score::{Protein, Scores};
use crate::Context;
use crate::cli::evaluate::EvaluatePlan;
use crate::engine;
use crate::eval::Interval;
use crate::pipeline::{ANSWER, Masks, Output, Row};
use crate::tasks::run::{ID_CHARS, Order, Ready, Sizes};

/// The columns of the table of proteins.
const PROTEIN_COLUMNS: [(&str, ColumnKind); 7] = [
    ("id", ColumnKind::Text),
    ("length", ColumnKind::Count),
    ("chosen", ColumnKind::Count),
    ("masked", ColumnKind::Count),
    ("loss", ColumnKind::Number),
    ("masked_loss", ColumnKind::Number),
    ("accuracy", ColumnKind::Number),
];

/// Letters of the numbers of a row of that table, and of a whole report, in the estimate of output sizes.
const NUMBER_CHARS: usize = 70;
const REPORT_CHARS: usize = 4096;

/// Reads the input twice: to know what there is, and to compute it.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub(super) fn run(plan: &EvaluatePlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    let vocabulary = card.vocabulary;
    let masking = MlmSettings::default();
    let settings = SamplerSettings {
        seed: plan.seed,
        budget_tokens: plan.run.compute.batch_tokens(&card.about),
        crop: None,
        masking,
    };
    let order = Order {
        start,
        task: "evaluate",
        plan: &plan.run,
        sources: Source::from_arguments(&plan.run.inputs)?,
        output: Output::Answers,
        masks: Masks::Drawn(Arc::new(Sampler::new(vocabulary, settings)?)),
    };
    let ready = Ready::new(card, order)?;
    let rows = if plan.proteins.is_some() { ready.selection().records } else { 0 };
    let bytes = rows * (ID_CHARS + NUMBER_CHARS) + REPORT_CHARS;
    let sizes = Sizes { held_bytes: 0, output_bytes: json!({ "total": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    if plan.cache_unused {
        print.note("--cache is not used: an evaluation keeps no numbers of single residues");
    }
    let session = ready.load(&sizes, print)?;
    let out = plan.out.as_deref().context("--out names no file")?;
    let metadata = described(session.metadata("mlm", "f64"), plan.seed, masking);
    let mut scores = Scores::new(&plan.bins);
    let create =
        |(path, format): &(PathBuf, Format)| ColumnTable::create(path, *format, &PROTEIN_COLUMNS, &metadata);
    let mut table = plan.proteins.as_ref().map(create).transpose()?;
    let computed = session.compute(print, |row| {
        let protein = protein(&row);
        if let Some(table) = &mut table {
            let Protein { length, chosen, masked, .. } = protein;
            let counts = [length as u64, chosen, masked].map(Cell::Count);
            let numbers = protein.means().map(Cell::Number);
            table.push(&[&[Cell::Text(&row.id)][..], &counts, &numbers].concat())?;
        }
        scores.push(protein, &row.sequence);
        Ok(())
    })?;
    let mut files = table.map_or_else(|| Ok(OutputSet::new()), ColumnTable::finish)?;
    let interval = Interval { seed: plan.seed, draws: plan.bootstrap };
    let lines = scores.lines(vocabulary, &interval);
    files.append(report::write(out, plan.format, &lines, &metadata.with("bootstrap", plan.bootstrap))?);
    let details = [("evaluation", json!("mlm")), ("loss", report::finite(scores.loss()))];
    session.finish(files, &computed, &details, context)
}

/// What was asked, beside what every result says of itself.
fn described(metadata: Metadata, seed: u64, masking: MlmSettings) -> Metadata {
    let MlmSettings { choose, mask, random } = masking;
    metadata
        .with("task", "mlm")
        .with("seed", seed)
        .with("masking", json!({ "choose": choose, "mask": mask, "random": random }))
}

/// What became of one protein.
fn protein(row: &Row) -> Protein {
    let answers = row.residues.first().map(Vec::as_slice).unwrap_or_default();
    let answers = answers.as_chunks::<ANSWER>().0.iter();
    let masked = answers.clone().filter(|[_, _, masked]| *masked > 0.0);
    let sum = |lost: f64, [loss, ..]: &[f32; ANSWER]| lost + f64::from(*loss);
    Protein {
        length: row.length,
        chosen: answers.len() as u64,
        masked: masked.clone().count() as u64,
        lost: answers.clone().fold(0.0, sum),
        masked_lost: masked.fold(0.0, sum),
        right: answers.filter(|[_, right, _]| *right > 0.0).count() as u64,
    }
}

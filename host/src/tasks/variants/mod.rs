//! `pliant variants`: how much less, or more, a model believes in mutants.

mod error;
mod input;
mod mutant;
mod picture;
mod score;

use std::path::Path;
use std::time::Instant;

use pliant_seq::Source;
use pliant_store::{OutputSet, Separator, SheetWriter, StoreError};
use serde_json::json;

use crate::Context;
use crate::cli::variants::VariantsPlan;
use crate::engine;
use crate::tasks::run::{Order, Ready, Sizes, refusing};
pub use error::VariantError;
use input::Input;
use score::Scorer;

/// Columns of a scan.
const SCAN_COLUMNS: [&str; 5] = ["mutant", "position", "wild_type", "mutation", "score"];

/// Letters of a score, in the estimate of output sizes.
const SCORE_CHARS: usize = 20;

/// Reads all mutants, computes each pass over a protein once, and writes the scores in the order of the mutants.
///
/// # Errors
/// Whatever ends the run; no output has then changed.
pub fn run(plan: &VariantsPlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    let input = Input::read(plan, card.vocabulary)?;
    let mut scorer = Scorer::new(plan.score, &input, card.vocabulary);
    scorer.check(refusing(&card, &plan.run.long, &scorer.output())?)?;
    let order = Order {
        start,
        task: "variants",
        plan: &plan.run,
        sources: vec![Source::from_bytes(&input.name, scorer.fasta())],
        output: scorer.output(),
        masks: scorer.masks(),
    };
    let ready = Ready::new(card, order)?;
    let bytes = input.variants.len() * SCORE_CHARS;
    let sizes = Sizes { held_bytes: 0, output_bytes: json!({ "scores": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let session = ready.load(&sizes, print)?;
    let computed = session.compute(print, |row| {
        scorer.take(&row);
        Ok(())
    })?;
    let scores = scorer.finish();
    let write = |out: &Path| write(out, plan, &input, &scores);
    let mut files = plan.out.as_deref().map_or_else(|| Ok(OutputSet::new()), write)?;
    if let Some(place) = &plan.picture {
        files.push(picture::write(place, plan, &input, &scores)?);
    }
    let details = [
        ("score", json!(plan.score.name())),
        ("offset", json!(plan.offset)),
        ("mutants", json!(input.variants.len())),
        ("wild_types", json!(input.wild_types.len())),
    ];
    session.finish(files, &computed, &details, context)
}

/// The scores, complete but for the name of their file.
fn write(out: &Path, plan: &VariantsPlan, input: &Input, scores: &[f64]) -> Result<OutputSet, StoreError> {
    let Some(sheet) = &input.sheet else { return write_scan(out, plan, input, scores) };
    let separator = plan.separator.unwrap_or(sheet.separator());
    let columns = sheet.columns().chain([plan.score.name()]);
    let mut writer = SheetWriter::create(out, separator, columns)?;
    for (row, score) in sheet.rows().zip(scores) {
        writer.push(row.cells().chain([score.to_string().as_str()]))?;
    }
    writer.finish()
}

fn write_scan(
    out: &Path,
    plan: &VariantsPlan,
    input: &Input,
    scores: &[f64],
) -> Result<OutputSet, StoreError> {
    let separator = plan.separator.unwrap_or(Separator::Tab);
    let mut writer = SheetWriter::create(out, separator, SCAN_COLUMNS.into_iter())?;
    let mutations = input.variants.iter().flat_map(|variant| &variant.mutations);
    for (mutation, score) in mutations.zip(scores) {
        let letter = |letter: u8| char::from(letter).to_string();
        let cells = [
            mutation.name(plan.offset),
            mutation.number(plan.offset).to_string(),
            letter(mutation.wild),
            letter(mutation.mutated),
            score.to_string(),
        ];
        writer.push(cells.iter().map(String::as_str))?;
    }
    writer.finish()
}

//! `pliant align`: which residues of two proteins answer each other, and how alike the two are.

mod error;
mod proteins;

use std::path::Path;
use std::time::Instant;

use pliant_store::picture::{Axis, Cells, HeatMap, PictureFormat, Shades, draw};
use pliant_store::{AtomicFile, Metadata, OutputSet, SheetWriter, StoreError};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::align::AlignPlan;
use crate::cli::embed::{Pool, Written};
use crate::engine::{self, Aligned};
use crate::pipeline::{Masks, Output};
use crate::tasks::run::{Order, Ready, Sizes};
pub use error::AlignError;
use proteins::Pair;

/// Columns of the table.
const COLUMNS: [&str; 6] = ["position_a", "residue_a", "position_b", "residue_b", "similarity", "weight"];

/// Letters of a row, in the estimate of output sizes.
const ROW_CHARS: usize = 40;

/// Matrices of all pairs of residues that are held at once: similarities, both kinds of weights, and copies of two.
const MATRICES: u64 = 5;

/// Reads both proteins, computes their states, and compares each residue with each.
///
/// # Errors
/// Whatever ends the run; no output has then changed.
pub fn run(plan: &AlignPlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    let pair = Pair::read(&plan.run.inputs)?;
    let layer = card.about.layers;
    let written = if card.about.projection.is_some() { Written::Z } else { Written::H };
    let order = Order {
        start,
        task: "align",
        plan: &plan.run,
        sources: pair.sources.clone(),
        output: Output::States { layers: vec![layer], pool: Pool::Mean, residues: true, written },
        masks: Masks::None,
    };
    let ready = Ready::new(card, order)?;
    let pairs = pair.residue_pairs();
    let sizes = Sizes {
        held_bytes: MATRICES * pairs * size_of::<f32>() as u64,
        output_bytes: json!({ "pairs": pairs * ROW_CHARS as u64 }),
    };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let session = ready.load(&sizes, print)?;
    let mut states = Vec::new();
    let computed = session.compute(print, |row| {
        states.extend(row.residues);
        Ok(())
    })?;
    // A protein that is compared with itself is computed once.
    let (first, second) = (states.first(), states.last());
    let aligned = session
        .engine()
        .align(first.map(Vec::as_slice).unwrap_or_default(), second.map(Vec::as_slice).unwrap_or_default())?;
    if !aligned.score.is_finite() {
        return Err(AlignError::NotFinite { score: aligned.score }.into());
    }
    print.note(&told(&aligned));
    let found = found(&pair, &aligned);
    let metadata = session.metadata("alignment", "f32").for_layers(&[layer]);
    let metadata = found.iter().fold(metadata, |all, (key, value)| all.with(*key, value.clone()));
    let mut files = write(plan, &pair, &aligned, &metadata.with("min_weight", plan.min_weight))?;
    if let Some(place) = &plan.picture {
        files.push(picture(place, &pair, &aligned)?);
    }
    session.finish(files, &computed, &found, context)
}

/// The result in a line for people.
fn told(aligned: &Aligned) -> String {
    let score = format!("score {}", aligned.score);
    match &aligned.levels {
        None => format!(
            "{score}; the model was not trained to align pairs: its states are compared as they are, and the score \
             is untrained"
        ),
        Some(levels) => {
            let shares: Vec<String> = levels.iter().map(|share| format!("{share:.4}")).collect();
            format!("{score}; probabilities of the levels, lowest first: {}", shares.join(", "))
        }
    }
}

/// What the pair is found to be, for the table and the summary.
fn found(pair: &Pair, aligned: &Aligned) -> [(&'static str, Value); 5] {
    [
        ("ids", json!([pair.a.id, pair.b.id])),
        ("lengths", json!([pair.a.residues.len(), pair.b.residues.len()])),
        ("score", json!(aligned.score)),
        ("levels", json!(aligned.levels)),
        ("trained", json!(aligned.levels.is_some())),
    ]
}

/// The table, complete but for the name of its file.
fn write(
    plan: &AlignPlan,
    pair: &Pair,
    aligned: &Aligned,
    metadata: &Metadata,
) -> Result<OutputSet, StoreError> {
    let mut writer = SheetWriter::described(&plan.out, plan.separator, metadata, COLUMNS.into_iter())?;
    let columns = pair.b.residues.len();
    for (place, (similarity, &weight)) in aligned.similarities.iter().zip(&aligned.weights).enumerate() {
        if weight < plan.min_weight {
            continue;
        }
        let (i, j) = (place / columns, place % columns);
        let letter = |residues: &[u8], place: usize| char::from(residues[place]).to_string();
        let cells = [
            (i + 1).to_string(),
            letter(&pair.a.residues, i),
            (j + 1).to_string(),
            letter(&pair.b.residues, j),
            similarity.to_string(),
            weight.to_string(),
        ];
        writer.push(cells.iter().map(String::as_str))?;
    }
    writer.finish()
}

/// The weights as a heat map, residues of the first protein down and of the second across.
fn picture(
    (path, format): &(impl AsRef<Path>, PictureFormat),
    pair: &Pair,
    aligned: &Aligned,
) -> Result<AtomicFile, StoreError> {
    let title = format!("{} and {}, score {:.3}", pair.a.id, pair.b.id, aligned.score);
    let axis =
        |label, residues: &[u8]| Axis { label, cells: Cells::Numbered { first: 1, count: residues.len() } };
    let map = HeatMap {
        title: &title,
        values: &aligned.weights,
        rows: axis("residue of the first", &pair.a.residues),
        columns: axis("residue of the second", &pair.b.residues),
        shades: Shades::Rising { from: 0.0, to: 1.0 },
        quantity: "weight",
        marks: &[],
    };
    draw(path.as_ref(), *format, &map)
}

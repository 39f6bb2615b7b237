//! `pliant predict`: what a head was taught, told of proteins.

mod labels;
mod pairs;

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_models::heads::HeadKind;
use pliant_seq::Source;
use pliant_store::{H5Layout, Metadata, OutDtype, OutputSet, ResidueWriter, TablePlan, read_vectors};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::embed::{Written, residues_format};
use crate::cli::predict::PredictPlan;
use crate::engine::{self, Judge};
use crate::pipeline::{Masks, Output, Row};
use crate::supervised::HeadError;
use crate::supervised::card::HeadFolder;
use crate::tasks::encode::pool;
use crate::tasks::run::{ID_CHARS, Order, Ready, Session, Sizes};
use labels::Labels;

/// Letters of the numbers of a row, in the estimate of output sizes.
const NUMBER_CHARS: usize = 22;

/// Tells labels of proteins, of pairs of them, or of vectors of them.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &PredictPlan, context: &Context) -> anyhow::Result<()> {
    let head = HeadFolder::open(&plan.head)?;
    let unfit = |what: &str| Err(HeadError::Unfit { what: what.to_owned() }.into());
    let is_pairs = head.card.head.kind.takes_pairs();
    if plan.residues.is_some() && head.card.head.kind != HeadKind::Residue {
        return unfit("--residues is for heads of residues, and this one is none");
    }
    match (&plan.embeddings, is_pairs) {
        (Some(_), _) if head.card.head.kind != HeadKind::Sequence || head.card.head.reads_states() => unfit(
            "--embeddings is for heads of whole proteins that pool by fixed rules: name FASTA files, or a table of pairs",
        ),
        (Some(file), _) => of_vectors(plan, &head, file, context),
        (None, true) => pairs::run(plan, &head, context),
        (None, false) => of_proteins(plan, &head, context),
    }
}

/// How states become what the head reads.
pub(in crate::tasks) fn output(head: &HeadFolder) -> Output {
    Output::States {
        layers: vec![head.card.encoder.layer],
        pool: pool(head.pooling()),
        residues: head.card.head.reads_states(),
        written: Written::H,
    }
}

/// What every file of labels says of itself.
pub(in crate::tasks) fn described(metadata: Metadata, head: &HeadFolder) -> Metadata {
    metadata
        .with("task", head.card.task.as_str())
        .with("head", head.card.weights.as_str())
        .with("classes", json!(head.card.labels.classes))
}

fn of_proteins(plan: &PredictPlan, head: &HeadFolder, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let model = head.encoder(plan.model.as_deref())?;
    let card = engine::card_of_head(head, plan.model.as_deref(), plan.run.adapter.as_deref())?;
    let order = Order {
        start,
        task: "predict",
        plan: &plan.run,
        sources: Source::from_arguments(&plan.run.inputs)?,
        output: output(head),
        masks: Masks::None,
    };
    let ready = Ready::new(card, order)?;
    let selection = *ready.selection();
    let numbers = NUMBER_CHARS * (1 + head.card.head.outputs);
    let by_residue = if head.card.head.kind == HeadKind::Residue { selection.residues } else { 0 };
    let bytes = selection.records * (ID_CHARS + numbers) + by_residue;
    let sizes = Sizes { held_bytes: 0, output_bytes: json!({ "total": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let session = ready.load(&sizes, print)?;
    head.check_encoder(&model, session.engine().identity())?;
    let judge = Judge::load(head, session.engine().device())?;
    let out = plan.out.as_deref().context("--out names no file")?;
    let metadata = described(session.metadata("labels", "f64"), head);
    let mut labels = Labels::create(out, plan.format, head, (vec!["id"], true), &metadata)?;
    let mut residues = plan.residues.as_deref().map(|out| residue_writer(out, head, &session)).transpose()?;
    let computed = session.compute(print, |row| {
        let given = answer(&judge, head, &row)?;
        if let Some(residues) = &mut residues {
            residues.push(&row.id, &[&labels::probabilities(head, &given)])?;
        }
        labels.push(&[&row.id], row.length, &given)
    })?;
    let mut files = labels.finish()?;
    if let Some(residues) = residues {
        files.append(residues.finish()?);
    }
    session.finish(files, &computed, &details(head), context)
}

/// The numbers of the head for a record.
///
/// # Errors
/// What the device cannot do.
pub(in crate::tasks) fn answer(judge: &Judge, head: &HeadFolder, row: &Row) -> anyhow::Result<Vec<f32>> {
    let first = |values: &'_ Vec<Vec<f32>>| values.first().map(Vec::as_slice).unwrap_or_default().to_vec();
    if head.card.head.reads_states() {
        judge.answer(&first(&row.residues), Some(&[(0, row.length)]))
    } else {
        judge.answer(&first(&row.pooled), None)
    }
}

/// What the summary says of the head.
fn details(head: &HeadFolder) -> [(&'static str, Value); 2] {
    let folder = crate::tasks::files::path_text(&head.path);
    [("head", json!({ "folder": folder, "weights": head.card.weights })), ("labels", json!(head.card.task))]
}

fn residue_writer(out: &Path, head: &HeadFolder, session: &Session<'_>) -> anyhow::Result<ResidueWriter> {
    let selection = session.selection();
    let table = TablePlan {
        rows: selection.records,
        width: head.card.head.outputs,
        layers: vec![head.card.encoder.layer],
        dtype: OutDtype::F32,
        metadata: described(session.metadata("label-probabilities", OutDtype::F32.name()), head),
        h5_layout: H5Layout::default(),
    };
    Ok(ResidueWriter::create(out, residues_format(out)?, &table, selection.residues)?)
}

/// Labels of pooled vectors that were computed before.
fn of_vectors(plan: &PredictPlan, head: &HeadFolder, file: &Path, context: &Context) -> anyhow::Result<()> {
    let vectors = read_vectors(file, Some(head.card.head.inputs))?;
    match &vectors.metadata {
        Some(metadata) => check_vectors(head, file, metadata)?,
        None => context.print.warning(&format!(
            "{} does not say what made it: that its vectors are those of the head's encoder cannot be checked",
            file.display()
        )),
    }
    let out = plan.out.as_deref().context("--out names no file")?;
    let judge = Judge::load(head, &Device::cpu_with(1, plan.run.compute.cpu_path)?)?;
    let metadata = described(vectors.metadata.clone().unwrap_or_default().with("output", "labels"), head);
    let mut labels = Labels::create(out, plan.format, head, (vec!["id"], false), &metadata)?;
    for (id, vector) in vectors.ids.iter().zip(vectors.values.chunks_exact(vectors.width)) {
        labels.push(&[id], 0, &judge.answer(vector, None)?)?;
    }
    let files: OutputSet = labels.finish()?;
    Ok(files.commit()?)
}

/// Refuses vectors of another encoder, layer or pooling.
fn check_vectors(head: &HeadFolder, file: &Path, metadata: &Metadata) -> Result<(), HeadError> {
    let encoder = &head.card.encoder;
    for (what, key, wanted) in [
        ("the model", "model", json!(encoder.identity)),
        ("the adapter", "adapter", json!(encoder.adapter)),
        ("the layer", "layers", json!([encoder.layer])),
        ("the pooling", "pool", json!(head.pooling().name())),
    ] {
        let found = metadata.get(key).cloned().unwrap_or(Value::Null);
        if found != wanted {
            let (path, folder) = (file.to_owned(), head.path.clone());
            let (found, wanted) = (found.to_string(), wanted.to_string());
            return Err(HeadError::Vectors { path, folder, what, found, wanted });
        }
    }
    Ok(())
}

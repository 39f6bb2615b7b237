//! Labels of vectors, and of states of residues, that were computed before.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_plugin::Way;
use pliant_seq::{Failure, RecordError};
use pliant_store::{OutputSet, ResultKind, ResultReader, StoreError};
use serde_json::json;

use super::labels::Labels;
use crate::Context;
use crate::cli::predict::PredictPlan;
use crate::cli::reading::OnError;
use crate::exit::TaskError;
use crate::supervised::telling::Telling;
use crate::tasks::asked::{Asked, Teller, concerns_record};
use crate::tasks::dry_run::{self, Proteins, Read, nothing_to_encode};
use crate::tasks::files;
use crate::tasks::intake::unanswered;

/// Vectors that a head is asked about together. Of its numbers none depends on the others.
const AT_ONCE: usize = 1024;

/// Tells labels of the records of a file, one after the other.
///
/// # Errors
/// Whatever ends the run; no output has then changed.
pub(super) fn run(
    plan: &PredictPlan,
    (asked, telling): (&mut Asked, &Telling),
    file: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    if plan.residues.is_some() {
        let what = "--residues is for proteins, not for --embeddings".to_owned();
        return Err(TaskError::Usage { what }.into());
    }
    let mut reader = open(file, asked)?;
    let metadata = reader.metadata().cloned();
    asked.check_vectors(file, metadata.as_ref(), context)?;
    if plan.run.dry_run {
        return tell(plan, telling, (reader, file), context);
    }
    let out = plan.out.as_deref().context("--out names no file")?;
    let described = asked.describe(metadata.unwrap_or_default().with("output", "labels"));
    let by_residue = asked.way() == Way::Residues;
    let mut labels = Labels::create(out, plan.format, telling, (vec!["id"], by_residue), &described)?;
    let width = reader.width();
    let mut teller = asked.teller(&Device::cpu_with(1, plan.run.compute.cpu_path)?, width)?;
    let mut waiting = Waiting::new(file, plan.run.on_error);
    while let Some(record) = reader.next_record()? {
        let [rows] = record.layers.as_slice() else {
            return Err(refused(file, "several layers").into());
        };
        finite(file, &record.id, rows, width)?;
        waiting.ids.push(record.id);
        waiting.rows.extend_from_slice(rows);
        if by_residue || waiting.ids.len() == AT_ONCE {
            waiting.tell(&mut teller, &mut labels, (width, telling))?;
        }
    }
    waiting.tell(&mut teller, &mut labels, (width, telling))?;
    if !waiting.failures.is_empty() {
        context.print.warning(&unanswered(waiting.failures.len()));
    }
    let mut files: OutputSet = labels.finish()?;
    if let Some(path) = &plan.run.failures {
        files::add_failures(&mut files, path, &waiting.failures, plan.run.on_error)?;
    }
    if let Some(path) = &plan.run.summary {
        let mut summary = json!({
            "schema": 1, "task": "predict", "versions": { "pliant": env!("CARGO_PKG_VERSION") },
            "command": context.command_line, "embeddings": files::path_text(file),
            "model": described.get("model").cloned(), "records": waiting.before - waiting.failures.len() as u64,
            "failures": waiting.failures.len(),
        });
        for (key, value) in asked.details() {
            summary[key] = value;
        }
        files.push(files::text_file(path, &format!("{summary:#}\n"))?);
    }
    Ok(files.commit()?)
}

/// Writes the answer to `--dry-run`, once every record was read.
fn tell(
    plan: &PredictPlan,
    telling: &Telling,
    (mut reader, file): (ResultReader, &Path),
    context: &Context,
) -> anyhow::Result<()> {
    let (width, hash) = (reader.width(), reader.metadata().and_then(|about| about.get("input")).cloned());
    let (mut records, mut ids, mut longest) = (0, 0, None::<(String, usize)>);
    let mut residues = telling.by_residue.then_some(0_u64);
    while let Some(record) = reader.next_record()? {
        let [rows] = record.layers.as_slice() else {
            return Err(refused(file, "several layers").into());
        };
        finite(file, &record.id, rows, width)?;
        (records, ids) = (records + 1, ids + record.id.len());
        let own = rows.len() / width.max(1);
        if let Some(residues) = &mut residues {
            *residues += own as u64;
            if longest.as_ref().is_none_or(|(_, most)| own > *most) {
                longest = Some((record.id, own));
            }
        }
    }
    let bytes = ids + records * super::NUMBER_CHARS * (1 + telling.width);
    let read = Read {
        inputs: vec![file.display().to_string()],
        input_hash: json!(hash),
        headers: records as u64,
        records,
        proteins: Proteins { to_encode: 0, residues, longest },
        duplicates: 0,
        failures: &[],
        would_fail: false,
        warnings: &[],
    };
    let more = json!({ "estimated_output_bytes": { "total": bytes as u64 + residues.unwrap_or_default() } });
    dry_run::tell(&dry_run::answer(read, &nothing_to_encode(&plan.run.compute), more), context)
}

/// Records on their way to the head: many vectors, or the states of one protein.
struct Waiting {
    file: Arc<str>,
    skips: bool,
    ids: Vec<String>,
    rows: Vec<f32>,
    /// Records that were told or failed.
    before: u64,
    failures: Vec<Failure>,
}

impl Waiting {
    fn new(file: &Path, on_error: OnError) -> Self {
        Self {
            file: file.display().to_string().into(),
            skips: on_error == OnError::Skip,
            ids: Vec::new(),
            rows: Vec::new(),
            before: 0,
            failures: Vec::new(),
        }
    }

    /// Asks about all of them, and where that goes wrong about each by itself.
    fn tell(
        &mut self,
        teller: &mut Teller<'_>,
        labels: &mut Labels<'_>,
        (width, telling): (usize, &Telling),
    ) -> anyhow::Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let spans = [(0, self.rows.len() / width)];
        let by_residue = teller.reads_states();
        let (length, size) = if by_residue { (spans[0].1, self.rows.len()) } else { (0, width) };
        let together = teller.answer(&self.rows, by_residue.then_some(spans.as_slice()));
        let together = match together {
            Err(error) if !concerns_record(&error) => return Err(error),
            answer => answer.ok(),
        };
        for (place, (id, rows)) in self.ids.iter().zip(self.rows.chunks(size)).enumerate() {
            let own = match &together {
                Some(all) if by_residue => Ok(all.clone()),
                Some(all) => Ok(all[place * telling.width..(place + 1) * telling.width].to_vec()),
                None => teller.answer(rows, by_residue.then_some(spans.as_slice())),
            };
            match own {
                Ok(given) => labels.push(&[id], length, &given)?,
                Err(error) if self.skips && concerns_record(&error) => {
                    let reason = RecordError::NoAnswer { reason: format!("{error:#}") };
                    let (file, record) = (Arc::clone(&self.file), self.before + place as u64 + 1);
                    self.failures.push(Failure { file, line: 0, record, id: id.clone(), reason });
                }
                Err(error) => return Err(error.context(format!("record {id:?}"))),
            }
        }
        self.before += self.ids.len() as u64;
        self.ids.clear();
        self.rows.clear();
        Ok(())
    }
}

/// Opens a file of what the head reads: vectors, or states of residues, of one layer.
///
/// # Errors
/// Another kind of file, and vectors of another width.
fn open(file: &Path, asked: &Asked) -> anyhow::Result<ResultReader> {
    let reader = ResultReader::open(file)?;
    match (reader.kind(), asked.way()) {
        (ResultKind::Residues, Way::Pooled | Way::Pairs) => {
            return Err(refused(file, "the states of residues").into());
        }
        (ResultKind::Pooled, Way::Residues) => {
            return Err(refused(file, "a vector for each protein, and the head asks about residues").into());
        }
        _ => {}
    }
    if reader.layers().len() > 1 {
        return Err(refused(file, "several layers").into());
    }
    let found = reader.width();
    match asked.width() {
        Some(wanted) if wanted != found && reader.records() > 0 => {
            Err(StoreError::WrongWidth { path: file.to_path_buf(), wanted, found }.into())
        }
        _ => Ok(reader),
    }
}

fn refused(file: &Path, reason: &'static str) -> StoreError {
    StoreError::NotVectors { path: file.to_path_buf(), reason }
}

fn finite(file: &Path, id: &str, rows: &[f32], width: usize) -> Result<(), StoreError> {
    match rows.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(place) => {
            let reason = format!("column {} of record {id:?} is {}", place % width.max(1), rows[place]);
            Err(StoreError::Malformed { path: file.to_path_buf(), reason })
        }
    }
}

//! `pliant gather`: the results for shards to the result for the whole.

mod error;
mod parts;

use std::path::Path;

use pliant_store::{
    FailureList, FailureWriter, Format, OutputSet, PooledWriter, ResidueWriter, ResultKind, SplitFile,
    StoreError, StoredRecord, TablePlan, TableRows, check_targets, output_paths,
};

use crate::Context;
use crate::cli::embed::residues_format;
use crate::cli::gather::GatherPlan;
use crate::cli::print::Printer;
use crate::cli::reading::format_of;
use crate::cli::split::failures_beside;
use crate::exit::TaskError;
use crate::tasks::intake::counted;
use crate::tasks::screen::{gather as gather_screen, is_screen};
pub use error::GatherError;
use parts::{INPUT_KEY, Part, ordered};

/// Looks at all parts, then copies them one after another in the order of the shards.
///
/// # Errors
/// Parts that are no whole, and whatever cannot be read or written; no output has then changed.
pub fn run(plan: &GatherPlan, context: &Context) -> anyhow::Result<()> {
    if is_screen(plan) {
        return gather_screen(plan, context);
    }
    let Some(path) = &plan.split else {
        let what = "parts that are no screen need the --split that made their shards".to_owned();
        return Err(TaskError::Usage { what }.into());
    };
    let split = SplitFile::read(path)?;
    let parts = ordered(plan, &split)?;
    // One with records where there is one, as others may not know their width.
    let Some(first) = parts.iter().find(|part| part.records > 0).or(parts.first()) else { return Ok(()) };
    let format = format(plan, first.kind)?;
    check_outputs(plan, format, &first.layers)?;
    let mut lists = Vec::new();
    let split_list = failures_beside(path);
    if split_list.exists() {
        lists.push(FailureList::read(&split_list)?);
    }
    let mut files = if first.is_scores() {
        join_scores(plan, format, &split, (first, &parts))?
    } else {
        let mut whole = Whole::create(plan, format, &split, (first, &parts))?;
        let progress = context.print.progress(whole.records as u64, "records");
        for part in &parts {
            whole.copy(part, || progress.advance(1))?;
        }
        drop(progress);
        whole.writer.finish()?
    };
    lists.extend(parts.into_iter().filter_map(|part| part.failures));
    join(plan, &lists, &context.print, &mut files)?;
    Ok(files.commit()?)
}

/// The format that was asked for, or that of the suffix.
fn format(plan: &GatherPlan, kind: ResultKind) -> anyhow::Result<Format> {
    match (plan.format, kind) {
        (Some(format), _) => Ok(format),
        (None, ResultKind::Pooled) => format_of(&plan.out),
        (None, ResultKind::Residues) => residues_format(&plan.out),
    }
}

/// Checks all files of the run against each other and the parts, now that the layers are known.
fn check_outputs(plan: &GatherPlan, format: Format, layers: &[usize]) -> anyhow::Result<()> {
    let mut files = output_paths(&plan.out, format, layers)?;
    files.extend(plan.failures.clone());
    files.iter().try_for_each(|file| plan.keeps_inputs(file))?;
    Ok(check_targets(&files.iter().map(|file| file.as_path()).collect::<Vec<_>>())?)
}

/// The rows of tables of scores, whose numbers are text and stay as they are.
fn join_scores(
    plan: &GatherPlan,
    format: Format,
    split: &SplitFile,
    (first, parts): (&Part, &[Part]),
) -> anyhow::Result<OutputSet> {
    if format != Format::Tsv {
        let (part, out) = (first.path.clone(), plan.out.clone());
        return Err(GatherError::ScoresAsText { part, out, format: format.name() }.into());
    }
    let metadata = first.metadata.clone().with(INPUT_KEY, split.input.as_str());
    let mut rows = TableRows::create(&plan.out, &metadata)?;
    parts.iter().try_for_each(|part| rows.append(&part.path))?;
    Ok(rows.finish())
}

/// The whole being written.
struct Whole<'a> {
    out: &'a Path,
    format: Format,
    records: usize,
    writer: Writer,
}

enum Writer {
    Pooled(PooledWriter),
    Residues(ResidueWriter),
}

impl<'a> Whole<'a> {
    /// Begins what one run over the whole input would have begun. The first of the parts is the one whose
    /// settings are taken.
    fn create(
        plan: &'a GatherPlan,
        format: Format,
        split: &SplitFile,
        (first, parts): (&Part, &[Part]),
    ) -> Result<Self, StoreError> {
        let out = plan.out.as_path();
        let records = parts.iter().map(|part| part.records).sum();
        let table = TablePlan {
            rows: records,
            width: first.width,
            layers: first.layers.clone(),
            dtype: first.dtype,
            metadata: first.metadata.clone().with(INPUT_KEY, split.input.as_str()),
            h5_layout: plan.h5_layout,
        };
        let writer = match first.kind {
            ResultKind::Pooled => Writer::Pooled(PooledWriter::create(out, format, &table)?),
            ResultKind::Residues => {
                let residues = parts.iter().filter_map(|part| part.residues).sum();
                Writer::Residues(ResidueWriter::create(out, format, &table, residues)?)
            }
        };
        Ok(Self { out, format, records, writer })
    }

    /// Copies the records of one part; `done` is called for each.
    fn copy(&mut self, part: &Part, done: impl Fn()) -> anyhow::Result<()> {
        let mut reader = part.open()?;
        let mut copied = 0;
        while let Some(record) = reader.next_record()? {
            copied += 1;
            if copied > part.records {
                break;
            }
            self.push(&record, part)?;
            done();
        }
        match copied == part.records {
            true => Ok(()),
            false => Err(part.changed(copied).into()),
        }
    }

    fn push(&mut self, record: &StoredRecord, part: &Part) -> anyhow::Result<()> {
        let layers: Vec<&[f32]> = record.layers.iter().map(Vec::as_slice).collect();
        match &mut self.writer {
            Writer::Residues(writer) => writer.push(&record.id, &layers)?,
            Writer::Pooled(writer) => {
                let length = match record.length {
                    None if self.format.tells_lengths() => {
                        let (part, out) = (part.path.clone(), self.out.to_path_buf());
                        return Err(GatherError::NoLengths { part, out, format: self.format.name() }.into());
                    }
                    length => length.unwrap_or_default(),
                };
                writer.push(&record.id, length, &layers)?;
            }
        }
        Ok(())
    }
}

impl Writer {
    fn finish(self) -> Result<OutputSet, StoreError> {
        match self {
            Self::Pooled(writer) => writer.finish(),
            Self::Residues(writer) => writer.finish(),
        }
    }
}

/// Joins the lists of failed records where there are some, and where an older one would be taken for this run's.
fn join(
    plan: &GatherPlan,
    lists: &[FailureList],
    print: &Printer,
    files: &mut OutputSet,
) -> Result<(), StoreError> {
    let left_out: u64 = lists.iter().map(FailureList::rows).sum();
    if left_out > 0 {
        let records = counted(left_out, "record is", "records are");
        print.warning(&format!("{records} left out because of errors"));
    }
    let Some(path) = &plan.failures else { return Ok(()) };
    if !lists.is_empty() || path.exists() {
        let mut joined = FailureWriter::create(path)?;
        lists.iter().try_for_each(|list| joined.append(list))?;
        files.push(joined.finish());
    }
    Ok(())
}

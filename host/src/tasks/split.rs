//! `pliant split`: one input to contiguous shards.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use pliant_seq::{
    InputHasher, Item, Record, RecordReader, Source, Summary, scan, shards, shards_of_residues,
};
use pliant_store::{
    Access, Action, AtomicFile, OutputSet, SPLIT_FORMAT, ShardEntry, SplitFile, StoreError, check_targets,
};
use serde_json::json;

use crate::Context;
use crate::cli::print::Progress;
use crate::cli::reading::OnError;
use crate::cli::split::{ShardSize, SplitPlan, is_shard, shard_name};
use crate::exit::TaskError;
use crate::tasks::intake::{Warning, Warnings};
use crate::tasks::{files, intake};

/// Residues on a line of a shard.
const LINE_RESIDUES: usize = 80;

/// Reads the input twice: to know what there is, and to write it.
///
/// # Errors
/// Whatever ends the run; nothing has then changed in the folder, but for the list of failed records.
pub fn run(plan: &SplitPlan, context: &Context) -> anyhow::Result<()> {
    let start = Instant::now();
    let print = &context.print;
    let sources = Source::from_arguments(&plan.inputs)?;
    let summary = scan(RecordReader::new(&sources, plan.read))?;
    files::make_folder(&plan.out_dir)?;
    check_outputs(plan)?;
    if plan.on_error == OnError::Fail && !summary.failures.is_empty() {
        intake::refuse(&summary.failures, summary.totals.headers, Some(&plan.failures()))?;
    }
    wants_records(&sources, &summary)?;
    let warnings = warnings(&summary);
    warnings.iter().for_each(|warning| print.warning(&warning.message));
    let ranges = match plan.size {
        ShardSize::Shards(count) => shards(&summary.lengths, count),
        ShardSize::Residues(most) => shards_of_residues(&summary.lengths, most),
    };
    let progress = print.progress(summary.totals.residues, "residues");
    let mut shards = Shards::new(&plan.out_dir, &ranges);
    let hash = write(plan, &sources, &mut shards, &progress)?;
    drop(progress);
    intake::same_input(&summary.input_hash, &hash)?;
    let Shards { entries, mut files, .. } = shards;
    files::add_failures(&mut files, &plan.failures(), &summary.failures, plan.on_error)?;
    let split = split_file(plan, &summary, entries);
    if let Some(path) = &plan.summary {
        let told = told(&split, &sources, &summary, &warnings, context, start);
        files.push(files::text_file(path, &format!("{told:#}\n"))?);
    }
    // Last, so that it never names shards that are not there yet.
    files.push(files::text_file(&plan.manifest(), &split.to_json()?)?);
    files.commit()?;
    Ok(remove_older(&plan.out_dir, &split)?)
}

/// Checks the outputs whose names are known from the start, against each other and the first shard.
fn check_outputs(plan: &SplitPlan) -> anyhow::Result<()> {
    let named = [plan.manifest(), plan.failures(), plan.out_dir.join(shard_name(0, 1))];
    let outputs: Vec<&Path> = named.iter().chain(&plan.summary).map(|path| path.as_path()).collect();
    check_targets(&outputs)?;
    let Some(summary) = &plan.summary else { return Ok(()) };
    let name = summary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = summary.parent().and_then(|parent| parent.join(".").canonicalize().ok());
    if is_shard(&name) && beside.is_some() && beside == plan.out_dir.canonicalize().ok() {
        let what = format!("the summary {} has the name of a shard: give it another", summary.display());
        return Err(TaskError::Usage { what }.into());
    }
    Ok(())
}

fn wants_records(sources: &[Source], summary: &Summary) -> Result<(), TaskError> {
    if summary.totals.records > 0 {
        return Ok(());
    }
    let (headers, failed) = (summary.totals.headers, summary.failures.len());
    Err(TaskError::NoRecords { headers, failed, inputs: names(sources).join(", ") })
}

fn names(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| source.name().to_string()).collect()
}

fn warnings(summary: &Summary) -> Vec<Warning> {
    let mut warnings = Warnings::default();
    warnings.add_repairs(&summary.totals, "written");
    warnings.add_left_out(summary.failures.len() as u64);
    warnings.0
}

/// The second reading; gives the hash of what it found.
fn write(
    plan: &SplitPlan,
    sources: &[Source],
    shards: &mut Shards<'_>,
    progress: &Progress,
) -> anyhow::Result<String> {
    let mut reader = RecordReader::new(sources, plan.read);
    for item in reader.by_ref() {
        let Item::Record(record) = item? else { continue };
        // An input that has grown is told by its hash.
        if !shards.push(&record)? {
            break;
        }
        progress.advance(record.residues.len() as u64);
    }
    Ok(reader.input_hash())
}

/// The shards being written, one after another.
struct Shards<'a> {
    folder: &'a Path,
    ranges: &'a [Range<usize>],
    /// The shards that are complete but for their names.
    entries: Vec<ShardEntry>,
    files: OutputSet,
    current: Option<Shard>,
}

struct Shard {
    file: AtomicFile,
    hasher: InputHasher,
    residues: u64,
}

impl<'a> Shards<'a> {
    fn new(folder: &'a Path, ranges: &'a [Range<usize>]) -> Self {
        Self { folder, ranges, entries: Vec::new(), files: OutputSet::new(), current: None }
    }

    /// Writes the next record; false where no shard is left to take it.
    fn push(&mut self, record: &Record) -> Result<bool, StoreError> {
        let Some(range) = self.ranges.get(self.entries.len()) else { return Ok(false) };
        let name = shard_name(self.entries.len(), self.ranges.len());
        let mut shard = match self.current.take() {
            Some(shard) => shard,
            None => Shard::create(&self.folder.join(&name))?,
        };
        shard.push(record)?;
        if record.index + 1 < range.end as u64 {
            self.current = Some(shard);
            return Ok(true);
        }
        self.entries.push(ShardEntry {
            file: name,
            first: range.start as u64,
            input: shard.hasher.to_hex(),
            records: range.len() as u64,
            residues: shard.residues,
        });
        self.files.push(shard.file);
        self.files.settle()?;
        Ok(true)
    }
}

impl Shard {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let file = AtomicFile::create(path, Access::Stream)?;
        Ok(Self { file, hasher: InputHasher::new(), residues: 0 })
    }

    fn push(&mut self, record: &Record) -> Result<(), StoreError> {
        self.hasher.push(&record.id, &record.residues);
        self.residues += record.residues.len() as u64;
        let file = &mut self.file;
        let written = writeln!(file, ">{}", record.id).and_then(|()| {
            record.residues.chunks(LINE_RESIDUES).try_for_each(|line| {
                file.write_all(line)?;
                file.write_all(b"\n")
            })
        });
        written.map_err(|cause| StoreError::io(Action::Write, self.file.path(), cause))
    }
}

fn split_file(plan: &SplitPlan, summary: &Summary, shards: Vec<ShardEntry>) -> SplitFile {
    SplitFile {
        format: SPLIT_FORMAT.to_owned(),
        id: plan.id.name().to_owned(),
        input: summary.input_hash.clone(),
        records: summary.totals.records,
        residues: summary.totals.residues,
        shards,
    }
}

/// What a run tells of itself, with what depends on the day.
fn told(
    split: &SplitFile,
    sources: &[Source],
    summary: &Summary,
    warnings: &[Warning],
    context: &Context,
    start: Instant,
) -> serde_json::Value {
    let largest = split.shards.iter().map(|shard| shard.residues).max();
    json!({
        "schema": 1,
        "task": "split",
        "versions": { "pliant": env!("CARGO_PKG_VERSION") },
        "command": context.command_line,
        "input": { "files": names(sources), "hash": split.input },
        "id": split.id,
        "shards": split.shards.iter().map(|shard| &shard.file).collect::<Vec<_>>(),
        "largest_shard_residues": largest,
        "headers": summary.totals.headers,
        "records": split.records,
        "residues": split.residues,
        "duplicates": summary.totals.duplicates,
        "failures": summary.failures.len(),
        "warnings": warnings.iter().map(Warning::json).collect::<Vec<_>>(),
        "wall_seconds": start.elapsed().as_secs_f64(),
    })
}

/// Removes the shards of an earlier split, which a pattern of names would take for some of this one.
fn remove_older(folder: &Path, split: &SplitFile) -> Result<(), StoreError> {
    let failed = |cause| StoreError::io(Action::Read, folder, cause);
    let ours: BTreeSet<&str> = split.shards.iter().map(|shard| shard.file.as_str()).collect();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if is_shard(&name) && !ours.contains(name.as_str()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|cause| StoreError::io(Action::Replace, &path, cause))?;
        }
    }
    Ok(())
}

//! Labels of the pairs of a table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pliant_seq::{Failure, Item, RecordError, RecordReader, Source};
use pliant_store::{Metadata, OutputSet, Sheet, StoreError};
use serde_json::json;

use super::described;
use super::labels::Labels;
use crate::Context;
use crate::cli::predict::PredictPlan;
use crate::cli::reading::OnError;
use crate::engine::{self, Judge};
use crate::exit::TaskError;
use crate::supervised::HeadError;
use crate::supervised::card::HeadFolder;
use crate::supervised::told::told_of;
use crate::tasks::encode::{Encoded, Wish, encode, pool};
use crate::tasks::{files, intake};

/// Pairs of a table.
struct Pairs {
    /// The ids of both.
    names: Vec<[String; 2]>,
    /// Numbers of their sequences.
    members: Vec<[usize; 2]>,
    sequences: Vec<Vec<u8>>,
    failures: Vec<Failure>,
    rows: u64,
}

/// Tells the labels of the pairs of a table.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed pairs.
pub(super) fn run(plan: &PredictPlan, head: &HeadFolder, context: &Context) -> anyhow::Result<()> {
    let usage = |what: &str| TaskError::Usage { what: what.to_owned() };
    let [table] = plan.run.inputs.as_slice() else {
        return Err(usage("the head tells labels of pairs: name one table of them, .csv or .tsv").into());
    };
    if plan.run.dry_run {
        return Err(usage("--dry-run is not for pairs").into());
    }
    let model = head.encoder(plan.model.as_deref())?;
    let card = engine::card_of_head(head, plan.model.as_deref(), plan.run.adapter.as_deref())?;
    let pairs = Pairs::read(plan, head, table)?;
    if pairs.members.is_empty() || (plan.run.on_error == OnError::Fail && !pairs.failures.is_empty()) {
        intake::refuse(&pairs.failures, pairs.rows, plan.run.failures.as_deref())?;
    }
    let wish = Wish {
        layer: head.card.encoder.layer,
        pool: (!head.card.head.reads_states()).then(|| pool(head.pooling())),
        long: plan.run.long,
        compute: plan.run.compute,
        cache: plan.run.cache.clone(),
    };
    let list: Vec<&[u8]> = pairs.sequences.iter().map(Vec::as_slice).collect();
    let encoded =
        encode(card, &[list], &wish, context, |identity| Ok(head.check_encoder(&model, identity)?))?;
    let Encoded { sets, identity, adapter } = encoded;
    let stored = sets.first().context("nothing was encoded")?;
    let device = pliant_kernels::Device::cpu_with(plan.run.compute.threads, plan.run.compute.cpu_path)?;
    let judge = Judge::load(head, &device)?;
    let out = plan.out.as_deref().context("--out names no file")?;
    let metadata = Metadata::new()
        .with("schema", 1)
        .with("output", "labels")
        .with("model", identity.as_str())
        .with("adapter", adapter)
        .with("precision", plan.run.compute.precision.name())
        .with("numerics", device.numerics())
        .with("layers", json!([wish.layer]));
    let metadata = described(metadata, head);
    let mut labels = Labels::create(out, plan.format, head, (vec!["id_a", "id_b"], false), &metadata)?;
    for (names, members) in pairs.names.iter().zip(&pairs.members) {
        let [first, second] = names;
        labels.push(&[first, second], 0, &told_of(&judge, head, stored, members)?)?;
    }
    let mut files: OutputSet = labels.finish()?;
    if let Some(path) = &plan.run.failures {
        files::add_failures(&mut files, path, &pairs.failures, plan.run.on_error)?;
    }
    if let Some(path) = &plan.run.summary {
        let summary = json!({
            "schema": 1, "task": "predict", "command": context.command_line, "model": identity,
            "pairs": pairs.members.len(), "failures": pairs.failures.len(),
        });
        files.push(files::text_file(path, &format!("{summary:#}\n"))?);
    }
    Ok(files.commit()?)
}

impl Pairs {
    fn read(plan: &PredictPlan, head: &HeadFolder, table: &Path) -> anyhow::Result<Self> {
        let sheet = Sheet::read(table)?;
        let place = |name: &str| {
            sheet.column(name).ok_or_else(|| StoreError::NotATable {
                path: table.to_owned(),
                reason: format!(
                    "found no column {name:?}, only {}",
                    sheet.columns().collect::<Vec<_>>().join(", ")
                ),
            })
        };
        let own = [&plan.id_columns, &head.card.reader.id_columns];
        let named = own.into_iter().find(|names| !names.is_empty());
        let ids: Vec<&str> = match named {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => own_columns(head, &sheet).to_vec(),
        };
        let [first, second] = ids.as_slice() else {
            let what = "wanted two columns of ids, as in --id-column id_a,id_b".to_owned();
            return Err(HeadError::Unfit { what }.into());
        };
        let ids = [place(first)?, place(second)?];
        let Some(sequences) = &plan.sequences else {
            let what = "pairs name proteins whose sequences must be given: --sequences FILE".to_owned();
            return Err(HeadError::Unfit { what }.into());
        };
        let known = proteins(plan, sequences)?;
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pairs = Self {
            names: Vec::new(),
            members: Vec::new(),
            sequences: Vec::new(),
            failures: Vec::new(),
            rows: 0,
        };
        let file: Arc<str> = table.display().to_string().into();
        for row in sheet.rows() {
            pairs.rows += 1;
            let cells = ids.map(|column| row.cell(column).trim());
            if let Some(id) = cells.into_iter().find(|id| !known.contains_key(*id)) {
                let reason = RecordError::Cell {
                    place: "the pair".to_owned(),
                    found: format!("the id '{id}'"),
                    wanted: format!("an id of {}", sequences.display()),
                };
                let (file, id) = (Arc::clone(&file), cells.join("/"));
                pairs.failures.push(Failure { file, line: row.line(), record: pairs.rows, id, reason });
                continue;
            }
            let members = cells.map(|id| {
                let Some((id, residues)) = known.get_key_value(id) else { return 0 };
                *numbers.entry(id.as_str()).or_insert_with(|| {
                    pairs.sequences.push(residues.clone());
                    pairs.sequences.len() - 1
                })
            });
            pairs.names.push(cells.map(str::to_owned));
            pairs.members.push(members);
        }
        Ok(pairs)
    }
}

/// The columns of ids that the task is known to have: those that are there.
fn own_columns(head: &HeadFolder, sheet: &Sheet) -> &'static [&'static str] {
    let mut others = head.task.others.iter().map(|other| other.columns.id);
    let there = |ids: &&'static [&'static str]| ids.iter().all(|id| sheet.column(id).is_some());
    others.find(there).unwrap_or(head.task.columns.id)
}

/// The proteins of a FASTA by their ids. One that cannot be read ends the run, as a pair may name it.
fn proteins(plan: &PredictPlan, path: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let sources = Source::from_arguments(&[path])?;
    let (mut known, mut failures, mut headers) = (BTreeMap::new(), Vec::new(), 0);
    for item in RecordReader::new(&sources, plan.run.read) {
        headers += 1;
        match item? {
            Item::Record(record) => drop(known.insert(record.id, record.residues)),
            Item::Failure(failure) => failures.push(failure),
            Item::Duplicate(_) => {}
        }
    }
    if !failures.is_empty() && plan.run.on_error == OnError::Fail {
        intake::refuse(&failures, headers, None)?;
    }
    Ok(known)
}

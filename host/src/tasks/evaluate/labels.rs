//! Labels: how well a head tells them, beside who knows nothing of proteins.

use std::time::Instant;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_seq::tables::{LabelKind, LabelledSet};
use pliant_store::{Cell, ColumnKind, ColumnTable, METADATA_KEY, Metadata, OutputSet};
use serde_json::{Map, Value, json};

use super::report::finite;
use crate::Context;
use crate::cli::evaluate::{EvaluatePlan, ReportFormat};
use crate::cli::reading::OnError;
use crate::cli::shared::Long;
use crate::engine::{self, Judge};
use crate::eval::{Answers, Interval, Metric, Score, Subject};
use crate::exit::TaskError;
use crate::machine;
use crate::supervised::HeadError;
use crate::supervised::card::HeadFolder;
use crate::supervised::measures::answered;
use crate::supervised::reading::{Reading, of_parts};
use crate::supervised::registry::Task;
use crate::supervised::targets::Targets;
use crate::supervised::told::told;
use crate::tasks::encode::{Encoded, Wish, encode, pool, sequences};
use crate::tasks::{files, intake};

/// Everything that was found.
struct Found<'a> {
    task: &'static Task,
    set: &'a LabelledSet,
    /// The mean loss.
    loss: f64,
    scores: Vec<Score>,
    /// What who knows the training labels alone reaches in each measure.
    baseline: Vec<Option<f64>>,
    /// Measures of each class.
    classes: Vec<Value>,
}

/// Reads examples, encodes their proteins, asks the head, and measures what it tells.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed examples.
pub(super) fn run(plan: &EvaluatePlan, task: &'static Task, context: &Context) -> anyhow::Result<()> {
    let start = Instant::now();
    let usage = |what: &str| TaskError::Usage { what: what.to_owned() };
    let folder = plan.head.as_ref().ok_or_else(|| usage("--task with labels needs the --head to ask"))?;
    if plan.run.dry_run || plan.proteins.is_some() {
        return Err(usage("--dry-run and --proteins are for --task mlm").into());
    }
    let head = HeadFolder::open(folder)?;
    if head.task.name != task.name {
        let (found, wanted) = (task.name.to_owned(), head.task.name.to_owned());
        return Err(HeadError::Task { folder: head.path, found, wanted }.into());
    }
    let set = examples(plan, &head, context)?;
    let model = head.encoder(plan.model.as_deref())?;
    let card = engine::card_of_head(&head, plan.model.as_deref(), plan.run.adapter.as_deref())?;
    let truncates = plan.run.long.policy == Long::Truncate;
    let limit = card.about.training_length.filter(|_| truncates).unwrap_or(usize::MAX);
    let wish = Wish {
        layer: head.card.encoder.layer,
        pool: (!head.card.head.reads_states()).then(|| pool(head.pooling())),
        long: plan.run.long,
        compute: plan.run.compute,
        cache: plan.run.cache.clone(),
    };
    let encoded = encode(card, &[sequences(&set)], &wish, context, |identity| {
        Ok(head.check_encoder(&model, identity)?)
    })?;
    let Encoded { sets, identity, adapter } = encoded;
    let stored = sets.first().context("nothing was encoded")?;
    let compute = plan.run.compute;
    let device = Device::cpu_with(compute.threads, compute.cpu_path)?;
    let told = told(&Judge::load(&head, &device)?, &head, stored, &set)?;
    let targets = Targets { set: &set, limit, scale: head.scale(), balance: None };
    let answers = answered(&set, (head.scale(), limit), &told)?;
    let found = found(task, &head, &targets, (&told, &answers), plan)?;
    let metadata = Metadata::new()
        .with("schema", 1)
        .with("output", "labels")
        .with("task", task.name)
        .with("head", head.card.weights.as_str())
        .with("model", identity.as_str())
        .with("adapter", adapter)
        .with("layers", json!([wish.layer]))
        .with("precision", compute.precision.name())
        .with("numerics", device.numerics())
        .with("input", set.digest())
        .with("seed", plan.seed)
        .with("bootstrap", plan.bootstrap);
    let mut files = write(plan, &found, &metadata)?;
    if let Some(path) = &plan.run.summary {
        let summary = json!({
            "schema": 1, "task": "evaluate", "evaluation": task.name, "command": context.command_line,
            "model": identity, "examples": set.len(), "loss": finite(found.loss),
            "wall_seconds": start.elapsed().as_secs_f64(), "peak_memory_bytes": machine::peak_memory(),
        });
        files.push(files::text_file(path, &format!("{summary:#}\n"))?);
    }
    Ok(files.commit()?)
}

/// The examples, read as those that the head was taught, where nothing else is said.
fn examples(plan: &EvaluatePlan, head: &HeadFolder, context: &Context) -> anyhow::Result<LabelledSet> {
    let form = plan.form.over(head.card.reader.clone());
    let classes = head.card.labels.classes.as_slice();
    let known = matches!(head.kind, LabelKind::Class | LabelKind::Classes).then_some(classes);
    let reading = Reading { task: head.task, form: &form, classes: known };
    let (set, report) = reading.read(&plan.run.inputs)?;
    if !report.failures.is_empty() && plan.run.on_error == OnError::Fail {
        intake::refuse(&report.failures, report.rows, plan.run.failures.as_deref())?;
    }
    if let (Some(path), OnError::Skip) = (&plan.run.failures, plan.run.on_error) {
        files::failure_list(path, &report.failures)?.commit()?;
    }
    let mut warnings = intake::Warnings::default();
    warnings.add_left_out(report.failures.len() as u64);
    warnings.0.iter().for_each(|warning| context.print.warning(&warning.message));
    let set = of_parts(set, &plan.parts)?;
    let levels = |prior: usize| if head.kind == LabelKind::Level { prior } else { 0 };
    let wanted = (head.kind, levels(head.card.labels.prior.len()), classes);
    let found = (set.kind(), levels(set.counts().len()), set.classes());
    if found == wanted {
        return Ok(set);
    }
    let what = format!(
        "the head was taught labels that are {} of the classes {}, and the examples have {} of the classes {}",
        wanted.0,
        wanted.2.join(", "),
        found.0,
        found.2.join(", ")
    );
    Err(HeadError::Unfit { what }.into())
}

/// Measures what was told.
fn found<'a>(
    task: &'static Task,
    head: &HeadFolder,
    targets: &Targets<'a>,
    (told, answers): (&[Vec<f32>], &Answers),
    plan: &EvaluatePlan,
) -> anyhow::Result<Found<'a>> {
    let set = targets.set;
    let places: usize = (0..set.len()).map(|example| targets.places(example)).sum();
    let lost: f64 = told.iter().enumerate().map(|(example, given)| targets.lost(given, example)).sum();
    let metrics = Metric::of_subject(answers.subject());
    let scores = answers.scores(&metrics, &Interval { seed: plan.seed, draws: plan.bootstrap });
    let prior: Vec<f32> = head.card.labels.prior.iter().map(|&number| number as f32).collect();
    let mut nothing = Answers::new(Subject::of(set.labels()));
    for example in 0..set.len() {
        let rows = targets.rows(example);
        let label = match set.label(example) {
            pliant_seq::tables::Label::Residues(of) => pliant_seq::tables::Label::Residues(&of[..rows]),
            label => label,
        };
        nothing.push(&prior.repeat(rows), label)?;
    }
    let baseline = metrics.iter().map(|metric| nothing.measure(metric).ok()).collect();
    let classes = answers.class_scores().unwrap_or_default().into_iter().map(|class| {
        let name = set.classes().get(class.class).cloned().unwrap_or_else(|| class.class.to_string());
        let value = |measured: crate::eval::Measured| measured.map_or(Value::Null, finite);
        json!({
            "class": name, "labels": class.labels, "answers": class.answers,
            "precision": value(class.precision), "recall": value(class.recall), "f1": value(class.f1),
            "mcc": value(class.mcc), "auroc": value(class.auroc), "aupr": value(class.aupr),
        })
    });
    let classes = classes.collect();
    Ok(Found { task, set, loss: lost / places.max(1) as f64, scores, baseline, classes })
}

/// The report, complete but for its name.
fn write(plan: &EvaluatePlan, found: &Found<'_>, metadata: &Metadata) -> anyhow::Result<OutputSet> {
    let out = plan.out.as_deref().context("--out names no file")?;
    let rows = found.scores.iter().zip(&found.baseline);
    match plan.format {
        ReportFormat::Json => {
            let mut measures = Map::new();
            for (score, baseline) in rows {
                let (low, high) = score.interval.unwrap_or((f64::NAN, f64::NAN));
                let value = json!({
                    "value": score.value.map_or(Value::Null, finite), "low": finite(low), "high": finite(high),
                    "baseline": baseline.map_or(Value::Null, finite),
                    "higher_is_better": score.metric.higher_is_better,
                    "why_none": score.value.err().map(|why| why.to_string()),
                });
                measures.insert(score.metric.name.to_owned(), value);
            }
            let about: Value = serde_json::from_str(&metadata.to_json())?;
            let report = json!({
                "task": found.task.name, "examples": found.set.len(), "sequences": found.set.sequences(),
                "residues": found.set.residues(), "loss": finite(found.loss), "measures": measures,
                "classes": found.classes, METADATA_KEY: about,
            });
            Ok(OutputSet::from(vec![files::text_file(out, &format!("{report:#}\n"))?]))
        }
        ReportFormat::Table(format) => {
            let columns = [
                ("measure", ColumnKind::Text),
                ("value", ColumnKind::Number),
                ("low", ColumnKind::Number),
                ("high", ColumnKind::Number),
                ("baseline", ColumnKind::Number),
                ("examples", ColumnKind::Count),
                ("why_none", ColumnKind::Text),
            ];
            let mut table = ColumnTable::create(out, format, &columns, metadata)?;
            for (score, baseline) in rows {
                let (low, high) = score.interval.unwrap_or((f64::NAN, f64::NAN));
                let why = score.value.err().map(|why| why.to_string()).unwrap_or_default();
                let numbers = [score.value.unwrap_or(f64::NAN), low, high, baseline.unwrap_or(f64::NAN)];
                let mut cells = vec![Cell::Text(score.metric.name)];
                cells.extend(numbers.map(Cell::Number));
                cells.extend([Cell::Count(found.set.len() as u64), Cell::Text(&why)]);
                table.push(&cells)?;
            }
            Ok(table.finish()?)
        }
    }
}

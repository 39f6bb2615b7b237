//! Labels: how well a head tells them, beside who knows nothing of proteins.

use std::time::Instant;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_models::heads::HeadKind;
use pliant_plugin::Way;
use pliant_seq::tables::{Label, LabelledSet};
use pliant_store::{Cell, ColumnKind, ColumnTable, METADATA_KEY, Metadata, OutputSet};
use serde_json::{Map, Value, json};

use super::examples::Examples;
use super::report::finite;
use super::{calibration, each};
use crate::Context;
use crate::cli::evaluate::{EvaluatePlan, ReportFormat};
use crate::cli::shared::Long;
use crate::eval::{Answers, Interval, Metric, Score, Subject};
use crate::exit::TaskError;
use crate::machine;
use crate::supervised::HeadError;
use crate::supervised::brought_metric::{BroughtMetric, BroughtScore, Judged};
use crate::supervised::measures::{answered, meant};
use crate::supervised::registry::Task;
use crate::supervised::targets::Targets;
use crate::tasks::asked::Asked;
use crate::tasks::encode::{self, Encoded, Wish, sequences};
use crate::tasks::files;
use crate::tasks::plugin::pass_on;
use crate::tasks::run::long_name;

/// Why a measure that was brought has no value: it does not say more.
const NO_VALUE: &str = "the plugin says that it is undefined here";

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
    /// What measures say that the user brought, each with what they say of who knows the training labels alone.
    brought: Vec<(BroughtScore, Option<f64>)>,
}

/// Reads examples, encodes their proteins, asks the head, and measures what it tells.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed examples.
pub(super) fn run(plan: &EvaluatePlan, task: &'static Task, context: &Context) -> anyhow::Result<()> {
    let start = Instant::now();
    let usage = |what: &str| TaskError::Usage { what: what.to_owned() };
    let folder = plan.head.as_ref().ok_or_else(|| usage("--task with labels needs the --head to ask"))?;
    let mut head = Asked::open(folder, (&plan.guest, plan.ask), plan.metrics.len())?;
    let telling = head.telling();
    does(&head, task)?;
    let metrics = BroughtMetric::all(&plan.metrics, &plan.guest, head.plugin())?;
    let (model, card) = head.card(plan.model.as_deref(), plan.run.adapter.as_deref())?;
    let long = long_name(&card, &plan.run.long)?;
    let read = Examples::read(plan, (&head, task), (&telling, &card))?;
    let (family, layer) = (card.about.family, head.layer(card.about.layers)?);
    let truncates = plan.run.long.policy == Long::Truncate;
    let limit = card.about.training_length.filter(|_| truncates).unwrap_or(usize::MAX);
    let wish = Wish {
        layer,
        pool: (!head.reads_states()).then(|| head.pool()),
        long: plan.run.long,
        compute: plan.run.compute,
        cache: plan.run.cache.clone(),
    };
    if plan.run.dry_run {
        return read.tell(plan, (card, &wish), context);
    }
    let set = read.taken(plan, context)?;
    let encoded = encode::encode(card, &[sequences(&set)], &wish, context, |identity| {
        Ok(head.check_encoder(&model, (identity, family))?)
    })?;
    let Encoded { sets, identity, adapter, numerics } = encoded;
    let stored = sets.first().context("nothing was encoded")?;
    let compute = plan.run.compute;
    let device = Device::cpu_with(compute.threads, compute.cpu_path)?;
    let told = head.teller(&device, stored.width())?.told(stored, &set)?;
    let told: Vec<Vec<f32>> = told.into_iter().map(|given| telling.scores(given)).collect();
    let targets = Targets { set: &set, limit, scale: telling.scale, balance: None };
    let answers = answered(&set, (telling.scale, limit), &told)?;
    let found = found((task, &head.prior()), &targets, (&told, &answers), (&metrics, plan))?;
    let metadata = described((plan, &head, &set), (task, layer), (&identity, adapter, &numerics), &metrics);
    let metadata = metadata.with("long", long);
    let mut files = write(plan, &found, &metadata)?;
    if let Some((path, format)) = &plan.proteins {
        files.append(each::table(&targets, &told, (path, *format), &metadata)?);
    }
    calibration::add(&mut files, plan, (&head, &set), &told)?;
    if let Some(path) = &plan.run.summary {
        let summary = json!({
            "schema": 1, "task": "evaluate", "evaluation": task.name, "command": context.command_line,
            "model": identity, "examples": set.len(), "loss": finite(found.loss),
            "wall_seconds": start.elapsed().as_secs_f64(), "peak_memory_bytes": machine::peak_memory(),
        });
        files.push(files::text_file(path, &format!("{summary:#}\n"))?);
    }
    for (name, lines) in metrics.iter().map(BroughtMetric::take_log).chain(head.take_log()) {
        pass_on(&lines, &name, context);
    }
    Ok(files.commit()?)
}

/// What the report says of itself.
fn described(
    (plan, head, set): (&EvaluatePlan, &Asked, &LabelledSet),
    (task, layer): (&Task, usize),
    (identity, adapter, numerics): (&str, Option<String>, &str),
    metrics: &[BroughtMetric],
) -> Metadata {
    let metadata = Metadata::new()
        .with("schema", 1)
        .with("output", "labels")
        .with("task", task.name)
        .with("head", head.identity())
        .with("model", identity)
        .with("adapter", adapter)
        .with("layers", json!([layer]))
        .with("precision", plan.run.compute.precision.name())
        .with("numerics", numerics)
        .with("input", set.digest())
        .with("seed", plan.seed)
        .with("bootstrap", plan.bootstrap);
    let brought: Vec<Value> = metrics.iter().map(|metric| metric.described().clone()).collect();
    // What is not there is what was always there, so that reports without them stay as they were.
    let metadata = if metrics.is_empty() { metadata } else { metadata.with("metrics", brought) };
    match head {
        Asked::Taught(_) | Asked::Onnx(_) => metadata,
        Asked::Brought(head) => metadata.with("plugin", head.described()),
    }
}

/// Refuses another task than the head was taught, or than a plugin can do.
fn does(head: &Asked, task: &Task) -> Result<(), HeadError> {
    let asks = match task.kind {
        kind if kind.takes_pairs() => Way::Pairs,
        HeadKind::Residue => Way::Residues,
        _ => Way::Pooled,
    };
    match head {
        Asked::Taught(head) if head.task.name != task.name => {
            let (found, wanted) = (task.name.to_owned(), head.task.name.to_owned());
            Err(HeadError::Task { folder: head.path.clone(), found, wanted })
        }
        Asked::Brought(head)
            if (head.way() == Way::Pairs) != (asks == Way::Pairs)
                || head.telling().by_residue != (asks == Way::Residues) =>
        {
            let (path, found) = (head.path().display(), head.way().name());
            let what = format!(
                "the plugin {path} is asked about {found}, and the task {} is about {}; see --ask",
                task.name,
                asks.name()
            );
            Err(HeadError::Unfit { what })
        }
        Asked::Onnx(head)
            if (head.way() == Way::Pairs) != (asks == Way::Pairs)
                || head.telling().by_residue != (asks == Way::Residues) =>
        {
            let (path, found) = (head.path().display(), head.way().name());
            let what =
                format!("the head {path} reads {found}, and the task {} is about {}", task.name, asks.name());
            Err(HeadError::Unfit { what })
        }
        _ => Ok(()),
    }
}

/// Answers to every example without looking at it: `prior`, the same to all; nothing where that is not known. As answers
/// that can be measured, and as they are.
fn without_looking(targets: &Targets<'_>, prior: &[f32]) -> anyhow::Result<Option<(Answers, Vec<Vec<f32>>)>> {
    let set = targets.set;
    if prior.is_empty() {
        return Ok(None);
    }
    let mut answers = Answers::new(Subject::of(set.labels()));
    let mut each = Vec::with_capacity(set.len());
    for example in 0..set.len() {
        let rows = targets.rows(example);
        let label = match set.label(example) {
            Label::Residues(of) => Label::Residues(&of[..rows]),
            label => label,
        };
        let answer = prior.repeat(rows);
        answers.push(&answer, label)?;
        each.push(answer);
    }
    Ok(Some((answers, each)))
}

/// Measures what was told.
fn found<'a>(
    (task, prior): (&'static Task, &[f32]),
    targets: &Targets<'a>,
    (told, answers): (&[Vec<f32>], &Answers),
    (metrics, plan): (&[BroughtMetric], &EvaluatePlan),
) -> anyhow::Result<Found<'a>> {
    let set = targets.set;
    let places: usize = (0..set.len()).map(|example| targets.places(example)).sum();
    let lost: f64 = told.iter().enumerate().map(|(example, given)| targets.lost(given, example)).sum();
    let own = Metric::of_subject(answers.subject());
    let interval = Interval { seed: plan.seed, draws: plan.bootstrap };
    let scores = answers.scores(&own, &interval);
    let meant = meant(set, targets.scale, told);
    let nothing = without_looking(targets, prior)?;
    let mut brought = Vec::new();
    for metric in metrics {
        let scores = metric.scores(Judged { set, answers: &meant }, &interval)?;
        // That nothing can be said of the same answer to all is no fault.
        let said = nothing.as_ref().and_then(|(_, said)| metric.measure(Judged { set, answers: said }).ok());
        let said = said.unwrap_or_default();
        let baseline = |place: usize| said.get(place).copied().flatten();
        brought.extend(scores.into_iter().enumerate().map(|(place, score)| (score, baseline(place))));
    }
    let baseline = |metric: &&'static Metric| nothing.as_ref().and_then(|(own, _)| own.measure(metric).ok());
    let baseline = own.iter().map(baseline).collect();
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
    Ok(Found { task, set, loss: lost / places.max(1) as f64, scores, baseline, classes, brought })
}

/// A measure in the report.
struct Line<'a> {
    name: &'a str,
    value: Option<f64>,
    interval: (f64, f64),
    baseline: Option<f64>,
    higher_is_better: bool,
    why_none: Option<String>,
}

/// All measures, those of the task before those that the user brought.
fn lines<'a>(found: &'a Found<'_>) -> Vec<Line<'a>> {
    let own = found.scores.iter().zip(&found.baseline).map(|(score, &baseline)| Line {
        name: score.metric.name,
        value: score.value.ok(),
        interval: score.interval.unwrap_or((f64::NAN, f64::NAN)),
        baseline,
        higher_is_better: score.metric.higher_is_better,
        why_none: score.value.err().map(|why| why.to_string()),
    });
    let brought = found.brought.iter().map(|(score, baseline)| Line {
        name: &score.name,
        value: score.value,
        interval: score.interval.unwrap_or((f64::NAN, f64::NAN)),
        baseline: *baseline,
        higher_is_better: score.higher_is_better,
        why_none: score.value.is_none().then(|| NO_VALUE.to_owned()),
    });
    own.chain(brought).collect()
}

/// The report, complete but for its name.
fn write(plan: &EvaluatePlan, found: &Found<'_>, metadata: &Metadata) -> anyhow::Result<OutputSet> {
    let out = plan.out.as_deref().context("--out names no file")?;
    match plan.format {
        ReportFormat::Json => {
            let mut measures = Map::new();
            for line in lines(found) {
                let value = json!({
                    "value": line.value.map_or(Value::Null, finite), "low": finite(line.interval.0),
                    "high": finite(line.interval.1), "baseline": line.baseline.map_or(Value::Null, finite),
                    "higher_is_better": line.higher_is_better, "why_none": line.why_none,
                });
                measures.insert(line.name.to_owned(), value);
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
            for line in lines(found) {
                let or_none = |value: Option<f64>| value.unwrap_or(f64::NAN);
                let (low, high) = line.interval;
                let numbers = [or_none(line.value), low, high, or_none(line.baseline)];
                let why = line.why_none.unwrap_or_default();
                let mut cells = vec![Cell::Text(line.name)];
                cells.extend(numbers.map(Cell::Number));
                cells.extend([Cell::Count(found.set.len() as u64), Cell::Text(&why)]);
                table.push(&cells)?;
            }
            Ok(table.finish()?)
        }
    }
}

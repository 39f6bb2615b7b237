//! What a fine-tuning tells of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::Work;
use super::examples::Examples;
use super::session::Outcome;
use crate::cli::finetune::FinetunePlan;
use crate::supervised::brought_metric::BroughtMetric;
use crate::supervised::card::EncoderCard;
use crate::tasks::files::path_text;
use crate::train::checkpoint::{Exact, HeldOut};
use crate::train::tuning::BestBy;
use crate::{Context, machine};

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// A training that has come to its end.
pub(super) struct Account<'a> {
    /// What was asked for.
    pub(super) work: &'a Work<'a>,
    /// Where it ended.
    pub(super) outcome: &'a Outcome,
    /// What was learnt from.
    pub(super) examples: &'a Examples,
    /// The measure that the user brought.
    pub(super) metric: Option<&'a BroughtMetric>,
}

impl Account<'_> {
    /// What the head reads.
    pub(super) fn encoder(&self) -> EncoderCard {
        let encoder = &self.outcome.encoder;
        EncoderCard {
            identity: encoder.identity.clone(),
            family: encoder.family.to_owned(),
            vocabulary: encoder.vocabulary.to_owned(),
            layer: encoder.layer,
            long: self.work.config.data.long.name().to_owned(),
            inside: encoder.learns,
            adapter: None,
        }
    }

    /// What the head comes from. The same training gives the same text, wherever and however often it was stopped.
    pub(super) fn training(&self) -> Value {
        let Self { work, outcome, examples, metric } = self;
        let state = &outcome.state;
        let mut facts = json!({
            "schema": SCHEMA,
            "task": work.task.name,
            "versions": { "pliant": env!("CARGO_PKG_VERSION") },
            "config": work.config.settings(),
            "began_with": outcome.encoder.identity,
        });
        for (key, value) in examples.json() {
            facts[key] = value;
        }
        if let Some(metric) = metric {
            facts["plugin"] = metric.described().clone();
        }
        let [trained, all] = outcome.parameters;
        for (key, value) in [
            ("numerics", json!(outcome.numerics)),
            ("trainable_parameters", json!(trained)),
            ("parameters", json!(all)),
            ("steps", json!(state.step)),
            ("steps_of_epoch", json!(outcome.steps_of_epoch)),
            ("epochs", json!(state.seen.epoch)),
            ("loss", state.loss.map_or(Value::Null, |Exact(loss)| json!(loss))),
            ("last", told(state.held_out.as_ref())),
            ("best", told(state.best.as_ref())),
        ] {
            facts[key] = value;
        }
        if state.other.is_some() {
            facts[self.other_name()] = told(state.other.as_ref());
        }
        facts
    }

    /// What the best epoch by what does not rank is called.
    pub(super) fn other_name(&self) -> &'static str {
        match self.work.config.run.best_by {
            BestBy::Loss => "best_by_metric",
            BestBy::Metric => "best_by_loss",
        }
    }

    /// The same with what depends on the day and the machine.
    pub(super) fn told(&self) -> Value {
        let mut told = self.training();
        told["folder"] = json!(path_text(self.work.out));
        told["peak_memory_bytes"] = json!(machine::peak_memory());
        told["train_seconds"] = json!(self.outcome.state.milliseconds as f64 / 1000.0);
        told["seconds_since_the_beginning"] = json!(self.work.begin.elapsed().as_secs_f64());
        told
    }
}

/// What examples kept apart said after some step.
fn told(found: Option<&HeldOut>) -> Value {
    let Some(found) = found else { return Value::Null };
    let mut object = Map::new();
    object.insert("step".to_owned(), json!(found.step));
    object.insert("held_out_loss".to_owned(), json!(found.loss.0));
    for (name, value) in &found.parts {
        object.insert(name.clone(), value.map_or(Value::Null, |Exact(value)| json!(value)));
    }
    Value::Object(object)
}

/// Means and standard deviations of what the best epochs of several seeds found.
pub(super) fn over_seeds(trainings: &[Value]) -> String {
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for training in trainings {
        for (name, value) in training["best"].as_object().into_iter().flatten() {
            if let (Some(value), true) = (value.as_f64(), name != "step") {
                found.entry(name).or_default().push(value);
            }
        }
    }
    let over: Map<String, Value> = found
        .into_iter()
        .map(|(name, values)| {
            let (mean, deviation) = spread(&values);
            (name.to_owned(), json!({ "mean": mean, "deviation": deviation, "seeds": values.len() }))
        })
        .collect();
    let each: Vec<Value> = trainings
        .iter()
        .map(|training| json!({ "seed": training["config"]["run"]["seed"], "best": training["best"] }))
        .collect();
    format!("{:#}\n", json!({ "schema": SCHEMA, "best": over, "seeds": each }))
}

/// The same as a table: a row for each measure, a column for each seed.
pub(super) fn seeds_table(trainings: &[Value]) -> String {
    let seed = |training: &Value| format!("seed_{}", training["config"]["run"]["seed"]);
    let seeds: Vec<String> = trainings.iter().map(seed).collect();
    let mut text = format!("measure\tmean\tdeviation\tleast\tmost\t{}\n", seeds.join("\t"));
    let names: BTreeSet<&String> =
        trainings.iter().filter_map(|training| training["best"].as_object()).flat_map(Map::keys).collect();
    for name in names.into_iter().filter(|name| *name != "step") {
        let values: Vec<Option<f64>> =
            trainings.iter().map(|training| training["best"][name].as_f64()).collect();
        let found: Vec<f64> = values.iter().copied().flatten().collect();
        let (mean, deviation) = spread(&found);
        let least = found.iter().copied().reduce(f64::min);
        let most = found.iter().copied().reduce(f64::max);
        let cells: Vec<String> = [mean, deviation, least, most]
            .into_iter()
            .chain(values)
            .map(|value| value.map_or_else(String::new, |value| value.to_string()))
            .collect();
        // Writing into a text does not fail.
        let _ = writeln!(text, "{name}\t{}", cells.join("\t"));
    }
    text
}

/// The mean, where there is anything, and the standard deviation of more than one number.
pub(super) fn spread(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

/// What this run was like.
pub(super) fn summary(plan: &FinetunePlan, trainings: &[Value], begin: Instant, context: &Context) -> String {
    let summary = json!({
        "schema": SCHEMA,
        "task": "finetune",
        "versions": { "pliant": env!("CARGO_PKG_VERSION") },
        "command": context.command_line,
        "threads": plan.threads,
        "trainings": trainings,
        "wall_seconds": begin.elapsed().as_secs_f64(),
        "peak_memory_bytes": machine::peak_memory(),
    });
    format!("{summary:#}\n")
}

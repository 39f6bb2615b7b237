//! What is told without what was to be shown: the same head on letters and length alone and on a model of random weights,
//! and of pairs what each protein by itself tells.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::examples::Examples;
use super::{Work, train};
use crate::Context;
use crate::cli::finetune::Control;
use crate::engine;
use crate::exit::TaskError;
use crate::supervised::additive::Additive;
use crate::supervised::measures::{Ranking, measured};
use crate::supervised::targets::{Scale, Targets};
use crate::tasks::files;
use crate::train::tuning::TuningConfig;

/// The folder of the controls in that of a training.
const FOLDER: &str = "controls";

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// Refuses controls that cannot be had.
///
/// # Errors
/// Controls without examples kept apart, or without a model to take the form of.
pub(super) fn check(controls: &[Control], config: &TuningConfig) -> Result<(), TaskError> {
    let usage = |what: &str| Err(TaskError::Usage { what: what.to_owned() });
    if controls.is_empty() {
        return Ok(());
    }
    if !config.holds_out() {
        return usage(
            "--controls are measured on examples kept apart: give --valid, --valid-part or --valid-fraction",
        );
    }
    let letters = config.model.init.as_deref() == Some(Path::new(pliant_models::composition::NAME));
    if letters && controls.contains(&Control::Random) {
        return usage(
            "--controls random needs a model whose weights can be random, and composition has none",
        );
    }
    Ok(())
}

/// Computes the controls of a training that told `told`, and writes all beside each other.
///
/// # Errors
/// Whatever ends one of them.
pub(super) fn run(work: &Work<'_>, told: &Value, context: &Context) -> anyhow::Result<()> {
    let folder = work.out.join(FOLDER);
    files::make_folder(&folder)?;
    let mut found = vec![("model", told["best"].clone())];
    for control in &work.plan.controls {
        context.print.note(&format!("control: {}", control.name()));
        let best = match control {
            Control::Composition => {
                let config = frozen(work.config, Path::new(pliant_models::composition::NAME));
                train(&Work { config: &config, out: &folder.join(control.name()), ..*work }, context)?["best"]
                    .clone()
            }
            Control::Random => {
                let model = folder.join("random_model");
                random_model(work, &model)?;
                let config = frozen(work.config, &model);
                train(&Work { config: &config, out: &folder.join(control.name()), ..*work }, context)?["best"]
                    .clone()
            }
            Control::Additive => additive(work)?,
        };
        found.push((control.name(), best));
    }
    let object: Map<String, Value> =
        found.iter().map(|(name, best)| ((*name).to_owned(), best.clone())).collect();
    let text = format!("{:#}\n", json!({ "schema": SCHEMA, "best": object }));
    files::text_file(&folder.join("controls.json"), &text)?.commit()?;
    Ok(files::text_file(&folder.join("controls.tsv"), &table(&found))?.commit()?)
}

/// The same training of a head on another encoder, which does not learn.
fn frozen(config: &TuningConfig, model: &Path) -> TuningConfig {
    let mut config = config.on_frozen(model.to_owned());
    if config.head.pooling.reads_cls() && model == Path::new(pliant_models::composition::NAME) {
        // There is nothing to read in that token.
        config.head.pooling = pliant_models::heads::Pooling::Mean;
    }
    config
}

/// A folder with the model's form and weights that nobody trained.
fn random_model(work: &Work<'_>, to: &Path) -> anyhow::Result<()> {
    let model = &work.config.model;
    let config = match (&model.config, &model.init) {
        (Some(path), _) => path.clone(),
        (None, Some(init)) => engine::card(init)?.folder.join("config.json"),
        (None, None) => anyhow::bail!("a training without a model"),
    };
    // It appears whole or not at all, and is a function of the form and the seed.
    if to.exists() { Ok(()) } else { engine::new_folder(&config, work.config.run.seed, to) }
}

/// What each protein by itself tells of pairs.
fn additive(work: &Work<'_>) -> anyhow::Result<Value> {
    let examples = Examples::read(work.task, work.config)?;
    let held_out = examples.held_out.as_ref().context("no examples are kept apart")?;
    let model = Additive::learn(&examples.train)?;
    let told: Vec<Vec<f32>> = model.told(held_out).into_iter().map(|logit| vec![logit]).collect();
    let targets = Targets { set: held_out, limit: usize::MAX, scale: Scale::default(), balance: None };
    let lost: f64 = told.iter().enumerate().map(|(example, given)| targets.lost(given, example)).sum();
    let mut object = Map::new();
    object.insert("held_out_loss".to_owned(), json!(lost / held_out.len() as f64));
    for (name, value) in measured(&targets, &told, (Ranking::Loss, None))?.values {
        object.insert(name.into_owned(), json!(value));
    }
    object.insert("known_proteins".to_owned(), json!(model.known(held_out)));
    Ok(Value::Object(object))
}

/// A row for each measure, a column for each control.
fn table(found: &[(&str, Value)]) -> String {
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let mut text = format!("measure\t{}\n", names.join("\t"));
    let first = found.first().and_then(|(_, best)| best.as_object());
    for measure in first.into_iter().flat_map(Map::keys).filter(|measure| *measure != "step") {
        let cell = |(_, best): &(&str, Value)| match &best[measure] {
            Value::Null => String::new(),
            value => value.to_string(),
        };
        let cells: Vec<String> = found.iter().map(cell).collect();
        // Writing into a text does not fail.
        let _ = writeln!(text, "{measure}\t{}", cells.join("\t"));
    }
    text
}

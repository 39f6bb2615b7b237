//! The examples of a fine-tuning: what is learnt from, and what is kept apart.

use pliant_seq::Failure;
use pliant_seq::tables::{LabelledSet, SetReport};
use serde_json::{Value, json};

use crate::cli::reading::OnError;
use crate::cli::shared::{Long, LongPlan};
use crate::engine;
use crate::supervised::reading::{Reading, of_parts, without};
use crate::supervised::registry::Task;
use crate::tasks::encode;
use crate::tasks::intake::{self, Warnings, counted};
use crate::train::config::Beginning;
use crate::train::tuning::{ExamplesConfig, LongChoice, TuningConfig};

/// Examples in memory, and what became of those of the files.
pub(super) struct Examples {
    /// What is learnt from.
    pub(super) train: LabelledSet,
    /// What is kept apart.
    pub(super) held_out: Option<LabelledSet>,
    /// Examples that were not learnt from, as they are on lists.
    pub(super) excluded: u64,
    /// Examples that failed.
    pub(super) failures: Vec<Failure>,
    /// What may not be what was meant.
    pub(super) warnings: Warnings,
}

impl Examples {
    /// Reads every file that `config` names.
    ///
    /// # Errors
    /// Files that cannot be read, failed examples where they end a run, and nothing to learn from.
    pub(super) fn read(task: &'static Task, config: &TuningConfig) -> anyhow::Result<Self> {
        let data = &config.data;
        let mut account = Account::default();
        let reading = Reading { task, form: &data.form, classes: None };
        let (all, report) = match data.draw {
            None => reading.read(&data.train)?,
            Some(count) => reading.draw(&data.train, (count, config.run.seed))?,
        };
        account.add("the examples to learn from", report);
        let (train, held_out) = if data.valid.is_empty() {
            divided(all, data, config.run.seed, &mut account.warnings)?
        } else {
            let train = of_parts(all, &data.train_parts)?;
            let reading = Reading { classes: Some(train.classes()), ..reading };
            let (apart, report) = reading.read(&data.valid)?;
            account.add("the examples kept apart", report);
            (train, Some(apart))
        };
        let (train, excluded) = without(train, &data.exclude)?;
        let (train, held_out) = encodable_of((train, held_out), config, &mut account)?;
        account.warnings.add("excluded", excluded, || {
            let examples = counted(excluded, "example is", "examples are");
            format!("{examples} not learnt from, as a protein of them is on a list of data.exclude")
        });
        let Account { failures, warnings, rows } = account;
        if data.on_error == OnError::Fail && !failures.is_empty() {
            intake::refuse(&failures, rows, None)?;
        }
        // Failures come first: they may be why one class is left.
        train.varied()?;
        Ok(Self { train, held_out, excluded, failures, warnings })
    }

    /// The examples for the account of the training.
    pub(super) fn json(&self) -> [(&'static str, Value); 3] {
        let tell = |set: &LabelledSet| json!({ "examples": set.len(), "sequences": set.sequences(), "residues": set.residues(), "digest": set.digest() });
        [
            ("excluded", json!(self.excluded)),
            ("train", tell(&self.train)),
            ("held_out", self.held_out.as_ref().map_or(Value::Null, tell)),
        ]
    }
}

/// The examples that the model of `config` can encode; the others are failures. Of random weights nothing is known yet.
fn encodable_of(
    (train, held_out): (LabelledSet, Option<LabelledSet>),
    config: &TuningConfig,
    account: &mut Account,
) -> anyhow::Result<(LabelledSet, Option<LabelledSet>)> {
    let Beginning::Weights(model) = config.model.beginning() else { return Ok((train, held_out)) };
    let card = engine::card(model)?;
    let policy = if config.data.long == LongChoice::Truncate { Long::Truncate } else { Long::Whole };
    let refused = encode::refused(&card, &LongPlan { policy, window: None, stride: None })?;
    let mut left = |set: LabelledSet| -> anyhow::Result<LabelledSet> {
        let (set, failures) = encode::encodable(set, &refused);
        account.warnings.add_left_out(failures.len() as u64);
        account.failures.extend(failures);
        match set {
            Some(set) => Ok(set),
            None => Err(intake::refusal(&account.failures, account.rows, None)?.into()),
        }
    };
    Ok((left(train)?, held_out.map(left).transpose()?))
}

/// A set in two, as the configuration says.
fn divided(
    all: LabelledSet,
    data: &ExamplesConfig,
    seed: u64,
    warnings: &mut Warnings,
) -> anyhow::Result<(LabelledSet, Option<LabelledSet>)> {
    if !data.valid_parts.is_empty() {
        let apart = of_parts(all.clone(), &data.valid_parts)?;
        let train = if data.train_parts.is_empty() {
            let rest: Vec<String> =
                all.parts().iter().filter(|part| !data.valid_parts.contains(part)).cloned().collect();
            of_parts(all, &rest)?
        } else {
            of_parts(all, &data.train_parts)?
        };
        return Ok((train, Some(apart)));
    }
    let train = of_parts(all, &data.train_parts)?;
    let Some(fraction) = data.valid_fraction else { return Ok((train, None)) };
    let sides = train.hold_out(fraction, seed)?;
    warnings.add("between", sides.dropped as u64, || {
        let pairs = counted(sides.dropped as u64, "pair is", "pairs are");
        format!("{pairs} not used: one of the two proteins is kept apart and the other is not")
    });
    Ok((sides.train, Some(sides.held_out)))
}

/// What became of examples, over several sets.
#[derive(Default)]
struct Account {
    failures: Vec<Failure>,
    warnings: Warnings,
    rows: u64,
}

impl Account {
    fn add(&mut self, what: &str, report: SetReport) {
        let SetReport { rows, failures, duplicates, repeated, contradictions, stops, .. } = report;
        self.rows += rows;
        self.warnings.add("duplicates", duplicates, || {
            let times = counted(duplicates, "example repeats", "examples repeat");
            format!(
                "of {what} {times} an earlier one and {} taken once",
                if duplicates == 1 { "is" } else { "are" }
            )
        });
        self.warnings.add("repeated", repeated, || {
            format!(
                "of {what} {} the proteins and the label of an earlier one under another id",
                counted(repeated, "example has", "examples have")
            )
        });
        self.warnings.add("contradictions", contradictions, || {
            format!(
                "of {what} {} the proteins of an earlier one and another label",
                counted(contradictions, "example has", "examples have")
            )
        });
        self.warnings.add("stops", stops, || {
            format!("a final '*' dropped from {}", counted(stops, "sequence", "sequences"))
        });
        self.warnings.add_left_out(failures.len() as u64);
        self.failures.extend(failures);
    }
}

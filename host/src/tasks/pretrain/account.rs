//! What a training tells of itself.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::Session;
use crate::cli::pretrain::PretrainPlan;
use crate::engine;
use crate::tasks::files::path_text;
use crate::tasks::intake::Warning;
use crate::train::checkpoint::{Exact, HeldOut, State};
use crate::train::config::TrainConfig;
use crate::{Context, machine};

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// A training that has come to its end.
pub(super) struct Account<'a> {
    /// What was typed.
    pub(super) plan: &'a PretrainPlan,
    /// What was asked for.
    pub(super) config: &'a TrainConfig,
    /// What it was done with.
    pub(super) session: &'a Session<'a>,
    /// Where it ended.
    pub(super) state: &'a State,
    /// Steps that earlier processes did.
    pub(super) before: u64,
    /// When this process began.
    pub(super) begin: Instant,
}

impl Account<'_> {
    /// What the model comes from. The same training gives the same text, wherever and however often it was stopped.
    pub(super) fn training(&self) -> String {
        let mut text = json!({ "schema": SCHEMA, "task": "pretrain", "versions": versions() });
        for (key, value) in self.facts() {
            text[key] = value;
        }
        format!("{text:#}\n")
    }

    fn facts(&self) -> Vec<(&'static str, Value)> {
        let Self { config, session, state, .. } = self;
        let about = session.pupil.about();
        let mut facts = vec![
            ("config", config.settings()),
            (
                "model",
                json!({ "family": about.family, "parameters": about.parameters, "began_with": state.origin.model }),
            ),
        ];
        facts.extend(session.data.json());
        facts.extend([
            ("precision", json!(config.run.precision)),
            ("numerics", json!(state.origin.numerics)),
            ("steps", json!(state.step)),
            ("epochs", json!(state.seen.epoch)),
            ("tokens", json!(state.seen.tokens)),
            ("residues", json!(state.seen.residues)),
            ("loss", number(state.loss)),
            ("held_out_loss", number(state.held_out.as_ref().map(|held_out| held_out.loss))),
            (
                "held_out_masked_loss",
                number(state.held_out.as_ref().and_then(|held_out| held_out.masked_loss)),
            ),
            ("best", best(state.best.as_ref())),
        ]);
        let parts = state.held_out.iter().flat_map(|held_out| &held_out.parts);
        let parts: BTreeMap<&String, Value> = parts.map(|(name, value)| (name, number(*value))).collect();
        if !parts.is_empty() {
            facts.push(("held_out_parts", json!(parts)));
        }
        facts
    }

    /// What this run was like, with what depends on the day and the machine.
    ///
    /// # Errors
    /// A model folder that is not as it was just written.
    pub(super) fn summary(&self, context: &Context) -> anyhow::Result<String> {
        let Self { plan, session, state, before, begin, .. } = self;
        let folder = session.folder.path();
        let train_seconds = state.milliseconds as f64 / 1000.0;
        let mut summary = json!({
            "schema": SCHEMA,
            "task": "pretrain",
            "versions": versions(),
            "command": context.command_line,
            "outputs": [path_text(folder)],
            "identity": engine::verify(folder)?,
            "device": session.learner.device().describe(),
            "threads": plan.threads,
        });
        for (key, value) in self.facts() {
            summary[key] = value;
        }
        for (key, value) in [
            ("steps_before", json!(before)),
            ("failures", json!(session.data.failures.len())),
            ("warnings", session.data.warnings.0.iter().map(Warning::json).collect()),
            ("tokens_per_second", json!(state.seen.tokens as f64 / train_seconds)),
            ("train_seconds", json!(train_seconds)),
            ("wall_seconds", json!(begin.elapsed().as_secs_f64())),
            ("peak_memory_bytes", json!(machine::peak_memory())),
        ] {
            summary[key] = value;
        }
        Ok(format!("{summary:#}\n"))
    }
}

fn versions() -> Value {
    json!({ "pliant": env!("CARGO_PKG_VERSION") })
}

fn number(value: Option<Exact>) -> Value {
    value.map_or(Value::Null, |Exact(number)| json!(number))
}

fn best(best: Option<&HeldOut>) -> Value {
    best.map_or(Value::Null, |HeldOut { step, loss, .. }| json!({ "step": step, "held_out_loss": loss.0 }))
}

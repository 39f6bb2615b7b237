//! What a result says of itself, and what a run says of itself.

use std::path::Path;
use std::time::Instant;

use pliant_store::cache::KeyBase;
use pliant_store::{Metadata, OutDtype};
use serde_json::{Value, json};

use super::survey::Survey;
use crate::cli::embed::EmbedPlan;
use crate::engine::Engine;
use crate::machine;
use crate::pipeline::CutKeys;
use crate::tasks::files::path_text;
use crate::tasks::intake::Warning;

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// Everything of a run that can change its numbers.
pub(super) struct Provenance<'a> {
    /// What was asked for.
    pub(super) plan: &'a EmbedPlan,
    /// What computes.
    pub(super) engine: &'a Engine,
    /// What was read.
    pub(super) survey: &'a Survey,
    /// The policy for long records with its lengths.
    pub(super) long: String,
}

impl Provenance<'_> {
    /// What a table tells of itself; `kind` is `pooled` or `residues`. The layers are filled in by the writers.
    pub(super) fn metadata(&self, kind: &str) -> Metadata {
        self.facts(kind, &self.long)
            .with("dtype", dtype_name(self.plan.outputs.dtype))
            .with("input", self.survey.summary.input_hash.as_str())
    }

    /// What the results of one layer are found by in a cache: what a table tells of itself, but for its input and
    /// the number type of the file.
    pub(super) fn keys(&self, kind: &str, layer: usize) -> CutKeys {
        let base = |long| KeyBase::new(&self.facts(kind, long).for_layers(&[layer]));
        CutKeys { whole: base("whole"), cut: base(&self.long) }
    }

    /// Everything that decides the numbers of a record, but for its sequence and the layer.
    fn facts(&self, kind: &str, long: &str) -> Metadata {
        let Self { plan, engine, .. } = self;
        Metadata::new()
            .with("schema", SCHEMA)
            .with("output", kind)
            .with("model", engine.identity())
            .with("adapter", Value::Null)
            .with("plugin", Value::Null)
            .with("compatibility", json!([]))
            .with("tokenizer", engine.vocabulary().identity)
            .with("pool", if kind == "pooled" { json!(plan.pool.name()) } else { Value::Null })
            .with("long", long)
            .with("training_length", engine.card().about.training_length)
            .with("numerics", engine.device().numerics())
            .with("precision", plan.compute.precision.name())
    }

    /// What a run tells of itself, with what depends on the day and the machine.
    pub(super) fn summary(&self, run: &Run<'_>) -> Value {
        let Self { plan, engine, survey, long } = self;
        let compute_seconds = run.computing.as_secs_f64();
        let totals = &survey.summary.totals;
        json!({
            "schema": SCHEMA,
            "task": "embed",
            "versions": { "pliant": env!("CARGO_PKG_VERSION") },
            "command": run.command_line,
            "model": {
                "folder": path_text(&engine.card().folder),
                "family": engine.card().about.family,
                "identity": engine.identity(),
                "tokenizer": engine.vocabulary().identity,
                "training_length": engine.card().about.training_length,
            },
            "adapter": null,
            "input": { "files": survey.inputs, "hash": survey.summary.input_hash },
            "outputs": run.outputs.iter().map(|path| path_text(path)).collect::<Vec<_>>(),
            "layers": engine.layers(),
            "pool": plan.pool.name(),
            "long": long,
            "dtype": dtype_name(plan.outputs.dtype),
            "precision": plan.compute.precision.name(),
            "numerics": engine.device().numerics(),
            "device": engine.device().describe(),
            "threads": plan.compute.threads,
            "max_batch_tokens": plan.compute.batch_tokens,
            "headers": totals.headers,
            "records": survey.selection.records,
            "residues": survey.selection.residues,
            "residues_computed": run.computed,
            "duplicates": totals.duplicates,
            "failures": survey.failures.len(),
            "warnings": survey.warnings.iter().map(Warning::json).collect::<Vec<_>>(),
            "cache": run.cache,
            "residues_per_second": run.computed as f64 / compute_seconds,
            "compute_seconds": compute_seconds,
            "wall_seconds": run.start.elapsed().as_secs_f64(),
            "peak_memory_bytes": machine::peak_memory(),
        })
    }
}

/// What a run knows at its end.
pub(super) struct Run<'a> {
    /// When it began.
    pub(super) start: Instant,
    /// Residues that were computed, those in overlaps of windows again.
    pub(super) computed: u64,
    /// What the cache did; null without one.
    pub(super) cache: Value,
    /// How long the pipeline took.
    pub(super) computing: std::time::Duration,
    /// The words of the command line.
    pub(super) command_line: &'a [String],
    /// The files it made.
    pub(super) outputs: Vec<&'a Path>,
}

fn dtype_name(dtype: OutDtype) -> &'static str {
    match dtype {
        OutDtype::F32 => "f32",
        OutDtype::F16 => "f16",
    }
}

//! What a result says of itself, and what a run says of itself.

use std::path::Path;
use std::time::Duration;

use pliant_kernels::Device;
use pliant_kernels::cuda::KernelTime;
use pliant_store::Metadata;
use pliant_store::cache::KeyBase;
use serde_json::{Value, json};

use super::{Order, Survey};
use crate::cli::embed::Written;
use crate::engine::Engine;
use crate::machine;
use crate::pipeline::{CutKeys, Masks, Output};
use crate::tasks::files::path_text;
use crate::tasks::intake::Warning;

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// Everything of a run that can change its numbers.
pub(super) struct Provenance<'a> {
    /// What was asked for.
    pub(super) order: &'a Order<'a>,
    /// What computes.
    pub(super) engine: &'a Engine,
    /// What was read.
    pub(super) survey: &'a Survey,
    /// The policy for long records with its lengths.
    pub(super) long: String,
    /// Tokens computed together.
    pub(super) batch_tokens: usize,
}

impl Provenance<'_> {
    /// What a table of the results called `kind` tells of itself. The layers are filled in by the writers.
    pub(super) fn metadata(&self, kind: &str, dtype: &str) -> Metadata {
        self.facts(kind, &self.long)
            .with("dtype", dtype)
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
        let Self { order, engine, .. } = self;
        let pool = match &order.output {
            Output::States { .. } if kind == "pooled" && engine.card().pools_itself() => json!("own"),
            Output::States { pool, .. } if kind == "pooled" => json!(pool.name()),
            _ => Value::Null,
        };
        // What is not there is what was always there, so that old caches and results keep their meaning.
        let begun = match &order.output {
            Output::States { written: Written::Z, .. } => Metadata::new().with("states", "z"),
            _ => Metadata::new(),
        };
        begun
            .with("schema", SCHEMA)
            .with("output", kind)
            .with("model", engine.identity())
            .with("adapter", engine.card().adapter_identity())
            .with("plugin", Value::Null)
            .with("compatibility", json!([]))
            .with("tokenizer", engine.vocabulary().identity)
            .with("pool", pool)
            .with("long", long)
            .with("training_length", engine.card().about.training_length)
            .with("numerics", engine.numerics())
            .with("precision", order.plan.compute.precision.name())
    }

    /// What a run tells of itself, with what depends on the day and the machine.
    pub(super) fn summary(&self, ended: &Ended<'_>) -> Value {
        let Self { order, engine, survey, long, .. } = self;
        let (compute, totals) = (&order.plan.compute, &survey.summary.totals);
        let compute_seconds = ended.time.as_secs_f64();
        let mut summary = json!({
            "schema": SCHEMA,
            "task": order.task,
            "versions": { "pliant": env!("CARGO_PKG_VERSION") },
            "command": ended.command_line,
            "model": {
                "folder": path_text(&engine.card().folder),
                "family": engine.card().about.family,
                "identity": engine.identity(),
                "tokenizer": engine.vocabulary().identity,
                "training_length": engine.card().about.training_length,
            },
            "adapter": engine.card().adapter.as_ref().map(|adapter| {
                json!({ "folder": path_text(&adapter.folder), "identity": adapter.identity })
            }),
            "input": { "files": survey.inputs, "hash": survey.summary.input_hash },
            "outputs": ended.outputs.iter().map(|path| path_text(path)).collect::<Vec<_>>(),
            "long": long,
            "precision": compute.precision.name(),
            "numerics": engine.numerics(),
            "device": engine.device().describe(),
            "threads": compute.threads,
            "max_batch_tokens": self.batch_tokens,
            "headers": totals.headers,
            "records": survey.selection.records,
            "residues": survey.selection.residues,
            "residues_computed": ended.computed,
            "duplicates": totals.duplicates,
            "failures": survey.failures.len(),
            "warnings": survey.warnings.iter().map(Warning::json).collect::<Vec<_>>(),
            "cache": ended.cache,
            "residues_per_second": ended.computed as f64 / compute_seconds,
            "compute_seconds": compute_seconds,
            "wall_seconds": order.start.elapsed().as_secs_f64(),
            "peak_memory_bytes": machine::peak_memory(),
        });
        if let Some(times) = kernel_times(engine.device()) {
            summary["gpu_kernels"] = times;
        }
        for (key, value) in ended.details {
            summary[*key] = value.clone();
        }
        summary
    }
}

/// What the kernels of a GPU took, where `PLIANT_GPU_TIMES` asked for it.
fn kernel_times(device: &Device) -> Option<Value> {
    let Device::Cuda(cuda) = device else { return None };
    let times = cuda.kernel_times().ok()??;
    let told = |time: &KernelTime| {
        let KernelTime { name, calls, milliseconds, first_milliseconds: first } = time;
        json!({ "name": name, "calls": calls, "milliseconds": milliseconds, "first_milliseconds": first })
    };
    Some(times.iter().map(told).collect())
}

/// What a run knows at its end.
pub(super) struct Ended<'a> {
    /// Residues that were computed: in overlaps of windows again, and for every mask.
    pub(super) computed: u64,
    /// What the cache did; null without one.
    pub(super) cache: Value,
    /// How long the pipeline took.
    pub(super) time: Duration,
    /// The words of the command line.
    pub(super) command_line: &'a [String],
    /// The files it made.
    pub(super) outputs: Vec<&'a Path>,
    /// What the task itself has to tell.
    pub(super) details: &'a [(&'static str, Value)],
}

/// The name of results of residues, in provenance and in caches.
pub(super) fn kind(output: &Output, masks: &Masks) -> &'static str {
    match (output, masks) {
        (Output::States { .. }, _) => "residues",
        (Output::Contacts, _) => "contacts",
        (Output::Answers, _) => "answers",
        (Output::LogProbs, Masks::None) => "logprobs",
        (Output::LogProbs, _) => "masked-logprobs",
        (Output::Losses, Masks::None) => "losses",
        (Output::Losses, _) => "masked-losses",
    }
}

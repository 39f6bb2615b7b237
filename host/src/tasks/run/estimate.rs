//! What a run would take, from its input and the configuration of the model alone. Nothing is measured.

use pliant_kernels::{CpuPath, Precision};
use serde_json::{Value, json};

use super::{Ready, Sizes};
use crate::cli::reading::OnError;
use crate::pipeline::{self, Output, contacts};
use crate::tasks::intake::{Warning, shown_json};

/// Bytes of the program, its buffers and its libraries.
pub(in crate::tasks) const PROGRAM_BYTES: u64 = 48 << 20;

/// Bytes that the readers and writers hold for each record: hashes, lengths, ids.
const RECORD_BYTES: u64 = 192;

/// Groups of results that are held at a time: one being filled, one on its way, one being written.
const GROUPS: u64 = 3;

/// The same for a cache: one being prepared, one on its way, one being written.
const CACHE_GROUPS: u64 = 3;

/// Letters of an id, in the estimate of output sizes.
pub(in crate::tasks) const ID_CHARS: usize = 24;

/// Operations per second of one thread that estimates assume: about half of what a server core of recent years does
/// at the product sizes of these models.
pub(in crate::tasks) fn assumed_flops_per_second(path: CpuPath, precision: Precision) -> f64 {
    match (path, precision) {
        (CpuPath::Portable, _) => 2e9,
        (CpuPath::Avx2, _) => 3e10,
        (CpuPath::Avx512, _) | (CpuPath::Avx512Bf16, Precision::F32) => 6e10,
        (CpuPath::Avx512Bf16, Precision::Bf16) => 1.2e11,
        (CpuPath::Avx512Bf16, Precision::Int8) => 1.8e11,
    }
}

/// What a run would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Bytes of memory at its peak.
    pub(super) memory_bytes: u64,
    /// Bytes of memory without which it cannot be: weights, and the states and the map of the longest sequence.
    pub(super) least_memory_bytes: u64,
    /// Floating-point operations.
    pub(super) flops: f64,
    /// Operations per second and thread that are assumed.
    pub(super) flops_per_second: f64,
    /// Seconds that the computing takes at that rate.
    pub(super) seconds: f64,
}

impl Estimate {
    /// The estimate for what the survey found.
    pub(super) fn of(ready: &Ready<'_>, sizes: &Sizes) -> Self {
        let Ready { order, card, survey, .. } = ready;
        let (selection, compute) = (&survey.selection, &order.plan.compute);
        let precision = compute.precision;
        let longest = card.vocabulary.tokens_for(selection.longest_piece);
        let kept = order.output.kept_bytes(card.row_width(&order.output.head()));
        let special = card.vocabulary.tokens_for(0) as u64 * selection.passes;
        // No pack holds more than there is.
        let all_tokens = usize::try_from(selection.computed + special).unwrap_or(usize::MAX);
        let batch_tokens = compute.batch_tokens(&card.about).min(all_tokens);
        let group_tokens = pipeline::group_tokens(batch_tokens, kept).min(all_tokens) + longest;
        let pack = card.pack_bytes(longest.max(batch_tokens));
        let weights = card.weight_bytes(precision);
        let records = survey.summary.totals.headers * RECORD_BYTES;
        let groups = if order.plan.cache.is_some() { GROUPS + CACHE_GROUPS } else { GROUPS };
        let held = (group_tokens * kept) as u64 * groups + sizes.held_bytes;
        let [maps, least_maps] = match order.output {
            Output::Contacts => {
                let longest = selection.longest_piece;
                let longest_squared = (longest as u64).saturating_mul(longest as u64);
                let made = longest_squared.saturating_mul(card.numbers_of_a_pair() * size_of::<f32>() as u64);
                let both = [contacts::peak_map_bytes(longest), contacts::least_map_bytes(longest)];
                both.map(|bytes| bytes.saturating_add(made))
            }
            Output::States { .. } | Output::LogProbs | Output::Losses | Output::Answers => [0, 0],
        };
        let flops = card.flops((selection.computed + special) as f64, selection.computed_squares);
        let rate = assumed_flops_per_second(compute.cpu_path, precision);
        Self {
            memory_bytes: (PROGRAM_BYTES + weights + pack + records + held).saturating_add(maps),
            least_memory_bytes: (weights + card.least_pack_bytes(longest)).saturating_add(least_maps),
            flops,
            flops_per_second: rate,
            seconds: flops / (rate * compute.threads as f64),
        }
    }
}

/// The answer to `--dry-run`.
pub(super) fn dry_run(ready: &Ready<'_>, sizes: &Sizes) -> Value {
    let estimate = Estimate::of(ready, sizes);
    let Ready { order, card, survey, .. } = ready;
    let compute = &order.plan.compute;
    let totals = &survey.summary.totals;
    let longest = survey
        .summary
        .longest
        .as_ref()
        .map(|longest| json!({ "id": longest.id, "residues": longest.residues }));
    json!({
        "inputs": survey.inputs,
        "input_hash": survey.summary.input_hash,
        "headers": totals.headers,
        "records": survey.selection.records,
        "residues": survey.selection.residues,
        "longest": longest,
        "duplicates": totals.duplicates,
        "bad_records": survey.failures.len(),
        "bad_records_first": shown_json(&survey.failures),
        "would_fail": survey.fatal > 0 && order.plan.on_error == OnError::Fail
            || survey.wants_records().is_err(),
        "warnings": survey.warnings.iter().map(Warning::json).collect::<Vec<_>>(),
        "layers": card.row_layers(&order.output.head()),
        "threads": compute.threads,
        "precision": compute.precision.name(),
        "estimated_memory_bytes": estimate.memory_bytes,
        "estimated_output_bytes": sizes.output_bytes,
        "estimated_flops": estimate.flops,
        "assumed_flops_per_second_per_thread": estimate.flops_per_second,
        "estimated_seconds_at_assumed_rate": estimate.seconds,
    })
}

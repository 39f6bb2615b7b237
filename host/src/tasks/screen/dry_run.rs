//! What a screen would take.

use pliant_kernels::Precision;
use serde_json::{Value, json};

use super::head::PairHead;
use super::memory::{self, Memory};
use super::numbers::Encoder;
use super::proteins::{Content, Intake};
use crate::Context;
use crate::cli::reading::OnError;
use crate::cli::screen::ScreenPlan;
use crate::screen::Shard;
use crate::screen::asked::Asked;
use crate::tasks::dry_run::{Proteins, Read, answer, nothing_to_encode, tell};
use crate::tasks::encode;
use crate::tasks::intake::Warnings;
use crate::tasks::run::{PROGRAM_BYTES, assumed_flops_per_second};

/// Seconds in which a pair that is kept is sorted and written, about.
const WRITTEN_SECONDS: f64 = 2e-6;

/// A screen that was read and is not computed.
pub(super) struct Screen<'a> {
    pub(super) plan: &'a ScreenPlan,
    pub(super) head: &'a PairHead,
    pub(super) encoder: Option<&'a Encoder>,
    pub(super) intake: &'a Intake,
    pub(super) asked: &'a Asked,
    pub(super) is_calibrated: bool,
}

impl Screen<'_> {
    /// Writes the answer to `--dry-run`.
    ///
    /// # Errors
    /// A model that cannot be used, and a standard output that cannot be written.
    pub(super) fn tell(&self, context: &Context) -> anyhow::Result<()> {
        let encoding = self.encoding()?;
        tell(&answer(self.read(), &encoding, self.scoring(&encoding)), context)
    }

    /// What encoding would take.
    fn encoding(&self) -> anyhow::Result<Value> {
        match (&self.intake.content, self.encoder) {
            (Content::Sequences(sequences), Some(encoder)) if !sequences.is_empty() => {
                let list: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
                let wish = encoder.wish(self.plan, self.head.asked());
                encode::estimate(encoder.card().clone(), &list, &wish)
            }
            _ => Ok(nothing_to_encode(&self.plan.run.compute)),
        }
    }

    /// What was read.
    fn read(&self) -> Read<'_> {
        let Self { plan, intake, asked, .. } = self;
        let proteins = match &intake.content {
            Content::Sequences(sequences) => Proteins::of(
                intake.proteins.ids.iter().map(String::as_str).zip(sequences.iter().map(Vec::as_slice)),
            ),
            Content::Vectors(_) => Proteins::default(),
        };
        let fails = plan.run.on_error == OnError::Fail && !intake.failures.is_empty();
        let has_pairs = asked.pairs(intake.count()).iter().any(|&pairs| pairs > 0);
        let fits = self.memory().limits(plan).is_ok();
        let files = plan.proteins.iter().chain(&plan.embeddings).chain(&plan.pairs);
        Read {
            inputs: files.map(|path| path.display().to_string()).collect(),
            input_hash: json!(intake.digest),
            headers: intake.headers,
            records: intake.count(),
            proteins,
            duplicates: intake.warnings.count_of(Warnings::DUPLICATES),
            failures: &intake.failures,
            would_fail: fails || !has_pairs || !fits,
            warnings: &intake.warnings.0,
        }
    }

    fn memory(&self) -> Memory {
        let units = self.head.units(self.intake.width(self.encoder));
        Memory::of(self.plan, self.intake, self.asked, units)
    }

    /// What scoring would take beside `encoding`, and both together.
    fn scoring(&self, encoding: &Value) -> Value {
        let Self { plan, intake, asked, .. } = self;
        let (pairs, memory) = (memory::pairs(plan, intake, asked), self.memory());
        let units = asked.of_shard(plan.shard.unwrap_or(Shard::WHOLE), intake.count());
        let number = |key: &str| encoding[key].as_f64().unwrap_or_default();
        let width = intake.width(self.encoder);
        // While proteins are encoded their sequences and what becomes of them are held too, and none of the blocks.
        let held = intake.count() as u64 * 4 * width as u64 + intake.residues();
        let encoded = encoding["estimated_memory_bytes"].as_u64().unwrap_or_default() + held;
        let scored = PROGRAM_BYTES + memory.peak(plan, intake.count());
        let flops = self.head.pair_flops().map(|flops| flops * pairs as f64);
        let compute = &plan.run.compute;
        // Heads compute in f32 whatever their encoder does.
        let rate = assumed_flops_per_second(compute.cpu_path, Precision::F32) * compute.threads as f64;
        let seconds = flops.map(|flops| flops / rate);
        let both = |encoding: f64, scoring: Option<f64>| scoring.map(|scoring| encoding + scoring);
        let most = memory::most_kept(plan, intake, asked);
        let writing = most.map(|most| most as f64 * WRITTEN_SECONDS);
        let encoding_seconds = number("estimated_seconds_at_assumed_rate");
        json!({
            "pairs": pairs,
            "blocks": units.len(),
            "shard": plan.shard.map(|shard| shard.to_string()),
            "most_pairs_kept": most,
            "estimated_memory_bytes": encoded.max(scored),
            "memory_limit_bytes": memory.limit(),
            "estimated_output_bytes": memory::output_bytes(plan, intake, asked, self.is_calibrated),
            "estimated_flops": both(number("estimated_flops"), flops),
            "estimated_encoding_seconds_at_assumed_rate": encoding_seconds,
            "estimated_scoring_seconds_at_assumed_rate": seconds,
            "estimated_writing_seconds_at_assumed_rate": writing,
            "estimated_seconds_at_assumed_rate":
                both(encoding_seconds + writing.unwrap_or_default(), seconds),
        })
    }
}

//! What a run over pairs or examples would take, in the words in which `--dry-run` of proteins tells it.

use pliant_kernels::Precision;
use pliant_seq::Failure;
use serde_json::{Map, Value, json};

use super::intake::{Warning, shown_json};
use super::run::{PROGRAM_BYTES, assumed_flops_per_second};
use crate::Context;
use crate::cli::shared::ComputePlan;

/// What was read. Nothing of it has been computed.
pub(super) struct Read<'a> {
    /// The files as they were named.
    pub(super) inputs: Vec<String>,
    /// The hash that results will tell.
    pub(super) input_hash: Value,
    /// Records or rows of all files.
    pub(super) headers: u64,
    /// Those that have a result.
    pub(super) records: usize,
    /// The proteins that they are about.
    pub(super) proteins: Proteins,
    /// Records that repeat earlier ones.
    pub(super) duplicates: u64,
    /// Records that fail.
    pub(super) failures: &'a [Failure],
    /// Whether they, or there being nothing else, would end the run.
    pub(super) would_fail: bool,
    /// What a user should know.
    pub(super) warnings: &'a [Warning],
}

/// Proteins that a run reads.
#[derive(Default)]
pub(super) struct Proteins {
    /// Different sequences that are encoded; none where vectors are there already.
    pub(super) to_encode: u64,
    /// Residues of all, where there are sequences.
    pub(super) residues: Option<u64>,
    /// The id of the longest, and its residues.
    pub(super) longest: Option<(String, usize)>,
}

impl Proteins {
    /// Those of some ids with their residues.
    pub(super) fn of<'a>(all: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (mut residues, mut different) = (0, std::collections::BTreeSet::new());
        let mut longest: Option<(&str, usize)> = None;
        for (id, own) in all {
            residues += own.len() as u64;
            different.insert(own);
            if longest.is_none_or(|(_, most)| own.len() > most) {
                longest = Some((id, own.len()));
            }
        }
        let longest = longest.map(|(id, most)| (id.to_owned(), most));
        Self { to_encode: different.len() as u64, residues: Some(residues), longest }
    }
}

/// What is told where nothing is encoded.
pub(super) fn nothing_to_encode(compute: &ComputePlan) -> Value {
    json!({
        "layers": [],
        "threads": compute.threads,
        "precision": compute.precision.name(),
        "estimated_memory_bytes": PROGRAM_BYTES,
        "estimated_flops": 0.0,
        "assumed_flops_per_second_per_thread": assumed_flops_per_second(compute.cpu_path, Precision::F32),
        "estimated_seconds_at_assumed_rate": 0.0,
    })
}

/// The answer: what was read, what `encoding` says of computing it, and `more`, which stands in the place of what has the same
/// name.
pub(super) fn answer(read: Read<'_>, encoding: &Value, more: Value) -> Value {
    let warnings = read.warnings.iter().map(Warning::json);
    let of_encoding = encoding["warnings"].as_array().cloned().unwrap_or_default();
    let warnings: Vec<Value> = warnings.chain(of_encoding).collect();
    let longest = read.proteins.longest.map(|(id, residues)| json!({ "id": id, "residues": residues }));
    let mut answer = json!({
        "inputs": read.inputs,
        "input_hash": read.input_hash,
        "headers": read.headers,
        "records": read.records,
        "proteins_to_encode": read.proteins.to_encode,
        "residues": read.proteins.residues,
        "longest": longest,
        "duplicates": read.duplicates,
        "bad_records": read.failures.len(),
        "bad_records_first": shown_json(read.failures),
        "would_fail": read.would_fail,
        "warnings": warnings,
    });
    let kept = [
        "layers",
        "threads",
        "precision",
        "estimated_memory_bytes",
        "estimated_output_bytes",
        "estimated_flops",
        "assumed_flops_per_second_per_thread",
        "estimated_seconds_at_assumed_rate",
    ];
    for key in kept {
        answer[key] = encoding[key].clone();
    }
    let more = if let Value::Object(more) = more { more } else { Map::new() };
    for (key, value) in more {
        answer[key] = value;
    }
    answer
}

/// Writes an answer.
///
/// # Errors
/// A standard output that cannot be written.
pub(super) fn tell(answer: &Value, context: &Context) -> anyhow::Result<()> {
    Ok(context.print.data(&format!("{answer:#}\n"))?)
}

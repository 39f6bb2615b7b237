//! The cache of a run: what its entries are found by, and what is told of it at the end.

use pliant_store::cache::{Cache, CacheReport};
use serde_json::{Value, json};

use super::provenance::{self, Provenance};
use crate::cli::cache::CachePlan;
use crate::cli::print::Printer;
use crate::pipeline::{Entry, Form, Output, Recall, Recalled};
use crate::tasks::files::path_text;

/// Opens the cache, which never fails: what is wrong with it is told at the end.
pub(super) fn open(place: &CachePlan, provenance: &Provenance<'_>) -> Recall {
    Recall::new(Cache::open(&place.options()), entries(provenance))
}

/// The parts of every record: of states the vectors first, which are small and tell soonest that something is missing.
fn entries(provenance: &Provenance<'_>) -> Vec<Entry> {
    let (engine, order) = (provenance.engine, provenance.order);
    let (layers, width) = (engine.layers(), engine.width());
    let kind = provenance::kind(&order.output, &order.masks);
    let entries = |kind: &str, form: Form| -> Vec<Entry> {
        layers.iter().map(|&layer| Entry { keys: provenance.keys(kind, layer), form }).collect()
    };
    match &order.output {
        Output::States { residues, .. } => {
            let mut all = entries("pooled", Form::Vector(width));
            if *residues {
                all.extend(entries(kind, Form::Rows(width)));
            }
            all
        }
        Output::LogProbs => entries(kind, Form::Rows(width)),
        Output::Losses => entries(kind, Form::Column),
        // Their commands keep nothing: a map takes more room than computing it is worth, and answers are asked for once.
        Output::Contacts | Output::Answers => Vec::new(),
    }
}

/// Waits for what is still to be kept, warns of what went wrong, and gives what the summary says.
pub(super) fn finish(recall: Option<Recall>, place: Option<&CachePlan>, print: &Printer) -> Value {
    let (Some(recall), Some(place)) = (recall, place) else { return Value::Null };
    let Recalled { hits, misses, report } = recall.finish();
    let CacheReport { stats, faults, shard } = report;
    for fault in faults.iter().take(1) {
        let more = stats.faults.saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more faults of the cache)") } else { String::new() };
        print.warning(&format!("{fault}{more}; the results are not touched by it"));
    }
    if let Some(shard) = &shard {
        let path = place.path.display();
        print.note(&format!(
            "{} new results are in {}; 'pliant cache merge --cache {path}' adds them to the cache",
            stats.written,
            shard.display()
        ));
    }
    json!({
        "path": path_text(&place.path),
        "hits": hits,
        "misses": misses,
        "written": stats.written,
        "dropped": stats.dropped,
        "faults": stats.faults,
        "bytes_read": stats.bytes_read,
        "bytes_written": stats.bytes_written,
        "shard": shard.as_deref().map(path_text),
        "warnings": faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

//! The comparison in words and numbers.

use std::fmt::Write as _;
use std::path::Path;

use pliant_seq::tables::{LabelledSet, Members};
use pliant_store::{Cell, ColumnKind, ColumnTable, Format, Metadata, OutputSet};
use serde_json::{Map, Value, json};

use super::compare::{Comparison, Protein, Repeated};
use crate::cli::leakage::LeakagePlan;

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// Where bins of identities begin; the last is the very same protein.
const BINS: [f64; 8] = [0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// The class of an example with so many known proteins.
fn class(set: &LabelledSet, known: usize) -> &'static str {
    match (set.are_pairs(), known) {
        (true, 0) => "C3",
        (true, 1) => "C2",
        (true, _) => "C1",
        (false, 0) => "new",
        (false, _) => "known",
    }
}

/// All classes, the ones that share most first.
fn classes(set: &LabelledSet) -> &'static [&'static str] {
    if set.are_pairs() { &["C1", "C2", "C3"] } else { &["known", "new"] }
}

/// The whole report.
pub(super) fn object(comparison: &Comparison<'_>, plan: &LeakagePlan) -> Value {
    let Comparison { train, test, proteins, repeated } = comparison;
    let tell = |set: &LabelledSet| {
        json!({
            "examples": set.len(), "proteins": set.sequences(), "residues": set.residues(), "digest": set.digest(),
        })
    };
    let count = |of: &dyn Fn(&Protein) -> bool| proteins.iter().filter(|protein| of(protein)).count();
    let times = |wanted: Repeated| repeated.iter().filter(|found| **found == wanted).count();
    let mut identities: Vec<f64> = proteins.iter().map(Protein::identity).collect();
    identities.sort_unstable_by(f64::total_cmp);
    let similar = |protein: &Protein| protein.identity() >= plan.identity;
    json!({
        "schema": SCHEMA,
        "task": plan.task.name,
        "versions": { "pliant": env!("CARGO_PKG_VERSION") },
        "train": tell(train),
        "test": tell(test),
        "proteins": {
            "shared": count(&|protein| protein.same.is_some()),
            "shared_ids": count(&|protein| protein.id_known),
            "similar": count(&similar),
            "from_identity": plan.identity,
            "kmer": plan.kmer,
            "identity": spread(&identities),
            "by_identity": bins(proteins),
        },
        "examples": { "shared": times(Repeated::Same), "contradicting": times(Repeated::Other) },
        "classes": by_class(comparison, &|protein| protein.same.is_some()),
        "similar_classes": by_class(comparison, &similar),
    })
}

fn spread(sorted: &[f64]) -> Value {
    let mean = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64;
    // A set has a protein at least; of an even number the upper middle one is taken.
    json!({ "mean": mean, "median": sorted.get(sorted.len() / 2), "most": sorted.last() })
}

fn bins(proteins: &[Protein]) -> Value {
    let bin = |(place, &from): (usize, &f64)| {
        let to = BINS.get(place + 1).copied().unwrap_or(1.0);
        let within = |protein: &&Protein| {
            let identity = protein.identity();
            protein.same.is_none() && identity >= from && (identity < to || place + 1 == BINS.len())
        };
        json!({ "from": from, "to": to, "proteins": proteins.iter().filter(within).count() })
    };
    let mut bins: Vec<Value> = BINS.iter().enumerate().map(bin).collect();
    let same = proteins.iter().filter(|protein| protein.same.is_some()).count();
    bins.push(json!({ "from": "same", "to": "same", "proteins": same }));
    Value::Array(bins)
}

/// For each class its examples, and the labels of them where labels are classes or levels.
fn by_class(comparison: &Comparison<'_>, known: &dyn Fn(&Protein) -> bool) -> Value {
    let test = comparison.test;
    let of = |name: &&'static str| {
        let examples: Vec<usize> =
            (0..test.len()).filter(|&at| class(test, comparison.known(at, known)) == *name).collect();
        let counts = test.select(&examples).map_or_else(Vec::new, |set| set.counts());
        let label = |(number, count): (usize, u64)| {
            let name = test.classes().get(number).cloned();
            (name.unwrap_or_else(|| number.to_string()), json!(count))
        };
        let labels: Map<String, Value> = counts.into_iter().enumerate().map(label).collect();
        ((*name).to_owned(), json!({ "examples": examples.len(), "labels": labels }))
    };
    Value::Object(classes(test).iter().map(of).collect())
}

/// The same as rows of a name and a value.
pub(super) fn rows(report: &Value) -> String {
    let mut text = "what\tvalue\n".to_owned();
    flatten("", report, &mut text);
    text
}

fn flatten(name: &str, value: &Value, text: &mut String) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| flatten(&below(key), value, text)),
        Value::Array(list) => {
            // Bins are named by where they begin.
            for value in list {
                let from = value["from"].as_str().map_or_else(|| value["from"].to_string(), str::to_owned);
                flatten(&below(&from), &value["proteins"], text);
            }
        }
        // Writing into a text does not fail.
        Value::String(word) => drop(writeln!(text, "{name}\t{word}")),
        other => drop(writeln!(text, "{name}\t{other}")),
    }
}

/// A row for each protein of the test.
pub(super) fn proteins(
    comparison: &Comparison<'_>,
    (path, format): (&Path, Format),
    metadata: &Metadata,
) -> anyhow::Result<OutputSet> {
    let columns = [
        ("id", ColumnKind::Text),
        ("length", ColumnKind::Count),
        ("in_train", ColumnKind::Count),
        ("nearest", ColumnKind::Text),
        ("shared_words", ColumnKind::Count),
        ("identity", ColumnKind::Number),
    ];
    let mut table = ColumnTable::create(path, format, &columns, metadata)?;
    for (number, protein) in comparison.proteins.iter().enumerate() {
        let nearest = protein.nearest_number().map_or("", |number| comparison.train.id(number));
        table.push(&[
            Cell::Text(comparison.test.id(number)),
            Cell::Count(comparison.test.sequence(number).len() as u64),
            Cell::Count(protein.same.is_some().into()),
            Cell::Text(nearest),
            Cell::Count(protein.nearest.map_or(0, |nearest| nearest.shared).into()),
            Cell::Number(protein.identity()),
        ])?;
    }
    Ok(table.finish()?)
}

/// A row for each example of the test.
pub(super) fn examples(
    comparison: &Comparison<'_>,
    from_identity: f64,
    (path, format): (&Path, Format),
    metadata: &Metadata,
) -> anyhow::Result<OutputSet> {
    let test = comparison.test;
    let ids: &[&str] = if test.are_pairs() { &["id_a", "id_b"] } else { &["id"] };
    let identities: &[&str] = if test.are_pairs() { &["identity_a", "identity_b"] } else { &["identity"] };
    let mut columns: Vec<(&str, ColumnKind)> = ids.iter().map(|name| (*name, ColumnKind::Text)).collect();
    columns.extend(["class", "similar_class", "in_train"].map(|name| (name, ColumnKind::Text)));
    columns.extend(identities.iter().map(|name| (*name, ColumnKind::Number)));
    let mut table = ColumnTable::create(path, format, &columns, metadata)?;
    for example in 0..test.len() {
        let members: Vec<usize> = match test.members(example) {
            Members::One(sequence) => vec![sequence],
            Members::Two(both) => both.to_vec(),
        };
        let known = |of: &dyn Fn(&Protein) -> bool| class(test, comparison.known(example, of));
        let mut cells: Vec<Cell<'_>> = members.iter().map(|&number| Cell::Text(test.id(number))).collect();
        cells.push(Cell::Text(known(&|protein| protein.same.is_some())));
        cells.push(Cell::Text(known(&|protein| protein.identity() >= from_identity)));
        cells.push(Cell::Text(match comparison.repeated[example] {
            Repeated::No => "no",
            Repeated::Same => "yes",
            Repeated::Other => "with another label",
        }));
        cells.extend(members.iter().map(|&number| Cell::Number(comparison.proteins[number].identity())));
        table.push(&cells)?;
    }
    Ok(table.finish()?)
}

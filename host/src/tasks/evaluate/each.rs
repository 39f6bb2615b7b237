//! A row for each example of an evaluation: what is right, what was told, and what that lost.

use std::path::Path;

use pliant_seq::tables::{IGNORED, Label, LabelKind, LabelledSet, Members};
use pliant_store::{Cell, ColumnKind, ColumnTable, Format, Metadata, OutputSet};

use crate::supervised::answers::{expected, greatest};
use crate::supervised::measures::meant;
use crate::supervised::targets::Targets;

/// From this probability on an example is told to be of a class, where it may be of several.
const YES: f32 = 0.5;

/// Writes the table of `told`, the numbers of the head for every example.
///
/// # Errors
/// What the system says.
pub(super) fn table(
    targets: &Targets<'_>,
    told: &[Vec<f32>],
    (path, format): (&Path, Format),
    metadata: &Metadata,
) -> anyhow::Result<OutputSet> {
    let set = targets.set;
    let mut table = ColumnTable::create(path, format, &columns(set), metadata)?;
    for (example, (given, meant)) in told.iter().zip(meant(set, targets.scale, told)).enumerate() {
        let members = match set.members(example) {
            Members::One(sequence) => vec![sequence],
            Members::Two(both) => both.to_vec(),
        };
        let mut cells: Vec<Cell<'_>> = members.iter().map(|&number| Cell::Text(set.id(number))).collect();
        let texts = texts(set, example, &meant);
        cells.extend(texts.iter().flatten().map(|text| Cell::Text(text)));
        match set.label(example) {
            Label::Class(class) => cells.push(Cell::Number(chance(&meant, class as usize))),
            Label::Level(level) => {
                let chances: Vec<f64> = meant.iter().map(|&chance| f64::from(chance)).collect();
                cells.extend([chance(&meant, level.into()), expected(&chances)].map(Cell::Number));
            }
            Label::Classes(_) => {}
            Label::Number(right) => cells.extend([right, chance(&meant, 0)].map(Cell::Number)),
            Label::Residues(labels) => {
                let rows = targets.rows(example).min(labels.len());
                cells.extend(right(&labels[..rows], &meant, set.classes().len()).map(Cell::Count));
            }
        }
        cells.push(Cell::Number(targets.lost(given, example) / targets.places(example).max(1) as f64));
        table.push(&cells)?;
    }
    Ok(table.finish()?)
}

fn columns(set: &LabelledSet) -> Vec<(&'static str, ColumnKind)> {
    let ids: &[&str] = if set.are_pairs() { &["id_a", "id_b"] } else { &["id"] };
    let (texts, counts, numbers): (&[&str], &[&str], &[&str]) = match set.kind() {
        LabelKind::Class => (&["label", "told"], &[], &["probability"]),
        LabelKind::Level => (&["label", "told"], &[], &["probability", "expected"]),
        LabelKind::Classes => (&["label", "told"], &[], &[]),
        LabelKind::Number => (&[], &[], &["label", "told"]),
        LabelKind::Residues => (&[], &["residues", "right"], &[]),
    };
    let kinds = [(ids, ColumnKind::Text), (texts, ColumnKind::Text), (counts, ColumnKind::Count)];
    let all = kinds.into_iter().chain([(numbers, ColumnKind::Number), (&["loss"], ColumnKind::Number)]);
    all.flat_map(|(names, kind)| names.iter().map(move |&name| (name, kind))).collect()
}

/// What is right and what was told, where both are words.
fn texts(set: &LabelledSet, example: usize, meant: &[f32]) -> Option<[String; 2]> {
    let name = |class: usize| set.classes().get(class).cloned().unwrap_or_else(|| class.to_string());
    let several = |flags: &mut dyn Iterator<Item = bool>| {
        let named = flags.enumerate().filter(|(_, flag)| *flag).map(|(class, _)| name(class));
        named.collect::<Vec<_>>().join(",")
    };
    let likeliest = || {
        let chances: Vec<f64> = meant.iter().map(|&chance| f64::from(chance)).collect();
        greatest(&chances)
    };
    match set.label(example) {
        Label::Class(class) => Some([name(class as usize), name(likeliest())]),
        Label::Level(level) => Some([level.to_string(), likeliest().to_string()]),
        Label::Classes(flags) => Some([
            several(&mut flags.iter().copied()),
            several(&mut meant.iter().map(|&chance| chance >= YES)),
        ]),
        Label::Number(_) | Label::Residues(_) => None,
    }
}

fn chance(meant: &[f32], place: usize) -> f64 {
    meant.get(place).copied().map_or(f64::NAN, f64::from)
}

/// Residues that count, and those of them that are told right.
fn right(labels: &[u8], meant: &[f32], classes: usize) -> [u64; 2] {
    let rows = labels.iter().zip(meant.chunks(classes.max(1))).filter(|(label, _)| **label != IGNORED);
    let is_right = |(label, row): &(&u8, &[f32])| {
        let chances: Vec<f64> = row.iter().map(|&chance| f64::from(chance)).collect();
        greatest(&chances) == usize::from(**label)
    };
    let all: Vec<bool> = rows.map(|row| is_right(&row)).collect();
    [all.len() as u64, all.iter().filter(|&&right| right).count() as u64]
}

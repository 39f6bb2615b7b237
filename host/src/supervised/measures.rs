//! How well labels are told.

use pliant_seq::tables::{Label, LabelledSet};

use super::answers::meaning;
use super::targets::{Scale, Targets};
use crate::eval::{Answers, Metric, Subject};
use crate::train::course::labels::Measured;

/// The numbers of a head for all examples of a set, as answers beside their labels. Of a protein longer than `limit` only so
/// many residues are answered for, and only they are measured.
///
/// # Errors
/// Numbers that are none.
pub fn answered(
    set: &LabelledSet,
    (scale, limit): (Scale, usize),
    told: &[Vec<f32>],
) -> anyhow::Result<Answers> {
    let mut answers = Answers::new(Subject::of(set.labels()));
    for (example, given) in told.iter().enumerate() {
        let (kind, width) = (set.kind(), set.labels().width().max(1));
        let meant: Vec<f32> = given
            .chunks(width)
            .flat_map(|row| meaning(kind, scale, row))
            .map(|number| number as f32)
            .collect();
        let label = match set.label(example) {
            Label::Residues(of) => Label::Residues(&of[..of.len().min(limit)]),
            label => label,
        };
        answers.push(&meant, label)?;
    }
    Ok(answers)
}

/// What is measured of the numbers of a head for all examples kept apart; epochs are ranked by the main measure where
/// `by_metric` says so.
///
/// # Errors
/// Numbers that are none.
pub fn measured(targets: &Targets<'_>, told: &[Vec<f32>], by_metric: bool) -> anyhow::Result<Measured> {
    let answers = answered(targets.set, (targets.scale, targets.limit), told)?;
    let metrics = Metric::of_subject(answers.subject());
    let values: Vec<_> = metrics.iter().map(|metric| (metric.name, answers.measure(metric).ok())).collect();
    // Without a value an epoch is worse than any with one.
    let rank = metrics
        .first()
        .zip(values.first())
        .map(|(metric, (_, value))| value.map_or(f64::MAX, |value| metric.rank(value)));
    Ok(Measured { values, rank: rank.filter(|_| by_metric) })
}

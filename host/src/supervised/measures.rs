//! How well labels are told.

use pliant_seq::tables::{Label, LabelledSet, Members};

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
    if !set.are_pairs() {
        return Ok(answers);
    }
    let members = |example| match set.members(example) {
        Members::One(sequence) => [sequence; 2],
        Members::Two(both) => both,
    };
    Ok(answers.of_pairs((0..set.len()).map(members).collect(), set.sequences()))
}

/// By what epochs are better or worse.
#[derive(Debug, Clone, Copy)]
pub enum Ranking {
    /// The loss.
    Loss,
    /// This measure, or the main one.
    Metric(Option<&'static Metric>),
}

/// What is measured of the numbers of a head for all examples kept apart, and how that ranks.
///
/// # Errors
/// Numbers that are none.
pub fn measured(targets: &Targets<'_>, told: &[Vec<f32>], by: Ranking) -> anyhow::Result<Measured> {
    let answers = answered(targets.set, (targets.scale, targets.limit), told)?;
    let metrics = Metric::of_subject(answers.subject());
    let values: Vec<_> = metrics.iter().map(|metric| (metric.name, answers.measure(metric).ok())).collect();
    let chosen = match by {
        Ranking::Loss => None,
        Ranking::Metric(named) => named.or(metrics.first().copied()),
    };
    let value = |metric: &Metric| values.iter().find(|(name, _)| *name == metric.name)?.1;
    // Without a value an epoch is worse than any with one.
    let rank = chosen.map(|metric| value(metric).map_or(f64::MAX, |value| metric.rank(value)));
    Ok(Measured { values, rank })
}

//! How well labels are told.

use std::borrow::Cow;

use pliant_seq::tables::{Label, LabelledSet, Members};

use super::answers::meaning;
use super::brought_metric::{BroughtMetric, Judged};
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
    for (example, meant) in meant(set, scale, told).iter().enumerate() {
        let label = match set.label(example) {
            Label::Residues(of) => Label::Residues(&of[..of.len().min(limit)]),
            label => label,
        };
        answers.push(meant, label)?;
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

/// The numbers of a head for all examples of a set, as what they mean: `[R, K]` of each.
pub fn meant(set: &LabelledSet, scale: Scale, told: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let (kind, width) = (set.kind(), set.labels().width().max(1));
    let of = |given: &Vec<f32>| {
        let rows = given.chunks(width).flat_map(|row| meaning(kind, scale, row));
        rows.map(|number| number as f32).collect()
    };
    told.iter().map(of).collect()
}

/// By what epochs are better or worse.
#[derive(Debug, Clone, Copy)]
pub enum Ranking {
    /// The loss.
    Loss,
    /// This measure, or the main one.
    Metric(Option<&'static Metric>),
    /// The score of this number of the measure that was brought.
    Brought(usize),
}

/// What is measured of the numbers of a head for all examples kept apart, and how that ranks.
///
/// # Errors
/// Numbers that are none, and whatever goes wrong within a measure that was brought.
pub fn measured(
    targets: &Targets<'_>,
    told: &[Vec<f32>],
    (by, brought): (Ranking, Option<&BroughtMetric>),
) -> anyhow::Result<Measured> {
    let answers = answered(targets.set, (targets.scale, targets.limit), told)?;
    let metrics = Metric::of_subject(answers.subject());
    let measure = |metric: &&'static Metric| (Cow::Borrowed(metric.name), answers.measure(metric).ok());
    let mut values: Vec<_> = metrics.iter().map(measure).collect();
    let value = |metric: &Metric| values.iter().find(|(name, _)| *name == metric.name)?.1;
    // Without a value an epoch is worse than any with one.
    let rank_of = |metric: &'static Metric| value(metric).map_or(f64::MAX, |value| metric.rank(value));
    let main = metrics.first().copied();
    let (mut rank, other) = match by {
        Ranking::Metric(named) => (named.or(main).map(rank_of), None),
        Ranking::Loss => (None, main.map(rank_of)),
        Ranking::Brought(_) => (None, None),
    };
    if let Some(brought) = brought {
        let meant = meant(targets.set, targets.scale, told);
        let found = brought.measure(Judged { set: targets.set, answers: &meant })?;
        if let Ranking::Brought(place) = by {
            rank = Some(brought.rank(place, found.get(place).copied().flatten()));
        }
        values.extend(brought.names().into_iter().map(Cow::Owned).zip(found));
    }
    Ok(Measured { values, rank, other })
}

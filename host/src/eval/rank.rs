//! Measures of order: what is told by scores, whatever their scale.

use super::undefined::{Measured, Times, Undefined, all_finite, same_length};

/// The places of scores from the smallest to the largest; found once, used for every draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<u32>);

impl Order {
    /// The order of finite `scores` `[R]`; of equal ones the first stands first.
    pub fn of(scores: &[f64]) -> Self {
        let mut places: Vec<u32> = (0..).take(scores.len()).collect();
        let score = |place: u32| scores[place as usize];
        // -0 and 0 are the same score.
        places.sort_by(|&one, &other| (score(one) + 0.0).total_cmp(&(score(other) + 0.0)));
        Self(places)
    }

    /// Runs of places with equal scores, from the smallest scores.
    fn ties<'a>(&'a self, scores: &'a [f64]) -> impl DoubleEndedIterator<Item = &'a [u32]> {
        self.0.chunk_by(|&one, &other| scores[one as usize] == scores[other as usize])
    }

    /// Ranks from 1 by `scores`, each counted as often as `times` says; equal scores share the mean of their ranks.
    pub(super) fn mean_ranks(&self, scores: &[f64], times: Times<'_>) -> Vec<f64> {
        let mut ranks = vec![0.0; scores.len()];
        let mut before = 0;
        for tie in self.ties(scores) {
            let here: u64 = tie.iter().map(|&place| times.of(place as usize)).sum();
            let rank = before as f64 + (here as f64 + 1.0) / 2.0;
            tie.iter().for_each(|&place| ranks[place as usize] = rank);
            before += here;
        }
        ranks
    }
}

/// Ranks from 1 of `scores` `[R]`; equal scores share the mean of their ranks.
pub fn mean_ranks(scores: &[f64]) -> Vec<f64> {
    Order::of(scores).mean_ranks(scores, Times::ONCE)
}

/// The chance that a positive has a higher score than a negative, half of it where scores are equal: the area under the
/// curve of true against false positives.
///
/// # Errors
/// [`Undefined`] without positives or without negatives.
pub fn auroc(scores: &[f64], positive: &[bool]) -> Measured {
    same_length(scores.len(), positive.len())?;
    all_finite(scores)?;
    auroc_in(&Order::of(scores), scores, positive, Times::ONCE)
}

pub(super) fn auroc_in(order: &Order, scores: &[f64], positive: &[bool], times: Times<'_>) -> Measured {
    let (mut below, mut positives, mut won) = (0u64, 0u64, 0.0);
    for tie in order.ties(scores) {
        let (mut yes, mut no) = (0, 0);
        for &place in tie {
            let count = times.of(place as usize);
            if positive[place as usize] { yes += count } else { no += count }
        }
        won += yes as f64 * (below as f64 + no as f64 / 2.0);
        below += no;
        positives += yes;
    }
    both_kinds(positives, below)?;
    Ok(won / (positives as f64 * below as f64))
}

/// The mean precision over positives, each at the score where it is first told: the area under the steps of precision
/// against recall, without interpolation.
///
/// # Errors
/// [`Undefined`] without positives or without negatives.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Measured {
    same_length(scores.len(), positive.len())?;
    all_finite(scores)?;
    average_precision_in(&Order::of(scores), scores, positive, Times::ONCE)
}

pub(super) fn average_precision_in(
    order: &Order,
    scores: &[f64],
    positive: &[bool],
    times: Times<'_>,
) -> Measured {
    let (mut told, mut right, mut sum) = (0u64, 0u64, 0.0);
    for tie in order.ties(scores).rev() {
        let mut yes = 0;
        for &place in tie {
            let count = times.of(place as usize);
            told += count;
            if positive[place as usize] {
                yes += count;
            }
        }
        right += yes;
        if yes > 0 {
            sum += yes as f64 * (right as f64 / told as f64);
        }
    }
    both_kinds(right, told - right)?;
    Ok(sum / right as f64)
}

fn both_kinds(positives: u64, negatives: u64) -> Result<(), Undefined> {
    match (positives, negatives) {
        (0, 0) => Err(Undefined::Empty),
        (0, _) => Err(Undefined::NoLabel { class: 1 }),
        (_, 0) => Err(Undefined::OneClass { class: 1 }),
        _ => Ok(()),
    }
}

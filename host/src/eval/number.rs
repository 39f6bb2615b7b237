//! Measures of numbers told for numbers.

use super::rank::Order;
use super::undefined::{Measured, Times, Undefined, all_finite, same_length};

/// Refuses what no measure of numbers has a value for.
fn check(answers: &[f64], labels: &[f64]) -> Result<(), Undefined> {
    same_length(answers.len(), labels.len())?;
    all_finite(answers)?;
    all_finite(labels)
}

/// The mean over rows of a function of answer and label.
fn mean(answers: &[f64], labels: &[f64], times: Times<'_>, of: impl Fn(f64, f64) -> f64) -> Measured {
    let (mut sum, mut count) = (0.0, 0);
    for (row, (&answer, &label)) in answers.iter().zip(labels).enumerate() {
        let here = times.of(row);
        if here > 0 {
            sum += here as f64 * of(answer, label);
            count += here;
        }
    }
    if count == 0 { Err(Undefined::Empty) } else { Ok(sum / count as f64) }
}

/// Whether all that count are the same number.
fn constant(numbers: &[f64], times: Times<'_>) -> bool {
    let mut there =
        numbers.iter().enumerate().filter(|(row, _)| times.of(*row) > 0).map(|(_, number)| number);
    let first = there.next();
    there.all(|number| Some(number) == first)
}

/// The mean squared error.
///
/// # Errors
/// [`Undefined`] of nothing.
pub fn mean_squared_error(answers: &[f64], labels: &[f64]) -> Measured {
    check(answers, labels)?;
    mean_squared_error_of(answers, labels, Times::ONCE)
}

pub(super) fn mean_squared_error_of(answers: &[f64], labels: &[f64], times: Times<'_>) -> Measured {
    mean(answers, labels, times, |answer, label| (answer - label) * (answer - label))
}

/// The mean absolute error.
///
/// # Errors
/// [`Undefined`] of nothing.
pub fn mean_absolute_error(answers: &[f64], labels: &[f64]) -> Measured {
    check(answers, labels)?;
    mean_absolute_error_of(answers, labels, Times::ONCE)
}

pub(super) fn mean_absolute_error_of(answers: &[f64], labels: &[f64], times: Times<'_>) -> Measured {
    mean(answers, labels, times, |answer, label| (answer - label).abs())
}

/// The part of the variance of labels that answers explain: 1 less the mean squared error over the variance.
///
/// # Errors
/// [`Undefined`] of nothing, and of labels that are all the same.
pub fn r_squared(answers: &[f64], labels: &[f64]) -> Measured {
    check(answers, labels)?;
    r_squared_of(answers, labels, Times::ONCE)
}

pub(super) fn r_squared_of(answers: &[f64], labels: &[f64], times: Times<'_>) -> Measured {
    let error = mean_squared_error_of(answers, labels, times)?;
    let middle = mean(answers, labels, times, |_, label| label)?;
    let variance = mean(answers, labels, times, |_, label| (label - middle) * (label - middle))?;
    if constant(labels, times) || variance == 0.0 {
        return Err(Undefined::ConstantLabels);
    }
    Ok(1.0 - error / variance)
}

/// Pearson's correlation.
///
/// # Errors
/// [`Undefined`] of nothing, and where answers or labels are all the same.
pub fn pearson(answers: &[f64], labels: &[f64]) -> Measured {
    check(answers, labels)?;
    pearson_of(answers, labels, Times::ONCE)
}

pub(super) fn pearson_of(answers: &[f64], labels: &[f64], times: Times<'_>) -> Measured {
    let middle = |of: &dyn Fn(f64, f64) -> f64| mean(answers, labels, times, of);
    let (a, l) = (middle(&|answer, _| answer)?, middle(&|_, label| label)?);
    let together = middle(&|answer, label| (answer - a) * (label - l))?;
    let of_answers = middle(&|answer, _| (answer - a) * (answer - a))?;
    let of_labels = middle(&|_, label| (label - l) * (label - l))?;
    if constant(labels, times) || of_labels == 0.0 {
        return Err(Undefined::ConstantLabels);
    }
    if constant(answers, times) || of_answers == 0.0 {
        return Err(Undefined::ConstantAnswers);
    }
    Ok((together / (of_answers.sqrt() * of_labels.sqrt())).clamp(-1.0, 1.0))
}

/// Spearman's correlation: Pearson's of the ranks, where equal numbers share the mean of their ranks.
///
/// # Errors
/// [`Undefined`] of nothing, and where answers or labels are all the same.
pub fn spearman(answers: &[f64], labels: &[f64]) -> Measured {
    check(answers, labels)?;
    spearman_in([&Order::of(answers), &Order::of(labels)], answers, labels, Times::ONCE)
}

/// With the orders of answers and labels.
pub(super) fn spearman_in(
    orders: [&Order; 2],
    answers: &[f64],
    labels: &[f64],
    times: Times<'_>,
) -> Measured {
    pearson_of(&orders[0].mean_ranks(answers, times), &orders[1].mean_ranks(labels, times), times)
}

//! Measures of examples that are of any of several classes.
//!
//! `labels` and `answers` are `[R, K]`: whether each is of each class, and is told so.

use super::confusion::{part, two_by_two};
use super::undefined::{Measured, Times, Undefined, same_length};

/// How often a class is right, told, and both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Labels of the class.
    pub labels: u64,
    /// Answers of it.
    pub answers: u64,
    /// Answers that are right.
    pub both: u64,
    /// All rows.
    pub all: u64,
}

impl Tally {
    /// `2 both / (labels + answers)`.
    ///
    /// # Errors
    /// [`Undefined::NoLabel`] where it is neither right nor told.
    pub fn f1(&self, class: usize) -> Measured {
        part(2 * self.both, self.labels + self.answers, Undefined::NoLabel { class })
    }

    /// The part of its answers that is right.
    ///
    /// # Errors
    /// [`Undefined::NoAnswer`].
    pub fn precision(&self, class: usize) -> Measured {
        part(self.both, self.answers, Undefined::NoAnswer { class })
    }

    /// The part of its labels that is told.
    ///
    /// # Errors
    /// [`Undefined::NoLabel`].
    pub fn recall(&self, class: usize) -> Measured {
        part(self.both, self.labels, Undefined::NoLabel { class })
    }

    /// The part of what is not of the class that is not told to be.
    ///
    /// # Errors
    /// [`Undefined::OneClass`] where everything is of the class.
    pub fn specificity(&self, class: usize) -> Measured {
        let others = self.all - self.labels;
        part(others - (self.answers - self.both), others, Undefined::OneClass { class })
    }

    /// Matthews's correlation.
    ///
    /// # Errors
    /// [`Undefined`] where all or no labels, or answers, are of the class.
    pub fn mcc(&self, class: usize) -> Measured {
        two_by_two(self.all, self.labels, self.answers, self.both, class)
    }
}

/// `[K]` the tallies of all classes.
///
/// # Errors
/// [`Undefined::Lengths`].
pub fn tallies(
    labels: &[bool],
    answers: &[bool],
    classes: usize,
    times: Times<'_>,
) -> Result<Vec<Tally>, Undefined> {
    same_length(answers.len(), labels.len())?;
    let mut tallies = vec![Tally::default(); classes];
    let rows = labels.chunks(classes.max(1)).zip(answers.chunks(classes.max(1)));
    for (row, (labels, answers)) in rows.enumerate() {
        let here = times.of(row);
        for (tally, (&label, &answer)) in tallies.iter_mut().zip(labels.iter().zip(answers)) {
            tally.all += here;
            tally.labels += here * u64::from(label);
            tally.answers += here * u64::from(answer);
            tally.both += here * u64::from(label && answer);
        }
    }
    Ok(tallies)
}

/// F1 of the sums over all classes.
///
/// # Errors
/// [`Undefined`] where nothing is right and nothing told.
pub fn micro_f1(tallies: &[Tally]) -> Measured {
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    part(2 * sum(|tally| tally.both), sum(|tally| tally.labels + tally.answers), Undefined::Empty)
}

/// The mean of a measure over the classes that have one.
///
/// # Errors
/// [`Undefined::NoClass`] where none has.
pub fn mean_of_defined(each: impl Iterator<Item = Measured>) -> Measured {
    let defined: Vec<f64> = each.filter_map(Result::ok).collect();
    if defined.is_empty() {
        return Err(Undefined::NoClass);
    }
    Ok(defined.iter().sum::<f64>() / defined.len() as f64)
}

/// The mean over rows of a part.
fn mean_of_rows(
    (labels, answers): (&[bool], &[bool]),
    classes: usize,
    times: Times<'_>,
    of: impl Fn(&[bool], &[bool]) -> f64,
) -> Measured {
    same_length(answers.len(), labels.len())?;
    let (mut sum, mut count) = (0.0, 0);
    let rows = labels.chunks(classes.max(1)).zip(answers.chunks(classes.max(1)));
    for (row, (labels, answers)) in rows.enumerate() {
        let here = times.of(row);
        sum += here as f64 * of(labels, answers);
        count += here;
    }
    if count == 0 { Err(Undefined::Empty) } else { Ok(sum / count as f64) }
}

/// The mean over rows of the classes both right and told among those right or told; 1 where there are none, as then nothing
/// is wrong.
///
/// # Errors
/// [`Undefined`] of nothing.
pub fn jaccard(labels: &[bool], answers: &[bool], classes: usize, times: Times<'_>) -> Measured {
    mean_of_rows((labels, answers), classes, times, |labels, answers| {
        let count =
            |of: fn(bool, bool) -> bool| labels.iter().zip(answers).filter(|(l, a)| of(**l, **a)).count();
        let (both, any) = (count(|label, answer| label && answer), count(|label, answer| label || answer));
        if any == 0 { 1.0 } else { both as f64 / any as f64 }
    })
}

/// The part of rows where every class is told right.
///
/// # Errors
/// [`Undefined`] of nothing.
pub fn subset_accuracy(labels: &[bool], answers: &[bool], classes: usize, times: Times<'_>) -> Measured {
    mean_of_rows((labels, answers), classes, times, |labels, answers| f64::from(u8::from(labels == answers)))
}

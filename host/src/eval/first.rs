//! The first class of each example, as the published code of symmetry measures examples of several classes (Sledzieski et al.
//! 2024): right is the first of its classes alone (of none, the first of all), told is the likeliest. Means are over the
//! classes that one or the other has, where a part of nothing counts 0; average precision over those that examples have.

use super::confusion::{Confusion, OfClass, largest};
use super::undefined::{Measured, Times, Undefined};

/// The first class of each example, and the likeliest that is told.
pub(super) struct Firsts {
    classes: usize,
    pub(super) labels: Vec<u32>,
    told: Vec<u32>,
}

impl Firsts {
    /// Of `flags` and `scores` `[R, K]`.
    pub(super) fn of(flags: &[bool], scores: &[f64], classes: usize) -> Self {
        let width = classes.max(1);
        // Classes are numbered by u32.
        let first = |flags: &[bool]| flags.iter().position(|&flag| flag).unwrap_or_default() as u32;
        let labels = flags.chunks(width).map(first).collect();
        Self { classes, labels, told: scores.chunks(width).map(|row| largest(row) as u32).collect() }
    }

    pub(super) fn confusion(&self, times: Times<'_>) -> Result<Confusion, Undefined> {
        Confusion::of(&self.labels, &self.told, self.classes, times)
    }

    /// The mean of a measure over the classes that are first or told.
    pub(super) fn mean(&self, measure: OfClass, times: Times<'_>) -> Measured {
        let confusion = self.confusion(times)?;
        let there = (0..self.classes).filter(|&class| confusion.labels(class) + confusion.answers(class) > 0);
        let each: Vec<f64> =
            there.map(|class| confusion.of_class(measure, class).unwrap_or_default()).collect();
        if each.is_empty() { Err(Undefined::Empty) } else { Ok(each.iter().sum::<f64>() / each.len() as f64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_counts_and_no_other() {
        let flags = [false, true, true, false, false, false, true, false, false];
        let scores = [0.1, 0.2, 0.9, 0.3, 0.3, 0.1, 0.8, 0.1, 0.9];
        let firsts = Firsts::of(&flags, &scores, 3);
        assert_eq!((firsts.labels.clone(), firsts.told.clone()), (vec![1, 0, 0], vec![2, 0, 2]));
        // Recalls of the three classes: a half, none, and nothing of nothing.
        assert!((firsts.mean(OfClass::Recall, Times::ONCE).unwrap() - 0.5 / 3.0).abs() < 1e-12);
    }
}

//! Which class was told where which is right, and what follows from that.
//!
//! With `t` the labels of a class, `p` the answers of it, `c` those of both, and `s` all: precision `c/p`, recall `c/t`,
//! F1 `2c/(t+p)`, specificity `(s-t-p+c)/(s-t)`. A mean over classes is over those that labels or answers have; it has no
//! value where one of them has none.

use super::undefined::{Measured, Times, Undefined, same_length};

/// How often each class was told for each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[K, K]` a row for each right class.
    counts: Vec<u64>,
}

/// What is measured of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfClass {
    /// The part of its answers that is right.
    Precision,
    /// The part of its labels that is told.
    Recall,
    /// The harmonic mean of both.
    F1,
    /// The part of other labels for which it is not told.
    Specificity,
    /// Matthews's correlation of being of the class and being told so.
    Mcc,
}

impl Confusion {
    /// `labels` and `answers` `[R]` are numbers of classes below `classes`.
    ///
    /// # Errors
    /// [`Undefined::Lengths`] and [`Undefined::Class`].
    pub fn of(labels: &[u32], answers: &[u32], classes: usize, times: Times<'_>) -> Result<Self, Undefined> {
        same_length(answers.len(), labels.len())?;
        let mut counts = vec![0; classes * classes];
        for (row, (&label, &answer)) in labels.iter().zip(answers).enumerate() {
            let (label, answer) = (label as usize, answer as usize);
            if label >= classes || answer >= classes {
                return Err(Undefined::Class { class: label.max(answer), classes });
            }
            counts[label * classes + answer] += times.of(row);
        }
        Ok(Self { classes, counts })
    }

    /// How often `answer` was told where `label` is right.
    pub fn count(&self, label: usize, answer: usize) -> u64 {
        self.counts.get(label * self.classes + answer).copied().unwrap_or_default()
    }

    /// Labels of a class.
    pub fn labels(&self, class: usize) -> u64 {
        (0..self.classes).map(|answer| self.count(class, answer)).sum()
    }

    /// Answers of a class.
    pub fn answers(&self, class: usize) -> u64 {
        (0..self.classes).map(|label| self.count(label, class)).sum()
    }

    fn all(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn right(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// The part that is right.
    pub fn accuracy(&self) -> Measured {
        part(self.right(), self.all(), Undefined::Empty)
    }

    /// A measure of one class.
    pub fn of_class(&self, measure: OfClass, class: usize) -> Measured {
        let (labels, answers) = (self.labels(class), self.answers(class));
        let (all, both) = (self.all(), self.count(class, class));
        if all == 0 {
            return Err(Undefined::Empty);
        }
        match measure {
            OfClass::Precision => part(both, answers, Undefined::NoAnswer { class }),
            OfClass::Recall => part(both, labels, Undefined::NoLabel { class }),
            OfClass::F1 => part(2 * both, labels + answers, Undefined::NoLabel { class }),
            OfClass::Specificity => {
                part(all + both - labels - answers, all - labels, Undefined::OneClass { class })
            }
            OfClass::Mcc => two_by_two(all, labels, answers, both, class),
        }
    }

    /// The mean of a measure over the classes that labels or answers have.
    pub fn mean(&self, measure: OfClass) -> Measured {
        let there = (0..self.classes).filter(|&class| self.labels(class) + self.answers(class) > 0);
        let each: Vec<f64> = there.map(|class| self.of_class(measure, class)).collect::<Result<_, _>>()?;
        if each.is_empty() { Err(Undefined::Empty) } else { Ok(each.iter().sum::<f64>() / each.len() as f64) }
    }

    /// The mean of the recalls of the classes that labels have.
    pub fn balanced_accuracy(&self) -> Measured {
        let there = (0..self.classes).filter(|&class| self.labels(class) > 0);
        let each: Vec<f64> =
            there.map(|class| self.of_class(OfClass::Recall, class)).collect::<Result<_, _>>()?;
        if each.is_empty() { Err(Undefined::Empty) } else { Ok(each.iter().sum::<f64>() / each.len() as f64) }
    }

    /// A measure of the sums over classes: with one label and one answer each, precision, recall and F1 are the accuracy.
    pub fn pooled(&self, measure: OfClass) -> Measured {
        let (all, right, classes) = (self.all(), self.right(), self.classes as u64);
        match measure {
            OfClass::Precision | OfClass::Recall | OfClass::F1 => self.accuracy(),
            OfClass::Specificity => {
                part(classes * all + right - 2 * all, (classes * all).saturating_sub(all), Undefined::Empty)
            }
            OfClass::Mcc => self.mcc(),
        }
    }

    /// Matthews's correlation of labels and answers, of any number of classes (Gorodkin 2004,
    /// doi:10.1016/j.compbiolchem.2004.09.006).
    pub fn mcc(&self) -> Measured {
        let all = self.all() as f64;
        if all == 0.0 {
            return Err(Undefined::Empty);
        }
        let (mut both, mut labels, mut answers) = (0.0, 0.0, 0.0);
        for class in 0..self.classes {
            let (t, p) = (self.labels(class) as f64, self.answers(class) as f64);
            both += t * p;
            labels += t * t;
            answers += p * p;
        }
        // Whole numbers below 2⁵³ for all that fits into memory, so equality is exact.
        if labels == all * all {
            return Err(Undefined::OneClass { class: self.only(|class| self.labels(class)) });
        }
        if answers == all * all {
            return Err(Undefined::OneAnswer { class: self.only(|class| self.answers(class)) });
        }
        let covariance = self.right() as f64 * all - both;
        Ok(covariance / ((all * all - labels).sqrt() * (all * all - answers).sqrt()))
    }

    fn only(&self, count: impl Fn(usize) -> u64) -> usize {
        (0..self.classes).find(|&class| count(class) > 0).unwrap_or_default()
    }
}

/// Matthews's correlation of two yes-or-no numbers: `labels` and `answers` of `all` are yes, `both` are yes in both.
pub(super) fn two_by_two(all: u64, labels: u64, answers: u64, both: u64, class: usize) -> Measured {
    if all == 0 {
        return Err(Undefined::Empty);
    }
    match (labels, answers) {
        (0, _) => return Err(Undefined::NoLabel { class }),
        (t, _) if t == all => return Err(Undefined::OneClass { class }),
        (_, 0) => return Err(Undefined::NoAnswer { class }),
        (_, p) if p == all => return Err(Undefined::OneAnswer { class }),
        _ => {}
    }
    let [n, t, p, c] = [all, labels, answers, both].map(|count| count as f64);
    Ok((n * c - t * p) / ((t * (n - t)).sqrt() * (p * (n - p)).sqrt()))
}

pub(super) fn part(some: u64, all: u64, without: Undefined) -> Measured {
    if all == 0 { Err(without) } else { Ok(some as f64 / all as f64) }
}

/// The number of the largest of `values`, the first of them where several are; 0 of none.
pub fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (place, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = place;
        }
    }
    best
}

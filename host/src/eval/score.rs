//! Measures of answers with their intervals, and the measures of each class.

use std::cell::RefCell;

use pliant_seq::tables::LabelKind;

use super::answers::Answers;
use super::bootstrap::{Interval, ends};
use super::confusion::OfClass;
use super::metric::{Drawn, Metric, Ready};
use super::undefined::{Measured, Times, Undefined};

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// By which measure.
    pub metric: &'static Metric,
    /// The value, or why there is none.
    pub value: Measured,
    /// Where 95 of 100 draws of examples lie, where there is a value and examples were drawn.
    pub interval: Option<(f64, f64)>,
    /// Draws without a value, which say nothing: many of them make the interval doubtful.
    pub draws_without: u64,
}

/// What was measured of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScore {
    /// Its number.
    pub class: usize,
    /// Labels of it.
    pub labels: u64,
    /// Answers of it.
    pub answers: u64,
    /// The part of its answers that is right.
    pub precision: Measured,
    /// The part of its labels that is told.
    pub recall: Measured,
    /// The harmonic mean of both.
    pub f1: Measured,
    /// Matthews's correlation of being of the class and being told so.
    pub mcc: Measured,
    /// Area under the curve of true against false positives; not of residues.
    pub auroc: Measured,
    /// Average precision; not of residues.
    pub aupr: Measured,
}

impl Answers {
    /// The value of a measure.
    ///
    /// # Errors
    /// [`Undefined`] where it has none.
    pub fn measure(&self, metric: &Metric) -> Measured {
        let once = Drawn { examples: Times::ONCE, rows: Times::ONCE };
        (metric.of)(&Ready::new(self), &once)
    }

    /// The values of measures, with intervals from draws of examples that all measures share. Of pairs whose proteins are
    /// named proteins are drawn, and a pair counts as often as its first protein was drawn times its second (a protein with
    /// itself: as often as the protein), so that intervals tell how far other proteins would carry the values.
    pub fn scores(&self, metrics: &[&'static Metric], interval: &Interval) -> Vec<Score> {
        let ready = Ready::new(self);
        let once = Drawn { examples: Times::ONCE, rows: Times::ONCE };
        let values: Vec<Measured> = metrics.iter().map(|metric| (metric.of)(&ready, &once)).collect();
        let items = self.pairs.as_ref().map_or(self.examples(), |(_, proteins)| *proteins);
        let buffers = RefCell::new((vec![0u32; items], vec![0u32; self.examples()], Vec::new()));
        let drawn: Vec<Vec<Measured>> = interval.draws(items, |items| {
            let (counts, examples, rows) = &mut *buffers.borrow_mut();
            counts.fill(0);
            items.for_each(|item| counts[item] += 1);
            self.count(counts, examples);
            self.spread(examples, rows);
            let drawn = Drawn { examples: Times::new(examples), rows: Times::new(rows) };
            metrics
                .iter()
                .zip(&values)
                .map(|(metric, value)| value.and_then(|_| (metric.of)(&ready, &drawn)))
                .collect()
        });
        let score = |(place, (&metric, value)): (usize, (&&'static Metric, Measured))| {
            let each: Vec<f64> = drawn.iter().filter_map(|draw| draw[place].ok()).collect();
            let draws_without = if value.is_ok() { (drawn.len() - each.len()) as u64 } else { 0 };
            Score { metric, value, interval: if value.is_ok() { ends(each) } else { None }, draws_without }
        };
        metrics.iter().zip(values.iter().copied()).enumerate().map(score).collect()
    }

    /// How often each example counts, where items were drawn so often.
    fn count(&self, items: &[u32], examples: &mut [u32]) {
        let Some((pairs, _)) = &self.pairs else { return examples.copy_from_slice(items) };
        for (times, &[first, second]) in examples.iter_mut().zip(pairs) {
            *times = if first == second { items[first] } else { items[first].saturating_mul(items[second]) };
        }
    }

    /// How often each row counts, where examples count so often.
    fn spread(&self, examples: &[u32], rows: &mut Vec<u32>) {
        rows.clear();
        for (&times, &end) in examples.iter().zip(&self.ends) {
            rows.resize(end, times);
        }
    }

    /// The measures of each class; none of numbers and levels.
    ///
    /// # Errors
    /// [`Undefined`] of nothing.
    pub fn class_scores(&self) -> Result<Vec<ClassScore>, Undefined> {
        let ready = Ready::new(self);
        let once = Drawn { examples: Times::ONCE, rows: Times::ONCE };
        match self.subject.kind {
            LabelKind::Number | LabelKind::Level => Ok(Vec::new()),
            LabelKind::Classes => {
                let tallies = ready.tallies(&once)?;
                let score = |(class, tally): (usize, super::flags::Tally)| ClassScore {
                    class,
                    labels: tally.labels,
                    answers: tally.answers,
                    precision: tally.precision(class),
                    recall: tally.recall(class),
                    f1: tally.f1(class),
                    mcc: tally.mcc(class),
                    auroc: ready.class_auroc(class, Times::ONCE),
                    aupr: ready.class_aupr(class, Times::ONCE),
                };
                Ok(tallies.into_iter().enumerate().map(score).collect())
            }
            LabelKind::Class | LabelKind::Residues => {
                let confusion = ready.confusion(&once)?;
                let score = |class: usize| ClassScore {
                    class,
                    labels: confusion.labels(class),
                    answers: confusion.answers(class),
                    precision: confusion.of_class(OfClass::Precision, class),
                    recall: confusion.of_class(OfClass::Recall, class),
                    f1: confusion.of_class(OfClass::F1, class),
                    mcc: confusion.of_class(OfClass::Mcc, class),
                    auroc: ready.class_auroc(class, Times::ONCE),
                    aupr: ready.class_aupr(class, Times::ONCE),
                };
                Ok((0..self.subject.width).map(score).collect())
            }
        }
    }
}

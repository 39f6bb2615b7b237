//! Measures by their names, for reports and for stopping early.

use pliant_seq::tables::LabelKind;

use super::answers::{Answers, Subject};
use super::confusion::Confusion;
use super::first::Firsts;
use super::flags::{self, Tally};
use super::rank::{Order, auroc_in, average_precision_in};
use super::undefined::{Measured, Times, Undefined};

/// A measure of answers.
pub struct Metric {
    /// Its name: lower-case words with `_` between.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Whether it can be measured of these answers.
    pub(super) there: fn(&Subject) -> bool,
    pub(super) of: fn(&Ready<'_>, &Drawn<'_>) -> Measured,
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.about == other.about
    }
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How often everything counts.
pub(super) struct Drawn<'a> {
    pub(super) examples: Times<'a>,
    pub(super) rows: Times<'a>,
}

/// Answers with all that is found once for many draws.
pub(super) struct Ready<'a> {
    pub(super) answers: &'a Answers,
    /// `[K]` for each class the scores of all rows, their order, and whether each row is of the class.
    columns: Vec<Column>,
    /// `[R, K]` whether an example is told to be of each class.
    pub(super) told_flags: Vec<bool>,
    /// The order of the right numbers.
    labels: Option<Order>,
    /// The first class of each example, where it may be of several.
    firsts: Option<Firsts>,
}

/// One score of all rows.
pub(super) struct Column {
    pub(super) scores: Vec<f64>,
    pub(super) order: Order,
    positive: Vec<bool>,
}

impl Column {
    fn new(scores: Vec<f64>, positive: Vec<bool>) -> Self {
        Self { order: Order::of(&scores), scores, positive }
    }

    fn auroc(&self, times: Times<'_>) -> Measured {
        auroc_in(&self.order, &self.scores, &self.positive, times)
    }

    fn aupr(&self, times: Times<'_>) -> Measured {
        average_precision_in(&self.order, &self.scores, &self.positive, times)
    }
}

impl<'a> Ready<'a> {
    pub(super) fn new(answers: &'a Answers) -> Self {
        let width = answers.subject.width;
        let scores =
            |class: usize| answers.scores.iter().skip(class).step_by(width.max(1)).copied().collect();
        let column = |class: usize, positive: Vec<bool>| Column::new(scores(class), positive);
        let columns = match answers.subject.kind {
            LabelKind::Class => {
                let positive =
                    |class: usize| answers.labels.iter().map(|&label| label as usize == class).collect();
                (0..width).map(|class| column(class, positive(class))).collect()
            }
            LabelKind::Classes => {
                let positive =
                    |class: usize| answers.flags.iter().skip(class).step_by(width.max(1)).copied().collect();
                (0..width).map(|class| column(class, positive(class))).collect()
            }
            LabelKind::Number => vec![column(0, Vec::new())],
            // One scale, and a border above each level but the last.
            LabelKind::Level => {
                let expected = answers.expected_levels();
                let over =
                    |level: usize| answers.labels.iter().map(|&label| label as usize > level).collect();
                (0..width.saturating_sub(1)).map(|level| Column::new(expected.clone(), over(level))).collect()
            }
            LabelKind::Residues => Vec::new(),
        };
        let labels = (!answers.numbers.is_empty()).then(|| Order::of(&answers.numbers));
        let several = answers.subject.kind == LabelKind::Classes;
        let firsts = several.then(|| Firsts::of(&answers.flags, &answers.scores, width));
        Self { answers, columns, told_flags: answers.told_flags(), labels, firsts }
    }

    pub(super) fn firsts(&self) -> Result<&Firsts, Undefined> {
        self.firsts.as_ref().ok_or(Undefined::NotOfTask)
    }

    /// The mean over classes of the average precision of being the first one.
    pub(super) fn first_aupr(&self, times: Times<'_>) -> Measured {
        let firsts = self.firsts()?;
        let of = |(class, column): (usize, &Column)| {
            let positive: Vec<bool> = firsts.labels.iter().map(|&label| label as usize == class).collect();
            average_precision_in(&column.order, &column.scores, &positive, times)
        };
        flags::mean_of_defined(self.columns.iter().enumerate().map(of))
    }

    pub(super) fn confusion(&self, drawn: &Drawn<'_>) -> Result<Confusion, Undefined> {
        Confusion::of(&self.answers.labels, &self.answers.told, self.answers.subject.width, drawn.rows)
    }

    pub(super) fn tallies(&self, drawn: &Drawn<'_>) -> Result<Vec<Tally>, Undefined> {
        flags::tallies(&self.answers.flags, &self.told_flags, self.answers.subject.width, drawn.rows)
    }

    pub(super) fn class_auroc(&self, class: usize, times: Times<'_>) -> Measured {
        self.columns.get(class).ok_or(Undefined::NotOfTask)?.auroc(times)
    }

    pub(super) fn class_aupr(&self, class: usize, times: Times<'_>) -> Measured {
        self.columns.get(class).ok_or(Undefined::NotOfTask)?.aupr(times)
    }

    /// The scale of numbers or levels, with its order and that of the labels.
    pub(super) fn scale(&self) -> Result<(&Column, &Order), Undefined> {
        self.columns.first().zip(self.labels.as_ref()).ok_or(Undefined::Empty)
    }

    pub(super) fn groups(&self, drawn: &Drawn<'_>) -> Measured {
        let (right, told) = self.answers.groups.as_ref().ok_or(Undefined::NotOfTask)?;
        let groups = right.iter().chain(told).max().map_or(1, |&most| most as usize + 1);
        Confusion::of(right, told, groups, drawn.rows)?.accuracy()
    }

    pub(super) fn helices(&self, drawn: &Drawn<'_>, alone: bool) -> Measured {
        if self.answers.subject.membrane.is_none() {
            return Err(Undefined::NotOfTask);
        }
        let (mut right, mut all) = (0, 0);
        for (example, verdict) in self.answers.verdicts.iter().enumerate() {
            let Some(verdict) = verdict.filter(|verdict| verdict.has_helices || !alone) else { continue };
            all += drawn.examples.of(example);
            right += drawn.examples.of(example) * u64::from(verdict.right);
        }
        if all == 0 { Err(Undefined::Empty) } else { Ok(right as f64 / all as f64) }
    }
}

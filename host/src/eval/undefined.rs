//! Measures that have no value, and why.

/// Why a measure has no value. A measure never is 0 or no number in its stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// Nothing was answered, or nothing that counts.
    #[error("there is nothing to measure")]
    Empty,
    /// Every label is of the same class.
    #[error("all labels are of class {class}")]
    OneClass {
        /// Its number.
        class: usize,
    },
    /// Every answer is the same class.
    #[error("all answers are class {class}")]
    OneAnswer {
        /// Its number.
        class: usize,
    },
    /// A class that no label is of.
    #[error("no label is of class {class}")]
    NoLabel {
        /// Its number.
        class: usize,
    },
    /// A class that is never the answer.
    #[error("class {class} is never the answer")]
    NoAnswer {
        /// Its number.
        class: usize,
    },
    /// No class can be measured.
    #[error("no class has labels of both kinds")]
    NoClass,
    /// Every label is the same number.
    #[error("all labels are the same number")]
    ConstantLabels,
    /// Every answer is the same number.
    #[error("all answers are the same number")]
    ConstantAnswers,
    /// An answer or a label that is no finite number.
    #[error("number {row} of the answers and labels is not finite")]
    NotFinite {
        /// Its place, from 0.
        row: usize,
    },
    /// Labels and answers of other numbers.
    #[error("{answers} answers for {labels} labels")]
    Lengths {
        /// Answers.
        answers: usize,
        /// Labels.
        labels: usize,
    },
    /// A class beyond those that there are.
    #[error("class {class} of {classes} classes")]
    Class {
        /// Its number, from 0.
        class: usize,
        /// The classes.
        classes: usize,
    },
    /// The task has not what is measured.
    #[error("the task has not what this measures")]
    NotOfTask,
}

/// A measure, or why it has none.
pub type Measured = Result<f64, Undefined>;

/// How often each row counts: once, or as often as it was drawn.
#[derive(Debug, Clone, Copy)]
pub struct Times<'a>(Option<&'a [u32]>);

impl<'a> Times<'a> {
    /// Every row once.
    pub const ONCE: Times<'static> = Times(None);

    /// As often as `[R]` says.
    pub fn new(times: &'a [u32]) -> Self {
        Self(Some(times))
    }

    /// How often row `row` counts; not at all beyond the last.
    pub fn of(self, row: usize) -> u64 {
        self.0.map_or(1, |times| times.get(row).copied().map_or(0, u64::from))
    }
}

/// Refuses labels and answers of other numbers.
pub(super) fn same_length(answers: usize, labels: usize) -> Result<(), Undefined> {
    if answers == labels { Ok(()) } else { Err(Undefined::Lengths { answers, labels }) }
}

/// Refuses what is no finite number.
pub(super) fn all_finite(numbers: &[f64]) -> Result<(), Undefined> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(row) => Err(Undefined::NotFinite { row }),
        None => Ok(()),
    }
}

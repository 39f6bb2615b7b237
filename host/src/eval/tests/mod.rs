//! Measures against numbers of scikit-learn and SciPy, undefined ones, intervals and baselines.

mod bare;
mod fixture;
mod published;
mod sets;

use pliant_seq::tables::{Label, LabelKind};

use super::{Answers, Metric, Subject, Undefined};

fn subject(kind: LabelKind, width: usize) -> Subject {
    Subject { kind, width, groups: None, membrane: None }
}

/// Answers of probabilities to classes.
fn of_class(width: usize, rows: &[(u32, &[f32])]) -> Answers {
    let mut answers = Answers::new(subject(LabelKind::Class, width));
    rows.iter().for_each(|(label, told)| answers.push(told, Label::Class(*label)).unwrap());
    answers
}

fn measure(answers: &Answers, name: &str) -> Result<f64, Undefined> {
    answers.measure(Metric::named(answers.subject(), name).unwrap())
}

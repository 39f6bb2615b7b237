//! What who knows the labels of training and nothing of the proteins would answer: the number to beat.

use pliant_seq::tables::{Label, LabelledSet, Labels};

use super::answers::{AnswerError, Answers, Subject};

/// Always the same answer: how frequent each class or level is, or the mean number. The likeliest class of it is the most
/// frequent one.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    subject: Subject,
    /// `[K]`
    answer: Vec<f32>,
}

impl Baseline {
    /// Learns the labels of `train`; `IGNORED` residues do not count.
    pub fn of(train: &LabelledSet) -> Self {
        let labels = train.labels();
        let counts = train.counts();
        let part = |count: u64, all: u64| (count as f64 / all.max(1) as f64) as f32;
        let answer = match labels {
            Labels::Number { of } => vec![(of.iter().sum::<f64>() / of.len().max(1) as f64) as f32],
            Labels::Classes { .. } => counts.iter().map(|&count| part(count, train.len() as u64)).collect(),
            _ => {
                let all: u64 = counts.iter().sum();
                // Nothing is known where nothing counts.
                let even = 1.0 / counts.len().max(1) as f32;
                counts.iter().map(|&count| if all == 0 { even } else { part(count, all) }).collect()
            }
        };
        Self { subject: Subject::of(labels), answer }
    }

    /// The answer `[K]`.
    pub fn answer(&self) -> &[f32] {
        &self.answer
    }

    /// The same answer to every example of `test`, or to each of its residues.
    ///
    /// # Errors
    /// [`AnswerError`] where the labels are of another kind or of other classes.
    pub fn answers(&self, test: &LabelledSet) -> Result<Answers, AnswerError> {
        let mut answers = Answers::new(self.subject.clone());
        for example in 0..test.len() {
            match test.label(example) {
                label @ Label::Residues(of) => answers.push(&self.answer.repeat(of.len()), label)?,
                label => answers.push(&self.answer, label)?,
            }
        }
        Ok(answers)
    }
}

//! Answers beside what is right, gathered one by one.

use pliant_seq::tables::{IGNORED, Label, LabelKind, Labels, MOST_RESIDUE_CLASSES};

use super::confusion::largest;
use super::level;
use super::topology::{Grammar, GrammarForm, Roles, Verdict, judge};

/// Sums of probabilities may be off by this, as they are f32.
const SUM_TOLERANCE: f64 = 1e-3;

/// A yes where the probability is at least this.
const YES: f64 = 0.5;

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Numbers that do not fit the labels.
    #[error("example {example}: found {found} numbers, wanted {wanted}")]
    Width {
        /// The example, from 0.
        example: usize,
        /// Numbers of its answer.
        found: usize,
        /// Numbers that its label needs.
        wanted: usize,
    },
    /// A label of another kind, or beyond the classes.
    #[error("example {example}: a label that is none of the task")]
    Label {
        /// The example, from 0.
        example: usize,
    },
    /// A number that is not finite.
    #[error("example {example}: number {place} of the answer is not finite")]
    NotFinite {
        /// The example, from 0.
        example: usize,
        /// The number, from 0.
        place: usize,
    },
    /// Numbers that are no probabilities.
    #[error("example {example}: number {place} of the answer is no probability, or they do not add up to 1")]
    NotProbability {
        /// The example, from 0.
        example: usize,
        /// The number, from 0, or the first of those that do not add up.
        place: usize,
    },
}

/// What answers are about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// What a label is.
    pub kind: LabelKind,
    /// `K`: classes, or levels with level 0; 1 of numbers.
    pub width: usize,
    /// `[K]` the group of each class, where residues are to be measured by groups too.
    pub groups: Option<Vec<u32>>,
    /// Which classes are sides, membrane and signal, and the grammar, where helices are to be measured.
    pub membrane: Option<(Roles, GrammarForm)>,
}

impl Subject {
    /// What `labels` are about. Eight classes of secondary structure named as DSSP does have the three groups helix (G, H,
    /// I), strand (B, E) and coil (S, T, C); classes I, O and M are those of a membrane.
    pub fn of(labels: &Labels) -> Self {
        let kind = labels.kind();
        let classes = labels.classes();
        let width = match labels {
            Labels::Level { highest, .. } => usize::from(*highest) + 1,
            Labels::Number { .. } => 1,
            _ => classes.len(),
        };
        let residues = kind == LabelKind::Residues;
        let groups = residues.then(|| dssp_groups(classes)).flatten();
        let roles = if residues { Roles::of_classes(classes) } else { None };
        Self { kind, width, groups, membrane: roles.map(|roles| (roles, GrammarForm::default())) }
    }
}

/// The groups of DSSP's eight classes, in any order.
fn dssp_groups(classes: &[String]) -> Option<Vec<u32>> {
    let group = |class: &String| match class.as_str() {
        "G" | "H" | "I" => Some(0),
        "B" | "E" => Some(1),
        "S" | "T" | "C" | "L" => Some(2),
        _ => None,
    };
    if classes.len() == 8 { classes.iter().map(group).collect() } else { None }
}

/// Answers and labels of a task, example by example.
#[derive(Debug, Clone)]
pub struct Answers {
    pub(super) subject: Subject,
    grammar: Option<Grammar>,
    /// `[examples]` where the rows of each end: one row each, but for residues one for each that counts.
    pub(super) ends: Vec<usize>,
    /// `[R]` the right class or level.
    pub(super) labels: Vec<u32>,
    /// `[R]` the class or level that is told.
    pub(super) told: Vec<u32>,
    /// `[R]` the right group, and the one that is told.
    pub(super) groups: Option<(Vec<u32>, Vec<u32>)>,
    /// `[R]` the probability of what is right, and of what is told.
    pub(super) chance: Vec<f64>,
    pub(super) sure: Vec<f64>,
    /// `[R, K]` probabilities, or the numbers told; none of residues, of which there are too many.
    pub(super) scores: Vec<f64>,
    /// `[R, K]` whether an example is of each class.
    pub(super) flags: Vec<bool>,
    /// `[R]` the right numbers.
    pub(super) numbers: Vec<f64>,
    /// `[examples]` what was found of the helices of each.
    pub(super) verdicts: Vec<Option<Verdict>>,
    /// `[examples]` the proteins of each, where examples are pairs, and how many proteins there are.
    pub(super) pairs: Option<(Vec<[usize; 2]>, usize)>,
}

impl Answers {
    /// No answers yet.
    pub fn new(subject: Subject) -> Self {
        let groups = subject.groups.as_ref().map(|_| (Vec::new(), Vec::new()));
        Self {
            grammar: subject.membrane.as_ref().map(|(_, form)| Grammar::new(*form)),
            subject,
            ends: Vec::new(),
            labels: Vec::new(),
            told: Vec::new(),
            groups,
            chance: Vec::new(),
            sure: Vec::new(),
            scores: Vec::new(),
            flags: Vec::new(),
            numbers: Vec::new(),
            verdicts: Vec::new(),
            pairs: None,
        }
    }

    /// Names the two proteins of each example among `proteins`: intervals then come of draws of proteins and not of pairs.
    #[must_use]
    pub fn of_pairs(self, pairs: Vec<[usize; 2]>, proteins: usize) -> Self {
        Self { pairs: Some((pairs, proteins)), ..self }
    }

    /// What they are about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Examples so far.
    pub fn examples(&self) -> usize {
        self.ends.len()
    }

    /// Rows so far: examples, or residues that count.
    pub fn rows(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Takes the answer to the next example: a probability `[K]` for each class or level (see
    /// [`level_probabilities`](super::level::level_probabilities)), one for being of each class, a number, or
    /// probabilities `[L, K]` of residues.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing was taken then.
    pub fn push(&mut self, answer: &[f32], label: Label<'_>) -> Result<(), AnswerError> {
        let example = self.examples();
        let rows = if let Label::Residues(labels) = label { labels.len() } else { 1 };
        let (found, wanted) = (answer.len(), rows * self.subject.width);
        if found != wanted {
            return Err(AnswerError::Width { example, found, wanted });
        }
        if let Some(place) = answer.iter().position(|number| !number.is_finite()) {
            return Err(AnswerError::NotFinite { example, place });
        }
        let answer: Vec<f64> = answer.iter().copied().map(f64::from).collect();
        if !self.fits(label) {
            return Err(AnswerError::Label { example });
        }
        self.check_probabilities(&answer)?;
        match label {
            Label::Class(class) => self.push_class(&answer, class),
            Label::Level(level) => self.push_class(&answer, u32::from(level)),
            Label::Classes(flags) => {
                self.flags.extend_from_slice(flags);
                self.scores.extend(answer);
            }
            Label::Number(number) => {
                self.numbers.push(number);
                self.scores.extend(answer);
            }
            Label::Residues(labels) => self.push_residues(&answer, labels),
        }
        let rows = match label {
            Label::Residues(_) => self.labels.len(),
            _ => self.rows() + 1,
        };
        self.ends.push(rows);
        Ok(())
    }

    fn fits(&self, label: Label<'_>) -> bool {
        let width = self.subject.width;
        match (self.subject.kind, label) {
            (LabelKind::Class, Label::Class(class)) => (class as usize) < width,
            (LabelKind::Level, Label::Level(level)) => usize::from(level) < width,
            (LabelKind::Classes, Label::Classes(flags)) => flags.len() == width,
            (LabelKind::Number, Label::Number(number)) => number.is_finite(),
            (LabelKind::Residues, Label::Residues(labels)) => {
                let known =
                    |label: &u8| *label == IGNORED || usize::from(*label) < width.min(MOST_RESIDUE_CLASSES);
                labels.iter().all(known)
            }
            _ => false,
        }
    }

    fn check_probabilities(&self, answer: &[f64]) -> Result<(), AnswerError> {
        if self.subject.kind == LabelKind::Number {
            return Ok(());
        }
        let example = self.examples();
        let outside = |chance: &f64| *chance < 0.0 || *chance > 1.0 + SUM_TOLERANCE;
        if let Some(place) = answer.iter().position(outside) {
            return Err(AnswerError::NotProbability { example, place });
        }
        if self.subject.kind == LabelKind::Classes {
            return Ok(());
        }
        let width = self.subject.width.max(1);
        let off = |row: &[f64]| (row.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE;
        match answer.chunks(width).position(off) {
            Some(row) => Err(AnswerError::NotProbability { example, place: row * width }),
            None => Ok(()),
        }
    }

    fn push_class(&mut self, answer: &[f64], class: u32) {
        self.push_row(answer, class, class as usize);
        self.scores.extend_from_slice(answer);
        if self.subject.kind == LabelKind::Level {
            self.numbers.push(f64::from(class));
        }
    }

    fn push_row(&mut self, row: &[f64], label: u32, place: usize) {
        let told = largest(row);
        self.labels.push(label);
        // Classes are numbered by u32.
        self.told.push(told as u32);
        self.chance.push(row[place]);
        self.sure.push(row[told]);
    }

    fn push_residues(&mut self, answer: &[f64], labels: &[u8]) {
        let width = self.subject.width.max(1);
        for (row, &label) in answer.chunks(width).zip(labels) {
            if label == IGNORED {
                continue;
            }
            self.push_row(row, u32::from(label), usize::from(label));
            if let (Some(of), Some((right, told))) = (&self.subject.groups, &mut self.groups) {
                let mut sums = vec![0.0; of.iter().max().map_or(0, |&most| most as usize + 1)];
                row.iter().zip(of).for_each(|(chance, &group)| sums[group as usize] += chance);
                right.push(of[usize::from(label)]);
                told.push(largest(&sums) as u32);
            }
        }
        if let (Some((roles, _)), Some(grammar)) = (&self.subject.membrane, &self.grammar) {
            self.verdicts.push(judge(grammar, roles, answer, labels));
        }
    }

    /// The expected level `[R]` of each example.
    pub(super) fn expected_levels(&self) -> Vec<f64> {
        self.scores.chunks(self.subject.width.max(1)).map(level::expected_level).collect()
    }

    /// `[R, K]` whether an example is told to be of each class.
    pub(super) fn told_flags(&self) -> Vec<bool> {
        self.scores.iter().map(|&chance| chance >= YES).collect()
    }
}

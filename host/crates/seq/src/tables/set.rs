//! Examples in memory: a byte a residue, one more where residues have labels.

use std::sync::Arc;

use super::labels::{Label, LabelKind, Labels};
use crate::error::RecordError;
use crate::record::Failure;

/// Names the way examples enter the digest; changes when that way changes.
const DOMAIN: &[u8] = b"pliant labelled set 1\n";

/// Texts end to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub(super) fn get(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[number]]
    }
}

/// The proteins of an example, as numbers of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// One protein.
    One(usize),
    /// Two proteins, in their order.
    Two([usize; 2]),
}

impl IntoIterator for Members {
    type Item = usize;
    type IntoIter = std::iter::Take<std::array::IntoIter<usize, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::One(sequence) => [sequence, sequence].into_iter().take(1),
            Self::Two(both) => both.into_iter().take(2),
        }
    }
}

/// Where an example was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u32,
    /// From 1, as the number among all examples of the input is.
    pub(super) line: u64,
    pub(super) record: u64,
}

/// Examples with labels: at least one.
///
/// Sequences are numbered apart from examples, because one protein may be in many pairs. Where examples are single
/// proteins, sequence `i` is that of example `i`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledSet {
    /// Residues of all sequences, end to end.
    pub(super) letters: Vec<u8>,
    /// `[sequences+1]` where each sequence begins in `letters`; the first is 0.
    pub(super) offsets: Vec<usize>,
    /// `[sequences]`
    pub(super) ids: Texts,
    /// `[examples]` the two sequences of each pair; nothing where examples are single proteins.
    pub(super) pairs: Option<Vec<[u32; 2]>>,
    pub(super) labels: Labels,
    /// `[examples]`
    pub(super) weights: Option<Vec<f32>>,
    /// Names of parts, and `[examples]` that of each.
    pub(super) parts: Option<(Vec<String>, Vec<u32>)>,
    /// `[sequences]` what keeps them together.
    pub(super) groups: Option<Texts>,
    pub(super) files: Vec<Arc<str>>,
    /// `[examples]`
    pub(super) places: Vec<Place>,
    pub(super) digest: [u8; 32],
}

impl LabelledSet {
    /// Number of examples, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// What the labels are.
    pub fn kind(&self) -> LabelKind {
        self.labels.kind()
    }

    /// The labels of all examples.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// `[K]` names of the classes; none of numbers and levels.
    pub fn classes(&self) -> &[String] {
        self.labels.classes()
    }

    /// Whether examples are pairs of proteins.
    pub fn are_pairs(&self) -> bool {
        self.pairs.is_some()
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Residues of all sequences together.
    pub fn residues(&self) -> u64 {
        self.letters.len() as u64
    }

    /// Residues `[L]` of a sequence: upper-case letters, at least one.
    ///
    /// # Panics
    /// When there is no such sequence.
    pub fn sequence(&self, number: usize) -> &[u8] {
        &self.letters[self.offsets[number]..self.offsets[number + 1]]
    }

    /// The id of a sequence, or `line<N>` where the input names none.
    ///
    /// # Panics
    /// When there is no such sequence.
    pub fn id(&self, sequence: usize) -> &str {
        self.ids.get(sequence)
    }

    /// What keeps a sequence together with others where some are held out; nothing where the input does not say so.
    pub fn group(&self, sequence: usize) -> Option<&str> {
        self.groups.as_ref().map(|groups| groups.get(sequence))
    }

    /// The sequences of an example.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn members(&self, example: usize) -> Members {
        match &self.pairs {
            None => Members::One(example),
            Some(pairs) => Members::Two(pairs[example].map(|sequence| sequence as usize)),
        }
    }

    /// The name of an example: its id, or the ids of both with a tab between.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn name(&self, example: usize) -> String {
        match self.members(example) {
            Members::One(sequence) => self.id(sequence).to_owned(),
            Members::Two([first, second]) => format!("{}\t{}", self.id(first), self.id(second)),
        }
    }

    /// Residues of the sequences of an example, together.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn example_residues(&self, example: usize) -> usize {
        self.members(example).into_iter().map(|sequence| self.sequence(sequence).len()).sum()
    }

    /// The label of an example.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn label(&self, example: usize) -> Label<'_> {
        match &self.labels {
            Labels::Class { of, .. } => Label::Class(of[example]),
            Labels::Classes { classes, of } => {
                Label::Classes(&of[example * classes.len()..(example + 1) * classes.len()])
            }
            Labels::Number { of } => Label::Number(of[example]),
            Labels::Level { of, .. } => Label::Level(of[example]),
            // Labels of residues are never those of pairs.
            Labels::Residues { of, .. } => {
                Label::Residues(&of[self.offsets[example]..self.offsets[example + 1]])
            }
        }
    }

    /// The weight of an example in the loss: 1 where the input says nothing.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn weight(&self, example: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[example])
    }

    /// Names of the parts, sorted; none where the input says nothing of parts.
    pub fn parts(&self) -> &[String] {
        self.parts.as_ref().map_or(&[], |(names, _)| names)
    }

    /// The part that an example is of.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn part(&self, example: usize) -> Option<&str> {
        self.parts.as_ref().map(|(names, of)| names[of[example] as usize].as_str())
    }

    /// The input and the line, from 1, on which an example begins.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn place(&self, example: usize) -> (&Arc<str>, u64) {
        let place = self.places[example];
        (&self.files[place.file as usize], place.line)
    }

    /// An example's failure, for what goes wrong after it was read.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn failure(&self, example: usize, reason: RecordError) -> Failure {
        let Place { file, line, record } = self.places[example];
        let file = Arc::clone(&self.files[file as usize]);
        Failure { file, line, record, id: self.name(example).replace('\t', "/"), reason }
    }

    /// BLAKE3 over the examples in order: sequences, labels and weights, and the names of the classes, as 64 lower-case
    /// hexadecimal digits. Ids, files, parts and what was left out do not enter.
    pub fn digest(&self) -> String {
        blake3::Hash::from_bytes(self.digest).to_hex().to_string()
    }

    /// How often each class, level or part of a residue's class stands in the labels, `[K]` (levels: highest + 1); ignored
    /// residues are left out. None of numbers.
    pub fn counts(&self) -> Vec<u64> {
        let count = |size: usize, numbers: &mut dyn Iterator<Item = usize>| {
            let mut counts = vec![0; size];
            for number in numbers {
                if let Some(count) = counts.get_mut(number) {
                    *count += 1;
                }
            }
            counts
        };
        match &self.labels {
            Labels::Class { classes, of } => {
                count(classes.len(), &mut of.iter().map(|&class| class as usize))
            }
            Labels::Classes { classes, of } => {
                let width = classes.len().max(1);
                let set = of.iter().enumerate().filter(|(_, is)| **is);
                count(classes.len(), &mut set.map(|(place, _)| place % width))
            }
            Labels::Number { .. } => Vec::new(),
            Labels::Level { highest, of } => {
                count(usize::from(*highest) + 1, &mut of.iter().map(|&level| usize::from(level)))
            }
            Labels::Residues { alphabet, of } => {
                count(alphabet.classes().len(), &mut of.iter().map(|&class| usize::from(class)))
            }
        }
    }

    /// Puts the digest of what the set holds into its place.
    pub(super) fn sealed(mut self) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        let text = |hasher: &mut blake3::Hasher, bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        text(&mut hasher, self.kind().to_string().as_bytes());
        self.classes().iter().for_each(|class| text(&mut hasher, class.as_bytes()));
        // A protein of many pairs is long, and its hash is not.
        let sequences: Vec<blake3::Hash> =
            (0..self.sequences()).map(|at| blake3::hash(self.sequence(at))).collect();
        for example in 0..self.len() {
            for sequence in self.members(example) {
                hasher.update(sequences[sequence].as_bytes());
            }
            match self.label(example) {
                Label::Class(class) => hasher.update(&class.to_le_bytes()),
                Label::Classes(of) => hasher.update(&of.iter().map(|&is| u8::from(is)).collect::<Vec<u8>>()),
                Label::Number(number) => hasher.update(&number.to_le_bytes()),
                Label::Level(level) => hasher.update(&[level]),
                Label::Residues(of) => hasher.update(of),
            };
            hasher.update(&self.weight(example).to_le_bytes());
        }
        self.digest = *hasher.finalize().as_bytes();
        self
    }
}

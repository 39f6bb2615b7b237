//! What is known of examples.

use std::fmt;

/// The label of a residue of which nothing is known, or that does not count.
pub const IGNORED: u8 = u8::MAX;

/// Classes of residues at most: their numbers are bytes, and one is [`IGNORED`].
pub const MOST_RESIDUE_CLASSES: usize = IGNORED as usize;

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// One of several classes.
    Class,
    /// Any of several classes, none too.
    Classes,
    /// A number.
    Number,
    /// One of ordered levels, from 0.
    Level,
    /// One of several classes for every residue.
    Residues,
}

impl fmt::Display for LabelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "class",
            Self::Classes => "classes",
            Self::Number => "number",
            Self::Level => "level",
            Self::Residues => "residues",
        })
    }
}

/// The label of one example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Label<'a> {
    /// The number of its class.
    Class(u32),
    /// `[K]` whether it is of each class.
    Classes(&'a [bool]),
    /// Its number, finite.
    Number(f64),
    /// Its level.
    Level(u8),
    /// `[L]` the number of each residue's class, or [`IGNORED`].
    Residues(&'a [u8]),
}

/// The labels of all examples, in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// A class each.
    Class {
        /// `[K]` names of the classes, sorted.
        classes: Vec<String>,
        /// `[examples]` numbers of classes.
        of: Vec<u32>,
    },
    /// Any of the classes each.
    Classes {
        /// `[K]` names of the classes, sorted.
        classes: Vec<String>,
        /// `[examples, K]`
        of: Vec<bool>,
    },
    /// A number each.
    Number {
        /// `[examples]` finite numbers.
        of: Vec<f64>,
    },
    /// A level each.
    Level {
        /// The highest level there can be; the lowest is 0.
        highest: u8,
        /// `[examples]`
        of: Vec<u8>,
    },
    /// A class for each residue.
    Residues {
        /// What the letters of labels mean; its classes in order.
        alphabet: ResidueAlphabet,
        /// `[residues]` of all examples end to end, as their sequences are.
        of: Vec<u8>,
    },
}

impl Labels {
    /// What the labels are.
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Class { .. } => LabelKind::Class,
            Self::Classes { .. } => LabelKind::Classes,
            Self::Number { .. } => LabelKind::Number,
            Self::Level { .. } => LabelKind::Level,
            Self::Residues { .. } => LabelKind::Residues,
        }
    }

    /// `[K]` names of the classes; none of numbers and levels.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Class { classes, .. } | Self::Classes { classes, .. } => classes,
            Self::Residues { alphabet, .. } => &alphabet.classes,
            Self::Number { .. } | Self::Level { .. } => &[],
        }
    }

    /// How many numbers a model has to give for an example, or for a residue: a class each, the cumulative levels above
    /// 0, or one.
    pub fn width(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Level { highest, .. } => usize::from(*highest),
            _ => self.classes().len(),
        }
    }
}

/// What the letters of a string of residue labels mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResidueAlphabet {
    /// `[K]` names of the classes.
    classes: Vec<String>,
    /// The class of each byte, [`IGNORED`], or nothing.
    letters: Box<[Option<u8>; 256]>,
}

impl ResidueAlphabet {
    /// Classes with the letters that stand for each, and the letters of residues of which nothing is known. A letter that
    /// stands for two things has the last meaning. Beyond [`MOST_RESIDUE_CLASSES`] classes are left out.
    pub fn new(classes: &[(&str, &[u8])], ignored: &[u8]) -> Self {
        let mut letters = Box::new([None; 256]);
        let (mut names, classes) = (Vec::new(), classes.iter().take(MOST_RESIDUE_CLASSES));
        for (number, (name, own)) in (0u8..).zip(classes) {
            names.push((*name).to_owned());
            own.iter().for_each(|&letter| letters[usize::from(letter)] = Some(number));
        }
        ignored.iter().for_each(|&letter| letters[usize::from(letter)] = Some(IGNORED));
        Self { classes: names, letters }
    }

    /// A class for each letter, by its name.
    pub fn of_letters(letters: &str, ignored: &[u8]) -> Self {
        let names: Vec<String> = letters.chars().map(String::from).collect();
        let classes: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
        Self::new(&classes, ignored)
    }

    /// `[K]` names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class that a letter stands for, or [`IGNORED`]; nothing where the letter is none of the alphabet.
    pub fn class(&self, letter: u8) -> Option<u8> {
        self.letters[usize::from(letter)]
    }

    /// Every letter that means something, in the order of their bytes.
    pub fn letters(&self) -> String {
        let known = (0u8..=255).filter(|&letter| self.class(letter).is_some());
        known.map(char::from).collect()
    }
}

/// Sorts names of classes: as numbers where all of them are whole numbers, else by their bytes; each once.
pub(super) fn sort_classes(names: &mut Vec<String>) {
    let number = |name: &String| name.parse::<i64>().ok();
    if names.iter().all(|name| number(name).is_some()) {
        names.sort_by_key(|name| (number(name), name.clone()));
    } else {
        names.sort();
    }
    names.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_mean_classes_or_nothing_known() {
        let alphabet = ResidueAlphabet::new(&[("inside", b"1"), ("helix", b"Hh")], b"U");
        assert_eq!(
            b"1HhUx".map(|letter| alphabet.class(letter)),
            [Some(0), Some(1), Some(1), Some(IGNORED), None]
        );
        assert_eq!(
            (alphabet.classes(), alphabet.letters().as_str()),
            (&["inside".to_owned(), "helix".to_owned()][..], "1HUh")
        );
        let digits = ResidueAlphabet::of_letters("01234567", b"");
        assert_eq!((digits.classes().len(), digits.class(b'7'), digits.class(b'8')), (8, Some(7), None));
    }

    #[test]
    fn classes_are_sorted_as_what_they_are() {
        let sorted = |names: &[&str]| {
            let mut names = names.iter().map(|name| (*name).to_owned()).collect();
            sort_classes(&mut names);
            names
        };
        assert_eq!(sorted(&["10", "2", "1", "2"]), ["1", "2", "10"]);
        assert_eq!(sorted(&["b", "a", "10", "2", "a"]), ["10", "2", "a", "b"]);
    }
}

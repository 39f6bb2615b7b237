//! Symmetries of homo-oligomers as the eighteen classes that were published for them.

use super::intake::{cell, shown};
use crate::error::RecordError;

/// The classes, in the order in which a published head tells them.
pub const SYMMETRIES: [&str; 18] = [
    "C1", "C2", "C3", "C4", "C5", "C6", "C7-C9", "C10-C17", "D2", "D3", "D4", "D5", "D6-D12", "H", "O", "T",
    "I", "other",
];

/// How a symmetry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymmetryWords {
    /// By its group, as `C2`, `D3` or `O`; several with spaces between. A group that has no class of its own is `other`.
    Groups,
    /// A whole number of at least 1: the order of a cyclic group.
    Orders,
}

/// The class of a group.
fn class_of(group: &str) -> &'static str {
    let order = |letter: char| group.strip_prefix(letter).and_then(|order| order.parse::<u32>().ok());
    let plain = SYMMETRIES.iter().find(|class| **class == group);
    match (plain, order('C'), order('D')) {
        (Some(class), ..) => class,
        (_, Some(7..=9), _) => "C7-C9",
        (_, Some(10..=17), _) => "C10-C17",
        (_, _, Some(6..=12)) => "D6-D12",
        _ => "other",
    }
}

impl SymmetryWords {
    /// The classes that a cell names, sorted.
    pub(super) fn classes(self, name: &str, text: &str) -> Result<Vec<String>, RecordError> {
        let mut classes: Vec<String> = match self {
            Self::Groups => text.split_whitespace().map(|group| class_of(group).to_owned()).collect(),
            Self::Orders => {
                let order = text.parse::<u32>().ok().filter(|order| *order > 0);
                let wanted = "the order of a cyclic symmetry, a whole number of at least 1";
                let order = order.ok_or_else(|| cell(name, &shown(text.as_bytes()), wanted))?;
                vec![class_of(&format!("C{order}")).to_owned()]
            }
        };
        if classes.is_empty() {
            return Err(cell(name, &shown(text.as_bytes()), "symmetries, as C2 or 'C3 D3'"));
        }
        classes.sort();
        classes.dedup();
        Ok(classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_published_classes() {
        let of = |text: &str| SymmetryWords::Groups.classes("symmetry", text).unwrap();
        for (group, class) in [
            ("C1", 0),
            ("C6", 5),
            ("C7", 6),
            ("C9", 6),
            ("C10", 7),
            ("C17", 7),
            ("C18", 17),
            ("D2", 8),
            ("D5", 11),
            ("D6", 12),
            ("D12", 12),
            ("D13", 17),
            ("H", 13),
            ("O", 14),
            ("T", 15),
            ("I", 16),
            ("c2", 17),
            ("helical", 17),
        ] {
            assert_eq!(of(group), [SYMMETRIES[class]], "{group}");
        }
        assert_eq!(of(" D3  C3 C3 "), ["C3", "D3"]);
        let order = |text: &str| SymmetryWords::Orders.classes("order", text);
        assert_eq!((order("8").unwrap(), order("33").unwrap()), (vec!["C7-C9".into()], vec!["other".into()]));
        for bad in ["0", "C2", "", "-1"] {
            let error = order(bad).unwrap_err().to_string();
            assert!(error.contains("order") && error.contains("at least 1"), "{error}");
        }
        assert!(SymmetryWords::Groups.classes("symmetry", " ").is_err());
    }
}

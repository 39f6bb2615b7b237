//! Helices through a membrane: the likeliest path that a protein can take, and whether its helices are the right ones.
//!
//! A protein runs inside, outside and through the membrane by helices of a fixed length, each of which leads to the other
//! side; a signal peptide may stand before. The likeliest such path is found with Viterbi's algorithm (Viterbi 1967,
//! doi:10.1109/TIT.1967.1054010) over the states of [`Grammar`].

mod grammar;
#[cfg(test)]
mod tests;

pub use grammar::{Grammar, GrammarForm, HELIX};

use std::ops::Range;

use pliant_seq::tables::IGNORED;

/// Residues that a told helix must share with the right one.
pub const LEAST_OVERLAP: usize = 5;

/// Where a residue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the inner side.
    Inner,
    /// On the outer side.
    Outer,
    /// Within the membrane.
    Membrane,
    /// In a signal peptide.
    Signal,
}

/// Which classes of a task are which places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// The class of the inner side.
    pub inner: usize,
    /// The class of the outer side.
    pub outer: usize,
    /// The class of helices.
    pub membrane: usize,
    /// The class of signal peptides, where the task has one.
    pub signal: Option<usize>,
}

impl Roles {
    /// The roles of classes named `I`, `O`, `M` and, where it is there, `S`; nothing where one is missing.
    pub fn of_classes(classes: &[String]) -> Option<Self> {
        let class = |name: &str| classes.iter().position(|class| class == name);
        Some(Self { inner: class("I")?, outer: class("O")?, membrane: class("M")?, signal: class("S") })
    }

    /// The place of a class; nothing for others, and where nothing is known.
    fn place(&self, class: u8) -> Option<Place> {
        let class = usize::from(class);
        match class {
            _ if class == self.inner => Some(Place::Inner),
            _ if class == self.outer => Some(Place::Outer),
            _ if class == self.membrane => Some(Place::Membrane),
            _ if Some(class) == self.signal => Some(Place::Signal),
            _ => None,
        }
    }
}

/// Helices of `places` `[L]`: runs within the membrane.
pub fn helices(places: &[Option<Place>], form: GrammarForm) -> Vec<Range<usize>> {
    let mut helices = Vec::new();
    let mut begun = None;
    for (at, place) in places.iter().enumerate() {
        match (begun, *place == Some(Place::Membrane)) {
            (None, true) => begun = Some(at),
            // As published, one that begins with the protein never ends, so no helix is found at all.
            (Some(0), false) if form == GrammarForm::Published => {}
            (Some(start), false) => {
                helices.push(start..at);
                begun = None;
            }
            _ => {}
        }
    }
    match begun {
        Some(0) if form == GrammarForm::Published => {}
        Some(start) => helices.push(start..places.len()),
        None => {}
    }
    helices
}

/// Whether told helices are the right ones: as many, and each shares at least [`LEAST_OVERLAP`] residues with its own.
pub fn same_helices(told: &[Range<usize>], right: &[Range<usize>]) -> bool {
    let shared = |told: &Range<usize>, right: &Range<usize>| {
        told.end.min(right.end).saturating_sub(told.start.max(right.start))
    };
    told.len() == right.len()
        && told.iter().zip(right).all(|(told, right)| shared(told, right) >= LEAST_OVERLAP)
}

/// What is found of one protein.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether its helices are told right.
    pub right: bool,
    /// Whether it has any.
    pub has_helices: bool,
}

/// Judges the probabilities `[L, K]` of a protein of labels `[L]`; nothing where no label is known. A told helix of which
/// nothing is known for more than half of its residues is not counted, as nobody can say that it is wrong.
pub fn judge(grammar: &Grammar, roles: &Roles, probabilities: &[f64], labels: &[u8]) -> Option<Verdict> {
    let form = grammar.form();
    if labels.iter().all(|&label| label == IGNORED) {
        return None;
    }
    let classes = probabilities.len() / labels.len().max(1);
    let path: Vec<Option<Place>> =
        grammar.path(roles, probabilities, classes).into_iter().map(Some).collect();
    let known: Vec<Option<Place>> = labels.iter().map(|&label| roles.place(label)).collect();
    let mut told = helices(&path, form);
    if form == GrammarForm::Corrected {
        let unknown =
            |helix: &Range<usize>| labels[helix.clone()].iter().filter(|&&label| label == IGNORED).count();
        told.retain(|helix| 2 * unknown(helix) <= helix.len());
    }
    let right = helices(&known, form);
    Some(Verdict { right: same_helices(&told, &right), has_helices: !right.is_empty() })
}

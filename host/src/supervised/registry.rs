//! Every task, one row each.

use pliant_models::heads::HeadKind;
use pliant_seq::tables::{SetOptions, forms};

/// A task: what is asked, and how its examples stand in files where nobody says otherwise.
#[derive(Debug)]
pub struct Task {
    /// Its name on the command line and in the folder of a head.
    pub name: &'static str,
    /// What is asked.
    pub about: &'static str,
    /// What a head is asked about.
    pub kind: HeadKind,
    /// How labels are written in tables.
    pub label: Written,
    /// The columns of tables.
    pub columns: Columns,
    /// How examples stand in FASTA, where they can.
    pub fasta: Option<fn() -> SetOptions>,
}

/// How labels are written.
#[derive(Debug, Clone, Copy)]
pub enum Written {
    /// The name of a class; of these, or of those that are found.
    Class(&'static [&'static str]),
    /// Names of classes with this between them.
    Classes(char),
    /// A number.
    Number,
    /// A level from 0 to this.
    Level(u8),
    /// A letter for each residue: classes with their letters, and the letters of which nothing is known.
    Residues(&'static [(&'static str, &'static str)], &'static str),
}

/// The columns of a table; what is named in [`Columns::id`] and below need not be there.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// Sequences: one, or two of pairs.
    pub sequences: &'static [&'static str],
    /// Labels.
    pub label: &'static str,
    /// What names an example, or the two proteins of a pair.
    pub id: &'static [&'static str],
    /// Residues that count.
    pub mask: Option<&'static str>,
}

/// Columns of one protein with one label.
const fn columns(label: &'static str) -> Columns {
    Columns { sequences: &["sequence"], label, id: &["id"], mask: None }
}

/// Columns of a pair.
const fn pair(sequences: &'static [&'static str], label: &'static str) -> Columns {
    Columns { sequences, label, id: &["id_a", "id_b"], mask: None }
}

const SS3: &[(&str, &str)] = &[("H", "H"), ("E", "E"), ("C", "C")];

/// Inside, outside, helices of either direction, signal peptides; strands of barrels are no helices and do not count.
const TOPOLOGY: &[(&str, &str)] = &[("I", "1"), ("O", "2"), ("M", "Hh"), ("S", "S")];

/// Every task.
pub static TASKS: [Task; 13] = [
    Task {
        name: "homology",
        about: "levels of structure that two domains share (pairs; 0 to 4)",
        kind: HeadKind::Symmetric,
        label: Written::Level(forms::SCOP_LEVELS),
        columns: pair(&["sequence_A", "sequence_B"], "level"),
        fasta: None,
    },
    Task {
        name: "solubility",
        about: "soluble or not (0 or 1)",
        kind: HeadKind::Sequence,
        label: Written::Class(&["0", "1"]),
        columns: columns("soluble"),
        fasta: Some(forms::plus_solubility),
    },
    Task {
        name: "localization",
        about: "all places of a protein (several, with | between)",
        kind: HeadKind::Sequence,
        label: Written::Classes('|'),
        columns: Columns { id: &["accession"], ..columns("labels") },
        fasta: Some(forms::plus_localization),
    },
    Task {
        name: "localization-single",
        about: "the place of a protein",
        kind: HeadKind::Sequence,
        label: Written::Class(&[]),
        columns: Columns { id: &["accession"], ..columns("location") },
        fasta: Some(forms::plus_localization),
    },
    Task {
        name: "stability",
        about: "stability of a protein (a number)",
        kind: HeadKind::Sequence,
        label: Written::Number,
        columns: Columns { id: &["round", "name"], ..columns("stability_score") },
        fasta: Some(forms::plus_regression),
    },
    Task {
        name: "fluorescence",
        about: "logarithm of the brightness of a mutant (a number)",
        kind: HeadKind::Sequence,
        label: Written::Number,
        columns: columns("log10_brightness"),
        fasta: Some(forms::plus_regression),
    },
    Task {
        name: "secstr",
        about: "secondary structure of residues (3 classes, 8 of ss8 and of FASTA)",
        kind: HeadKind::Residue,
        label: Written::Residues(SS3, ""),
        columns: Columns { mask: Some("resolved_mask"), ..columns("ss3") },
        fasta: Some(forms::plus_secondary_structure),
    },
    Task {
        name: "transmembrane",
        about: "where residues stand to a membrane",
        kind: HeadKind::Residue,
        label: Written::Residues(TOPOLOGY, "UBb"),
        columns: columns("labels"),
        fasta: Some(forms::plus_transmembrane),
    },
    Task {
        name: "classification",
        about: "one of any classes",
        kind: HeadKind::Sequence,
        label: Written::Class(&[]),
        columns: columns("label"),
        fasta: None,
    },
    Task {
        name: "multilabel",
        about: "any of any classes",
        kind: HeadKind::Sequence,
        label: Written::Classes('|'),
        columns: columns("label"),
        fasta: None,
    },
    Task {
        name: "regression",
        about: "any number",
        kind: HeadKind::Sequence,
        label: Written::Number,
        columns: columns("label"),
        fasta: Some(forms::plus_regression),
    },
    Task {
        name: "residue",
        about: "one of any classes for each residue (data.letters names them)",
        kind: HeadKind::Residue,
        label: Written::Residues(&[], ""),
        columns: columns("label"),
        fasta: None,
    },
    Task {
        name: "pair",
        about: "one of any classes of a pair",
        kind: HeadKind::Symmetric,
        label: Written::Class(&[]),
        columns: pair(&["sequence_a", "sequence_b"], "label"),
        fasta: None,
    },
];

/// Letters of the eight classes of secondary structure, in PLUS's order.
pub const SS8: &str = "GHIBESTC";

/// The column of labels that has them.
pub const SS8_COLUMN: &str = "ss8";

/// The task of that name.
pub fn find(name: &str) -> Option<&'static Task> {
    TASKS.iter().find(|task| task.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for task in &TASKS {
            assert!(std::ptr::eq(find(task.name).unwrap(), task), "{}", task.name);
            assert_eq!(task.columns.sequences.len() == 2, task.kind == HeadKind::Symmetric, "{}", task.name);
        }
        assert!(find("mlm").is_none());
    }
}

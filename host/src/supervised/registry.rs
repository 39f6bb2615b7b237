//! Every task, one row each.

use pliant_models::heads::HeadKind;
use pliant_seq::tables::{SetOptions, SymmetryWords, forms};

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
    /// Other columns that tables are known to have instead.
    pub others: &'static [Other],
    /// How examples stand in FASTA, where they can.
    pub fasta: Option<fn() -> SetOptions>,
}

/// Columns that some published tables of a task have, and how labels are written there.
#[derive(Debug)]
pub struct Other {
    /// The columns.
    pub columns: Columns,
    /// How labels are written in them.
    pub label: Written,
}

/// How labels are written.
#[derive(Debug, Clone, Copy)]
pub enum Written {
    /// The name of a class; of these, or of those that are found.
    Class(&'static [&'static str]),
    /// Names of classes with this between them.
    Classes(char),
    /// Symmetries of homo-oligomers.
    Symmetries(SymmetryWords),
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
    /// The columns of a table without a line of names.
    pub headless: Option<&'static [&'static str]>,
}

/// Columns of one protein with one label.
const fn columns(label: &'static str) -> Columns {
    Columns { sequences: &["sequence"], label, id: &["id"], mask: None, headless: None }
}

/// Columns of a pair.
const fn pair(sequences: &'static [&'static str], label: &'static str) -> Columns {
    Columns { sequences, label, id: &["id_a", "id_b"], mask: None, headless: None }
}

const SS3: &[(&str, &str)] = &[("H", "H"), ("E", "E"), ("C", "C")];

/// Inside, outside, helices of either direction, signal peptides; strands of barrels are no helices and do not count.
const TOPOLOGY: &[(&str, &str)] = &[("I", "1"), ("O", "2"), ("M", "Hh"), ("S", "S")];

/// Every task.
pub static TASKS: [Task; 17] = [
    Task {
        name: "homology",
        about: "levels of structure that two domains share (pairs; 0 to 4)",
        kind: HeadKind::Symmetric,
        label: Written::Level(forms::SCOP_LEVELS),
        columns: pair(&["sequence_A", "sequence_B"], "level"),
        others: &[],
        fasta: None,
    },
    Task {
        name: "solubility",
        about: "soluble or not (0 or 1)",
        kind: HeadKind::Sequence,
        label: Written::Class(&["0", "1"]),
        columns: columns("soluble"),
        others: &[],
        fasta: Some(forms::plus_solubility),
    },
    Task {
        name: "localization",
        about: "all places of a protein (several, with | between)",
        kind: HeadKind::Sequence,
        label: Written::Classes('|'),
        columns: Columns { id: &["accession"], ..columns("labels") },
        others: &[],
        fasta: Some(forms::plus_localization),
    },
    Task {
        name: "localization-single",
        about: "the place of a protein",
        kind: HeadKind::Sequence,
        label: Written::Class(&[]),
        columns: Columns { id: &["accession"], ..columns("location") },
        others: &[],
        fasta: Some(forms::plus_localization),
    },
    Task {
        name: "stability",
        about: "stability of a protein (a number)",
        kind: HeadKind::Sequence,
        label: Written::Number,
        columns: Columns { id: &["round", "name"], ..columns("stability_score") },
        others: &[],
        fasta: Some(forms::plus_regression),
    },
    Task {
        name: "fluorescence",
        about: "logarithm of the brightness of a mutant (a number)",
        kind: HeadKind::Sequence,
        label: Written::Number,
        columns: columns("log10_brightness"),
        others: &[],
        fasta: Some(forms::plus_regression),
    },
    Task {
        name: "secstr",
        about: "secondary structure of residues (3 classes, 8 of ss8 and of FASTA)",
        kind: HeadKind::Residue,
        label: Written::Residues(SS3, ""),
        columns: Columns { mask: Some("resolved_mask"), ..columns("ss3") },
        others: &[],
        fasta: Some(forms::plus_secondary_structure),
    },
    Task {
        name: "transmembrane",
        about: "where residues stand to a membrane",
        kind: HeadKind::Residue,
        label: Written::Residues(TOPOLOGY, "UBb"),
        columns: columns("labels"),
        others: &[],
        fasta: Some(forms::plus_transmembrane),
    },
    Task {
        name: "classification",
        about: "one of any classes",
        kind: HeadKind::Sequence,
        label: Written::Class(&[]),
        columns: columns("label"),
        others: &[],
        fasta: None,
    },
    Task {
        name: "multilabel",
        about: "any of any classes",
        kind: HeadKind::Sequence,
        label: Written::Classes('|'),
        columns: columns("label"),
        others: &[],
        fasta: None,
    },
    Task {
        name: "regression",
        about: "any number",
        kind: HeadKind::Sequence,
        label: Written::Number,
        columns: columns("label"),
        others: &[],
        fasta: Some(forms::plus_regression),
    },
    Task {
        name: "residue",
        about: "one of any classes for each residue (data.letters names them)",
        kind: HeadKind::Residue,
        label: Written::Residues(&[], ""),
        columns: columns("label"),
        others: &[],
        fasta: None,
    },
    Task {
        name: "pair",
        about: "one of any classes of a pair",
        kind: HeadKind::Symmetric,
        label: Written::Class(&[]),
        columns: pair(&["sequence_a", "sequence_b"], "label"),
        others: &[],
        fasta: None,
    },
    Task {
        name: "ppi",
        about: "whether two proteins interact (pairs; 0 or 1)",
        kind: HeadKind::Symmetric,
        label: Written::Class(&["0", "1"]),
        columns: Columns {
            headless: Some(&["id_a", "id_b", "label"]),
            ..pair(&["sequence_a", "sequence_b"], "label")
        },
        others: &[Other {
            columns: Columns { id: &["p0", "p1"], ..pair(&["s0", "s1"], "label") },
            label: Written::Class(&["0", "1"]),
        }],
        fasta: None,
    },
    Task {
        name: "interaction-types",
        about: "in which ways two proteins interact (pairs; several, with , between)",
        kind: HeadKind::Symmetric,
        label: Written::Classes(','),
        columns: pair(&["sequence_a", "sequence_b"], "types"),
        others: &[],
        fasta: None,
    },
    Task {
        name: "symmetry",
        about: "symmetries of a homo-oligomer (several of 18 classes, with spaces between)",
        kind: HeadKind::Sequence,
        label: Written::Symmetries(SymmetryWords::Groups),
        columns: columns("label"),
        others: &[Other {
            columns: Columns {
                sequences: &["protomer_sequence"],
                ..columns("cyclic_symmetry_order_designed")
            },
            label: Written::Symmetries(SymmetryWords::Orders),
        }],
        fasta: None,
    },
    Task {
        name: "oligomeric-state",
        about: "how many identical chains a protein is made of",
        kind: HeadKind::Sequence,
        label: Written::Class(&[]),
        columns: Columns { id: &["accession"], ..columns("n_subunits") },
        others: &[],
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

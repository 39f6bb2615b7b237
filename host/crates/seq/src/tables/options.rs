//! How examples stand in their files, and what their labels are.

use std::sync::Arc;

use super::labels::{LabelKind, ResidueAlphabet};
use super::proteins::Proteins;
use super::symmetry::SymmetryWords;
use crate::reader::DEFAULT_MAX_RESIDUES;

/// How a set of examples is read.
#[derive(Debug, Clone, PartialEq)]
pub struct SetOptions {
    /// How examples stand in the files.
    pub form: Form,
    /// What their labels are.
    pub label: LabelForm,
    /// Longer sequences fail.
    pub max_residues: u32,
}

impl SetOptions {
    /// Options with the limit of length that holds where the user names none.
    pub fn new(form: Form, label: LabelForm) -> Self {
        Self { form, label, max_residues: DEFAULT_MAX_RESIDUES }
    }
}

/// How examples stand in their files.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A table, `.csv` or `.tsv`, whose first line names the columns.
    Table(Box<Columns>),
    /// FASTA whose headers hold the label: `>id label`.
    Headers(HeaderLabel),
    /// FASTA with two records for each protein: `>name:sequence`, and below `>name:secstr` a label letter for each residue.
    RecordPairs,
    /// Three lines for each protein: `>id`, its residues, a label letter for each.
    ThreeLines,
}

/// Where in a header the label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderLabel {
    /// The last word instead of the second.
    pub last: bool,
    /// The label ends before this character: `Cytoplasm-U` is `Cytoplasm` with `-`.
    pub until: Option<char>,
}

/// The columns of a table that mean something. Others may be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// Where the proteins of an example are.
    pub proteins: ProteinColumns,
    /// The column of the label. Several columns with 0 or 1 each are possible where an example has any of several classes;
    /// the classes then have the names of their columns.
    pub label: Vec<String>,
    /// The columns that name an example, joined with `/`; without any it is named by its line, and two rows are never
    /// one example. Of no use with pairs, which have the ids of their proteins.
    pub id: Vec<String>,
    /// The column that says whether a row is of the training part or another.
    pub part: Option<String>,
    /// The column with 1 for each residue whose label counts and 0 for the others.
    pub mask: Option<String>,
    /// The column with the weight of the example: a number, 0 or more.
    pub weight: Option<String>,
    /// The column with what keeps examples together where some are held out.
    pub group: Option<GroupColumn>,
    /// Rows are taken only where this column has one of these words.
    pub only: Option<(String, Vec<String>)>,
    /// The names of the columns of a table without a line of names: one whose first line has as many cells, and a whole
    /// number in the last of them.
    pub headless: Option<Vec<String>>,
}

impl Columns {
    /// One protein with one label.
    pub fn one(sequence: &str, label: &str) -> Self {
        Self::of(ProteinColumns::One { sequence: sequence.to_owned() }, label)
    }

    /// Proteins with one label.
    pub fn of(proteins: ProteinColumns, label: &str) -> Self {
        let label = vec![label.to_owned()];
        Self {
            proteins,
            label,
            id: Vec::new(),
            part: None,
            mask: None,
            weight: None,
            group: None,
            only: None,
            headless: None,
        }
    }

    /// With the columns that name an example.
    #[must_use]
    pub fn id(mut self, columns: &[&str]) -> Self {
        self.id = columns.iter().map(|&column| column.to_owned()).collect();
        self
    }

    /// With the column of parts.
    #[must_use]
    pub fn part(mut self, column: &str) -> Self {
        self.part = Some(column.to_owned());
        self
    }

    /// With the column of residues that count.
    #[must_use]
    pub fn mask(mut self, column: &str) -> Self {
        self.mask = Some(column.to_owned());
        self
    }
}

/// A column that keeps examples together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupColumn {
    /// Its name.
    pub column: String,
    /// Only so many of its fields between points: two of `a.1.2.3` are the fold `a.1`.
    pub fields: Option<usize>,
}

/// Where the proteins of an example are.
#[derive(Debug, Clone, PartialEq)]
pub enum ProteinColumns {
    /// One protein.
    One {
        /// The column of its sequence.
        sequence: String,
    },
    /// Two proteins.
    Two {
        /// The columns of their sequences.
        sequences: [String; 2],
        /// The columns of their ids, where there are any.
        ids: Option<[String; 2]>,
    },
    /// Two proteins by their ids.
    Named {
        /// The columns of the ids.
        ids: [String; 2],
        /// The proteins.
        proteins: Arc<Proteins>,
    },
    /// Mutants of one protein, as `SA108D:SN144D`: S, residue of the wild type, place from 0, new residue; `WT` is the
    /// wild type itself.
    Mutants {
        /// The column of the mutations; it names the example too.
        column: String,
        /// Residues of the wild type.
        wild_type: Arc<[u8]>,
    },
}

impl ProteinColumns {
    /// Whether an example is a pair.
    pub fn are_pairs(&self) -> bool {
        matches!(self, Self::Two { .. } | Self::Named { .. })
    }
}

/// What labels are, and how they are written.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelForm {
    /// The name of a class.
    Class(ClassList),
    /// Names of classes with this between them, none too.
    Classes(ClassList, char),
    /// Symmetries of homo-oligomers, at least one: the classes that were published for them.
    Symmetries(SymmetryWords),
    /// A finite number.
    Number,
    /// A whole number from 0 to this.
    Level(u8),
    /// A letter for each residue.
    Residues(ResidueAlphabet),
}

impl LabelForm {
    /// What the labels are.
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Class(_) => LabelKind::Class,
            Self::Classes(..) | Self::Symmetries(_) => LabelKind::Classes,
            Self::Number => LabelKind::Number,
            Self::Level(_) => LabelKind::Level,
            Self::Residues(_) => LabelKind::Residues,
        }
    }
}

/// Which classes there are. They are sorted: as numbers where all are whole numbers, else by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassList {
    /// Those that examples have; at least two.
    Found,
    /// Those that examples of this part have, at least two; an example with another one fails.
    FoundIn(String),
    /// These; an example with another one fails.
    Given(Vec<String>),
    /// These in this order, which is not sorted.
    Ordered(Vec<String>),
}

//! The forms in which sets of labels were published, as options of [`LabelledSet::read`](super::LabelledSet::read).
//!
//! Those of PLUS (Min et al. 2021, doi:10.1109/ACCESS.2021.3110269) are FASTA, three lines a protein and tables of pairs;
//! the tables are those of the sets that its tasks were built of.

use std::sync::Arc;

use super::labels::ResidueAlphabet;
use super::options::{
    ClassList, Columns, Form, GroupColumn, HeaderLabel, LabelForm, ProteinColumns, SetOptions,
};
use super::proteins::{ProteinTable, Proteins};
use super::symmetry::SymmetryWords;

/// The places of proteins that DeepLoc 1 and PLUS tell apart.
pub const LOCATIONS: [&str; 10] = [
    "Cell.membrane",
    "Cytoplasm",
    "Endoplasmic.reticulum",
    "Extracellular",
    "Golgi.apparatus",
    "Lysosome/Vacuole",
    "Mitochondrion",
    "Nucleus",
    "Peroxisome",
    "Plastid",
];

/// The highest level that two domains of SCOP share: class, fold, superfamily, family.
pub const SCOP_LEVELS: u8 = 4;

/// PLUS's solubility: `>id label` with 0 or 1.
pub fn plus_solubility() -> SetOptions {
    let classes = ["0", "1"].map(str::to_owned).to_vec();
    headers(HeaderLabel { last: true, until: None }, LabelForm::Class(ClassList::Given(classes)))
}

/// PLUS's localization: `>id Class-U`, of [`LOCATIONS`].
pub fn plus_localization() -> SetOptions {
    let classes = LOCATIONS.map(str::to_owned).to_vec();
    headers(HeaderLabel { last: false, until: Some('-') }, LabelForm::Class(ClassList::Given(classes)))
}

/// PLUS's stability and fluorescence: `>id value`.
pub fn plus_regression() -> SetOptions {
    headers(HeaderLabel { last: true, until: None }, LabelForm::Number)
}

/// PLUS's secondary structure: records `>name:sequence` and `>name:secstr` with digits 0 to 7 for G, H, I, B, E, S, T, C.
pub fn plus_secondary_structure() -> SetOptions {
    let classes: [(&str, &[u8]); 8] = [
        ("G", b"0"),
        ("H", b"1"),
        ("I", b"2"),
        ("B", b"3"),
        ("E", b"4"),
        ("S", b"5"),
        ("T", b"6"),
        ("C", b"7"),
    ];
    SetOptions::new(Form::RecordPairs, LabelForm::Residues(ResidueAlphabet::new(&classes, b"")))
}

/// PLUS's transmembrane: three lines a protein, labels I inside, O outside, M within the membrane, of either case.
pub fn plus_transmembrane() -> SetOptions {
    let alphabet = ResidueAlphabet::new(&[("I", b"Ii"), ("O", b"Oo"), ("M", b"Mm")], b"");
    SetOptions::new(Form::ThreeLines, LabelForm::Residues(alphabet))
}

/// PLUS's pairs of homologous domains: `sequence_A sequence_B pdb_id_A pdb_id_B similarity`.
pub fn plus_homology_pairs() -> SetOptions {
    let ids = Some(["pdb_id_A", "pdb_id_B"].map(str::to_owned));
    pairs_of_sequences(ids, "similarity", LabelForm::Level(SCOP_LEVELS))
}

/// PLUS's pairs of the same family or not: `sequence_A sequence_B is_samefamily`.
pub fn plus_family_pairs() -> SetOptions {
    let classes = ["0", "1"].map(str::to_owned).to_vec();
    pairs_of_sequences(None, "is_samefamily", LabelForm::Class(ClassList::Given(classes)))
}

fn headers(label: HeaderLabel, form: LabelForm) -> SetOptions {
    SetOptions::new(Form::Headers(label), form)
}

fn pairs_of_sequences(ids: Option<[String; 2]>, label: &str, form: LabelForm) -> SetOptions {
    let sequences = ["sequence_A", "sequence_B"].map(str::to_owned);
    let columns = Columns::of(ProteinColumns::Two { sequences, ids }, label);
    SetOptions::new(Form::Table(Box::new(columns)), form)
}

/// Mutants of the green fluorescent protein with log10 of their brightness (Sarkisyan et al. 2016,
/// doi:10.1038/nature17995), as differences from `wild_type`; parts train, valid and test.
pub fn fluorescence(wild_type: Arc<[u8]>) -> SetOptions {
    let proteins = ProteinColumns::Mutants { column: "aa_mutations".to_owned(), wild_type };
    table(Columns::of(proteins, "log10_brightness").part("split"), LabelForm::Number)
}

/// Stability of designed proteins (Rocklin et al. 2017, doi:10.1126/science.aan0693), named by round and name; parts train
/// and valid.
pub fn stability() -> SetOptions {
    table(Columns::one("sequence", "stability_score").id(&["round", "name"]).part("split"), LabelForm::Number)
}

/// Melting points (Jarzab et al. 2020, doi:10.1038/s41592-020-0801-4).
pub fn melting_points() -> SetOptions {
    table(Columns::one("sequence", "melting_point_c").id(&["id"]), LabelForm::Number)
}

/// Soluble or not in *E. coli* (SOLpro, DeepSol): columns `id soluble sequence`.
pub fn solubility() -> SetOptions {
    let classes = ["0", "1"].map(str::to_owned).to_vec();
    table(Columns::one("sequence", "soluble").id(&["id"]), LabelForm::Class(ClassList::Given(classes)))
}

/// The soluble part of proteins of *E. coli* (eSol); rows are named by their lines, as a gene may stand twice.
pub fn soluble_part() -> SetOptions {
    table(Columns::one("sequence", "solubility"), LabelForm::Number)
}

/// The place of a protein (DeepLoc 1), columns `accession location membrane sequence`. Proteins of two places are classes
/// of their own there; name the classes as [`LOCATIONS`] to have them fail, or take `classes` as they are found.
pub fn location(classes: ClassList) -> SetOptions {
    table(Columns::one("sequence", "location").id(&["accession"]), LabelForm::Class(classes))
}

/// All places of a protein (DeepLoc 2, Thumuluri et al. 2022, doi:10.1093/nar/gkac278); parts are the partitions 0 to 3,
/// apart by homology.
pub fn locations(classes: ClassList) -> SetOptions {
    table(
        Columns::one("sequence", "labels").id(&["accession"]).part("partition"),
        LabelForm::Classes(classes, '|'),
    )
}

/// Secondary structure in three classes (NetSurfP-2.0): residues that are not resolved do not count.
pub fn secondary_structure_3() -> SetOptions {
    residues("ss3", ResidueAlphabet::of_letters("HEC", b""))
}

/// Secondary structure in the eight classes of DSSP, in PLUS's order.
pub fn secondary_structure_8() -> SetOptions {
    residues("ss8", ResidueAlphabet::of_letters("GHIBESTC", b""))
}

fn residues(label: &str, alphabet: ResidueAlphabet) -> SetOptions {
    let columns = Columns::one("sequence", label).id(&["id"]).mask("resolved_mask");
    table(columns, LabelForm::Residues(alphabet))
}

/// Where residues stand to a membrane (TMbed, Bernhofer and Rost 2022, doi:10.1186/s12859-022-04873-x); parts are the
/// folds. Helices of either direction are M, 1 is I, 2 is O, signal peptides are S, and unknown residues do not count.
/// Neither do strands of barrels: they are no helices, the grammar of helices has no place for them, and to call them
/// either side of the membrane would be wrong. [`transmembrane_with_strands`] makes them a class.
pub fn transmembrane() -> SetOptions {
    membrane(&[("I", b"1"), ("O", b"2"), ("M", b"Hh"), ("S", b"S")], b"UBb")
}

/// [`transmembrane`] with strands of barrels as the class B.
pub fn transmembrane_with_strands() -> SetOptions {
    membrane(&[("I", b"1"), ("O", b"2"), ("M", b"Hh"), ("S", b"S"), ("B", b"Bb")], b"U")
}

fn membrane(classes: &[(&str, &[u8])], ignored: &[u8]) -> SetOptions {
    let columns = Columns::one("sequence", "labels").id(&["id"]).part("fold");
    table(columns, LabelForm::Residues(ResidueAlphabet::new(classes, ignored)))
}

/// Pairs of proteins that interact or not: columns `id_a id_b label` with 0 or 1, ids of `proteins`.
pub fn interactions(proteins: Arc<Proteins>) -> SetOptions {
    let classes = ["0", "1"].map(str::to_owned).to_vec();
    named_pairs(proteins, "label", LabelForm::Class(ClassList::Given(classes)))
}

/// Pairs of proteins that interact or not as D-SCRIPT has them, without a line of names: two ids of `proteins` and 0 or 1.
pub fn dscript_interactions(proteins: Arc<Proteins>) -> SetOptions {
    let mut options = interactions(proteins);
    if let Form::Table(columns) = &mut options.form {
        columns.headless = Some(["id_a", "id_b", "label"].map(str::to_owned).to_vec());
    }
    options
}

/// Symmetries of homo-oligomers, columns `id sequence label split`; several symmetries have spaces between.
pub fn symmetries() -> SetOptions {
    table(
        Columns::one("sequence", "label").id(&["id"]).part("split"),
        LabelForm::Symmetries(SymmetryWords::Groups),
    )
}

/// Designed cyclic homo-oligomers (Wicky et al. 2022, doi:10.1126/science.add1964), columns `id
/// cyclic_symmetry_order_designed … protomer_sequence`.
pub fn cyclic_designs() -> SetOptions {
    let columns = Columns::one("protomer_sequence", "cyclic_symmetry_order_designed").id(&["id"]);
    table(columns, LabelForm::Symmetries(SymmetryWords::Orders))
}

/// How many identical chains a protein is made of (UniProt), columns `accession n_subunits … sequence`.
pub fn oligomeric_states() -> SetOptions {
    table(Columns::one("sequence", "n_subunits").id(&["accession"]), LabelForm::Class(ClassList::Found))
}

/// Pairs of domains with the level of SCOP that they share: columns `id_a id_b level`, ids of `domains`.
pub fn homology_pairs(domains: Arc<Proteins>) -> SetOptions {
    named_pairs(domains, "level", LabelForm::Level(SCOP_LEVELS))
}

/// Columns of a table of domains, `id sccs sequence`, kept together by their folds.
pub fn domains() -> ProteinTable {
    let group = GroupColumn { column: "sccs".to_owned(), fields: Some(2) };
    ProteinTable { id: "id".to_owned(), sequence: "sequence".to_owned(), group: Some(group) }
}

/// PLUS's domains, `>id a.1.1.1 …`, to draw pairs of (see [`Domains`](super::Domains)).
pub fn plus_domains() -> SetOptions {
    headers(HeaderLabel { last: false, until: None }, LabelForm::Class(ClassList::Found))
}

/// A table of domains, columns `id sccs sequence`, to draw pairs of (see [`Domains`](super::Domains)).
pub fn domain_codes() -> SetOptions {
    table(Columns::one("sequence", "sccs").id(&["id"]), LabelForm::Class(ClassList::Found))
}

fn named_pairs(proteins: Arc<Proteins>, label: &str, form: LabelForm) -> SetOptions {
    let ids = ["id_a", "id_b"].map(str::to_owned);
    table(Columns::of(ProteinColumns::Named { ids, proteins }, label), form)
}

/// Families of proteins, columns `family id sequence`.
pub fn families() -> SetOptions {
    table(Columns::one("sequence", "family").id(&["id"]), LabelForm::Class(ClassList::Found))
}

fn table(columns: Columns, label: LabelForm) -> SetOptions {
    SetOptions::new(Form::Table(Box::new(columns)), label)
}

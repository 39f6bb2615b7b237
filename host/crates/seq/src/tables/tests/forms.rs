//! The published forms, on small texts of each.

use super::super::{HeaderLabel, LabelKind, SYMMETRIES, forms};
use super::*;

#[test]
fn headers_hold_labels() {
    let set = good("# a comment\n>p1 1\nMKV\nAC\n# more\n>p2 0\nmk\n", &forms::plus_solubility());
    assert_eq!(
        (ids(&set), set.sequence(0), set.label(0)),
        (vec!["p1", "p2"], &b"MKVAC"[..], Label::Class(1))
    );
    let set = good(">p1 Plastid-U test\nMKV\n>p2 Cytoplasm\nAC\n", &forms::plus_localization());
    assert_eq!((set.label(0), set.label(1), set.classes().len()), (Label::Class(9), Label::Class(1), 10));
    let set = good(">p1 more 0.5\nMKV\n>p2 -3e-2\nAC\n", &forms::plus_regression());
    assert_eq!((set.label(0), set.label(1)), (Label::Number(0.5), Label::Number(-0.03)));
    let failed = failures(">p1 1\nMKV\n>p2\nAC\n>p3 0\nM\n", &forms::plus_solubility());
    assert_eq!(failed, [(3, "the label in the header: found nothing, wanted a class".to_owned())]);
    assert!(matches!(read("MKV\n", &forms::plus_regression()), Err(TableError::Form { line: 1, .. })));
    let unknown = failures(">p1 Golgi-S\nMK\n>p2 Nucleus-U\nMK\n", &forms::plus_localization());
    assert!(
        unknown[0].1.starts_with("the class: found 'Golgi', wanted one of the classes Cell.membrane"),
        "{unknown:?}"
    );
    let sccs = SetOptions::new(
        Form::Headers(HeaderLabel { last: false, until: None }),
        LabelForm::Class(ClassList::Found),
    );
    assert_eq!(good(">d1 a.1.1.1 x\nMK\n>d2 b.1.1.1 y\nMV\n", &sccs).classes(), ["a.1.1.1", "b.1.1.1"]);
}

#[test]
fn secondary_structure_stands_in_two_records() {
    let text = ">1abc:A:sequence\nMKV\nAC\n>1abc:A:secstr\n012\n77\n>x:sequence\nMK\n>x:secstr\n34\n";
    let set = good(text, &forms::plus_secondary_structure());
    assert_eq!((ids(&set), set.label(0)), (vec!["1abc:A", "x"], Label::Residues(&[0, 1, 2, 7, 7])));
    for (bad, line) in [
        (">a:sequence\nMK\n>b:secstr\n01\n", 3),
        (">a:secstr\n01\n", 1),
        (">a:sequence\nMK\n", 1),
        (">a\nMK\n", 1),
    ] {
        match read(bad, &forms::plus_secondary_structure()) {
            Err(TableError::Form { line: found, .. }) => assert_eq!(found, line, "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
    let short = failures(
        &format!("{text}>y:sequence\nMKV\n>y:secstr\n0\n>z:sequence\nM\n>z:secstr\n9\n"),
        &forms::plus_secondary_structure(),
    );
    assert_eq!(
        short,
        [
            (11, "the record of labels: found 1 letters, wanted 3, one for each residue".to_owned()),
            (15, "the record of labels: found '9' at position 1, wanted letters of 01234567".to_owned()),
        ]
    );
}

#[test]
fn three_lines_make_a_protein() {
    let text = "\n>p1 x\nMKVA\nIMMo\n\n>p2\nMK\r\nOO\r\n";
    let set = good(text, &forms::plus_transmembrane());
    assert_eq!((ids(&set), set.place(1).1), (vec!["p1", "p2"], 6));
    assert_eq!(
        (set.label(0), set.classes()),
        (Label::Residues(&[0, 2, 2, 1]), &["I", "O", "M"].map(str::to_owned)[..])
    );
    for bad in [">a\nMK\n", ">a\n", "MK\nIO\n>a\n", ">a\nMK\nIO\nMK\n"] {
        assert!(matches!(read(bad, &forms::plus_transmembrane()), Err(TableError::Form { .. })), "{bad}");
    }
    // A blank line within a protein is no sequence and no label.
    let (_, report) = read(">a\n\nIO\n>b\nMK\nIO\n", &forms::plus_transmembrane()).unwrap();
    assert_eq!(report.failures[0].reason.to_string(), "the record has no residues");
}

#[test]
fn interactions_have_names_of_columns_or_none() {
    let proteins = proteins(">a\nMKV\n>b\nAC\n>c\nWW\n");
    let options = forms::dscript_interactions(Arc::clone(&proteins));
    let named = good("id_a\tid_b\tlabel\na\tb\t1\nb\tc\t0\n", &options);
    let bare = good("a\tb\t1\nb\tc\t0\n", &options);
    assert_eq!((named.digest(), named.place(0).1, bare.place(0).1), (bare.digest(), 2, 1));
    assert_eq!(failures("a\tb\t1\na\tx\t0\nb\tc\t0\n", &options)[0].0, 2);
    // Three cells that end with no number are names, and they are the wrong ones.
    assert!(matches!(read("a\tb\tc\na\tb\t1\n", &options), Err(TableError::NoColumn { .. })));
    assert!(matches!(read("a\tb\t1\n", &forms::interactions(proteins)), Err(TableError::NoColumn { .. })));
}

#[test]
fn symmetries_have_the_published_classes_in_their_order() {
    let text = "id\tsequence\tlabel\tsplit\na\tMK\tC2\ttrain\nb\tMV\tD7 C12 X\ttest\n";
    let set = good(text, &forms::symmetries());
    assert_eq!((set.classes(), set.kind()), (&SYMMETRIES.map(str::to_owned)[..], LabelKind::Classes));
    let flags = |example: usize| match set.label(example) {
        Label::Classes(flags) => (0..18).filter(|&class| flags[class]).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((flags(0), flags(1)), (vec![1], vec![7, 12, 17]));
    assert_eq!(set.part(1), Some("test"));
    let text = "id\tcyclic_symmetry_order_designed\tprotomer_sequence\na\t3\tMK\nb\t33\tMV\nc\tC3\tMW\n";
    let failed = failures(text, &forms::cyclic_designs());
    assert_eq!((failed.len(), failed[0].0), (1, 4));
    assert!(failed[0].1.contains("'cyclic_symmetry_order_designed': found 'C3'"), "{failed:?}");
    let states = good("accession\tn_subunits\tsequence\na\t10\tMK\nb\t2\tMV\n", &forms::oligomeric_states());
    assert_eq!(states.classes(), ["2", "10"]);
}

#[test]
fn tables_of_pairs_hold_sequences() {
    let text =
        "sequence_A\tsequence_B\tpdb_id_A\tpdb_id_B\tsimilarity\nMK\tACD\td1\td2\t3\nMK\tMK\td1\td1\t4\n";
    let set = good(text, &forms::plus_homology_pairs());
    assert_eq!(
        (ids(&set), set.label(0), set.members(1)),
        (vec!["d1", "d2"], Label::Level(3), Members::Two([0, 0]))
    );
    let set =
        good("sequence_A\tsequence_B\tis_samefamily\nMK\tACD\t1\nMK\tW\t0\n", &forms::plus_family_pairs());
    assert_eq!((set.len(), set.label(1)), (2, Label::Class(0)));
}

#[test]
fn mutants_are_made_of_the_wild_type() {
    let options = forms::fluorescence(b"MKVA".as_slice().into());
    let text = "aa_mutations\tlog10_brightness\tsplit\nWT\t3.7\ttrain\nSK1R:SA3G\t1.3\ttest\n";
    let set = good(text, &options);
    assert_eq!((set.sequence(0), set.sequence(1), set.id(1)), (&b"MKVA"[..], &b"MRVG"[..], "SK1R:SA3G"));
    assert_eq!(
        failures("aa_mutations\tlog10_brightness\tsplit\nWT\t3.7\ttrain\nSK2R\t1\ttest\n", &options),
        [(3, "column 'aa_mutations': found 'SK2R', wanted V at place 2, as the wild type has".to_owned())]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wt.fasta");
    for (text, good) in [(">a\nMKV\n", true), (">a\nMKV\n>b\nM\n", false), ("", false), (">a\nM1\n", false)] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(super::super::wild_type(&path).is_ok(), good, "{text}");
    }
}

#[test]
fn membranes_and_strands_are_told_apart() {
    let text = "fold\tid\tclass\tsequence\tlabels\n0\ta\tbeta\tMKVACDE\tS1HbU2h\n";
    let set = good(text, &forms::transmembrane());
    assert_eq!(set.label(0), Label::Residues(&[3, 0, 2, IGNORED, IGNORED, 1, 2]));
    let set = good(text, &forms::transmembrane_with_strands());
    assert_eq!(set.label(0), Label::Residues(&[3, 0, 2, 4, IGNORED, 1, 2]));
    let mut only = forms::transmembrane();
    if let Form::Table(columns) = &mut only.form {
        columns.only = Some(("class".to_owned(), vec!["alpha".to_owned(), "globular".to_owned()]));
    }
    let more = format!("{text}1\tb\talpha\tMK\t12\n");
    let (set, report) = read(&more, &only).unwrap();
    assert_eq!((ids(&set), report.left_out, report.rows), (vec!["b"], 1, 2));
}

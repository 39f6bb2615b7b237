//! What is wrong says where, what was found and what was wanted.

use super::super::forms;
use super::*;

/// Classes as they are found.
fn classes() -> SetOptions {
    table(Columns::one("seq", "y").id(&["id"]), LabelForm::Class(ClassList::Found))
}

#[test]
fn every_bad_example_is_told_with_its_line() {
    let options = classes();
    let text = "id,seq,y\na,MKV,x\nb,,x\nc,M1K,x\nd,M*K,x\ne,MKV-,y\nf,MK,\n,MK,x\na,MKV,y\na,MKL,x\na,MKV,x\ng,MKW,y\n";
    let (set, report) = read(text, &options).unwrap();
    assert_eq!(ids(&set), ["a", "g"]);
    assert_eq!((report.rows, report.duplicates), (11, 1));
    let found: Vec<(u64, &str, u64, String)> = report
        .failures
        .iter()
        .map(|failure| (failure.line, failure.id.as_str(), failure.record, failure.reason.to_string()))
        .collect();
    let wanted = [
        (3, "b", 2, "the record has no residues"),
        (4, "c", 3, "found '1' at position 2 of the sequence (line 4), where a residue letter was wanted"),
        (
            5,
            "d",
            4,
            "found a stop '*' inside the sequence, at position 2 (line 5); only one at the end is dropped",
        ),
        (6, "e", 5, "found '-' at position 4 of the sequence (line 6), where a residue letter was wanted"),
        (7, "f", 6, "column 'y': found nothing, wanted a class"),
        (8, "", 7, "the header has no id after '>'"),
        (9, "a", 8, "the example at in line 9 has another label at in line 2; keep the right one"),
        (
            10,
            "a",
            9,
            "the id at in line 10 already stands for another sequence at in line 2; give each sequence its own id",
        ),
    ];
    assert_eq!(found, wanted.map(|(line, id, record, reason)| (line, id, record, reason.to_owned())));
}

#[test]
fn labels_of_residues_fit_their_sequences() {
    let alphabet = ResidueAlphabet::of_letters("HEC", b"");
    let options = table(Columns::one("seq", "ss").mask("m"), LabelForm::Residues(alphabet));
    let text = "seq,ss,m\nMKV,HEC,111\nMKV,HE,111\nMKV,HEx,111\nMKV,HEC,11\nMKV,HEC,1x1\n";
    assert_eq!(
        failures(text, &options),
        [
            (3, "column 'ss': found 2 letters, wanted 3, one for each residue"),
            (4, "column 'ss': found 'x' at position 3, wanted letters of CEH"),
            (5, "column 'm': found 2 letters, wanted 3, one for each residue"),
            (6, "column 'm': found 'x' at position 2, wanted 1 where a residue counts and 0 elsewhere"),
        ]
        .map(|(line, reason)| (line, reason.to_owned()))
    );
}

#[test]
fn numbers_are_finite_and_levels_within_their_range() {
    let numbers = table(Columns::one("seq", "y"), LabelForm::Number);
    for bad in ["NA", "nan", "inf", "", "1e999", "1,5"] {
        let text = format!("seq\ty\nMK\t1\nMV\t{bad}\n");
        let shown = if bad.is_empty() { "nothing".to_owned() } else { format!("'{bad}'") };
        assert_eq!(
            failures(&text, &numbers),
            [(3, format!("column 'y': found {shown}, wanted a finite number"))]
        );
    }
    let levels = table(Columns::one("seq", "y"), LabelForm::Level(4));
    for bad in ["5", "-1", "1.0", "x"] {
        let wanted = format!("column 'y': found '{bad}', wanted a whole number from 0 to 4");
        assert_eq!(failures(&format!("seq,y\nMK,1\nMV,{bad}\n"), &levels), [(3, wanted)]);
    }
    let mut columns = Columns::one("seq", "y");
    columns.weight = Some("w".to_owned());
    let weighed = table(columns, LabelForm::Number);
    let found = failures("seq,y,w\nMK,1,1\nMV,1,-1\n", &weighed);
    assert_eq!(found, [(3, "column 'w': found '-1', wanted a weight: a number, 0 or more".to_owned())]);
}

#[test]
fn an_unknown_class_is_named_with_its_line() {
    let options = table(Columns::one("seq", "y").id(&["id"]), LabelForm::Class(given(&["b", "a"])));
    let (set, report) = read("id,seq,y\nx,MK,a\ny,MV,c\nz,ML,b\n", &options).unwrap();
    assert_eq!((ids(&set), set.classes().len()), (vec!["x", "z"], 2));
    assert_eq!(report.failures[0].reason.to_string(), "the class: found 'c', wanted one of the classes a, b");
    assert_eq!((report.failures[0].line, report.failures[0].id.as_str()), (3, "y"));

    // The training part decides; another part may not bring a class of its own.
    let of_part =
        table(Columns::one("seq", "y").part("p"), LabelForm::Class(ClassList::FoundIn("train".to_owned())));
    let text = "seq,y,p\nMK,a,train\nMV,b,train\nML,c,valid\nMW,a,valid\nM1,a,valid\n";
    let (set, report) = read(text, &of_part).unwrap();
    assert_eq!((set.len(), set.classes().len()), (3, 2));
    let lines: Vec<u64> = report.failures.iter().map(|failure| failure.line).collect();
    assert_eq!(lines, [4, 6]);
    assert!(matches!(read("seq,y,p\nMK,a,test\n", &of_part), Err(TableError::NoPart { .. })));

    let many = table(Columns::one("seq", "y"), LabelForm::Classes(given(&["a", "b"]), '|'));
    assert_eq!(
        failures("seq,y\nMK,a|b\nMV,b|d\n", &many),
        [(3, "the class: found 'd', wanted one of the classes a, b".to_owned())]
    );
}

#[test]
fn one_class_alone_and_nothing_are_errors() {
    let options = classes();
    let error = read("id,seq,y\na,MK,x\nb,MV,x\n", &options).unwrap_err().to_string();
    assert_eq!(error, "in: found one class alone, 'x', in 2 examples; wanted at least two classes");
    let error = read("id,seq,y\na,,x\n", &options).unwrap_err().to_string();
    assert!(error.starts_with("no examples: of 1 found in in, 1 failed, 0 repeat one"), "{error}");
    assert!(matches!(read("", &options), Err(TableError::NoHeader { .. })));
    let error = read("id,sequence,y\na,MK,x\n", &options).unwrap_err().to_string();
    assert_eq!(error, "in has no column 'seq'; it has the columns id, sequence, y");

    let number = table(Columns::one("seq", "y"), LabelForm::Number);
    let constant = good("seq,y\nMK,1\nMV,1\n", &number).varied().unwrap_err().to_string();
    assert_eq!(constant, "in: found one number alone, '1', in 2 examples; wanted at least two numbers");
    assert!(good("seq,y\nMK,1\nMV,2\n", &number).varied().is_ok());
    let given = table(Columns::one("seq", "y"), LabelForm::Class(given(&["a", "b"])));
    assert!(
        matches!(good("seq,y\nMK,b\n", &given).varied(), Err(TableError::OneClass { class, .. }) if class == "b")
    );
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let residues = LabelForm::Residues(ResidueAlphabet::of_letters("HEC", b""));
    let refused =
        |options: &SetOptions| matches!(read("seq,y\nMK,1\n", options), Err(TableError::Options { .. }));
    let pair = ProteinColumns::Two { sequences: ["a", "b"].map(str::to_owned), ids: None };
    assert!(refused(&table(Columns::of(pair, "y"), residues.clone())));
    assert!(refused(&table(Columns::one("seq", "y").mask("m"), LabelForm::Number)));
    assert!(refused(&SetOptions::new(Form::ThreeLines, LabelForm::Number)));
    let mut two = Columns::one("seq", "y");
    two.label.push("z".to_owned());
    assert!(refused(&table(two, LabelForm::Number)));
}

#[test]
fn proteins_of_pairs_are_all_good() {
    let read = |text: &str| Proteins::read(&Source::from_bytes("p", text.as_bytes()), 5, None);
    let error = read(">a\nMK\n>b\nM2\n").unwrap_err().to_string();
    assert!(
        error.starts_with("p: line 3: the sequence 'b' cannot be used: found '2' at position 2"),
        "{error}"
    );
    assert!(matches!(read(">a\nMKVACD\n"), Err(TableError::Sequence { .. })));
    assert!(matches!(read(""), Err(TableError::Form { .. })));
    let domains =
        |text: &str| Proteins::read(&Source::from_bytes("d", text.as_bytes()), 5, Some(&forms::domains()));
    let good = domains("id\tsccs\tsequence\nx\ta.1.2.3\tmk\ny\tb.40.1.1\tAC\nx\ta.1.2.3\tMK\n").unwrap();
    assert_eq!(
        (good.len(), good.group(0), good.group(1), good.residues(0)),
        (2, Some("a.1"), Some("b.40"), &b"MK"[..])
    );
    for bad in ["x\ta.1\tM\nx\ta.1\tK\n", "x\ta.1\tM-\n", "x\ta.1\t\n", "\ta.1\tM\n", "x\ta.1\tMKVACD\n"] {
        let error = domains(&format!("id\tsccs\tsequence\n{bad}"));
        assert!(matches!(error, Err(TableError::Sequence { .. })), "{bad}");
    }
    let is_fasta = |text: &str| Proteins::is_fasta(&Source::from_bytes("p", text.as_bytes())).unwrap();
    assert!(is_fasta("\n; x\n>a\nMK\n") && !is_fasta("id\tseq\n") && !is_fasta(""));
}

#[test]
fn repetitions_and_contradictions_are_counted() {
    let options = table(Columns::one("seq", "y").id(&["id"]), LabelForm::Number);
    let (set, report) = read("id,seq,y\na,MK,1\nb,MK,1\nc,MK,2\nd,ML,2\n", &options).unwrap();
    assert_eq!((set.len(), report.repeated, report.contradictions), (4, 1, 1));
    let named =
        ProteinColumns::Named { ids: ["x", "y"].map(str::to_owned), proteins: proteins(">a\nMK\n>b\nAC\n") };
    let options = table(Columns::of(named, "l"), LabelForm::Class(given(&["0", "1"])));
    let (set, report) = read("x,y,l\na,b,1\nb,a,0\na,b,1\na,b,0\n", &options).unwrap();
    assert_eq!((set.len(), report.duplicates, report.contradictions, report.failures.len()), (2, 1, 1, 1));
}

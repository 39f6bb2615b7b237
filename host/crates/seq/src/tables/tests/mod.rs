//! Labelled sets: text in, examples out.

mod domains;
mod errors;
mod forms;
mod real;
mod sequences;
mod split;

use std::sync::Arc;

use super::{
    ClassList, Columns, Form, IGNORED, Label, LabelForm, LabelledSet, Members, ProteinColumns, Proteins,
    ResidueAlphabet, SetOptions, SetReport, TableError,
};
use crate::Source;

/// A set of one text called `in`.
fn read(text: &str, options: &SetOptions) -> Result<(LabelledSet, SetReport), TableError> {
    LabelledSet::read(&[Source::from_bytes("in", text.as_bytes())], options)
}

/// A set of which no example failed.
fn good(text: &str, options: &SetOptions) -> LabelledSet {
    let (set, report) = read(text, options).unwrap();
    assert_eq!(report.failures, [], "{report:?}");
    set
}

/// The failures of a text as line and reason.
fn failures(text: &str, options: &SetOptions) -> Vec<(u64, String)> {
    let (_, report) = read(text, options).unwrap();
    report.failures.iter().map(|failure| (failure.line, failure.reason.to_string())).collect()
}

fn table(columns: Columns, label: LabelForm) -> SetOptions {
    SetOptions::new(Form::Table(Box::new(columns)), label)
}

fn given(classes: &[&str]) -> ClassList {
    ClassList::Given(classes.iter().map(|&class| class.to_owned()).collect())
}

fn proteins(text: &str) -> Arc<Proteins> {
    Arc::new(Proteins::read(&Source::from_bytes("p", text.as_bytes()), 1000, None).unwrap())
}

/// Ids of sequences.
fn ids(set: &LabelledSet) -> Vec<&str> {
    (0..set.sequences()).map(|sequence| set.id(sequence)).collect()
}

#[test]
fn classes_are_sorted_and_every_example_is_known() {
    let options =
        table(Columns::one("seq", "label").id(&["id"]).part("part"), LabelForm::Class(ClassList::Found));
    let text = "id,seq,label,part\na,MKV,out,train\nb,ac*,in,test\nc,ACD,out,train\n";
    let (set, report) = read(text, &options).unwrap();
    assert_eq!((set.len(), set.sequences(), set.residues()), (3, 3, 8));
    assert_eq!(set.classes(), ["in", "out"]);
    assert_eq!([0, 1, 2].map(|example| set.label(example)), [1, 0, 1].map(Label::Class));
    assert_eq!((set.sequence(1), set.id(1), set.place(1).1), (&b"AC"[..], "b", 3));
    assert_eq!((set.parts(), set.part(1)), (&["test".to_owned(), "train".to_owned()][..], Some("test")));
    assert_eq!((set.counts(), set.weight(0), set.group(0)), (vec![1, 2], 1.0, None));
    assert_eq!((report.rows, report.stops, report.duplicates), (3, 1, 0));
    let train = set.of_part("train").unwrap();
    assert_eq!((ids(&train), train.classes().len()), (vec!["a", "c"], 2));
    assert_eq!(train.place(1).1, 4);
    let error = set.of_part("valid").unwrap_err().to_string();
    assert_eq!(error, "no example is of the part 'valid'; the parts are test, train");
}

#[test]
fn examples_have_any_of_several_classes() {
    let options = table(Columns::one("seq", "labels"), LabelForm::Classes(ClassList::Found, '|'));
    let set = good("seq\tlabels\nMK\tb| a\nMV\t\nML\tc|c\n", &options);
    assert_eq!(set.classes(), ["a", "b", "c"]);
    assert_eq!(set.label(0), Label::Classes(&[true, true, false]));
    assert_eq!(set.label(1), Label::Classes(&[false; 3]));
    assert_eq!(set.label(2), Label::Classes(&[false, false, true]));
    assert_eq!(set.counts(), [1, 1, 1]);
    assert_eq!(set.id(1), "line3");

    let mut columns = Columns::one("seq", "b");
    columns.label = ["b", "a"].map(str::to_owned).to_vec();
    let several = table(columns, LabelForm::Classes(ClassList::Found, '|'));
    let set = good("seq,a,b\nMK,1,0\nMV,1.0,1\n", &several);
    assert_eq!((set.label(0), set.label(1)), (Label::Classes(&[true, false]), Label::Classes(&[true, true])));
    assert_eq!(
        failures("seq,a,b\nMK,1,0\nMV,yes,1\n", &several),
        [(3, "column 'a': found 'yes', wanted 0 or 1".to_owned())]
    );
}

#[test]
fn numbers_levels_and_weights_are_read() {
    let mut columns = Columns::one("seq", "y");
    columns.weight = Some("w".to_owned());
    let set = good("seq,y,w\nMK,-1.5e-1,2\nMV,3,0\n", &table(columns, LabelForm::Number));
    assert_eq!((set.label(0), set.label(1)), (Label::Number(-0.15), Label::Number(3.0)));
    assert_eq!((set.weight(0), set.weight(1)), (2.0, 0.0));
    let levels = table(Columns::one("seq", "y"), LabelForm::Level(4));
    assert_eq!(good("seq,y\nMK,0\nMV,4\n", &levels).counts(), [1, 0, 0, 0, 1]);
}

#[test]
fn residues_have_labels_of_their_own() {
    let alphabet = ResidueAlphabet::new(&[("helix", b"Hh"), ("else", b"C")], b"U");
    let options = table(Columns::one("seq", "y").mask("m"), LabelForm::Residues(alphabet));
    let set = good("seq,y,m\nMKVA,HhCU,1011\nMK,CC,11\n", &options);
    assert_eq!(set.label(0), Label::Residues(&[0, IGNORED, 1, IGNORED]));
    assert_eq!(set.label(1), Label::Residues(&[1, 1]));
    assert_eq!((set.counts(), set.classes().len()), (vec![1, 3], 2));
}

#[test]
fn pairs_share_their_sequences() {
    let ids_of = ["x", "y"].map(str::to_owned);
    let named =
        ProteinColumns::Named { ids: ids_of.clone(), proteins: proteins(">a\nMKV\n>unused\nW\n>b\nAC\n") };
    let options = table(Columns::of(named, "l"), LabelForm::Class(given(&["0", "1"])));
    let set = good("x,y,l\nb,a,1\na,a,0\n", &options);
    assert_eq!((set.len(), set.sequences(), set.are_pairs()), (2, 2, true));
    assert_eq!((set.members(0), set.members(1)), (Members::Two([0, 1]), Members::Two([1, 1])));
    assert_eq!((set.name(0), set.example_residues(0)), ("b\ta".to_owned(), 5));
    assert_eq!(
        failures("x,y,l\nb,a,1\nb,c,0\n", &options),
        [(3, "the ids: found 'c', wanted the id of a sequence of p".to_owned())]
    );

    let sequences = ["s", "t"].map(str::to_owned);
    let options = table(
        Columns::of(ProteinColumns::Two { sequences: sequences.clone(), ids: Some(ids_of) }, "l"),
        LabelForm::Level(4),
    );
    let text = "s,t,x,y,l\nAC,MKV,b,a,1\nMKV,MKV,a,a,4\nMKV,WW,a,b,0\n";
    let (own, report) = read(text, &options).unwrap();
    assert_eq!((ids(&own), own.sequence(1)), (vec!["b", "a"], &b"MKV"[..]));
    let failure = report.failures[0].reason.to_string();
    assert_eq!(
        failure,
        "the id at in line 4 already stands for another sequence at in line 2; give each sequence its own id"
    );

    let unnamed = table(Columns::of(ProteinColumns::Two { sequences, ids: None }, "l"), LabelForm::Level(4));
    let set = good("s,t,l\nAC,MKV,1\nAC,MKV,1\n", &unnamed);
    assert_eq!(ids(&set), ["line2/1", "line2/2", "line3/1", "line3/2"]);
}

#[test]
fn the_digest_names_what_is_learnt() {
    let options = table(Columns::one("seq", "y").id(&["id"]), LabelForm::Number);
    let digest = |text: &str| good(text, &options).digest();
    let wanted = digest("id,seq,y\na,MK,1\nb,AC,2\n");
    assert_eq!(digest("seq\ty\tid\tmore\nmk*\t1.0\tz\t9\nAC\t2\ty\t8\n"), wanted);
    for other in ["id,seq,y\na,MK,1\nb,AC,2.5\n", "id,seq,y\nb,AC,2\na,MK,1\n", "id,seq,y\na,M,1\nb,KAC,2\n"]
    {
        assert_ne!(digest(other), wanted, "{other}");
    }
    // What a run wrote down must hold for the next version.
    assert_eq!(wanted, "425340fcf3d9aee0a7bfd41320be7c1919d7b9c6699114c167474d14bdae452b");
    let classes = |names: &[&str]| table(Columns::one("seq", "y"), LabelForm::Class(given(names)));
    let named = |names: &[&str]| good("seq,y\nMK,a\nAC,b\n", &classes(names)).digest();
    assert_ne!(named(&["a", "b"]), named(&["a", "b", "c"]));
}

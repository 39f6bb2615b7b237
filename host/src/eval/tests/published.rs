//! What PLUS's own code finds in the same answers, where it is right, and where it is not.

use std::path::Path;

use pliant_seq::tables::{Label, LabelKind, ResidueAlphabet};
use serde_json::Value;

use super::super::level::Thresholds;
use super::super::topology::{Grammar, GrammarForm, Place, Roles};
use super::super::{Answers, Subject};
use super::{measure, subject};

const ROLES: Roles = Roles { inner: 0, outer: 1, membrane: 2, signal: None };

fn published() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/published/published.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Rows end to end.
fn flat(rows: &Value) -> Vec<f64> {
    let rows = rows.as_array().unwrap().iter();
    rows.flat_map(|row| row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap())).collect()
}

fn single(rows: &[f64]) -> Vec<f32> {
    rows.iter().map(|&number| number as f32).collect()
}

fn letters(path: &[Place]) -> String {
    path.iter().map(|place| ["I", "O", "M", "S"][*place as usize]).collect()
}

#[test]
fn paths_through_membranes_are_those_published() {
    let published = published();
    let alphabet = ResidueAlphabet::of_letters("IOM", b"");
    let grammar = Grammar::new(GrammarForm::Published);
    let form = |form| Subject { membrane: Some((ROLES, form)), ..subject(LabelKind::Residues, 3) };
    let (mut right, mut helices, mut first) = (0, 0, 0);
    for case in published["membranes"].as_array().unwrap() {
        let (told, labels, wanted) =
            (flat(&case["told"]), case["labels"].as_str().unwrap(), case["path"].as_str().unwrap());
        assert_eq!(letters(&grammar.path(&ROLES, &told, 3)), wanted, "{labels}");
        helices += wanted.matches('M').count();
        let labels: Vec<u8> = labels.bytes().map(|letter| alphabet.class(letter).unwrap()).collect();
        let mut answers = Answers::new(form(GrammarForm::Published));
        answers.push(&single(&told), Label::Residues(&labels)).unwrap();
        let verdict = measure(&answers, "proteins_right").unwrap();
        assert_eq!(verdict == 1.0, case["right"].as_bool().unwrap());
        right += usize::from(verdict == 1.0);
        // Where neither begins with a helix, the corrected form judges as the published one does.
        let mut answers = Answers::new(form(GrammarForm::Corrected));
        answers.push(&single(&told), Label::Residues(&labels)).unwrap();
        if labels[0] == 2 || wanted.starts_with('M') {
            first += 1;
        } else {
            assert_eq!(measure(&answers, "proteins_right").unwrap(), verdict);
        }
    }
    assert!(right > 10 && helices > 500 && first > 0, "{right} {helices} {first}");
}

#[test]
fn secondary_structure_is_measured_as_published() {
    let structure = &published()["structure"];
    let alphabet = ResidueAlphabet::of_letters("01234567", b"");
    let groups = Some(vec![0, 0, 0, 1, 1, 2, 2, 2]);
    let mut answers = Answers::new(Subject { groups, ..subject(LabelKind::Residues, 8) });
    let proteins = structure["told"].as_array().unwrap().iter().zip(structure["labels"].as_array().unwrap());
    for (told, labels) in proteins {
        let labels: Vec<u8> =
            labels.as_str().unwrap().bytes().map(|digit| alphabet.class(digit).unwrap()).collect();
        answers.push(&single(&flat(told)), Label::Residues(&labels)).unwrap();
    }
    for (name, published) in [("accuracy", "acc8"), ("q3", "acc3")] {
        let (found, wanted) = (measure(&answers, name).unwrap(), structure[published].as_f64().unwrap());
        // They divide by the residues and a little more, not to divide by nothing.
        assert!((found - wanted).abs() < 1e-12, "{name}: {found}, wanted {wanted}");
    }
}

#[test]
fn homology_is_measured_as_published_but_for_thresholds_of_the_set_itself() {
    let homology = &published()["homology"];
    let told = flat(&homology["told"]);
    let levels: Vec<u8> =
        homology["levels"].as_array().unwrap().iter().map(|level| level.as_u64().unwrap() as u8).collect();
    let mut answers = Answers::new(subject(LabelKind::Level, 5));
    for (told, &level) in told.chunks(5).zip(&levels) {
        answers.push(&single(told), Label::Level(level)).unwrap();
    }
    // The published code has the expected level in f32.
    for (name, published) in [
        ("pearson", "r"),
        ("spearman", "rho"),
        ("aupr_1", "aupr_cl"),
        ("aupr_2", "aupr_fo"),
        ("aupr_3", "aupr_sf"),
        ("aupr_4", "aupr_fa"),
    ] {
        let (found, wanted) = (measure(&answers, name).unwrap(), homology[published].as_f64().unwrap());
        assert!((found - wanted).abs() < 1e-6, "{name}: {found}, wanted {wanted}");
    }
    let scores = answers.expected_levels();
    let right = |thresholds: &Thresholds, of: std::ops::Range<usize>| {
        of.filter(|&at| thresholds.level(scores[at]) == usize::from(levels[at])).count()
    };
    let fitted = right(&Thresholds::fit(&scores, &levels, 4).unwrap(), 0..120);
    let published = homology["correct"].as_f64().unwrap() as usize;
    // One level at a time finds no more than all at once.
    assert!(fitted >= published && fitted <= published + 6, "{fitted} {published}");
    let honest = right(&Thresholds::fit(&scores[..60], &levels[..60], 4).unwrap(), 60..120);
    let own = right(&Thresholds::fit(&scores[60..], &levels[60..], 4).unwrap(), 60..120);
    assert!(honest < own, "thresholds of another set flatter no more: {honest} {own}");
}

//! Sets in two, without a protein or a group on both sides.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::super::{Sides, forms};
use super::*;

/// Sequences that differ.
fn sequence(number: usize) -> String {
    (0..12).map(|place| char::from(b"ACDEFGHIKL"[number / 10usize.pow(place % 4) % 10])).collect()
}

#[test]
fn proteins_fall_where_their_residues_say() {
    let options = table(Columns::one("seq", "y").id(&["id"]), LabelForm::Number);
    let mut text = "id,seq,y\n".to_owned();
    (0..2000).for_each(|number| writeln!(text, "p{number},{},{number}", sequence(number)).unwrap());
    let set = good(&text, &options);
    let Sides { train, held_out, dropped } = set.hold_out(0.2, 7).unwrap();
    assert_eq!((train.len() + held_out.len(), dropped), (2000, 0));
    // Mean 400, standard deviation 18.
    assert!(held_out.len().abs_diff(400) < 72, "{}", held_out.len());
    let half: String = text.lines().take(1001).map(|line| format!("{line}\n")).collect();
    let fewer = good(&half, &options).hold_out(0.2, 7).unwrap().held_out;
    let (all, fewer): (BTreeSet<&str>, BTreeSet<&str>) =
        (ids(&held_out).into_iter().collect(), ids(&fewer).into_iter().collect());
    assert!(fewer.is_subset(&all) && fewer.len() > 100);
    let numbers = |set: &LabelledSet| -> Vec<String> {
        (0..set.len()).map(|example| format!("{} {:?}", set.id(example), set.label(example))).collect()
    };
    assert!(numbers(&held_out).iter().all(|line| numbers(&set).contains(line)));
    assert!(matches!(set.hold_out(1.0, 1), Err(TableError::Fraction { .. })));
    assert!(matches!(set.hold_out(1e-12, 1), Err(TableError::OneSided { held_out: 0, .. })));
}

#[test]
fn no_protein_of_a_pair_stands_on_both_sides() {
    let mut fasta = String::new();
    (0..60).for_each(|number| writeln!(fasta, ">p{number}\n{}", sequence(number)).unwrap());
    let mut text = "id_a\tid_b\tlabel\n".to_owned();
    for first in 0..60 {
        (first..60).for_each(|second| writeln!(text, "p{first}\tp{second}\t{}", second % 2).unwrap());
    }
    let set = good(&text, &forms::interactions(proteins(&fasta)));
    let Sides { train, held_out, dropped } = set.hold_out(0.3, 1).unwrap();
    assert_eq!(train.len() + held_out.len() + dropped, set.len());
    assert_eq!(train.sequences() + held_out.sequences(), 60);
    let trained: BTreeSet<&str> = ids(&train).into_iter().collect();
    assert!(ids(&held_out).iter().all(|id| !trained.contains(id)));
    assert!(dropped > 0);
}

#[test]
fn domains_of_a_fold_stay_together() {
    let mut text = "id\tsccs\tsequence\n".to_owned();
    for number in 0..200 {
        writeln!(text, "d{number}\ta.{}.{}.1\t{}", number / 5, number % 3, sequence(number)).unwrap();
    }
    let source = Source::from_bytes("d", text.into_bytes());
    let domains = Arc::new(Proteins::read(&source, 100, Some(&forms::domains())).unwrap());
    let mut pairs = "id_a\tid_b\tlevel\n".to_owned();
    for number in 0..199 {
        writeln!(pairs, "d{number}\td{}\t{}", number + 1, if number % 5 == 4 { 1 } else { 2 }).unwrap();
    }
    let set = good(&pairs, &forms::homology_pairs(domains));
    let Sides { train, held_out, .. } = set.hold_out(0.3, 3).unwrap();
    let folds = |set: &LabelledSet| -> BTreeSet<String> {
        (0..set.sequences()).filter_map(|sequence| set.group(sequence).map(str::to_owned)).collect()
    };
    let (trained, held) = (folds(&train), folds(&held_out));
    assert!(trained.is_disjoint(&held) && held.len() > 4, "{trained:?} {held:?}");
}

#[test]
fn what_is_selected_is_what_would_have_been_read() {
    let options = table(Columns::one("seq", "y").id(&["id"]).part("p"), LabelForm::Class(given(&["a", "b"])));
    let all = good("id,seq,y,p\nx,MK,a,1\ny,MV,b,2\nz,ML,b,1\n", &options);
    let some = good("id,seq,y,p\nz,ML,b,1\nx,MK,a,1\n", &options);
    let picked = all.select(&[2, 0]).unwrap();
    assert_eq!((picked.digest(), ids(&picked)), (some.digest(), ids(&some)));
    assert!(all.select(&[]).is_none());
    let alphabet = ResidueAlphabet::of_letters("HEC", b"");
    let residues = table(Columns::one("seq", "y"), LabelForm::Residues(alphabet));
    let all = good("seq,y\nMK,HE\nMVA,CCH\nM,E\n", &residues);
    assert_eq!(all.select(&[1]).unwrap().label(0), Label::Residues(&[2, 2, 0]));
}

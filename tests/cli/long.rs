//! Proteins longer than those that the model was trained on: 1,022 residues for the tiny model.

use crate::tool::{Ended, Scratch};

fn residues(length: usize) -> String {
    // No period that a window could share.
    (0..length as u64)
        .map(|place| char::from(b"ACDEFGHIKLMNPQRSTVWY"[(place * place * 7919 + place * 31) as usize % 20]))
        .collect()
}

fn run(text: &str, more: &[&str]) -> (Scratch, Ended) {
    let scratch = Scratch::new();
    scratch.write("in.fasta", text);
    let ended = scratch.embed(more);
    (scratch, ended)
}

fn values(scratch: &Scratch, name: &str) -> Vec<f32> {
    scratch.npz(name).embeddings[0].values.clone()
}

#[test]
fn a_whole_protein_is_the_default_and_is_warned_of_once() {
    let text = format!(">a\n{}\n>b\n{}\n>c\nMK\n", residues(1023), residues(1500));
    let (scratch, ended) = run(&text, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("2 records have more residues than the 1022"), "{}", warnings[0]);
    assert_eq!(scratch.npz("out.npz").ids, ["a", "b", "c"]);
    let (_, ended) = run(&format!(">a\n{}\n", residues(1022)), &[]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn errors_end_the_run_and_skipped_ones_do_not() {
    let text = format!(">a\nMKV\n>b\n{}\n", residues(1023));
    let (scratch, ended) = run(&text, &["--long", "error"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(ended.stderr.contains("in.fasta:3 b: has 1023 residues, more than the 1022"), "{}", ended.stderr);
    assert_eq!(scratch.names(), ["in.fasta", "out.npz.failures.tsv"]);
    for more in [&["--long", "error", "--on-error", "skip"][..], &["--long", "skip"]] {
        let (scratch, ended) = run(&text, more);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(scratch.npz("out.npz").ids, ["a"]);
        let list = scratch.text("out.npz.failures.tsv");
        assert!(list.lines().nth(1).is_some_and(|line| line.starts_with("in.fasta\t3\t2\tb\t")), "{list}");
    }
}

#[test]
fn a_truncated_protein_is_its_beginning() {
    let long = residues(1500);
    let more = ["--long", "truncate", "--residues", "r.npz"];
    let (scratch, ended) = run(&format!(">a\n{long}\n>b\nMK\n"), &more);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 record has more residues than the 1022"), "{}", ended.stderr);
    assert!(ended.stderr.contains("cut to their first 1022"), "{}", ended.stderr);
    let (cut, _) = run(&format!(">a\n{}\n>b\nMK\n", &long[..1022]), &more);
    assert_eq!(values(&scratch, "out.npz"), values(&cut, "out.npz"));
    assert_eq!(values(&scratch, "r.npz"), values(&cut, "r.npz"));
    assert_eq!(scratch.npz("r.npz").offsets, Some(vec![0, 1022, 1024]));
}

#[test]
fn windows_are_stitched_by_their_owners() {
    let long = residues(1500);
    let more = [
        "--long",
        "window",
        "--window",
        "1000",
        "--stride",
        "600",
        "--residues",
        "r.npz",
        "--out-dtype",
        "f32",
    ];
    let (scratch, ended) = run(&format!(">b\nMKV\n>a\n{long}\n"), &more);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let states = values(&scratch, "r.npz");
    // The windows start at 0 and 500; residues up to 750 stand farther from the edges of the first.
    let alone = |from: usize| {
        let (scratch, ended) = run(&format!(">w\n{}\n", &long[from..from + 1000]), &["--residues", "r.npz"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        values(&scratch, "r.npz")
    };
    let width = 32;
    let (first, last) = (alone(0), alone(500));
    let found = &states[3 * width..];
    assert_eq!(found.len(), 1500 * width);
    assert_eq!(found[..750 * width], first[..750 * width]);
    assert_eq!(found[750 * width..], last[250 * width..]);
    // Its vector is the mean over all of them.
    let pooled = &values(&scratch, "out.npz")[width..];
    for (column, value) in pooled.iter().enumerate() {
        let mean = (0..1500).map(|row| f64::from(found[row * width + column])).sum::<f64>() / 1500.0;
        assert!((mean - f64::from(*value)).abs() < 1e-5, "column {column}: {mean} {value}");
    }
}

#[test]
fn windows_without_states_give_the_same_vectors() {
    let text = format!(">a\n{}\n>b\nMKV\n", residues(2500));
    for pool in ["mean", "max"] {
        let more = ["--long", "window", "--pool", pool];
        let with = [&more[..], &["--residues", "r.npz"]].concat();
        let (one, ended) = run(&text, &more);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let (two, _) = run(&text, &with);
        assert!(one.read("out.npz") == two.read("out.npz"));
    }
}

#[test]
fn the_policy_is_part_of_what_a_result_says_of_itself() {
    let text = ">a\nMKV\n";
    let said = |more: &[&str]| {
        let (scratch, _) = run(text, more);
        scratch.npz("out.npz").metadata.unwrap().get("long").unwrap().clone()
    };
    assert_eq!(said(&[]), "whole");
    assert_eq!(said(&["--long", "window"]), "window:1022:511");
    assert_eq!(said(&["--long", "window", "--window", "100", "--stride", "30"]), "window:100:30");
}

#[test]
fn titin_runs_whole() {
    let (scratch, ended) = run(&format!(">titin\n{}\n", residues(35_213)), &["--residues", "r.npz"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(scratch.npz("r.npz").offsets, Some(vec![0, 35_213]));
}

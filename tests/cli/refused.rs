//! Tasks with labels: proteins that their model does not compute, and tables as others write them.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::tool::{Ended, Scratch, has, model};

/// Pairs of the proteins in `p.fasta`.
const PAIRS: usize = 28;

/// A folder with proteins and pairs of them, the same with a protein that is longer than those of the training of the tiny
/// model, and heads of pairs on that model.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let (mut fasta, mut pairs, mut bare) = (String::new(), "id_a\tid_b\tlabel\n".to_owned(), String::new());
    for first in 0..8 {
        let letters = ["LAGVS", "KRDEN"][first % 2];
        let _ = write!(fasta, ">p{first}\n{}\n", letters.repeat(3 + first));
        for second in first + 1..8 {
            let _ = writeln!(bare, "p{first}\tp{second}\t{}", u8::from(first % 2 == second % 2));
        }
    }
    pairs.push_str(&bare);
    scratch.write("long.fasta", format!("{fasta}>long\n{}\n", "MKVLATGSHR".repeat(110)));
    scratch.write("more.tsv", format!("{pairs}p0\tlong\t1\n"));
    scratch.write("p.fasta", fasta).write("pairs.tsv", pairs).write("bare.tsv", bare);
    let words = ["finetune", "--task", "ppi", "--train", "pairs.tsv", "--sequences", "p.fasta", "--model"];
    let more = ["--out", "head", "--set", "run.epochs=1", "--quiet"];
    scratch.run(&[&words[..], &[model()], &more].concat()).go().code(0);
    scratch
}

/// The words of a command that asks the head, with `--long error`.
fn asked<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, &["--head", "head", "--model", model(), "--long", "error"], more].concat()
}

/// The lines below the one that tells what made them.
fn lines(scratch: &Scratch, name: &str) -> Vec<String> {
    scratch.text(name).lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[track_caller]
fn says(ended: &Ended, wanted: &str) {
    assert!(ended.stderr.contains(wanted), "wanted {wanted}: {}", ended.stderr);
}

#[test]
fn proteins_that_a_policy_refuses_are_named_as_they_stand_and_can_be_left_out() {
    let scratch = scratch();
    let screen = ["screen", "long.fasta", "--top-k", "3", "--out", "s.tsv"];
    says(
        &scratch.run(&asked(&screen, &[])).go().code(65),
        "long.fasta:17 long: has 1100 residues, more than the 1022",
    );
    scratch.run(&asked(&screen, &["--on-error", "skip"])).go().code(0);
    let listed = lines(&scratch, "s.tsv.failures.tsv");
    assert!(listed.len() == 2 && listed[1].starts_with("long.fasta\t17\t9\tlong\thas 1100"), "{listed:?}");
    scratch.run(&asked(&["screen", "p.fasta", "--top-k", "3", "--out", "few.tsv"], &[])).go().code(0);
    assert_eq!(lines(&scratch, "s.tsv"), lines(&scratch, "few.tsv"));

    let predict = ["predict", "more.tsv", "--sequences", "long.fasta", "--out", "t.tsv"];
    let ended = scratch.run(&asked(&predict, &[])).go().code(65);
    says(&ended, "more.tsv:30 p0/long: no answer: long has 1100 residues");
    scratch.run(&asked(&predict, &["--on-error", "skip"])).go().code(0);
    assert_eq!(lines(&scratch, "t.tsv.failures.tsv").len(), 2);
    // A protein that no pair names is nobody's business.
    let predict = ["predict", "pairs.tsv", "--sequences", "long.fasta", "--out", "few.tsv"];
    scratch.run(&asked(&predict, &[])).go().code(0);
    assert_eq!(lines(&scratch, "t.tsv"), lines(&scratch, "few.tsv"));

    let evaluate = ["evaluate", "--task", "ppi", "more.tsv", "--sequences", "long.fasta", "--out", "e.json"];
    let ended = scratch.run(&asked(&evaluate, &[])).go().code(65);
    says(&ended, "more.tsv:30 p0/long: no answer: long has 1100 residues");
    scratch.run(&asked(&evaluate, &["--on-error", "skip"])).go().code(0);
    let report: Value = serde_json::from_slice(&scratch.read("e.json")).unwrap();
    assert_eq!((&report["examples"], &report["pliant_meta"]["long"]), (&PAIRS.into(), &"error".into()));
    assert_eq!(lines(&scratch, "e.json.failures.tsv").len(), 2);
}

/// PLUS-TFM has no places for more residues, whatever the policy.
#[test]
fn a_training_names_examples_that_its_model_cannot_compute() {
    let scratch = Scratch::new();
    let config = r#"{"model_type": "TFM", "num_layers": 1, "hidden_dim": 16, "num_heads": 2,
        "feedforward_dim": 20, "pos_encode": true, "max_len": 30, "dropout": 0.1}"#;
    scratch.write("tfm.json", config);
    scratch.run(&["model", "new", "--config", "tfm.json", "--seed", "7", "--out", "tfm"]).go().code(0);
    let mut table = "id\tsequence\tlabel\n".to_owned();
    for row in 0..12 {
        let _ = writeln!(table, "r{row}\t{}\t{}", ["LAGVS", "KRDEN"][row % 2].repeat(2), row % 2);
    }
    scratch.write("t.tsv", format!("{table}long\t{}\t1\n", "MKVL".repeat(20)));
    for tune in ["frozen", "all"] {
        let words =
            ["finetune", "--task", "classification", "--train", "t.tsv", "--model", "tfm", "--tune", tune];
        let out = format!("head_{tune}");
        let words = [&words[..], &["--out", &out, "--set", "run.epochs=1", "--quiet"]].concat();
        let ended = scratch.run(&words).go().code(65);
        says(&ended, "t.tsv:14 long: has 80 residues to be computed together");
        scratch.run(&[&words[..], &["--on-error", "skip"]].concat()).go().code(0);
        let training: Value = serde_json::from_slice(&scratch.read(&format!("{out}/training.json"))).unwrap();
        assert_eq!(training["train"]["examples"], 12);
        assert!(scratch.text(&format!("{out}/failures.tsv")).contains("t.tsv\t14\t13\tlong\t"));
    }
}

#[test]
fn pairs_are_asked_about_with_and_without_a_line_of_names_and_packed() {
    let scratch = scratch();
    let predict = |table: &str, out: &str| {
        let words = ["predict", table, "--sequences", "p.fasta", "--head", "head", "--model", model()];
        scratch.run(&[&words[..], &["--out", out, "--summary", "s.json"]].concat()).go()
    };
    predict("pairs.tsv", "named.tsv").code(0);
    predict("bare.tsv", "bare_told.tsv").code(0);
    assert!(scratch.read("named.tsv") == scratch.read("bare_told.tsv"));
    assert_eq!(lines(&scratch, "named.tsv").len(), 1 + PAIRS);
    if has("gzip") {
        let pack = Command::new("gzip").args(["-k", "bare.tsv"]).current_dir(scratch.folder()).status();
        assert!(pack.unwrap().success());
        predict("bare.tsv.gz", "packed.tsv").code(0);
        assert!(scratch.read("named.tsv") == scratch.read("packed.tsv"));
    } else {
        println!("SKIPPED: no gzip here to pack a table with");
    }
    let summary: Value = serde_json::from_slice(&scratch.read("s.json")).unwrap();
    assert_eq!((&summary["task"], &summary["pairs"]), (&"predict".into(), &PAIRS.into()));
    for (table, said) in [
        ("id_a\tid_b\n", "found no pair below the names"),
        ("id_a\tid_b\tid_a\np0\tp1\tp2\n", "more than one column is named \"id_a\""),
        ("x\ty\np0\tp1\n", "found no column \"id_a\""),
        ("p0\tp1\t\"1\np0\tp2\t1\np0\tp3\t1\n", "a quote that is opened and never closed"),
    ] {
        scratch.write("bad.tsv", table);
        says(&predict("bad.tsv", "x.tsv").code(65), said);
    }
    let meta = scratch.text("named.tsv").lines().next().unwrap().to_owned();
    assert!(meta.contains("\"long\":\"whole\"") && meta.contains("\"input\":\""), "{meta}");
}

#[test]
fn stored_vectors_leave_a_summary_and_have_one_id_each() {
    let scratch = scratch();
    scratch.run(&["embed", "p.fasta", "--model", model(), "--out", "e.tsv", "--quiet"]).go().code(0);
    let mut table = "id\tsequence\tlabel\n".to_owned();
    for (row, sequence) in scratch.text("p.fasta").lines().skip(1).step_by(2).enumerate() {
        let _ = writeln!(table, "p{row}\t{sequence}\t{}", row % 2);
    }
    scratch.write("t.tsv", table);
    let words =
        ["finetune", "--task", "classification", "--train", "t.tsv", "--model", model(), "--out", "one"];
    scratch.run(&[&words[..], &["--set", "run.epochs=1", "--quiet"]].concat()).go().code(0);
    let words =
        ["predict", "--embeddings", "e.tsv", "--head", "one", "--out", "l.tsv", "--summary", "s.json"];
    scratch.run(&words).go().code(0);
    let summary: Value = serde_json::from_slice(&scratch.read("s.json")).unwrap();
    assert_eq!((&summary["records"], &summary["failures"]), (&8.into(), &0.into()));
    let text = scratch.text("e.tsv");
    let last = text.lines().last().unwrap().replacen("p7", "p0", 1);
    scratch.write("twice.tsv", format!("{text}{last}\n"));
    let words = ["predict", "pairs.tsv", "--embeddings", "twice.tsv", "--head", "head", "--out", "x.tsv"];
    says(&scratch.run(&words).go().code(65), "the id \"p0\" has two vectors, those of the records 1 and 9");
}

#[test]
fn mutants_of_proteins_that_are_refused_are_named_by_their_rows() {
    let scratch = Scratch::new();
    let long = "MKVLATGSHR".repeat(110);
    scratch.write("wt.fasta", format!(">wt\n{long}\n")).write("m.csv", "mutant,x\nM1A,1\nK2R,2\n");
    scratch.write("col.csv", format!("mutant,seq\nM1A,MKV\nK2R,{long}\n"));
    let variants = |more: &[&str]| {
        let words = ["variants", "--model", model(), "--long", "error", "--out", "o.csv"];
        scratch.run(&[&words[..], more].concat()).go().code(65)
    };
    let of_wild = ["--mutants", "m.csv", "--wild-type", "wt.fasta"];
    says(&variants(&of_wild), "wt.fasta: the wild type: has 1100 residues");
    says(
        &variants(&[&of_wild[..], &["--score", "pseudo-ppl"]].concat()),
        "m.csv:2: the mutant: has 1100 residues",
    );
    says(
        &variants(&["--mutants", "col.csv", "--sequence-column", "seq"]),
        "col.csv:3: the wild type: has 1100",
    );
    for (table, said) in [
        ("mutant,mutant\nM1A,K2R\n", "more than one column mutant"),
        ("mutant,x\nM1A,\"1\nK2R,2\nV3A,3\n", "a quote that is opened and never closed"),
    ] {
        scratch.write("bad.csv", table);
        says(&variants(&["--mutants", "bad.csv", "--wild-type", "wt.fasta"]), said);
    }
    let wild = ">wt\nMKVLATG\n";
    scratch.write("wt.fasta", wild);
    let words = ["variants", "--model", model(), "--wild-type", "wt.fasta", "--out", "-", "--mutants"];
    let told = scratch.run(&[&words[..], &["m.csv"]].concat()).go().code(0).stdout;
    let stream = scratch.run(&[&words[..], &["-"]].concat()).input(scratch.read("m.csv")).go().code(0).stdout;
    assert!(!told.is_empty() && told == stream);
}

//! `pliant leakage`: what a test shares with a training.

use serde_json::{Value, json};

use crate::tool::Scratch;

/// Six different proteins, and one that differs from the first in two of sixty residues.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let protein = |number: u64| -> String {
        let mut state = number * 7919 + 12345;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"ACDEFGHIKLMNPQRSTVWY"[usize::try_from((state >> 33) % 20).unwrap()] as char
        };
        (0..60).map(|_| letter()).collect()
    };
    let mut fasta: String = (0..6).map(|number| format!(">p{number}\n{}\n", protein(number))).collect();
    let mut near = protein(0).into_bytes();
    for place in [20, 21] {
        near[place] = if near[place] == b'W' { b'A' } else { b'W' };
    }
    fasta += &format!(">near\n{}\n>twin\n{}\n", String::from_utf8(near).unwrap(), protein(1));
    scratch.write("p.fasta", fasta);
    scratch.write("train.tsv", "id_a\tid_b\tlabel\np0\tp1\t1\np0\tp2\t0\np1\tp1\t1\n");
    // Both known; the same pair turned round; the same with another label; one known; one nearly; none; none nearly.
    let test =
        "p1\tp2\t0\np1\tp0\t1\np2\tp0\t1\np0\tp4\t0\nnear\tp1\t1\np4\tp5\t0\nnear\tp5\t1\ntwin\tp1\t1\n";
    scratch.write("test.tsv", format!("id_a\tid_b\tlabel\n{test}"));
    scratch
}

fn words<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["leakage", "--task", "ppi", "--train", "train.tsv", "--test", "test.tsv"];
    words.extend(["--sequences", "p.fasta", "--out", out]);
    words.extend(more);
    words
}

#[test]
fn pairs_are_classed_by_what_the_training_has() {
    let scratch = scratch();
    let tables = ["--proteins", "proteins.tsv", "--examples", "examples.tsv", "--identity", "0.9"];
    scratch.run(&words("l.json", &tables)).go().code(0);
    let report: Value = serde_json::from_slice(&scratch.read("l.json")).unwrap();
    // Of p0, p1, p2, p4, p5, near and twin: twin is p1 under another id.
    let proteins = &report["proteins"];
    assert_eq!((&report["test"]["proteins"], &proteins["shared"]), (&7.into(), &4.into()), "{report}");
    assert_eq!((&proteins["shared_ids"], &proteins["similar"]), (&3.into(), &5.into()));
    assert_eq!(report["examples"], json!({ "shared": 2, "contradicting": 1 }));
    let classes =
        |name: &str| ["C1", "C2", "C3"].map(|class| report[name][class]["examples"].as_u64().unwrap());
    assert_eq!((classes("classes"), classes("similar_classes")), ([4, 2, 2], [5, 2, 1]));
    assert_eq!(report["classes"]["C3"]["labels"], json!({ "0": 1, "1": 1 }));
    let examples = scratch.text("examples.tsv");
    let rows: Vec<Vec<&str>> = examples.lines().skip(2).map(|line| line.split('\t').collect()).collect();
    let column = |place: usize| rows.iter().map(|row| row[place]).collect::<Vec<_>>();
    assert_eq!(column(2), ["C1", "C1", "C1", "C2", "C2", "C3", "C3", "C1"]);
    assert_eq!(column(3), ["C1", "C1", "C1", "C2", "C1", "C3", "C2", "C1"]);
    assert_eq!(column(4), ["no", "yes", "with another label", "no", "no", "no", "no", "yes"]);
    let table = scratch.text("proteins.tsv");
    let near: Vec<&str> =
        table.lines().find(|line| line.starts_with("near\t")).unwrap().split('\t').collect();
    // 50 of the 56 words of five are whole, of which some may be there twice.
    assert_eq!(near[..4], ["near", "60", "0", "p0"]);
    let identity: f64 = near[5].parse().unwrap();
    assert!((identity - (50.0f64 / 56.0).powf(0.2)).abs() < 0.01, "{near:?}");
    assert!(
        table.lines().any(|line| line.starts_with("twin\t60\t1\tp1\t") && line.ends_with("\t1")),
        "{table}"
    );
    // The same as rows, and the same bytes again.
    scratch.run(&words("l.tsv", &["--identity", "0.9"])).go().code(0);
    let rows = scratch.text("l.tsv");
    assert!(
        rows.contains("\nclasses.C1.examples\t4\n") && rows.contains("\nproteins.by_identity.same\t4\n"),
        "{rows}"
    );
    scratch.run(&words("again.json", &["--identity", "0.9"])).go().code(0);
    assert!(scratch.read("again.json") == scratch.read("l.json"));
}

#[test]
fn single_proteins_and_parts_are_compared_too() {
    let scratch = Scratch::new();
    let (one, other) = ("MKVLAAGGTREWQDCFH", "PLINYSTQWERKHDGAA");
    let rows =
        format!("a\t{one}\t0\ttrain\nb\t{other}\t1\ttrain\nc\t{one}\t0\ttest\nd\tWWWWWCCCCCHHHHH\t1\ttest\n");
    scratch.write("t.tsv", format!("id\tsequence\tsoluble\tsplit\n{rows}"));
    let words = ["leakage", "--task", "solubility", "--train", "t.tsv", "--out", "l.json"];
    let parts = ["--part-column", "split", "--train-part", "train", "--test-part", "test"];
    scratch.run(&[&words[..], &parts].concat()).go().code(0);
    let report: Value = serde_json::from_slice(&scratch.read("l.json")).unwrap();
    assert_eq!((&report["train"]["examples"], &report["test"]["examples"]), (&2.into(), &2.into()));
    let classes = &report["classes"];
    assert_eq!((&classes["known"]["examples"], &classes["new"]["examples"]), (&1.into(), &1.into()));
    let refused = |more: &[&str], code: i32, wanted: &str| {
        let ended = scratch.run(&[&words[..], more].concat()).go().code(code);
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    };
    refused(&parts[2..], 2, "--part-column");
    refused(&["--part-column", "split", "--test-part", "nothing"], 65, "nothing");
    refused(&[], 2, "--test");
    assert!(scratch.read("l.json").starts_with(b"{"), "what failed has changed nothing");
}

#[test]
fn what_is_wrong_is_named() {
    let scratch = scratch();
    let refused = |words: &[&str], code: i32, wanted: &[&str]| {
        let ended = scratch.run(words).go().code(code);
        for wanted in wanted {
            assert!(ended.stderr.contains(wanted), "{words:?}: {}", ended.stderr);
        }
    };
    scratch.write("strange.tsv", "id_a\tid_b\tlabel\np0\tp1\t1\np0\tnobody\t0\n");
    let strange: Vec<&str> = words("l.json", &[])
        .into_iter()
        .map(|word| if word == "test.tsv" { "strange.tsv" } else { word })
        .collect();
    refused(&strange, 65, &["strange.tsv:3", "nobody"]);
    refused(&words("l.txt", &[]), 2, &["l.txt", ".json"]);
    refused(&words("l.json", &["--kmer", "9"]), 2, &["--kmer", "from 3 to 6"]);
    refused(&words("l.json", &["--identity", "0"]), 2, &["--identity", "above 0"]);
    refused(&words("l.json", &["--proteins", "l.json"]), 2, &["l.json"]);
    refused(&words("train.tsv", &[]), 2, &["train.tsv", "is the input"]);
    assert!(!scratch.path("l.json").exists());
}

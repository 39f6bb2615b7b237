//! `--dry-run` of commands about pairs and examples: what they tell is what happens, and nothing is written.

use std::fs;

use serde_json::{Value, json};

use crate::screen::{PROTEINS, scratch_with};
use crate::tool::Scratch;

const PAIRS: usize = PROTEINS * (PROTEINS - 1) / 2;

fn dry(scratch: &Scratch, words: &[&str]) -> Value {
    scratch.run(&[words, &["--dry-run"]].concat()).go().code(0).json()
}

fn holds(told: &Value, wanted: &[(&str, Value)]) {
    for (key, wanted) in wanted {
        assert_eq!(&told[key], wanted, "{key}: {told:#}");
    }
}

/// What is estimated of a file is near it.
fn near(told: &Value, scratch: &Scratch, name: &str) {
    let found = told["estimated_output_bytes"]["total"].as_f64().unwrap();
    let wanted = fs::metadata(scratch.path(name)).unwrap().len() as f64;
    // The description of the file is not counted.
    assert!((0.7..1.3).contains(&((found + 700.0) / wanted)), "{name}: {found} of {wanted}");
}

#[test]
fn a_screen_tells_what_it_would_take() {
    let scratch = scratch_with(&["--set", "head.hidden=8", "--set", "run.epochs=1"]);
    let screen = ["screen", "p.fasta", "--head", "head"];
    let before = scratch.names();
    let told = dry(&scratch, &[&screen[..], &["--top-k", "3"]].concat());
    holds(
        &told,
        &[
            ("inputs", json!(["p.fasta"])),
            ("headers", json!(PROTEINS)),
            ("records", json!(PROTEINS)),
            ("proteins_to_encode", json!(PROTEINS)),
            ("longest", json!({ "id": "p12", "residues": 30 })),
            ("duplicates", json!(0)),
            ("bad_records", json!(0)),
            ("would_fail", json!(false)),
            ("pairs", json!(PAIRS)),
            ("blocks", json!(1)),
            ("shard", Value::Null),
            ("most_pairs_kept", json!(3 * PROTEINS)),
        ],
    );
    for key in ["estimated_memory_bytes", "estimated_flops", "estimated_scoring_seconds_at_assumed_rate"] {
        assert!(told[key].as_f64().unwrap() > 0.0, "{key}: {told:#}");
    }
    // A cut alone says nothing of how many pairs it keeps.
    let cut = dry(&scratch, &[&screen[..], &["--min-logit", "1", "--out", "x.parquet"]].concat());
    holds(&cut, &[("most_pairs_kept", Value::Null)]);
    assert!(
        cut["estimated_output_bytes"]["total"].is_null() && cut["estimated_output_bytes"]["pair"].is_number()
    );
    let small = dry(&scratch, &[&screen[..], &["--top-k", "3", "--memory", "1K"]].concat());
    holds(&small, &[("would_fail", json!(true)), ("memory_limit_bytes", json!(1024))]);
    assert_eq!(scratch.names(), before, "nothing is written");
    for name in ["a.tsv", "a.parquet", "a.graphml"] {
        let words = [&screen[..], &["--all-pairs", "--out", name]].concat();
        let told = dry(&scratch, &words);
        holds(&told, &[("most_pairs_kept", json!(PAIRS))]);
        scratch.run(&[&words[..], &["--summary", "s.json"]].concat()).go().code(0);
        near(&told, &scratch, name);
        let summary: Value = serde_json::from_slice(&scratch.read("s.json")).unwrap();
        let same = [("pairs", "pairs_scored"), ("blocks", "blocks"), ("records", "proteins")];
        for (told_as, done_as) in same {
            assert_eq!(told[told_as], summary[done_as], "{told_as}");
        }
        holds(&summary, &[("blocks_resumed", json!(0)), ("pairs_resumed", json!(0))]);
        let [told, used] = [&told["estimated_memory_bytes"], &summary["peak_memory_bytes"]];
        let ratio = told.as_f64().unwrap() / used.as_f64().unwrap();
        assert!((0.6..8.0).contains(&ratio), "memory: {told} estimated, {used} used");
    }
    let parts = |number: usize| {
        let (out, shard) = (format!("{number}.screen"), format!("{number}/2"));
        let words = [&screen[..], &["--all-pairs", "--shard", &shard, "--out", &out]].concat();
        let told = dry(&scratch, &words);
        holds(&told, &[("shard", json!(shard))]);
        told["pairs"].as_u64().unwrap()
    };
    assert_eq!(parts(1) + parts(2), PAIRS as u64);
}

#[test]
fn a_dry_screen_finds_what_is_bad() {
    let scratch = scratch_with(&["--set", "head.hidden=8", "--set", "run.epochs=1"]);
    let bad = format!("{}>empty\n>p3\n{}\n", scratch.text("p.fasta"), "LLL");
    scratch.write("bad.fasta", bad).write("list.tsv", "p0\tp1\np0\tnobody\np2\tp2\np1\tp0\n");
    let before = scratch.names();
    let screen = ["screen", "bad.fasta", "--head", "head", "--out", "x.tsv"];
    let told = dry(&scratch, &[&screen[..], &["--top-k", "2"]].concat());
    holds(&told, &[("headers", json!(PROTEINS + 2)), ("bad_records", json!(2)), ("would_fail", json!(true))]);
    assert_eq!(told["bad_records_first"][0]["id"], "empty");
    let skips = dry(&scratch, &[&screen[..], &["--top-k", "2", "--on-error", "skip"]].concat());
    holds(&skips, &[("bad_records", json!(2)), ("would_fail", json!(false)), ("pairs", json!(PAIRS))]);
    let listed = dry(&scratch, &["screen", "p.fasta", "--head", "head", "--pairs", "list.tsv"]);
    holds(
        &listed,
        &[
            ("inputs", json!(["p.fasta", "list.tsv"])),
            ("pairs", json!(1)),
            ("bad_records", json!(2)),
            ("would_fail", json!(true)),
        ],
    );
    assert_eq!(listed["warnings"][0]["kind"], "repeated_pairs");
    scratch.write("one.fasta", ">p0\nMKVLA\n");
    let none = dry(&scratch, &["screen", "one.fasta", "--head", "head", "--top-k", "1"]);
    holds(&none, &[("pairs", json!(0)), ("blocks", json!(1)), ("would_fail", json!(true))]);
    scratch.write("none.fasta", ">p0\n");
    let none = dry(&scratch, &["screen", "none.fasta", "--head", "head", "--top-k", "1"]);
    holds(&none, &[("records", json!(0)), ("proteins_to_encode", json!(0)), ("would_fail", json!(true))]);
    // Vectors are there already.
    scratch.run(&["embed", "p.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    let told = dry(&scratch, &["screen", "--embeddings", "v.npz", "--head", "head", "--top-k", "2"]);
    holds(
        &told,
        &[
            ("inputs", json!(["v.npz"])),
            ("proteins_to_encode", json!(0)),
            ("residues", Value::Null),
            ("longest", Value::Null),
            ("pairs", json!(PAIRS)),
            ("estimated_encoding_seconds_at_assumed_rate", json!(0.0)),
        ],
    );
    let after: Vec<String> = scratch.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(after, ["none.fasta", "one.fasta", "v.npz"]);
}

#[test]
fn predictions_of_pairs_tell_what_they_would_take() {
    let scratch = scratch_with(&["--set", "head.hidden=8", "--set", "run.epochs=1"]);
    let words = ["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", "head", "--out", "told.tsv"];
    let told = dry(&scratch, &words);
    holds(
        &told,
        &[
            ("inputs", json!(["pairs.tsv", "p.fasta"])),
            ("headers", json!(PAIRS)),
            ("records", json!(PAIRS)),
            ("pairs", json!(PAIRS)),
            ("proteins_to_encode", json!(PROTEINS)),
            ("longest", json!({ "id": "p12", "residues": 30 })),
            ("would_fail", json!(false)),
        ],
    );
    assert!(!scratch.path("told.tsv").exists());
    scratch.run(&words).go().code(0);
    let found = told["estimated_output_bytes"]["total"].as_f64().unwrap();
    let wanted = fs::metadata(scratch.path("told.tsv")).unwrap().len() as f64;
    assert!((0.5..2.0).contains(&(found / wanted)), "{found} of {wanted}");
    let first = scratch.text("told.tsv");
    let meta: Value =
        serde_json::from_str(first.lines().next().unwrap().strip_prefix("# pliant_meta ").unwrap()).unwrap();
    assert_eq!(meta["input"], told["input_hash"]);
    scratch
        .write("bad.tsv", "id_a\tid_b\np0\tp1\np0\tnobody\n")
        .write("bad.fasta", ">p0\nMKV\n>p1\nMKA\n>e\n");
    let told = dry(
        &scratch,
        &["predict", "bad.tsv", "--sequences", "bad.fasta", "--head", "head", "--out", "b.tsv"],
    );
    holds(&told, &[("records", json!(1)), ("bad_records", json!(2)), ("would_fail", json!(true))]);
    scratch.run(&["embed", "p.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    let told = dry(
        &scratch,
        &["predict", "bad.tsv", "--embeddings", "v.npz", "--head", "head", "--on-error", "skip"],
    );
    holds(
        &told,
        &[
            ("inputs", json!(["bad.tsv", "v.npz"])),
            ("pairs", json!(1)),
            ("bad_records", json!(1)),
            ("proteins_to_encode", json!(0)),
            ("would_fail", json!(false)),
        ],
    );
    assert!(!scratch.path("b.tsv.failures.tsv").exists() && !scratch.path("b.tsv").exists());
}

#[test]
fn an_evaluation_names_its_examples() {
    let scratch = scratch_with(&["--set", "head.hidden=8", "--set", "run.epochs=1"]);
    scratch.write("bad.tsv", format!("{}p0\tnobody\t1\n", scratch.text("pairs.tsv")));
    let before = scratch.names();
    let words = [
        "evaluate",
        "--task",
        "pair",
        "bad.tsv",
        "--sequences",
        "p.fasta",
        "--head",
        "head",
        "--out",
        "e.json",
    ];
    let told = dry(&scratch, &words);
    holds(
        &told,
        &[
            ("inputs", json!(["bad.tsv", "p.fasta"])),
            ("headers", json!(PAIRS + 1)),
            ("records", json!(PAIRS)),
            ("examples", json!(PAIRS)),
            ("proteins_to_encode", json!(PROTEINS)),
            ("longest", json!({ "id": "p12", "residues": 30 })),
            ("bad_records", json!(1)),
            ("would_fail", json!(true)),
        ],
    );
    let told = dry(&scratch, &[&words[..], &["--on-error", "skip"]].concat());
    holds(&told, &[("bad_records", json!(1)), ("would_fail", json!(false))]);
    assert_eq!(scratch.names(), before, "no list of failures either");
}

#[test]
fn predictions_of_stored_vectors_tell_what_they_would_take() {
    let scratch = Scratch::new();
    scratch.write("t.tsv", "id\tsequence\tlabel\na\tMKVLA\t1\nb\tMKKKKK\t0\nc\tMVV\t1\nd\tMKRR\t0\n");
    let words = [
        "finetune",
        "--task",
        "classification",
        "--train",
        "t.tsv",
        "--model",
        "composition",
        "--out",
        "head",
    ];
    scratch.run(&[&words[..], &["--set", "run.epochs=1", "--set", "run.batch=2"]].concat()).go().code(0);
    scratch.write("p.fasta", ">x\nMKV\n>y\nMKVLATG\n");
    scratch.run(&["embed", "p.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    let before = scratch.names();
    let told = dry(&scratch, &["predict", "--embeddings", "v.npz", "--head", "head", "--out", "x.tsv"]);
    holds(
        &told,
        &[
            ("inputs", json!(["v.npz"])),
            ("records", json!(2)),
            ("proteins_to_encode", json!(0)),
            ("residues", Value::Null),
            ("would_fail", json!(false)),
        ],
    );
    assert_eq!(scratch.names(), before);
}

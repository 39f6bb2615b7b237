//! A tiny LC-PLM through the commands that are written for any family.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tool::{ECOLI, Ended, Run, Scratch};

/// A folder of `pliant model new` (tests/fixtures/models/README.md).
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/lc_plm_tiny_random");

/// Tokens of the vocabulary; the table has 40 rows.
const TOKENS: usize = 33;

#[track_caller]
fn run(scratch: &Scratch, words: &[&str]) -> Ended {
    scratch.run(&[words, &["--model", MODEL]].concat()).go().code(0)
}

/// A folder with a few proteins, one of which fills several tiles.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let long: String = (0..2600u64)
        .map(|place| char::from(b"ACDEFGHIKLMNPQRSTVWY"[(place * place * 7919 + place * 31) as usize % 20]))
        .collect();
    let text = format!(">one\nMKTAYIAKQRQISFVKSHFSRQ\n>long\n{long}\n>two\nMKV\n>three\n{}\n", &long[..700]);
    scratch.write("in.fasta", text);
    scratch
}

#[test]
fn the_fixture_is_what_its_seed_makes() {
    let (scratch, config) = (Scratch::new(), format!("{MODEL}.config.json"));
    scratch.run(&["model", "new", "--config", &config, "--seed", "20", "--out", "m"]).go().code(0);
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        assert!(
            scratch.read(&format!("m/{name}")) == fs::read(Path::new(MODEL).join(name)).unwrap(),
            "{name}"
        );
    }
    let inspected = Run::new(&["model", "inspect", MODEL]).go().code(0).text();
    assert!(inspected.contains("training length  no limit"), "{inspected}");
    let said = Run::new(&["model", "inspect", MODEL, "--json"]).go().code(0).json();
    assert_eq!((&said["family"], &said["vocabulary"]), (&"lc_plm".into(), &"esm2-33/1".into()));
    assert_eq!((&said["training_length"], &said["layers"]), (&Value::Null, &2.into()));
    assert_eq!(said["config"]["d_state"], 8);
    for (words, out) in
        [(&["model", "import", MODEL][..], "imported"), (&["model", "export", "--hf", MODEL], "hf")]
    {
        scratch.run(&[words, &["--out", out]].concat()).go().code(0);
        let verify = |folder: &str| scratch.run(&["model", "verify", folder]).go().code(0).text();
        assert_eq!(verify(out), verify("m"), "{out}");
    }
}

/// Every command with its output, which holds numbers of every record.
fn commands() -> Vec<Vec<&'static str>> {
    vec![
        vec!["embed", "in.fasta", "--out", "o.npz", "--layer", "1"],
        vec!["embed", "in.fasta", "--out", "p.npz", "--residues", "o.npz", "--precision", "bf16"],
        vec!["logits", "in.fasta", "--out", "o.npz"],
        vec!["perplexity", "in.fasta", "--out", "o.tsv", "--method", "one-pass"],
        vec!["perplexity", "short.fasta", "--out", "o.tsv"],
        vec![
            "variants",
            "--wild-type",
            "short.fasta",
            "--scan",
            "--out",
            "o.csv",
            "--score",
            "masked-marginals",
        ],
    ]
}

#[test]
fn threads_budgets_and_company_change_no_byte() {
    let scratch = scratch();
    scratch.write("short.fasta", ">one\nMKTAYIAKQRQISFVKSHFSRQ\n");
    for words in commands() {
        let out = *words.iter().rfind(|word| word.starts_with("o.")).unwrap();
        let bytes = |more: &[&str]| {
            run(&scratch, &[&words[..], more].concat());
            scratch.read(out)
        };
        let wanted = bytes(&["--threads", "1"]);
        for (threads, budget) in [("4", "1"), ("2", "800"), ("3", "100000")] {
            let found = bytes(&["--threads", threads, "--max-batch-tokens", budget]);
            assert!(found == wanted, "{words:?} with {threads} threads and {budget} tokens");
        }
    }
    run(&scratch, &["embed", "in.fasta", "--out", "o.npz"]);
    let all = scratch.records("o.npz");
    let text = scratch.text("in.fasta");
    let alone: Vec<String> = text.split('>').skip(1).map(|record| format!(">{record}")).collect();
    for (record, text) in all.iter().zip(&alone) {
        scratch.write("alone.fasta", text);
        run(&scratch, &["embed", "alone.fasta", "--out", "alone.npz"]);
        assert!(scratch.records("alone.npz")[0].layers == record.layers, "{}", record.id);
    }
}

/// Rows of the table beyond the tokens take part in the probabilities and are not written.
#[test]
fn log_probabilities_are_those_of_the_tokens() {
    let scratch = scratch();
    run(&scratch, &["logits", "in.fasta", "--out", "o.npz"]);
    run(&scratch, &["perplexity", "in.fasta", "--out", "o.tsv", "--method", "one-pass"]);
    let table = scratch.text("o.tsv");
    let vocabulary = fs::read_to_string(Path::new(MODEL).join("vocab.txt")).unwrap();
    let tokens: Vec<&str> = vocabulary.lines().collect();
    let sequences: Vec<String> = scratch.text("in.fasta").lines().map(str::to_owned).collect();
    for (number, record) in scratch.records("o.npz").iter().enumerate() {
        let residues: Vec<char> = sequences[2 * number + 1].chars().collect();
        assert_eq!(record.layers[0].len(), residues.len() * TOKENS);
        let mut sum = 0.0;
        for (row, residue) in record.layers[0].chunks(TOKENS).zip(&residues) {
            let whole: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
            assert!((0.5..0.999).contains(&whole), "{}: {whole}", record.id);
            let column = tokens.iter().position(|token| *token == residue.to_string()).unwrap();
            sum += f64::from(row[column]);
        }
        let line = table.lines().find(|line| line.split('\t').next() == Some(&record.id)).unwrap();
        let said: f64 = line.split('\t').nth(2).unwrap().parse().unwrap();
        assert!((said - sum).abs() <= 1e-4 * sum.abs(), "{}: {said} {sum}", record.id);
    }
}

/// No length is too long; windows are for those who ask for them.
#[test]
fn every_protein_is_computed_whole() {
    let scratch = scratch();
    let ended = run(&scratch, &["embed", "in.fasta", "--out", "whole.npz"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    let vectors =
        |name: &str| scratch.records(name).into_iter().map(|record| record.layers).collect::<Vec<_>>();
    for policy in ["error", "skip", "truncate"] {
        run(&scratch, &["embed", "in.fasta", "--out", "o.npz", "--long", policy]);
        assert!(vectors("o.npz") == vectors("whole.npz"), "{policy}");
    }
    let words = ["embed", "in.fasta", "--out", "o.npz", "--long", "window", "--model", MODEL];
    let ended = scratch.run(&words).go().code(2);
    assert!(ended.stderr.contains("say how long with --window"), "{}", ended.stderr);
    run(&scratch, &["embed", "in.fasta", "--out", "o.npz", "--long", "window", "--window", "500"]);
    let (cut, whole) = (vectors("o.npz"), vectors("whole.npz"));
    let same: Vec<bool> = cut.iter().zip(&whole).map(|(one, other)| one == other).collect();
    assert_eq!(same, [true, false, true, false]);
    let metadata = scratch.npz("whole.npz").metadata.unwrap();
    assert_eq!(metadata.get("training_length"), Some(&Value::Null));
}

#[test]
fn contacts_are_refused_by_the_name_of_the_family() {
    let scratch = scratch();
    let words = ["contacts", "in.fasta", "--out", "o.npz", "--model", MODEL];
    let ended = scratch.run(&words).go().code(65);
    assert!(ended.stderr.contains("a model of the family lc_plm tells no contacts"), "{}", ended.stderr);
    assert!(!scratch.path("o.npz").exists());
}

/// Memory grows with the tokens by the stream, one input and one result of the scans: far below what attention maps or
/// every inner number of a block would take.
#[test]
fn titin_runs_whole() {
    let scratch = Scratch::new();
    let titin: String = fs::read_to_string(ECOLI)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('>'))
        .cycle()
        .flat_map(|line| line.chars())
        .take(35_213)
        .collect();
    scratch.write("in.fasta", format!(">titin\n{titin}\n"));
    run(&scratch, &["embed", "in.fasta", "--out", "o.npz", "--threads", "2", "--summary", "s.json"]);
    let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!((&summary["records"], &summary["residues_computed"]), (&1.into(), &35_213.into()));
    assert!(summary["peak_memory_bytes"].as_u64().unwrap() < 192 << 20, "{summary}");
}

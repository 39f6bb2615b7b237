//! `logits`, `perplexity` and `variants` against PyTorch, and the bytes that they write.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::errors::case_in;
use crate::tool::{Ended, Scratch};

/// What `make.py` there has computed.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/variants");

/// The model that it has made.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/variants/model");

const SCORES: [&str; 3] = ["wt-marginals", "masked-marginals", "pseudo-ppl"];

fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(Path::new(FIXTURE).join("expected.json")).unwrap()).unwrap()
}

/// A folder with the inputs of the fixture.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    for name in ["proteins.fasta", "wild_type.fasta", "mutants.csv"] {
        scratch.write(name, fs::read(Path::new(FIXTURE).join(name)).unwrap());
    }
    scratch
}

#[track_caller]
fn run(scratch: &Scratch, words: &[&str]) -> Ended {
    scratch.run(&[words, &["--model", MODEL]].concat()).go().code(0)
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// Whether all numbers are what PyTorch has computed, as far as f32 goes.
fn close(found: &[f64], wanted: &[f64]) -> bool {
    let near = |(found, wanted): (&f64, &f64)| (found - wanted).abs() <= 1e-4 + 1e-5 * wanted.abs();
    found.len() == wanted.len() && found.iter().zip(wanted).all(near)
}

/// The cells of a table with `separator`, but for lines of comments.
fn cells(text: &str, separator: char) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(separator).map(str::to_owned).collect()).collect()
}

#[test]
fn log_probabilities_are_those_of_pytorch_in_every_format() {
    let expected = expected();
    for format in ["npz", "h5", "parquet"] {
        for (more, wanted, other) in [(&[][..], "logprobs", "masked"), (&["--masked"], "masked", "logprobs")]
        {
            let (scratch, out) = (scratch(), format!("out.{format}"));
            run(&scratch, &[&["logits", "proteins.fasta", "--out", &out], more].concat());
            let records = scratch.records(&out);
            assert_eq!(
                records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(),
                ["wild", "one", "long"]
            );
            for record in &records {
                let found: Vec<f64> = record.layers[0].iter().map(|&value| value.into()).collect();
                let proteins = &expected["proteins"][&record.id];
                assert!(close(&found, &numbers(&proteins[wanted])), "{format} {wanted} {}", record.id);
                // What a mistake would look like: the other kind of rows, and rows of the next place.
                assert!(!close(&found, &numbers(&proteins[other])));
                let shifted = [&found[33..], &found[..33]].concat();
                assert!(found.len() == 33 || !close(&shifted, &numbers(&proteins[wanted])));
            }
        }
    }
}

#[test]
fn a_file_of_log_probabilities_names_its_columns() {
    let (scratch, expected) = (scratch(), expected());
    run(&scratch, &["logits", "proteins.fasta", "--out", "out.npz", "--masked", "--summary", "s.json"]);
    let metadata = scratch.npz("out.npz").metadata.unwrap();
    assert_eq!(metadata.get("tokens"), Some(&expected["tokens"]));
    assert_eq!(metadata.get("output").unwrap(), "masked-logprobs");
    let text = String::from_utf8_lossy(&scratch.read("out.npz")).into_owned();
    for name in ["tokens.npy", "logprobs.npy", "offsets.npy", "ids.npy"] {
        assert!(text.contains(name), "{name}");
    }
    assert!(!text.contains("embeddings.npy"));
    let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!((&summary["task"], &summary["masked"]), (&"logits".into(), &true.into()));
    assert_eq!(summary["residues_computed"], 25 * 25 + 1 + 61 * 61);
}

#[test]
fn perplexities_are_those_of_pytorch() {
    let expected = expected();
    for (method, other) in [("pseudo", "one-pass"), ("one-pass", "pseudo")] {
        let scratch = scratch();
        run(&scratch, &["perplexity", "proteins.fasta", "--out", "out.tsv", "--method", method]);
        let rows = cells(&scratch.text("out.tsv"), '\t');
        assert_eq!(rows[0], ["id", "length", "log_likelihood", "perplexity"]);
        assert_eq!(rows.len(), 4);
        for row in &rows[1..] {
            let found: Vec<f64> = row[2..].iter().map(|cell| cell.parse().unwrap()).collect();
            let protein = &expected["proteins"][&row[0]];
            assert!(close(&found, &numbers(&protein[method])), "{method}: {row:?}");
            assert!(!close(&found, &numbers(&protein[other])), "{method}: {row:?}");
        }
        assert_eq!(rows[1][1], "25");
    }
}

fn variants(scratch: &Scratch, score: &str, more: &[&str]) -> Vec<Vec<String>> {
    let words =
        ["variants", "--mutants", "mutants.csv", "--out", "out.tsv", "--score", score, "--offset", "21"];
    run(scratch, &[&words, more].concat());
    cells(&scratch.text("out.tsv"), '\t')
}

#[test]
fn scores_of_mutants_are_those_of_pytorch() {
    let (scratch, expected) = (scratch(), expected());
    for score in SCORES {
        let rows = variants(&scratch, score, &["--wild-type", "wild_type.fasta"]);
        assert_eq!(rows[0], ["mutant", "note", "target_seq", score]);
        assert_eq!(rows.len(), 8);
        for row in &rows[1..] {
            let found = [row[3].parse().unwrap()];
            let scores = &expected["mutants"][&row[0]];
            assert!(close(&found, &numbers(&scores[score])), "{score}: {row:?} {scores}");
            let others = SCORES.iter().filter(|other| **other != score && row[0] != "T26T");
            assert!(others.clone().all(|other| !close(&found, &numbers(&scores[*other]))), "{row:?}");
        }
        assert_eq!(rows[1][1], "a note, 0", "other columns stay");
        let column = variants(&scratch, score, &["--sequence-column", "target_seq"]);
        assert_eq!(rows, column);
    }
}

#[test]
fn a_scan_has_every_single_mutant() {
    let (scratch, expected) = (scratch(), expected());
    for score in &SCORES[..2] {
        let words =
            ["variants", "--scan", "--wild-type", "wild_type.fasta", "--out", "scan.csv", "--offset", "21"];
        run(&scratch, &[&words[..], &["--score", score]].concat());
        let rows = cells(&scratch.text("scan.csv"), ',');
        assert_eq!(rows[0], ["mutant", "position", "wild_type", "mutation", "score"]);
        assert_eq!(rows.len(), 1 + 24 * 19 + 20, "one place is X");
        let found = rows.iter().find(|row| row[0] == "K22R").unwrap();
        assert_eq!(found[1..4], ["22", "K", "R"]);
        assert!(close(&[found[4].parse().unwrap()], &numbers(&expected["mutants"]["K22R"][score])));
    }
}

#[test]
fn a_scan_is_drawn_with_the_same_bytes_each_time() {
    let scratch = scratch();
    let scan = ["variants", "--scan", "--wild-type", "wild_type.fasta", "--out", "scan.tsv", "--picture"];
    for (name, start) in [("scan.png", &b"\x89PNG"[..]), ("scan.svg", &b"<?xml"[..])] {
        let pictures = [(); 2].map(|()| {
            run(&scratch, &[&scan[..], &[name]].concat());
            scratch.read(name)
        });
        assert!(pictures[0].starts_with(start) || pictures[0].starts_with(b"<svg"), "{name}");
        assert!(pictures[0] == pictures[1], "{name}");
    }
}

/// All commands with their outputs.
fn commands() -> Vec<Vec<&'static str>> {
    let mut commands = vec![
        vec!["logits", "in.fasta", "--out", "o.npz"],
        vec!["logits", "in.fasta", "--out", "o.npz", "--masked"],
        vec!["logits", "in.fasta", "--out", "o.npz", "--masked", "--long", "window", "--window", "30"],
        vec!["perplexity", "in.fasta", "--out", "o.npz.tsv"],
        vec!["perplexity", "in.fasta", "--out", "o.npz.tsv", "--method", "one-pass"],
    ];
    for score in SCORES {
        commands.push(vec![
            "variants",
            "--mutants",
            "mutants.csv",
            "--sequence-column",
            "target_seq",
            "--offset",
            "21",
            "--out",
            "o.npz.csv",
            "--score",
            score,
        ]);
    }
    commands
}

#[test]
fn threads_budgets_and_caches_change_no_byte() {
    let scratch = scratch();
    let proteins = scratch.text("proteins.fasta");
    scratch.write("in.fasta", format!("{proteins}>more\n{}\n", "MKWVTFISLLFLFSSAYS".repeat(9)));
    for (number, words) in commands().into_iter().enumerate() {
        let out = words[words.iter().position(|word| *word == "--out").unwrap() + 1];
        let bytes = |more: &[&str]| {
            run(&scratch, &[&words[..], more].concat());
            scratch.read(out)
        };
        let wanted = bytes(&["--threads", "1"]);
        assert!(wanted == bytes(&["--threads", "4", "--max-batch-tokens", "3"]), "{words:?}");
        assert!(wanted == bytes(&["--threads", "2", "--max-batch-tokens", "100"]), "{words:?}");
        let cache = format!("cache{number}.sqlite");
        let cached = ["--cache", &cache, "--summary", "s.json"];
        for hit in [false, true] {
            assert!(wanted == bytes(&cached), "{words:?} {hit}");
            let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
            assert_eq!(summary["cache"]["faults"], 0);
            let wanted = if hit { &summary["records"] } else { &Value::from(0) };
            assert_eq!(&summary["cache"]["hits"], wanted, "{words:?}");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_other_records() {
    let scratch = scratch();
    let wanted: Vec<Value> = ["proteins.fasta", "turned.fasta"]
        .map(|name| {
            let mut records: Vec<String> = scratch
                .text("proteins.fasta")
                .split('>')
                .skip(1)
                .map(|record| format!(">{record}"))
                .collect();
            records.reverse();
            scratch.write("turned.fasta", records.concat());
            run(&scratch, &["perplexity", name, "--out", "out.tsv"]);
            let mut rows = cells(&scratch.text("out.tsv"), '\t');
            rows.sort();
            serde_json::json!(rows)
        })
        .to_vec();
    assert_eq!(wanted[0], wanted[1]);
}

#[test]
fn a_long_protein_is_masked_in_windows() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", format!(">a\n{}\n", "MKWVTFISLLFLFSSAYSRG".repeat(150)));
    let words = ["perplexity", "in.fasta", "--out", "o.tsv", "--long", "window", "--window", "64"];
    run(&scratch, &[&words[..], &["--summary", "s.json"]].concat());
    let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!((&summary["residues"], &summary["residues_computed"]), (&3000.into(), &(3000 * 64).into()));
    assert!(summary["peak_memory_bytes"].as_u64().unwrap() < 256 << 20, "{summary}");
}

#[test]
fn shards_of_log_probabilities_are_gathered_to_the_bytes_of_one_run() {
    let scratch = scratch();
    run(&scratch, &["logits", "proteins.fasta", "--out", "whole.npz"]);
    scratch.run(&["split", "proteins.fasta", "--shards", "2", "--out-dir", "shards"]).go().code(0);
    for number in ["1", "2"] {
        let (input, out) = (format!("shards/shard_000{number}.fasta"), format!("part{number}.npz"));
        run(&scratch, &["logits", &input, "--out", &out]);
    }
    let words = ["gather", "--split", "shards/split.json", "part1.npz", "part2.npz", "--out", "joined.npz"];
    scratch.run(&words).go().code(0);
    assert!(scratch.read("whole.npz") == scratch.read("joined.npz"));
}

#[test]
fn dry_runs_tell_what_masks_cost() {
    let scratch = scratch();
    let flops = |more: &[&str]| {
        let words = [&["perplexity", "proteins.fasta", "--dry-run"][..], more].concat();
        run(&scratch, &words).json()["estimated_flops"].as_f64().unwrap()
    };
    assert!(flops(&[]) > 20.0 * flops(&["--method", "one-pass"]));
    let words = ["variants", "--scan", "--wild-type", "wild_type.fasta", "--dry-run"];
    assert_eq!(run(&scratch, &words).json()["records"], 1);
}

#[test]
fn tables_of_every_kind_are_read() {
    let scratch = scratch();
    let wild = scratch.text("wild_type.fasta").lines().nth(1).unwrap().to_owned();
    scratch.write("m.csv", format!("\u{feff}\"mutant\",seq\r\n\"M1A\",{wild}\r\n\"K2R:V3A\",{wild}\r\n"));
    scratch.write("m.tsv", format!("name\tseq\nM1A\t{}\nK2R:V3A\t{wild}\n", wild.to_lowercase()));
    let score = |words: &[&str]| {
        let words =
            [&["variants", "--sequence-column", "seq", "--out", "-", "--score", "wt-marginals"], words]
                .concat();
        run(&scratch, &words).text()
    };
    let (one, two) =
        (score(&["--mutants", "m.csv"]), score(&["--mutants", "m.tsv", "--mutant-column", "name"]));
    let scores = |text: &str, separator| -> Vec<String> {
        cells(text, separator).into_iter().skip(1).map(|mut row| row.pop().unwrap()).collect()
    };
    assert_eq!(scores(&one, ','), scores(&two, '\t'));
    assert!(one.starts_with("mutant,seq,wt-marginals\nM1A,"), "{one}");
}

#[test]
fn what_is_wrong_with_mutants_is_told() {
    let variants = |more: &[&'static str]| {
        let mut words =
            vec!["variants", "--mutants", "m.csv", "--wild-type", "wild_type.fasta", "--out", "o.csv"];
        words.extend(["--model", MODEL]);
        words.extend(more);
        words
    };
    let case = |name: &str, code: i32, text: &str, more: &[&'static str]| {
        let scratch = scratch();
        scratch.write("m.csv", text).write("two.fasta", ">a\nMK\n>b\nMV\n");
        case_in(&scratch, &format!("variants_{name}"), code, &variants(more), &[]);
    };
    case("wrong_letter", 65, "mutant\nM1A\nV2A\n", &[]);
    case("wrong_offset", 65, "mutant\nM1A\n", &["--offset", "0"]);
    case("outside", 65, "mutant\nM1A:A26G\n", &[]);
    case("unknown_letter", 65, "mutant\nM1J\n", &[]);
    case("no_mutation", 65, "note,mutant\n\"two\nlines\",M1=\n", &[]);
    case("no_column", 65, "mutation,x\nM1A,1\n", &[]);
    case("column_taken", 65, "mutant,pseudo-ppl\nM1A,1\n", &["--score", "pseudo-ppl"]);
    case("uneven", 65, "mutant,x\nM1A\n", &[]);
    case("empty", 65, "mutant\n", &[]);
    case("long", 2, "mutant\nM1A\n", &["--long", "truncate"]);
    let sequence =
        ["variants", "--mutants", "m.csv", "--sequence-column", "seq", "--out", "o.csv", "--model", MODEL];
    let scratch = scratch();
    scratch.write("m.csv", "mutant,seq\nM1A,MK-V\n").write("two.fasta", ">a\nMK\n>b\nMV\n");
    case_in(&scratch, "variants_bad_sequence", 65, &sequence, &[]);
    let two = ["variants", "--scan", "--wild-type", "two.fasta", "--out", "o.csv", "--model", MODEL];
    case_in(&scratch, "variants_two_wild_types", 65, &two, &[]);
    let both = [&sequence[..], &["--wild-type", "two.fasta"]].concat();
    case_in(&scratch, "variants_both", 2, &both, &[]);
    case_in(&scratch, "variants_neither", 2, &["variants", "--out", "o.csv", "--model", MODEL], &[]);
    case_in(&scratch, "variants_format", 2, &[&two[..5], &["o.npz", "--model", MODEL]].concat(), &[]);
    let missing =
        ["variants", "--mutants", "no.csv", "--wild-type", "two.fasta", "--out", "o.csv", "--model", MODEL];
    case_in(
        &scratch,
        "variants_missing",
        66,
        &[&missing[..4], &["wild_type.fasta"], &missing[5..]].concat(),
        &[],
    );
}

#[test]
fn formats_that_cannot_hold_a_result_are_refused() {
    let scratch = scratch();
    case_in(
        &scratch,
        "logits_format",
        2,
        &["logits", "proteins.fasta", "--out", "o.tsv", "--model", MODEL],
        &[],
    );
    let words = ["perplexity", "proteins.fasta", "--out", "o.npz", "--model", MODEL];
    case_in(&scratch, "perplexity_format", 2, &words, &[]);
}

#[test]
fn a_model_without_a_head_is_refused() {
    let scratch = scratch();
    fs::create_dir(scratch.path("headless")).unwrap();
    fs::copy(Path::new(MODEL).join("config.json"), scratch.path("headless/config.json")).unwrap();
    let bytes = fs::read(Path::new(MODEL).join("model.safetensors")).unwrap();
    let all = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kept = all.tensors().into_iter().filter(|(name, _)| !name.starts_with("lm_head"));
    scratch.write("headless/model.safetensors", safetensors::serialize(kept, None).unwrap());
    for (name, out) in [("logits", "o.npz"), ("perplexity", "o.tsv")] {
        let words = [name, "proteins.fasta", "--out", out, "--model", "headless", "--device", "cpu"];
        case_in(&scratch, &format!("{name}_no_head"), 65, &words, &[]);
    }
}

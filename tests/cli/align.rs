//! `pliant align`: two proteins, residue by residue.

use std::fs;

use pliant_kernels::ops::soft_alignment::cpu;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::errors::case_in;
use crate::snapshot::{check, told};
use crate::tool::{Ended, Run, Scratch, model};

const FIRST: &str = "MKTAYIAKQRQISFVKSHFSRQ";
const SECOND: &str = "GELVWAKTAYIRQRQISF";

/// Distance of 32-bit sums and weights from those in 64 bits, of states of the tiny model.
const TOLERANCE: f64 = 1e-4;

/// A scratch folder with the pair in two files and in one.
fn pair() -> Scratch {
    let scratch = Scratch::new();
    let (a, b) = (format!(">first one\n{FIRST}\n"), format!(">second\n{SECOND}\n"));
    scratch.write("both.fasta", format!("{a}{b}")).write("a.fasta", a).write("b.fasta", b);
    scratch
}

fn align(scratch: &Scratch, inputs: &[&str], more: &[&str]) -> Ended {
    let mut words = vec!["align"];
    words.extend(inputs);
    words.extend(["--model", model(), "--device", "cpu"]);
    words.extend(more);
    scratch.run(&words).go()
}

/// What a table tells of itself, its columns, its rows.
fn table(text: &str) -> (Value, Vec<String>, Vec<Vec<String>>) {
    let mut lines = text.lines();
    let metadata = lines.next().unwrap().strip_prefix("# pliant_meta ").unwrap();
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<String>>();
    let columns = cells(lines.next().unwrap());
    (serde_json::from_str(metadata).unwrap(), columns, lines.map(cells).collect())
}

/// States of the last layer of all residues of a FASTA, as `pliant embed` writes them.
fn states(scratch: &Scratch, input: &str, more: &[&str]) -> (Vec<f64>, usize) {
    let mut words = vec!["embed", input, "--out", "pooled.npz", "--residues", "r.safetensors"];
    words.extend(more);
    scratch.run(&words).go().code(0);
    let bytes = scratch.read("r.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("embeddings").unwrap();
    let values = tensor.data().as_chunks::<4>().0.iter();
    let values = values.map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect();
    (values, tensor.shape()[1])
}

#[test]
fn the_table_is_the_soft_alignment_of_the_states_that_embed_writes() {
    let scratch = pair();
    align(&scratch, &["a.fasta", "b.fasta"], &["--out", "pair.tsv", "--min-weight", "0"]).code(0);
    let (metadata, columns, rows) = table(&String::from_utf8(scratch.read("pair.tsv")).unwrap());
    let (states, width) = states(&scratch, "both.fasta", &["--model", model()]);
    let (a, b) = states.split_at(FIRST.len() * width);
    let wanted = cpu::matrices(width, a, b);
    assert_eq!(columns, ["position_a", "residue_a", "position_b", "residue_b", "similarity", "weight"]);
    assert_eq!(rows.len(), FIRST.len() * SECOND.len());
    for (place, row) in rows.iter().enumerate() {
        let (i, j) = (place / SECOND.len(), place % SECOND.len());
        let letters = (&FIRST[i..=i], &SECOND[j..=j]);
        let places = ((i + 1).to_string(), (j + 1).to_string());
        assert_eq!((&row[0], &*row[1], &row[2], &*row[3]), (&places.0, letters.0, &places.1, letters.1));
        let (similarity, weight): (f64, f64) = (row[4].parse().unwrap(), row[5].parse().unwrap());
        let far = (similarity - wanted.similarities[place]).abs();
        assert!(far < TOLERANCE, "{row:?} {}", wanted.similarities[place]);
        assert!((weight - wanted.weights[place]).abs() < TOLERANCE, "{row:?} {}", wanted.weights[place]);
    }
    // The tolerances would tell one pair of residues from another.
    let spread = wanted.similarities.iter().map(|s| (s - wanted.similarities[0]).abs()).fold(0.0, f64::max);
    assert!(spread > 100.0 * TOLERANCE && wanted.weights.iter().any(|weight| *weight > 0.2));
    let score = metadata["score"].as_f64().unwrap();
    assert!((score - wanted.score).abs() < TOLERANCE, "{score} {}", wanted.score);
    for (key, wanted) in [
        ("output", json!("alignment")),
        ("ids", json!(["first", "second"])),
        ("lengths", json!([FIRST.len(), SECOND.len()])),
        ("levels", Value::Null),
        ("trained", json!(false)),
        ("min_weight", json!(0.0)),
    ] {
        assert_eq!(metadata[key], wanted, "{key}");
    }
}

/// A tiny PLUS-RNN with random weights: it compares projections, and tells one level and what lies below.
#[test]
fn a_model_with_a_head_for_pairs_compares_projections_and_tells_levels() {
    const PLUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/plus_rnn_tiny_random");
    let scratch = pair();
    let words = ["align", "both.fasta", "--model", PLUS, "--device", "cpu", "--min-weight", "0"];
    let ended = scratch.run(&words).go().code(0);
    assert!(ended.stderr.contains("probabilities of the levels"), "{}", ended.stderr);
    let (metadata, _, rows) = table(&ended.text());
    let (z, width) = states(&scratch, "both.fasta", &["--model", PLUS, "--output", "z"]);
    let (a, b) = z.split_at(FIRST.len() * width);
    let wanted = cpu::matrices(width, a, b);
    for (row, s) in rows.iter().zip(&wanted.similarities) {
        assert!((row[4].parse::<f64>().unwrap() - s).abs() < TOLERANCE, "{row:?} {s}");
    }
    let bytes = fs::read(format!("{PLUS}/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let number =
        |name: &str| f64::from(f32::from_le_bytes(file.tensor(name).unwrap().data().try_into().unwrap()));
    let logit = wanted.score * number("ordinal_weight") + number("ordinal_bias");
    let above = 1.0 / (1.0 + (-logit).exp());
    let levels: Vec<f64> =
        metadata["levels"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    assert_eq!((levels.len(), &metadata["trained"]), (2, &json!(true)));
    assert!((levels[0] - (1.0 - above)).abs() < TOLERANCE && (levels[1] - above).abs() < TOLERANCE);
}

#[test]
fn rows_are_those_of_the_least_weight() {
    let scratch = pair();
    let all = align(&scratch, &["both.fasta"], &["--min-weight", "0"]).code(0);
    let some = align(&scratch, &["both.fasta"], &["--min-weight", "0.2"]).code(0);
    let (metadata, _, all) = table(&all.text());
    let score = metadata["score"].clone();
    let (_, _, some) = table(&some.text());
    let kept: Vec<Vec<String>> =
        all.iter().filter(|row| row[5].parse::<f32>().unwrap() >= 0.2).cloned().collect();
    assert!(!kept.is_empty() && kept.len() < all.len());
    assert_eq!(some, kept);
    // The score is that of all pairs, whatever the table shows.
    let (metadata, _, full) = table(&align(&scratch, &["both.fasta"], &["--min-weight", "1"]).code(0).text());
    assert!(full.len() < some.len() && full.iter().all(|row| row[5] == "1"));
    assert_eq!(metadata["score"], score);
}

#[test]
fn one_input_or_two_and_any_number_of_threads_give_the_same_bytes() {
    let scratch = pair();
    let wanted = align(&scratch, &["both.fasta"], &["--threads", "1"]).code(0).text();
    assert!(wanted.lines().count() > 2);
    assert_eq!(align(&scratch, &["a.fasta", "b.fasta"], &["--threads", "3"]).code(0).text(), wanted);
    let small = ["--max-batch-tokens", "5", "--cache", "c.sqlite"];
    for _ in 0..2 {
        assert_eq!(align(&scratch, &["a.fasta", "b.fasta"], &small).code(0).text(), wanted);
    }
    let words = ["align", "-", "--model", model(), "--device", "cpu"];
    let streamed = Run::new(&words).input(fs::read(scratch.path("both.fasta")).unwrap()).go().code(0);
    assert_eq!(streamed.text(), wanted);
}

#[test]
fn the_other_way_round_is_the_same_alignment() {
    let scratch = pair();
    let rows = |inputs: &[&str]| {
        let ended = align(&scratch, inputs, &["--min-weight", "0"]).code(0);
        let (metadata, _, rows) = table(&ended.text());
        (metadata["score"].as_f64().unwrap(), rows)
    };
    let (score, there) = rows(&["a.fasta", "b.fasta"]);
    let (back, mut turned) = rows(&["b.fasta", "a.fasta"]);
    assert!((score - back).abs() < TOLERANCE);
    let number = |row: &Vec<String>| (row[2].parse::<usize>().unwrap(), row[0].parse::<usize>().unwrap());
    turned.sort_by_key(number);
    for (row, other) in there.iter().zip(&turned) {
        assert_eq!((&row[0], &row[1], &row[2], &row[3]), (&other[2], &other[3], &other[0], &other[1]));
        let apart = row[5].parse::<f64>().unwrap() - other[5].parse::<f64>().unwrap();
        assert!(row[4] == other[4] && apart.abs() < TOLERANCE, "{row:?} {other:?}");
    }
}

#[test]
fn a_protein_with_itself_answers_itself() {
    let scratch = Scratch::new();
    // The tiny model tells places of one letter hardly apart, so each letter stands once.
    let letters = "MKTAYIQRSFVHGELWNDPC";
    let record = format!(">a\n{letters}\n");
    scratch.write("twice.fasta", record.repeat(2)).write("a.fasta", record);
    for inputs in [&["a.fasta", "a.fasta"][..], &["twice.fasta"]] {
        let (metadata, _, rows) = table(&align(&scratch, inputs, &["--min-weight", "0.5"]).code(0).text());
        assert_eq!(metadata["lengths"], json!([letters.len(), letters.len()]));
        assert!(metadata["score"].as_f64().unwrap() > -1.0, "{metadata}");
        assert_eq!(rows.len(), letters.len());
        for (place, row) in rows.iter().enumerate() {
            assert_eq!((&row[0], &row[2]), (&(place + 1).to_string(), &(place + 1).to_string()));
            assert_eq!(row[4].trim_start_matches('-'), "0");
        }
    }
}

#[test]
fn pictures_and_summaries_are_written_beside_the_table() {
    let scratch = pair();
    for (picture, start) in [("p.png", &b"\x89PNG"[..]), ("p.svg", b"<svg")] {
        let more = ["--out", "o.csv", "--picture", picture, "--summary", "s.json"];
        align(&scratch, &["both.fasta"], &more).code(0);
        assert!(scratch.read(picture).starts_with(start), "{picture}");
        let text = String::from_utf8(scratch.read("o.csv")).unwrap();
        assert!(text.contains("\nposition_a,residue_a,position_b,residue_b,similarity,weight\n"));
        let summary: Value = serde_json::from_slice(&scratch.read("s.json")).unwrap();
        let (metadata, _, _) = table(&text);
        assert_eq!(summary["score"], metadata["score"]);
        assert_eq!((&summary["task"], &summary["ids"]), (&json!("align"), &json!(["first", "second"])));
    }
    let svg = String::from_utf8(scratch.read("p.svg")).unwrap();
    assert!(svg.contains("first and second, score -") && svg.contains("residue of the second"));
    assert_eq!(scratch.names(), ["a.fasta", "b.fasta", "both.fasta", "o.csv", "p.png", "p.svg", "s.json"]);
}

#[test]
fn windows_and_dry_runs_work_as_for_states() {
    let scratch = pair();
    let long = ["--long", "window", "--window", "8", "--stride", "4"];
    let (metadata, _, rows) = table(&align(&scratch, &["both.fasta"], &long).code(0).text());
    assert!(!rows.is_empty() && metadata["long"] != json!("whole"));
    let dry = align(&scratch, &["both.fasta"], &["--dry-run"]).code(0).json();
    assert_eq!(dry["estimated_output_bytes"]["pairs"], json!(40 * FIRST.len() * SECOND.len()));
}

#[test]
fn errors_say_what_to_do() {
    let scratch = pair();
    scratch.write("three.fasta", ">a\nMK\n>b\nMK\n>c\nMK\n").write("empty.fasta", ">a\n>b\nMKV\n");
    scratch.write("none.fasta", "");
    let case = |name: &str, code: i32, inputs: &[&str], more: &[&str]| {
        let mut words = vec!["align"];
        words.extend(inputs);
        words.extend(["--device", "cpu"]);
        words.extend(more);
        case_in(&scratch, &format!("align_{name}"), code, &words, &[]);
    };
    let with = ["--model", model()];
    case("three_proteins", 65, &["three.fasta"], &with);
    case("one_protein", 65, &["a.fasta"], &with);
    case("two_in_one_of_two", 65, &["a.fasta", "both.fasta"], &with);
    case("no_protein", 65, &["a.fasta", "none.fasta"], &with);
    case("empty_record", 65, &["empty.fasta"], &with);
    case("missing_input", 66, &["a.fasta", "c.fasta"], &with);
    case("missing_model", 66, &["both.fasta"], &["--model", "no/such/model"]);
    case("three_inputs", 2, &["a.fasta", "b.fasta", "both.fasta"], &with);
    case("weight", 2, &["both.fasta"], &[&with[..], &["--min-weight", "1.5"]].concat());
    case("truncated", 2, &["both.fasta"], &[&with[..], &["--long", "truncate"]].concat());
    case("picture", 2, &["both.fasta"], &[&with[..], &["--picture", "p.jpg"]].concat());
    case("table", 2, &["both.fasta"], &[&with[..], &["--out", "o.npz"]].concat());
}

#[test]
fn proteins_that_are_too_long_are_refused_where_that_is_asked_for() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", format!(">long\n{}\n>b\nMKV\n", "MKTAYIAKQR".repeat(130)));
    let ended = align(&scratch, &["in.fasta"], &["--long", "error"]).code(65);
    assert!(ended.stderr.contains("in.fasta:1") && ended.text().is_empty(), "{}", ended.stderr);
}

#[test]
fn what_it_says_when_all_is_well() {
    let scratch = pair();
    check("align", &told(&align(&scratch, &["both.fasta"], &["--threads", "1", "--out", "o.tsv"]).code(0)));
}

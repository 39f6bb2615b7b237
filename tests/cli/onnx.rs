//! Encoders and heads that are ONNX files, through the commands that are written for any model.

use std::fs;

use serde_json::Value;

use crate::tool::Scratch;

/// Files of PyTorch's exporter (tests/fixtures/onnx).
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/onnx");

const PROTEINS: &str =
    ">one\nMKTAYIAKQRQISFVKSHFSRQ\n>two\nGEXLVWABZUO\n>three\nM\n>four\nMSTNPKPQRKTKRNTNRRPQDVKFPGGGQIVGG\n";

fn file(name: &str) -> String {
    format!("{FILES}/{name}")
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in.fasta", PROTEINS);
    scratch
}

#[track_caller]
fn run(scratch: &Scratch, words: &[&str]) {
    scratch.run(words).go().code(0);
}

#[track_caller]
fn refused(scratch: &Scratch, words: &[&str], code: i32, said: &str) {
    let ended = scratch.run(words).go().code(code);
    assert!(ended.stderr.contains(said), "wanted {said}: {}", ended.stderr);
}

fn json(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_slice(&scratch.read(name)).unwrap()
}

#[test]
fn an_encoder_embeds_with_the_same_bytes_in_any_batch_and_from_a_cache() {
    let (scratch, model) = (scratch(), file("esm2.onnx"));
    let embed = |out: &str, more: &[&str]| {
        let words = [&["embed", "in.fasta", "--model", &model, "--out", out], more].concat();
        run(&scratch, &words);
        scratch.read(out)
    };
    let whole = embed("a.npz", &["--threads", "1", "--residues", "r.npz"]);
    assert_eq!(whole, embed("b.npz", &["--threads", "3", "--max-batch-tokens", "20"]));
    assert_eq!(whole, embed("c.npz", &["--cache", "c.sqlite"]));
    assert_eq!(whole, embed("d.npz", &["--cache", "c.sqlite", "--summary", "s.json"]));
    let summary = json(&scratch, "s.json");
    assert_eq!((&summary["cache"]["hits"], &summary["model"]["family"]), (&4.into(), &"onnx".into()));
    let numerics = summary["numerics"].as_str().unwrap();
    assert!(numerics.starts_with("tract-"), "{numerics}");
    assert_eq!(scratch.records("r.npz").len(), 4);
    // Shards are joined to the bytes of one run.
    run(&scratch, &["split", "in.fasta", "--shards", "2", "--out-dir", "shards"]);
    for number in ["1", "2"] {
        let (shard, part) = (format!("shards/shard_000{number}.fasta"), format!("p{number}.npz"));
        run(&scratch, &["embed", &shard, "--model", &model, "--out", &part]);
    }
    run(&scratch, &["gather", "--split", "shards/split.json", "p1.npz", "p2.npz", "--out", "e.npz"]);
    assert_eq!(scratch.read("e.npz"), whole);
}

#[test]
fn a_sidecar_says_pooling_vocabulary_and_logits() {
    let (scratch, bert, esm2) = (scratch(), file("bert.onnx"), file("esm2.onnx"));
    let embed = |out: &str, more: &[&str]| {
        run(&scratch, &[&["embed", "in.fasta", "--model", &bert, "--out", out], more].concat());
        scratch.read(out)
    };
    let of_sidecar = embed("a.npz", &[]);
    assert_eq!(of_sidecar, embed("b.npz", &["--pool", "cls"]));
    assert_ne!(of_sidecar, embed("c.npz", &["--pool", "mean"]));
    refused(
        &scratch,
        &["perplexity", "in.fasta", "--model", &bert, "--out", "p.tsv"],
        65,
        "no language-model head",
    );
    run(&scratch, &["perplexity", "in.fasta", "--model", &esm2, "--method", "one-pass", "--out", "p.tsv"]);
    assert_eq!(scratch.text("p.tsv").lines().filter(|line| !line.starts_with('#')).count(), 5);
    run(&scratch, &["model", "inspect", &bert]);
    run(&scratch, &["model", "verify", &esm2]);
}

#[test]
fn what_an_onnx_file_cannot_do_is_said() {
    let (scratch, model) = (scratch(), file("esm2.onnx"));
    let with = |command: &[&'static str]| [command, &["--model"]].concat();
    let refuse = |command: &[&'static str], code, said: &str| {
        let words = [with(command).as_slice(), &[model.as_str()]].concat();
        refused(&scratch, &words, code, said);
    };
    refuse(
        &["embed", "in.fasta", "--out", "a.npz", "--precision", "bf16"],
        2,
        "the number types that it holds",
    );
    refuse(&["embed", "in.fasta", "--out", "a.npz", "--output", "z"], 2, "has no projection");
    refuse(&["embed", "in.fasta", "--out", "a.npz", "--layer", "0"], 2, "the model has layers 1 to 1");
    refuse(&["contacts", "in.fasta", "--out", "a.npz"], 2, "no contacts");
    let copy = |name: &str| assert!(fs::copy(file("esm2.onnx"), scratch.path(name)).is_ok());
    copy("alone.onnx");
    let words = ["embed", "in.fasta", "--model", "alone.onnx", "--out", "a.npz"];
    refused(&scratch, &words, 66, "alone.onnx.toml");
    copy("m.onnx");
    scratch.write("m.onnx.toml", "format = \"pliant-onnx-1\"\nkind = \"head\"\n");
    refused(
        &scratch,
        &["embed", "in.fasta", "--model", "m.onnx", "--out", "a.npz"],
        65,
        "wanted \"encoder\"",
    );
    refused(&scratch, &["embed", "in.fasta", "--model", "none.onnx", "--out", "a.npz"], 66, "none.onnx");
    let ended = scratch.run(&["embed", "in.fasta", "--model", &model, "--out", "a.npz"]);
    let ended = ended.env("TRACT_CPU_ISA", "-avx512f").go().code(2);
    assert!(ended.stderr.contains("TRACT_CPU_ISA"), "{}", ended.stderr);
}

/// Proteins of two kinds that differ in their letters, as a table and as FASTA.
fn taught(scratch: &Scratch) {
    let (mut table, mut fasta) = ("id\tsequence\tlabel\tnumber\tkinds\tplaces\n".to_owned(), String::new());
    for row in 0..40 {
        let (kind, length) = (row % 2, 12 + row % 7);
        let sequence: String =
            (0..length).map(|place| [b"LAGVS", b"KRDEN"][kind][(row + place * 3) % 5] as char).collect();
        let places: String =
            sequence.chars().map(|letter| if "LAGK".contains(letter) { 'A' } else { 'B' }).collect();
        let (label, kinds) = (["x", "y"][kind], ["a", "b|c"][kind]);
        table += &format!("p{row}\t{sequence}\t{label}\t{}\t{kinds}\t{places}\n", length as f64 / 10.0);
        fasta += &format!(">p{row}\n{sequence}\n");
    }
    scratch.write("t.tsv", table);
    scratch.write("t.fasta", fasta);
}

/// The cells of a table of labels as numbers or texts.
fn cells(scratch: &Scratch, name: &str) -> Vec<Vec<String>> {
    let text = scratch.text(name);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn heads_are_taught_on_an_onnx_encoder_and_leave_as_onnx_with_the_same_answers() {
    let (scratch, model) = (Scratch::new(), file("esm2.onnx"));
    taught(&scratch);
    for (task, label, more) in [
        ("classification", "label", &["--set", "head.hidden=8", "--set", "head.standardize=true"][..]),
        ("multilabel", "kinds", &["--set", "head.standardize=true"]),
        ("regression", "number", &["--set", "head.pooling=max"]),
        ("residue", "places", &["--letters", "AB"]),
    ] {
        let words =
            ["finetune", "--task", task, "--train", "t.tsv", "--label-column", label, "--model", &model];
        let out = ["--out", task, "--set", "run.epochs=2", "--valid-fraction", "0.2"];
        run(&scratch, &[words.as_slice(), &out, more].concat());
        let exported = format!("{task}_onnx");
        run(&scratch, &["model", "export", task, "--onnx", "--out", &exported]);
        let predict = |head: &str, out: &str, more: &[&str]| {
            let words = ["predict", "t.fasta", "--model", &model, "--head", head, "--out", out];
            run(&scratch, &[words.as_slice(), more].concat());
        };
        predict(task, "a.tsv", &[]);
        predict(&format!("{exported}/head.onnx"), "b.tsv", &[]);
        predict(&exported, "c.tsv", &["--threads", "3", "--max-batch-tokens", "30"]);
        let (wanted, found) = (cells(&scratch, "a.tsv"), cells(&scratch, "b.tsv"));
        assert_eq!((wanted.len(), &found), (41, &cells(&scratch, "c.tsv")), "{task}");
        for (wanted, found) in wanted.iter().flatten().zip(found.iter().flatten()) {
            // 32-bit sums in another order, through one or two layers.
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 + 1e-4 * b.abs();
            match (wanted.parse::<f64>(), found.parse::<f64>()) {
                (Ok(wanted), Ok(found)) => assert!(near(found, wanted), "{task}: {found} {wanted}"),
                _ => assert_eq!(wanted, found, "{task}"),
            }
        }
    }
    // A head of another encoder, and one whose rows depend on each other.
    run(&scratch, &["embed", "t.fasta", "--model", "composition", "--out", "v.npz"]);
    let words = ["predict", "--embeddings", "v.npz", "--head", "regression_onnx", "--out", "x.tsv"];
    refused(&scratch, &words, 65, "v.npz");
    let mixes = file("mixes.onnx");
    let words = ["predict", "t.fasta", "--model", &model, "--head", &mixes, "--out", "x.tsv"];
    refused(&scratch, &words, 65, "changes with the rows beside it");
    refused(
        &scratch,
        &[
            "finetune",
            "--task",
            "regression",
            "--train",
            "t.tsv",
            "--label-column",
            "number",
            "--model",
            &model,
            "--tune",
            "all",
            "--out",
            "all",
        ],
        2,
        "cannot be trained",
    );
}

/// Fields of protocol buffers, as far as a small graph needs them.
mod buffers {
    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 128 {
            bytes.push(value as u8 | 128);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    pub(super) fn whole(field: u64, value: u64) -> Vec<u8> {
        [number(field << 3), number(value)].concat()
    }

    pub(super) fn part(field: u64, bytes: &[u8]) -> Vec<u8> {
        [number(field << 3 | 2), number(bytes.len() as u64), bytes.to_vec()].concat()
    }

    /// A node of a graph.
    pub(super) fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
        let inputs: Vec<u8> = inputs.iter().flat_map(|name| part(1, name.as_bytes())).collect();
        part(1, &[inputs, part(2, output.as_bytes()), part(4, operator.as_bytes())].concat())
    }

    /// A list of whole numbers of 64 bits.
    pub(super) fn list(name: &str, values: &[u64]) -> Vec<u8> {
        let numbers: Vec<u8> = values.iter().flat_map(|&value| number(value)).collect();
        let head = [whole(1, values.len() as u64), whole(2, 7)].concat();
        part(5, &[head, part(7, &numbers), part(8, name.as_bytes())].concat())
    }

    /// An input (11) or output (12) of 32-bit floats `[rows, width]`.
    pub(super) fn value(field: u64, name: &str, width: u64) -> Vec<u8> {
        let sides = [part(1, &part(2, b"rows")), part(1, &whole(1, width))].concat();
        let tensor = [whole(1, 1), part(2, &sides)].concat();
        part(field, &[part(1, name.as_bytes()), part(2, &part(1, &tensor))].concat())
    }

    /// The file of a graph.
    pub(super) fn file(graph: &[Vec<u8>]) -> Vec<u8> {
        [whole(1, 8), part(8, &whole(2, 17)), part(7, &graph.concat())].concat()
    }
}

/// A head that makes a hundred gigabytes of the shape of its input: no size that is known before tract computes it.
#[test]
fn a_file_that_would_fill_the_memory_is_read_by_another_process_first() {
    use buffers::{file, list, node, value};
    let scratch = scratch();
    let hostile = file(&[
        node("Shape", &["x"], "sides"),
        node("Mul", &["sides", "large"], "larger"),
        node("ConstantOfShape", &["larger"], "table"),
        node("ReduceSum", &["table"], "sum"),
        node("ReduceSum", &["x", "axis"], "rows"),
        node("Add", &["rows", "sum"], "y"),
        list("large", &[10_000, 2000]),
        list("axis", &[1]),
        value(11, "x", 21),
        value(12, "y", 1),
    ]);
    scratch.write("h.onnx", hostile);
    scratch
        .write("h.onnx.toml", "format = \"pliant-onnx-1\"\nkind = \"head\"\n[labels]\nkind = \"number\"\n");
    let begin = std::time::Instant::now();
    let words = ["predict", "in.fasta", "--model", "composition", "--head", "h.onnx", "--out", "x.tsv"];
    let ended = scratch.run(&words).go().code(65);
    let told = &ended.stderr;
    assert!(told.contains("h.onnx: reading"), "{told}");
    assert!(told.contains("MiB of memory") || told.contains("reading the graph"), "{told}");
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
    assert!(!scratch.path("x.tsv").exists());
}

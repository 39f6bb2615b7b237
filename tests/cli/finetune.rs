//! `pliant finetune`, `predict` and `evaluate` of what was taught.

use std::fmt::Write as _;

use serde_json::Value;

use crate::tool::{Scratch, model};

/// Proteins of two kinds, each with five letters of its own in most places: whoever counts letters tells them apart.
/// Columns: id, sequence, kind, number (the part of the first letters), kinds, places, part.
fn table(rows: usize) -> String {
    let alphabets = [b"LAGVS", b"KRDEN"];
    let mut text = "id\tsequence\tkind\tnumber\tkinds\tplaces\tpart\n".to_owned();
    for row in 0..rows {
        let kind = row % 2;
        let length = 20 + row % 17;
        let letter = |place: usize| {
            let odd = (row * 31 + place * place * 7 + place) % 10 < 2;
            alphabets[if odd { 1 - kind } else { kind }][(row + place * 3 + place * place) % 5] as char
        };
        let sequence: String = (0..length).map(letter).collect();
        let first = sequence.bytes().filter(|letter| alphabets[0].contains(letter)).count();
        let places: String =
            sequence.bytes().map(|letter| if alphabets[0].contains(&letter) { 'A' } else { 'B' }).collect();
        let number = first as f64 / length as f64;
        let kinds = ["greasy", "charged|loose"][kind];
        let part = if row % 5 == 4 { "valid" } else { "train" };
        let _ =
            writeln!(text, "p{row}\t{sequence}\t{}\t{number}\t{kinds}\t{places}\t{part}", ["x", "y"][kind]);
    }
    text
}

/// The words that teach a task of the table.
fn words<'a>(task: &'a str, label: &'a str, encoder: &'a str, out: &'a str) -> Vec<&'a str> {
    let parts = ["--part-column", "part", "--train-part", "train", "--valid-part", "valid"];
    let mut words = vec!["finetune", "--task", task, "--train", "t.tsv", "--label-column", label];
    words.extend(parts);
    words.extend(["--model", encoder, "--out", out, "--set", "optimizer.learning_rate=0.05"]);
    words
}

fn json(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_slice(&scratch.read(name)).unwrap()
}

#[test]
fn a_head_on_letters_beats_who_looks_at_nothing() {
    let scratch = Scratch::new();
    scratch.write("t.tsv", table(100));
    scratch.write(
        "t.fasta",
        table(100).lines().skip(1).fold(String::new(), |text, line| {
            let cells: Vec<&str> = line.split('\t').collect();
            text + &format!(">{}\n{}\n", cells[0], cells[1])
        }),
    );
    for (task, label, more, measure, least) in [
        ("classification", "kind", &[][..], "accuracy", 0.95),
        ("multilabel", "kinds", &[], "macro_f1", 0.95),
        ("regression", "number", &[], "r2", 0.8),
        ("residue", "places", &["--letters", "AB"], "accuracy", 0.99),
    ] {
        let mut all = words(task, label, "composition", task);
        all.extend(more);
        all.extend(["--set", "tuning.class_weights=balanced"]);
        scratch.run(&all).go().code(0);
        let words =
            ["evaluate", "--task", task, "t.tsv", "--head", task, "--out", "e.json", "--part", "valid"];
        scratch.run(&words).go().code(0);
        let report = json(&scratch, "e.json");
        assert_eq!(report["examples"], 20, "{task}");
        let found = &report["measures"][measure];
        let value = found["value"].as_f64().unwrap();
        assert!(value >= least, "{task}: {found}");
        assert!(found["baseline"].as_f64().is_none_or(|baseline| baseline < least - 0.2), "{task}: {found}");
        assert!(found["low"].as_f64().unwrap() <= value && value <= found["high"].as_f64().unwrap());
        // Packs and threads change no byte, and every protein has its row in its place.
        let predict = |out: &str, more: &[&str]| {
            let words = [&["predict", "t.fasta", "--head", task, "--out", out], more].concat();
            scratch.run(&words).go().code(0);
            scratch.text(out)
        };
        let one = predict("1.tsv", &["--threads", "1"]);
        assert_eq!(one, predict("2.tsv", &["--threads", "3", "--max-batch-tokens", "50"]));
        let ids: Vec<&str> = one.lines().skip(2).map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(ids, (0..100).map(|row| format!("p{row}")).collect::<Vec<_>>());
        let lines = predict("1.jsonl", &[]);
        let line: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!((&line["id"], &line["length"]), (&"p0".into(), &20.into()), "{task}");
    }
    other_forms(&scratch);
    tables_of_proteins(&scratch);
    each_example(&scratch);
}

/// The table that taught a head is asked about as it stands, and gives the bytes of the same proteins in FASTA.
fn tables_of_proteins(scratch: &Scratch) {
    let predict = |input: &str, more: &[&str]| {
        let words = ["predict", input, "--head", "classification", "--out", "told.tsv"];
        scratch.run(&[&words[..], more].concat()).go()
    };
    let told = |input: &str, more: &[&str]| {
        predict(input, more).code(0);
        scratch.text("told.tsv")
    };
    let wanted = told("t.fasta", &[]);
    assert_eq!(told("t.tsv", &[]), wanted);
    // Cells with commas and other names of columns.
    let renamed = table(100).replacen("id\tsequence", "accession\tprotein", 1).replace('\t', ",");
    scratch.write("t.csv", renamed);
    assert_eq!(told("t.csv", &["--sequence-column", "protein", "--id-column", "accession"]), wanted);
    let lines = told("t.csv", &["--sequence-column", "protein"]);
    assert_eq!(lines.lines().nth(2).unwrap().split('\t').next(), Some("line2"));
    let missing = predict("t.csv", &[]).code(65).stderr;
    assert!(
        missing.contains("t.csv has no column 'sequence'") && missing.contains("--sequence-column"),
        "{missing}"
    );
    scratch.write("bad.csv", "id,sequence\na,MKV\nb,MK1\nc,AC\n");
    let bad = predict("bad.csv", &[]).code(65).stderr;
    assert!(bad.contains("bad.csv:3 b") && bad.contains("--on-error skip"), "{bad}");
    assert_eq!(told("bad.csv", &["--on-error", "skip"]).lines().count(), 4);
    // FASTA is FASTA whatever its name, and has no columns.
    scratch.write("fasta.tsv", ">p0\nMKV\n");
    assert_eq!(told("fasta.tsv", &[]).lines().count(), 3);
    let unused = "fasta.tsv: read as FASTA, so --sequence-column and --id-column are not used for it";
    assert!(!predict("fasta.tsv", &[]).code(0).stderr.contains(unused));
    assert!(predict("fasta.tsv", &["--id-column", "id"]).code(0).stderr.contains(unused));
}

/// Of proteins that are all but the same, a head learns what makes the difference where its numbers are of one scale.
#[test]
fn proteins_that_are_much_alike_are_told_apart_by_numbers_of_one_scale() {
    let scratch = Scratch::new();
    let row = |row: usize| {
        let (many, length) = (row * 7 % 10, 200);
        format!("p{row}\t{}{}\t{many}\n", "W".repeat(many), "AKL".repeat(length).split_at(length - many).0)
    };
    scratch.write("t.tsv", "id\tsequence\tnumber\n".to_owned() + &(0..120).map(row).collect::<String>());
    let told = |out: &str, more: &[&str]| {
        let words = ["finetune", "--task", "regression", "--train", "t.tsv", "--label-column", "number"];
        let how = [
            "--model",
            "composition",
            "--valid-fraction",
            "0.2",
            "--out",
            out,
            "--set",
            "head.hidden=8",
            "--set",
            "run.epochs=8",
            "--set",
            "optimizer.learning_rate=0.02",
        ];
        scratch.run(&[&words[..], &how, more].concat()).go().code(0);
        let words = ["evaluate", "--task", "regression", "t.tsv", "--label-column", "number", "--head", out];
        scratch.run(&[&words[..], &["--out", "e.json"]].concat()).go().code(0);
        json(&scratch, "e.json")["measures"]["r2"]["value"].as_f64().unwrap()
    };
    // Weights that are learnt move the vectors away from the scale they had.
    for (pooling, least) in [("mean", 0.7), ("attention", 0.4)] {
        let pooled = format!("head.pooling={pooling}");
        let more = ["--set", pooled.as_str(), "--set", "head.standardize=true"];
        let [plain, standardized] = [(&more[..2], "plain"), (&more, "scaled")]
            .map(|(more, out)| told(&format!("{out}_{pooling}"), more));
        assert!(plain < 0.2 && standardized > least, "{pooling}: {plain} {standardized}");
    }
    let words =
        ["finetune", "--task", "residue", "--train", "t.tsv", "--label-column", "sequence", "--letters"];
    let more = ["AKLW", "--model", "composition", "--out", "r", "--set", "head.standardize=true"];
    let refused = scratch.run(&[&words[..], &more].concat()).go().code(2).stderr;
    assert!(refused.contains("\"head.standardize\" is for heads of pooled vectors"), "{refused}");
}

/// What was told of every example, and what an evaluation would take.
fn each_example(scratch: &Scratch) {
    for (task, names) in [
        ("classification", "id\tlabel\ttold\tprobability\tloss"),
        ("multilabel", "id\tlabel\ttold\tloss"),
        ("regression", "id\tlabel\ttold\tloss"),
        ("residue", "id\tresidues\tright\tloss"),
    ] {
        let words = [
            "evaluate",
            "--task",
            task,
            "t.tsv",
            "--head",
            task,
            "--out",
            "e.json",
            "--proteins",
            "each.tsv",
        ];
        scratch.run(&words).go().code(0);
        let (report, text) = (json(scratch, "e.json"), scratch.text("each.tsv"));
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        assert_eq!((rows[0].join("\t").as_str(), rows.len()), (names, 101), "{task}");
        let number = |cell: &str| cell.parse::<f64>().unwrap();
        let sum = |place: usize| rows[1..].iter().map(|row| number(row[place])).sum::<f64>();
        let near = |found: f64, wanted: &Value| {
            assert!((found - wanted.as_f64().unwrap()).abs() < 1e-6, "{task}: {found}, wanted {wanted}");
        };
        let last = rows[0].len() - 1;
        match task {
            "residue" => {
                near(sum(2) / sum(1), &report["measures"]["accuracy"]["value"]);
                let lost: f64 = rows[1..].iter().map(|row| number(row[1]) * number(row[last])).sum();
                near(lost / sum(1), &report["loss"]);
            }
            "classification" => {
                let right = rows[1..].iter().filter(|row| row[1] == row[2]).count();
                near(right as f64 / 100.0, &report["measures"]["accuracy"]["value"]);
                near(sum(last) / 100.0, &report["loss"]);
            }
            _ => near(sum(last) / 100.0, &report["loss"]),
        }
    }
    assert!(scratch.text("each.tsv").lines().nth(2).unwrap().starts_with("p0\t20\t"));
    let words =
        ["evaluate", "--task", "residue", "t.tsv", "--head", "residue", "--out", "no.json", "--dry-run"];
    let told: Value = serde_json::from_str(&scratch.run(&words).go().code(0).text()).unwrap();
    assert_eq!((&told["records"], &told["residues"]), (&100.into(), &2785.into()), "{told:#}");
    assert!(!scratch.path("no.json").exists());
}

/// Probabilities of residues, and labels of vectors that were written before.
fn other_forms(scratch: &Scratch) {
    let words = ["predict", "t.fasta", "--head", "residue", "--out", "r.tsv", "--residues", "r.npz"];
    scratch.run(&words).go().code(0);
    assert_eq!(scratch.records("r.npz").len(), 100);
    let words = ["embed", "t.fasta", "--model", "composition", "--out", "v.npz"];
    scratch.run(&words).go().code(0);
    let words = ["predict", "--embeddings", "v.npz", "--head", "classification", "--out", "v.tsv"];
    scratch.run(&words).go().code(0);
    scratch.run(&["predict", "t.fasta", "--head", "classification", "--out", "p.tsv"]).go().code(0);
    let without_length = |text: String| -> Vec<Vec<String>> {
        let cells = text.lines().skip(2).map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
        cells
            .map(|mut cells| {
                if cells.len() == 5 {
                    cells.remove(1);
                }
                cells
            })
            .collect()
    };
    assert_eq!(without_length(scratch.text("v.tsv")), without_length(scratch.text("p.tsv")));
}

#[test]
fn a_run_that_goes_on_ends_as_one_that_was_never_stopped() {
    let scratch = Scratch::new();
    scratch.write("t.tsv", table(40));
    let head = ["--set", "head.hidden=6", "--set", "head.dropout=0.2", "--set", "head.pooling=attention"];
    let frozen: &[&str] = &["--set", "run.batch=7"];
    let all: &[&str] = &[
        "--tune",
        "all",
        "--set",
        "tuning.mlm_weight=0.3",
        "--set",
        "tuning.task_weight=0.7",
        "--set",
        "run.batch=9",
        "--set",
        "run.budget_tokens=100",
        "--set",
        "optimizer.learning_rate=1e-3",
    ];
    let top: &[&str] = &["--tune", "top", "--top-layers", "1", "--set", "run.batch=9"];
    for (name, encoder, more) in
        [("frozen", "composition", frozen), ("all", model(), all), ("top", model(), top)]
    {
        let (whole, halves) = (format!("{name}_whole"), format!("{name}_halves"));
        let train = |out: &str, own: &[&str]| {
            let words = words("classification", "kind", encoder, out);
            let words = [&words, &head[..], more, own].concat();
            scratch.run(&words).go().code(0);
        };
        train(&whole, &["--set", "run.epochs=4", "--threads", "1"]);
        train(&halves, &["--set", "run.epochs=2", "--threads", "2"]);
        train(&halves, &["--set", "run.epochs=4", "--resume", "--threads", "1"]);
        let mut files = vec!["head.safetensors", "head.json", "training.json"];
        if name != "frozen" {
            files.push("encoder/model.safetensors");
        }
        for file in files {
            assert!(
                scratch.read(&format!("{whole}/{file}")) == scratch.read(&format!("{halves}/{file}")),
                "{name}: {file}"
            );
        }
        let lines = scratch.text(&format!("{whole}/log.jsonl"));
        let kinds: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(kinds.len(), 8, "{lines}");
        for key in ["held_out_loss", "accuracy", "peak_memory_bytes", "trainable_parameters", "seconds"] {
            assert!(kinds[1].get(key).is_some(), "{key}: {}", kinds[1]);
        }
        if name == "all" {
            assert!(kinds[0]["mlm_loss"].as_f64().is_some() && kinds[0]["task_loss"].as_f64().is_some());
        }
        let trained = kinds[1]["trainable_parameters"].as_u64().unwrap();
        assert!((name == "frozen") == (trained == kinds[1]["parameters"].as_u64().unwrap()) || name == "all");
        let words = ["evaluate", "--task", "classification", "t.tsv", "--head", &whole, "--out", "e.tsv"];
        scratch.run(&words).go().code(0);
    }
}

#[test]
fn pairs_are_taught_and_told_by_their_ids() {
    let scratch = Scratch::new();
    let rows = table(30);
    let (mut fasta, mut pairs) = (String::new(), "id_a\tid_b\tlevel\n".to_owned());
    for (row, line) in rows.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split('\t').collect();
        let _ = write!(fasta, ">{}\n{}\n", cells[0], cells[1]);
        for other in (row + 1)..30 {
            let level = if row % 2 == other % 2 { 4 } else { 0 };
            let _ = writeln!(pairs, "p{row}\tp{other}\t{level}");
        }
    }
    scratch.write("p.fasta", fasta).write("pairs.tsv", &pairs);
    // Kinds are groups of letters, whose products over two proteins no sum of one letter's products tells: the symmetric
    // head needs a hidden layer.
    for (kind, hidden) in [("symmetric", &["--set", "head.hidden=16"][..]), ("alignment", &[])] {
        let kinds = format!("head.pairs={kind}");
        let words = [
            "finetune",
            "--task",
            "homology",
            "--train",
            "pairs.tsv",
            "--valid",
            "pairs.tsv",
            "--sequences",
            "p.fasta",
            "--model",
            "composition",
            "--out",
            kind,
            "--set",
            &kinds,
            "--set",
            "optimizer.learning_rate=0.05",
            "--set",
            "run.epochs=6",
        ];
        scratch.run(&[&words[..], hidden].concat()).go().code(0);
        let words = [
            "evaluate",
            "--task",
            "homology",
            "pairs.tsv",
            "--sequences",
            "p.fasta",
            "--head",
            kind,
            "--out",
            "e.json",
            "--bootstrap",
            "10",
        ];
        scratch.run(&words).go().code(0);
        let report = json(&scratch, "e.json");
        let found = report["measures"]["accuracy"]["value"].as_f64().unwrap();
        assert!(found > 0.9, "{kind}: {}", report["measures"]);
        let out = format!("{kind}.tsv");
        let words = ["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", kind, "--out", &out];
        scratch.run(&words).go().code(0);
        assert_eq!(scratch.text(&out).lines().count(), 2 + 435);
    }
    wrong_pairs(&scratch);
}

/// A pair with an id that nobody has.
fn wrong_pairs(scratch: &Scratch) {
    scratch.write("wrong.tsv", "id_a\tid_b\np0\tp1\np0\tnobody\n");
    let words = ["predict", "wrong.tsv", "--sequences", "p.fasta", "--head", "symmetric", "--out", "w.tsv"];
    let ended = scratch.run(&words).go().code(65);
    assert!(ended.stderr.contains("wrong.tsv:3") && ended.stderr.contains("nobody"), "{}", ended.stderr);
    scratch.run(&[&words[..], &["--on-error", "skip"]].concat()).go().code(0);
    assert_eq!(scratch.text("w.tsv").lines().count(), 3);
    assert!(scratch.text("w.tsv.failures.tsv").contains("nobody"));
}

#[test]
fn several_seeds_have_folders_of_their_own() {
    let scratch = Scratch::new();
    scratch.write("t.tsv", table(40));
    let mut words = words("classification", "kind", "composition", "many");
    words.extend(["--seeds", "2", "--set", "run.epochs=2"]);
    scratch.run(&words).go().code(0);
    let over = json(&scratch, "many/seeds.json");
    assert_eq!(over["best"]["accuracy"]["seeds"], 2, "{over}");
    assert!(scratch.read("many/seed_1/head.safetensors") != scratch.read("many/seed_2/head.safetensors"));
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let scratch = Scratch::new();
    let good = table(40);
    scratch.write("t.tsv", &good);
    scratch.write("one.tsv", "id\tsequence\tkind\npa\tMKV\tx\npb\tMKL\tx\n");
    scratch
        .write("bad.tsv", "id\tsequence\tkind\tnumber\tplaces\npa\tMKV\tx\tmany\tAB\npb\tMKL\ty\t1\tABA\n");
    let run = |words: &[&str]| scratch.run(words).go();
    let refused = |code: i32, words: &[&str], wanted: &[&str]| {
        let ended = run(words).code(code);
        for wanted in wanted {
            assert!(ended.stderr.contains(wanted), "{words:?}: {}", ended.stderr);
        }
    };
    let train = |task: &'static str, file: &'static str, more: &[&'static str]| {
        let words = ["finetune", "--task", task, "--train", file, "--model", "composition", "--out", "bad"];
        [&words[..], more].concat()
    };
    refused(2, &train("cooking", "t.tsv", &[]), &["there is no task \"cooking\"", "solubility"]);
    let missing = train("classification", "t.tsv", &["--label-column", "colour"]);
    refused(65, &missing, &["t.tsv has no column 'colour'", "kind", "hint: ", "--label-column"]);
    scratch.write("semicolons.csv", "id;sequence;label\npa;MKV;x\npb;MKL;y\n");
    let semicolons = train("classification", "semicolons.csv", &[]);
    refused(65, &semicolons, &["semicolons.csv has no column 'sequence'", "in the place of semicolons"]);
    refused(65, &train("classification", "one.tsv", &["--label-column", "kind"]), &["one.tsv", "one class"]);
    let number = train("regression", "bad.tsv", &["--label-column", "number"]);
    refused(65, &number, &["bad.tsv:2", "'number'", "many", "--on-error skip"]);
    let residue = train("residue", "bad.tsv", &["--label-column", "places", "--letters", "AB"]);
    refused(65, &residue, &["bad.tsv:2"]);
    refused(2, &train("residue", "bad.tsv", &["--label-column", "places"]), &["data.letters"]);
    let kinds = train("classification", "t.tsv", &["--label-column", "kind", "--classes", "x,z"]);
    refused(65, &kinds, &["t.tsv:3", "y"]);
    refused(
        65,
        &train("classification", "t.tsv", &["--label-column", "kind", "--tune", "top"]),
        &["top_layers"],
    );
    refused(2, &train("classification", "t.tsv", &["--label-column", "kind", "--tune", "all"]), &["frozen"]);
    assert!(!scratch.path("bad").exists(), "nothing has begun");
    run(&words("classification", "kind", "composition", "head")).code(0);
    refused(2, &words("classification", "kind", "composition", "head"), &["holds a run already", "--resume"]);
    let predict = ["predict", "t.fasta", "--out", "p.tsv", "--head"];
    scratch.write("t.fasta", ">a\nMKVLAT\n");
    refused(66, &[&predict[..], &["nowhere"]].concat(), &["holds no head"]);
    refused(
        65,
        &[&predict[..], &["head", "--model", model()]].concat(),
        &["was taught on the encoder", "composition"],
    );
    let other = ["evaluate", "--task", "solubility", "t.tsv", "--head", "head", "--out", "e.json"];
    refused(2, &other, &["was taught the task classification, not solubility"]);
    let mut weights = scratch.read("head/head.safetensors");
    *weights.last_mut().unwrap() ^= 1;
    scratch.write("head/head.safetensors", weights);
    refused(65, &[&predict[..], &["head"]].concat(), &["has other bytes than"]);
    scratch.write("head/head.json", "{\"format\": \"other\"}");
    refused(65, &[&predict[..], &["head"]].concat(), &["\"format\" is \"other\", wanted \"pliant-head-1\""]);
}

#[test]
fn proteins_that_are_cut_otherwise_than_in_the_training_are_told_of() {
    let scratch = Scratch::new();
    scratch.write("t.tsv", table(20)).write("long.fasta", format!(">a\n{}\n", "MKVL".repeat(300)));
    let mut teach = words("classification", "kind", model(), "head");
    teach.extend(["--set", "run.epochs=1"]);
    scratch.run(&teach).go().code(0);
    let told = |more: &[&str]| {
        let words = ["predict", "long.fasta", "--head", "head", "--model", model(), "--out", "l.tsv"];
        scratch.run(&[&words[..], more].concat()).go().code(0).stderr
    };
    let warning = "the head was taught with --long whole: what it tells of 1 longer record";
    assert!(told(&["--long", "truncate"]).contains(warning));
    assert!(!told(&[]).contains(warning));
}

#[test]
fn homology_is_learnt_from_pairs_that_are_drawn_of_domains() {
    let scratch = Scratch::new();
    let proteins = table(40);
    let rows = proteins.lines().skip(1).enumerate().map(|(row, line)| {
        let cells: Vec<&str> = line.split('\t').collect();
        // Two classes of two letters each, with folds of their own.
        format!("{}\t{}.{}.1.{}\t{}\n", cells[0], ["a", "b"][row % 2], row / 2 % 4, row % 3, cells[1])
    });
    let domains: String = std::iter::once("id\tsccs\tsequence\n".to_owned()).chain(rows).collect();
    scratch.write("d.tsv", domains);
    let train = |out: &str, more: &[&str]| {
        let words =
            ["finetune", "--task", "homology", "--train", "d.tsv", "--model", "composition", "--out", out];
        let sets =
            ["--set", "data.draw=300", "--set", "run.epochs=3", "--set", "optimizer.learning_rate=0.05"];
        scratch.run(&[&words[..], &sets, more].concat()).go()
    };
    train("head", &["--threads", "1"]).code(0);
    train("again", &["--threads", "2"]).code(0);
    let read = |name: &str| scratch.read(name);
    assert!(read("head/head.safetensors") == read("again/head.safetensors"));
    let head = json(&scratch, "head/head.json");
    assert_eq!(head["training"]["train"]["examples"], 300);
    let prior: Vec<f64> =
        head["labels"]["prior"].as_array().unwrap().iter().map(|part| part.as_f64().unwrap()).collect();
    // Nine in ten pairs share a class at most, of those that are drawn three in four.
    assert_eq!(prior.len(), 5);
    assert!(prior[0] < 0.6 && prior[3] + prior[4] > 0.1, "{prior:?}");
    // Folds stay on one side.
    let ended = train("apart", &["--set", "data.valid_fraction=0.3"]).code(0);
    assert!(ended.stderr.contains("one of the two proteins is kept apart"), "{}", ended.stderr);
    let words =
        ["finetune", "--task", "regression", "--train", "d.tsv", "--model", "composition", "--out", "no"];
    let ended = scratch.run(&[&words[..], &["--set", "data.draw=9"]].concat()).go();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("for the task homology alone"), "{}", ended.stderr);
}

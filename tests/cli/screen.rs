//! `pliant screen`, and what calibrates it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::tool::{Ended, Scratch};

/// Proteins of two kinds, each with letters of its own: those of one kind are true pairs.
pub(crate) const PROTEINS: usize = 34;

fn sequence(protein: usize) -> String {
    let letters = [b"LAGVSI", b"KRDENQ"][protein % 2];
    let length = 18 + protein % 13;
    (0..length).map(|place| letters[(protein * 5 + place * place * 3 + place) % 6] as char).collect()
}

/// A folder with proteins, labelled pairs of them, and a head of distances and products that was taught on some.
fn scratch() -> Scratch {
    scratch_with(&["--set", "head.hidden=8"])
}

/// The same with a head of these settings.
pub(crate) fn scratch_with(head: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    let (mut fasta, mut pairs) = (String::new(), "id_a\tid_b\tlabel\n".to_owned());
    for first in 0..PROTEINS {
        let _ = write!(fasta, ">p{first}\n{}\n", sequence(first));
        for second in first + 1..PROTEINS {
            // One label in nine is wrong, so that nothing is certain.
            let is_true = (first % 2 == second % 2) != ((first * 7 + second * 3) % 9 == 0);
            let _ = writeln!(pairs, "p{first}\tp{second}\t{}", u8::from(is_true));
        }
    }
    scratch.write("p.fasta", fasta).write("pairs.tsv", pairs);
    let words = [
        "finetune",
        "--task",
        "pair",
        "--train",
        "pairs.tsv",
        "--valid",
        "pairs.tsv",
        "--sequences",
        "p.fasta",
        "--model",
        "composition",
        "--out",
        "head",
        "--set",
        "optimizer.learning_rate=0.05",
        "--set",
        "run.epochs=4",
        "--classes",
        "0,1",
    ];
    scratch.run(&[&words[..], head].concat()).go().code(0);
    scratch
}

fn screen(scratch: &Scratch, more: &[&str]) -> Ended {
    scratch.run(&[&["screen", "--head", "head"], more].concat()).go()
}

/// Rows of a table: the cells of each, and the names of the columns.
pub(crate) fn rows(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut lines = text.lines().skip_while(|line| line.starts_with('#'));
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    (lines.next().map(cells).unwrap_or_default(), lines.map(cells).collect())
}

fn calibrate(scratch: &Scratch, more: &[&str]) {
    let words = [
        "evaluate",
        "--task",
        "pair",
        "pairs.tsv",
        "--sequences",
        "p.fasta",
        "--head",
        "head",
        "--out",
        "e.json",
        "--bootstrap",
        "0",
        "--calibration",
        "head/calibration.json",
    ];
    scratch.run(&[&words[..], more].concat()).go().code(0);
}

#[test]
fn every_pair_is_scored_once_as_predict_would() {
    let of_mean = ["--set", "head.pairs=average", "--set", "head.activation=tanh", "--set", "head.hidden=21"];
    let scaled = ["--set", "head.standardize=true"];
    for head in [&of_mean[..], &["--set", "head.hidden=8"], &[&of_mean[..], &scaled].concat()] {
        scored_as_predicted(&scratch_with(head));
    }
    let scratch = scratch_with(&scaled);
    scored_as_predicted(&scratch);
    let export = scratch.run(&["model", "export", "head", "--onnx", "--out", "head_onnx"]).go().code(2);
    assert!(export.stderr.contains("products of standardized vectors"), "{}", export.stderr);
}

fn scored_as_predicted(scratch: &Scratch) {
    screen(scratch, &["p.fasta", "--all-pairs", "--out", "all.tsv"]).code(0);
    let (names, all) = rows(&scratch.text("all.tsv"));
    let wanted = [
        "protein1",
        "protein2",
        "logit",
        "rank1",
        "rank2",
        "reciprocal_rank",
        "z1",
        "z2",
        "length1",
        "length2",
        "flags",
    ];
    assert_eq!(names, wanted);
    assert_eq!(all.len(), PROTEINS * (PROTEINS - 1) / 2);
    let logits: Vec<f64> = all.iter().map(|cells| cells[2].parse().unwrap()).collect();
    assert!(logits.windows(2).all(|pair| pair[0] >= pair[1]), "the strongest first");
    assert!(!scratch.path("all.tsv.screen").exists(), "what a killed screen goes on with is gone");
    scratch
        .run(&["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", "head", "--out", "told.tsv"])
        .go()
        .code(0);
    let (told_names, told) = rows(&scratch.text("told.tsv"));
    let column = told_names.iter().position(|name| name == "p_1").unwrap();
    for cells in &all {
        let same = |told: &&Vec<String>| told[0] == cells[0] && told[1] == cells[1];
        let wanted: f64 = told.iter().find(same).unwrap()[column].parse().unwrap();
        let logit: f64 = cells[2].parse().unwrap();
        assert!((1.0 / (1.0 + (-logit).exp()) - wanted).abs() < 1e-5, "{cells:?} {wanted}");
    }
    other_ways(scratch);
}

/// Stored vectors, pairs of a table and two lists give the same logits; shards and blocks the same bytes.
fn other_ways(scratch: &Scratch) {
    let logits = |name: &str| -> Vec<(String, String, String)> {
        let (_, rows) = rows(&scratch.text(name));
        let mut logits: Vec<_> =
            rows.into_iter().map(|cells| (cells[0].clone(), cells[1].clone(), cells[2].clone())).collect();
        logits.sort();
        logits
    };
    scratch.run(&["embed", "p.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    screen(scratch, &["--embeddings", "v.npz", "--all-pairs", "--out", "v.tsv"]).code(0);
    assert_eq!(logits("v.tsv"), logits("all.tsv"));
    screen(scratch, &["p.fasta", "--pairs", "pairs.tsv", "--out", "listed.tsv"]).code(0);
    assert_eq!(
        scratch.text("listed.tsv").lines().skip(1).collect::<Vec<_>>(),
        scratch.text("all.tsv").lines().skip(1).collect::<Vec<_>>()
    );
    let text = scratch.text("p.fasta");
    let (first, second) = text.split_at(text.find(">p20").unwrap());
    // One protein stands in both lists.
    scratch.write("a.fasta", first).write("b.fasta", format!("{second}>p3\n{}\n", sequence(3)));
    screen(scratch, &["a.fasta", "b.fasta", "--all-pairs", "--out", "ab.tsv"]).code(0);
    let found = logits("ab.tsv");
    assert_eq!(found.len(), 20 * 14 + 19);
    let all = logits("all.tsv");
    assert!(found.iter().all(|pair| all.contains(pair)));
    let best = |out: &str, more: &[&str]| {
        screen(scratch, &[&["p.fasta", "--top-k", "3", "--out", out], more].concat()).code(0);
        scratch.read(out)
    };
    let whole = best("best.tsv", &[]);
    assert!(whole == best("2.tsv", &["--threads", "3", "--block", "16", "--memory", "64M"]));
    for number in 1..=3 {
        let (out, shard) = (format!("{number}.screen"), format!("{number}/3"));
        screen(scratch, &["p.fasta", "--top-k", "3", "--out", &out, "--shard", &shard]).code(0);
    }
    scratch.run(&["gather", "3.screen", "1.screen", "2.screen", "--out", "gathered.tsv"]).go().code(0);
    assert!(whole == scratch.read("gathered.tsv"));
    wrong_parts(scratch);
}

fn wrong_parts(scratch: &Scratch) {
    let gather = |parts: &[&str]| scratch.run(&[&["gather"], parts, &["--out", "g.tsv"]].concat()).go();
    let missing = gather(&["1.screen", "3.screen"]).code(65);
    assert!(missing.stderr.contains("1 of 3 parts are missing: 2"), "{}", missing.stderr);
    let doubled = gather(&["1.screen", "2.screen", "1.screen", "3.screen"]).code(65);
    assert!(doubled.stderr.contains("are the same part 1/3"), "{}", doubled.stderr);
    screen(scratch, &["p.fasta", "--top-k", "4", "--out", "other.screen", "--shard", "2/3"]).code(0);
    let foreign = gather(&["1.screen", "other.screen", "3.screen"]).code(65);
    assert!(foreign.stderr.contains("are parts of different screens"), "{}", foreign.stderr);
    let mut bytes = scratch.read("2.screen");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    scratch.write("2.screen", bytes);
    let damaged = gather(&["1.screen", "2.screen", "3.screen"]).code(65);
    assert!(damaged.stderr.contains("2.screen is no part of a screen"), "{}", damaged.stderr);
    assert!(!scratch.path("g.tsv").exists());
}

#[test]
fn calibrated_heads_tell_what_scores_are_worth() {
    let scratch = scratch();
    let refused = screen(&scratch, &["p.fasta", "--expected-precision", "0.1", "--out", "x.tsv"]).code(2);
    assert!(
        refused.stderr.contains("calibration.json") && refused.stderr.contains("evaluate"),
        "{}",
        refused.stderr
    );
    for method in ["isotonic", "platt"] {
        calibrate(&scratch, &["--curve", method]);
        screen(&scratch, &["p.fasta", "--all-pairs", "--prevalence", "1:3", "--out", "all.tsv"]).code(0);
        let (names, all) = rows(&scratch.text("all.tsv"));
        assert_eq!(names[3..5], ["probability", "expected_precision"], "{method}");
        let numbers =
            |column: usize| -> Vec<f64> { all.iter().map(|cells| cells[column].parse().unwrap()).collect() };
        for column in [3, 4] {
            let values = numbers(column);
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{method}: they fall with the logit");
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{method}");
        }
        let (best, worst) = (numbers(4)[0], numbers(4)[all.len() - 1]);
        let wanted = format!("{:.4}", 0.5 * (best + worst));
        let words = ["p.fasta", "--prevalence", "1:3", "--expected-precision", &wanted, "--out", "cut.tsv"];
        screen(&scratch, &words).code(0);
        let (_, cut) = rows(&scratch.text("cut.tsv"));
        let above = numbers(4).iter().filter(|&&value| value >= wanted.parse().unwrap()).count();
        assert!(
            !cut.is_empty() && cut.len() < all.len() && cut.len() == above,
            "{method}: {} {above}",
            cut.len()
        );
        let rare = ["p.fasta", "--expected-precision", "0.99", "--out", "x.tsv"];
        let refused = screen(&scratch, &rare).code(65);
        assert!(
            refused.stderr.contains("no cut of the scores is expected to have a precision of 0.99"),
            "{}",
            refused.stderr
        );
        assert!(!scratch.path("x.tsv").exists());
    }
    formats(&scratch);
    let mut file: Value = serde_json::from_slice(&scratch.read("head/calibration.json")).unwrap();
    file["head"] = "0".into();
    scratch.write("other.json", file.to_string());
    let words = ["p.fasta", "--top-k", "1", "--calibration", "other.json", "--out", "x.tsv"];
    let refused = screen(&scratch, &words).code(65);
    assert!(refused.stderr.contains("is that of a head with the weights 0"), "{}", refused.stderr);
}

/// The same pairs as other programs have them.
fn formats(scratch: &Scratch) {
    let make = |out: &str, more: &[&str]| {
        screen(scratch, &[&["p.fasta", "--top-k", "2", "--prevalence", "1:3", "--out", out], more].concat())
            .code(0);
    };
    make("t.tsv", &[]);
    let (_, table) = rows(&scratch.text("t.tsv"));
    make("links.txt", &[]);
    let links = scratch.text("links.txt");
    assert_eq!(links.lines().next(), Some("protein1 protein2 combined_score"));
    assert_eq!(links.lines().count(), 1 + table.len());
    let score = (1000.0 * table[0][3].parse::<f64>().unwrap()).round();
    assert_eq!(links.lines().nth(1).unwrap(), format!("{} {} {score}", table[0][0], table[0][1]));
    make("links.txt.gz", &[]);
    let packed = scratch.read("links.txt.gz");
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed[4..8] == [0; 4], "no time in it");
    make("d.tsv", &["--format", "dscript", "--min-probability", "0.5"]);
    let lines = scratch.text("d.tsv");
    assert_eq!(lines.lines().count(), table.len());
    assert_eq!(lines.lines().next().unwrap(), format!("{}\t{}\t{}", table[0][0], table[0][1], table[0][3]));
    let likely = table.iter().filter(|cells| cells[3].parse::<f64>().unwrap() >= 0.5).count();
    assert_eq!(scratch.text("d.positive.tsv").lines().count(), likely);
    make("g.graphml", &[]);
    let graph = scratch.text("g.graphml");
    assert_eq!(graph.matches("<edge ").count(), table.len());
    assert!(graph.contains(&format!("<data key=\"logit\">{}</data>", table[0][2])));
    make("t.parquet", &[]);
    assert!(scratch.read("t.parquet").starts_with(b"PAR1"));
    let words = ["p.fasta", "--top-k", "2", "--prevalence", "1:3", "--out", "1.screen", "--shard", "1/1"];
    screen(scratch, &words).code(0);
    for name in ["t.tsv", "t.parquet", "links.txt", "links.txt.gz", "g.graphml"] {
        let wanted = scratch.read(name);
        let out = format!("again_{name}");
        scratch.run(&["gather", "1.screen", "--out", &out]).go().code(0);
        assert!(scratch.read(&out) == wanted, "{name}");
    }
}

#[test]
fn parts_become_what_one_screen_would_have_been_or_nothing() {
    let scratch = scratch();
    let part = |out: &str, more: &[&str]| {
        screen(&scratch, &[&["p.fasta", "--top-k", "2", "--out", out], more].concat()).code(0);
    };
    let gather = |part: &str, more: &[&str]| scratch.run(&[&["gather", part, "--out"], more].concat()).go();
    part("plain.screen", &["--shard", "1/1"]);
    let ended = gather("plain.screen", &["links.txt"]).code(2);
    let wanted = "a format of probabilities needs a calibration of the head";
    assert!(ended.stderr.contains(wanted) && !scratch.path("links.txt").exists(), "{}", ended.stderr);
    calibrate(&scratch, &[]);
    part("all.tsv", &[]);
    let (_, mut all) = rows(&scratch.text("all.tsv"));
    let logit = |cells: &Vec<String>| cells[2].parse::<f64>().unwrap();
    all.sort_by(|one, other| logit(one).total_cmp(&logit(other)));
    let cut = ["--min-logit", &all[all.len() / 2][2]];
    part("cut.screen", &[&cut[..], &["--shard", "1/1"]].concat());
    part("cut.tsv", &cut);
    gather("cut.screen", &["again.tsv"]).code(0);
    assert!(scratch.read("again.tsv") == scratch.read("cut.tsv"));
    let ended = gather("cut.screen", &["x.tsv", "--format", "dscript"]).code(2);
    assert!(ended.stderr.contains("the parts hold the pairs that reach the cut alone"), "{}", ended.stderr);
    // D-SCRIPT's file has what is below the cut too; a table of its parts has not.
    let both = [&cut[..], &["--format", "dscript"]].concat();
    part("d.screen", &[&both[..], &["--shard", "1/1"]].concat());
    part("d.tsv", &both);
    gather("d.screen", &["e.tsv"]).code(0);
    for (one, other) in [("d.tsv", "e.tsv"), ("d.positive.tsv", "e.positive.tsv")] {
        assert!(scratch.read(one) == scratch.read(other), "{other}");
    }
    gather("d.screen", &["f.tsv", "--format", "tsv"]).code(0);
    let [found, wanted] = ["f.tsv", "cut.tsv"].map(|name| rows(&scratch.text(name)));
    assert!(found == wanted && found.1.len() < all.len());
    assert_eq!(scratch.text("d.tsv").lines().count(), all.len());
}

#[test]
fn novel_and_unlike_proteins_are_flagged() {
    let scratch = scratch();
    let odd = "MFWHCYTPMWFHCYTPWMHFCYPTWMH";
    scratch.write("more.fasta", format!("{}>odd\n{odd}\n", scratch.text("p.fasta")));
    let words = ["more.fasta", "--all-pairs", "--training", "p.fasta", "--out", "n.tsv"];
    screen(&scratch, &words).code(0);
    let (names, all) = rows(&scratch.text("n.tsv"));
    let place = |name: &str| names.iter().position(|own| own == name).unwrap();
    for cells in &all {
        let is_odd = cells[1] == "odd";
        assert_eq!(cells[place("flags")], if is_odd { "novel2" } else { "" }, "{cells:?}");
        assert_eq!(cells[place("identity1")], "1");
        assert_eq!(cells[place("identity2")], if is_odd { "0" } else { "1" });
    }
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let scratch = scratch();
    let refused = |code: i32, words: &[&str], wanted: &[&str]| {
        let ended = screen(&scratch, words).code(code);
        for wanted in wanted {
            assert!(ended.stderr.contains(wanted), "{words:?}: {}", ended.stderr);
        }
    };
    refused(2, &["p.fasta", "--out", "x.tsv"], &["--top-k", "--all-pairs", "--expected-precision"]);
    refused(2, &["p.fasta", "--top-k", "2", "--out", "x.xml"], &["graphml"]);
    refused(2, &["p.fasta", "--top-k", "2", "--out", "x.txt"], &["calibration"]);
    refused(2, &["p.fasta", "--top-k", "2", "--out", "x.tsv", "--shard", "3/2"], &["N/COUNT"]);
    scratch.write("wrong.tsv", "p0\tp1\np0\tnobody\np2\tp2\np1\tp0\n");
    let listed = ["p.fasta", "--pairs", "wrong.tsv", "--out", "w.tsv"];
    refused(65, &listed, &["wrong.tsv:2", "nobody", "wrong.tsv:3", "'p2' twice"]);
    let skipped = screen(&scratch, &[&listed[..], &["--on-error", "skip"]].concat()).code(0);
    assert!(skipped.stderr.contains("1 pair repeats an earlier one"), "{}", skipped.stderr);
    assert_eq!(rows(&scratch.text("w.tsv")).1.len(), 1);
    assert!(scratch.text("w.tsv.failures.tsv").contains("nobody"));
    scratch.write("one.fasta", ">p0\nMKVLA\n");
    refused(65, &["one.fasta", "--top-k", "1", "--out", "x.tsv"], &["no pair to score", "1 proteins"]);
    refused(
        65,
        &["p.fasta", "one.fasta", "--top-k", "1", "--out", "x.tsv"],
        &["\"p0\"", "one.fasta", "--id full"],
    );
    refused(137, &["p.fasta", "--top-k", "1", "--memory", "1K", "--out", "x.tsv"], &["--memory"]);
    let other = ["p.fasta", "--top-k", "1", "--out", "x.tsv", "--model", crate::tool::model()];
    refused(65, &other, &["was taught on the encoder"]);
    scratch.run(&["embed", "p.fasta", "--model", crate::tool::model(), "--out", "v.npz"]).go().code(0);
    let vectors = ["--embeddings", "v.npz", "--top-k", "1", "--out", "x.tsv"];
    let ended = screen(&scratch, &vectors).code(65);
    assert!(ended.stderr.contains("v.npz"), "{}", ended.stderr);
    let gathered = scratch.run(&["gather", "v.npz", "--out", "x.npz"]).go().code(2);
    assert!(gathered.stderr.contains("--split"), "{}", gathered.stderr);
    // A weight that is no number, in a file that is not as it was written and in one that says so of itself.
    let mut weights = scratch.read("head/head.safetensors");
    let last = weights.len() - 4;
    weights[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    scratch.write("head/head.safetensors", &weights);
    refused(65, &["p.fasta", "--top-k", "1", "--out", "x.tsv"], &["head.safetensors"]);
    let mut card: Value = serde_json::from_slice(&scratch.read("head/head.json")).unwrap();
    card["weights"] =
        pliant::supervised::card::digest(&scratch.path("head/head.safetensors")).unwrap().into();
    scratch.write("head/head.json", card.to_string());
    refused(65, &["p.fasta", "--top-k", "1", "--out", "x.tsv"], &["head.safetensors", "NaN"]);
    assert!(!scratch.path("x.tsv").exists());
}

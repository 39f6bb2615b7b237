//! `pliant screen` with heads that users bring: plugins and ONNX files.

use serde_json::Value;

use crate::brought::{copy, run};
use crate::screen::{PROTEINS, rows, scratch_with};
use crate::tool::{Ended, Scratch};

/// The words of a screen of everything.
const ALL: [&str; 3] = ["screen", "p.fasta", "--all-pairs"];

#[track_caller]
fn screen(scratch: &Scratch, head: &str, words: &[&str]) -> Ended {
    run(scratch, &[&["screen", "--head", head], words].concat()).go()
}

fn meta(scratch: &Scratch, name: &str) -> Value {
    let text = scratch.text(name);
    serde_json::from_str(text.lines().next().unwrap().strip_prefix("# pliant_meta ").unwrap()).unwrap()
}

/// Pairs and their scores, sorted by the names.
fn scores(scratch: &Scratch, name: &str) -> Vec<(String, String, f64)> {
    let (_, rows) = rows(&scratch.text(name));
    let mut scores: Vec<(String, String, f64)> = rows
        .into_iter()
        .map(|cells| (cells[0].clone(), cells[1].clone(), cells[2].parse().unwrap()))
        .collect();
    scores.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    scores
}

/// No way of cutting the work changes a byte of the best pairs.
fn same_in_any_way(scratch: &Scratch, head: &str, words: &[&str]) {
    let best = |out: &str, more: &[&str]| {
        let words = [words, &["--top-k", "3", "--out", out], more].concat();
        screen(scratch, head, &words).code(0);
        scratch.read(out)
    };
    let whole = best("best.tsv", &[]);
    assert!(whole == best("2.tsv", &["--threads", "3", "--block", "1", "--memory", "64M"]));
    for number in 1..=3 {
        best(&format!("{number}.screen"), &["--shard", &format!("{number}/3"), "--threads", "2"]);
    }
    run(scratch, &["gather", "3.screen", "1.screen", "2.screen", "--out", "gathered.tsv"]).go().code(0);
    assert!(whole == scratch.read("gathered.tsv"));
}

#[test]
fn a_plugin_of_pairs_screens() {
    let scratch = scratch_with(&["--set", "run.epochs=1"]);
    copy(&scratch, "cosine_head", None, "");
    let (head, model) = ("cosine_head/plugin.toml", ["--model", "composition"]);
    screen(&scratch, head, &[&ALL[1..], &model[..], &["--out", "all.tsv"]].concat()).code(0);
    let found = scores(&scratch, "all.tsv");
    assert_eq!(found.len(), PROTEINS * (PROTEINS - 1) / 2);
    let words = ["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", head, "--out", "told.tsv"];
    run(&scratch, &[&words[..], &model].concat()).go().code(0);
    // The table of pairs names each in the order of the proteins, and the plugin sees the same numbers.
    assert_eq!(found, scores(&scratch, "told.tsv"));
    let told = meta(&scratch, "all.tsv");
    assert_eq!((&told["plugin"]["name"], &told["plugin"]["asked"]), (&"cosine-head".into(), &"pairs".into()));
    assert_eq!((&told["head"], &told["task"]), (&told["plugin"]["identity"], &Value::Null));
    assert_eq!((&told["layers"], &told["pool"]), (&serde_json::json!([0]), &"mean".into()));
    run(&scratch, &["embed", "p.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    screen(&scratch, head, &["--embeddings", "v.npz", "--all-pairs", "--out", "v.tsv"]).code(0);
    assert_eq!(found, scores(&scratch, "v.tsv"));
    assert_eq!(meta(&scratch, "v.tsv")["model"], told["model"]);
    screen(
        &scratch,
        head,
        &[&ALL[1..2], &model[..], &["--pairs", "pairs.tsv", "--out", "listed.tsv"]].concat(),
    )
    .code(0);
    assert_eq!(found, scores(&scratch, "listed.tsv"));
    same_in_any_way(&scratch, head, &[&ALL[1..2], &model[..]].concat());
    wrong_plugins(&scratch);
}

fn wrong_plugins(scratch: &Scratch) {
    let refused = |head: &str, words: &[&str], code: i32, wanted: &str| {
        let words = [&["p.fasta", "--top-k", "1", "--out", "x.tsv"], words].concat();
        let ended = screen(scratch, head, &words).code(code);
        assert!(ended.stderr.contains(wanted), "wanted {wanted}: {}", ended.stderr);
        assert!(!scratch.path("x.tsv").exists());
    };
    let cosine = "cosine_head/plugin.toml";
    refused(cosine, &[], 2, "name its encoder with --model");
    refused(
        cosine,
        &["--model", "composition", "--min-probability", "0.5"],
        2,
        "cosine_head/calibration.json",
    );
    refused(cosine, &["--model", "composition", "--set", "x=1"], 2, "a key that the plugin does not know");
    copy(scratch, "linear_head", None, "");
    let linear = ["--model", "composition"];
    refused("linear_head/plugin.toml", &linear, 2, "takes pooled, residues, and is asked about pairs");
    refused("head", &["--set", "x=1"], 2, "are for plugins");
    copy(scratch, "cosine_head", None, &format!("\n[reads]\nmodel = \"{}\"\n", "0".repeat(64)));
    refused(cosine, &["--model", "composition"], 65, &"0".repeat(64));
}

/// The head of the mean of two vectors tells two classes by one number.
#[test]
fn a_head_of_one_number_leaves_as_onnx_and_screens() {
    let of_mean = ["--set", "head.pairs=average", "--set", "head.activation=tanh", "--set", "head.hidden=8"];
    as_onnx(&scratch_with(&of_mean));
}

/// A head that was taught and leaves as an ONNX file ranks as it did before.
fn as_onnx(scratch: &Scratch) {
    run(scratch, &["model", "export", "head", "--onnx", "--out", "head_onnx"]).go().code(0);
    let (head, model) = ("head_onnx/head.onnx", ["--model", "composition"]);
    run(scratch, &[&ALL[..], &["--head", "head", "--out", "taught.tsv"]].concat()).go().code(0);
    screen(scratch, head, &[&ALL[1..], &model[..], &["--out", "all.tsv"]].concat()).code(0);
    let (wanted, found) = (scores(scratch, "taught.tsv"), scores(scratch, "all.tsv"));
    assert_eq!((found.len(), wanted.len()), (PROTEINS * (PROTEINS - 1) / 2, found.len()));
    for (wanted, found) in wanted.iter().zip(&found) {
        // 32-bit sums in another order, through two layers.
        let near = (wanted.2 - found.2).abs() <= 1e-5 + 1e-4 * wanted.2.abs();
        assert!((&wanted.0, &wanted.1) == (&found.0, &found.1) && near, "{wanted:?} {found:?}");
    }
    run(scratch, &["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", "head", "--out", "a.tsv"])
        .go()
        .code(0);
    let words = ["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", head, "--out", "b.tsv"];
    run(scratch, &[&words[..], &model].concat()).go().code(0);
    let ((names, taught), (others, brought)) = (rows(&scratch.text("a.tsv")), rows(&scratch.text("b.tsv")));
    assert_eq!((names, taught.len()), (others, brought.len()));
    for (taught, brought) in taught.iter().zip(&brought) {
        let chance = |row: &[String]| row.last().unwrap().parse::<f64>().unwrap();
        assert!((chance(taught) - chance(brought)).abs() < 1e-5, "{taught:?} {brought:?}");
    }
}

#[test]
fn an_onnx_head_of_pairs_screens_in_blocks_of_any_size_and_is_calibrated() {
    let scratch = scratch_with(&["--set", "head.hidden=8"]);
    as_onnx(&scratch);
    let (head, model) = ("head_onnx/head.onnx", ["--model", "composition"]);
    let found = scores(&scratch, "all.tsv");
    let told = meta(&scratch, "all.tsv");
    let numerics = told["head_numerics"].as_str().unwrap();
    assert!(numerics.starts_with("tract-"), "{numerics}");
    assert_eq!(told["numerics"], meta(&scratch, "taught.tsv")["numerics"]);
    same_in_any_way(&scratch, head, &[&ALL[1..2], &model[..]].concat());
    let words = ["evaluate", "--task", "pair", "pairs.tsv", "--sequences", "p.fasta", "--head", head];
    let more =
        ["--bootstrap", "0", "--out", "e.json", "--calibration", "head_onnx/head.onnx.calibration.json"];
    run(&scratch, &[&words[..], &model, &more].concat()).go().code(0);
    screen(&scratch, head, &[&ALL[1..], &model[..], &["--prevalence", "1:3", "--out", "worth.tsv"]].concat())
        .code(0);
    let (names, worth) = rows(&scratch.text("worth.tsv"));
    assert_eq!(names[3..5], ["probability", "expected_precision"]);
    let chances: Vec<f64> = worth.iter().map(|cells| cells[3].parse().unwrap()).collect();
    assert!(chances.windows(2).all(|pair| pair[0] >= pair[1]), "they fall with the logit");
    // The folder of the ONNX file does as well as the file, and a head of single proteins does not.
    screen(&scratch, "head_onnx", &[&ALL[1..], &model[..], &["--out", "folder.tsv"]].concat()).code(0);
    assert_eq!(found, scores(&scratch, "folder.tsv"));
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/onnx/mlp.onnx");
    let ended = screen(&scratch, files, &[&ALL[1..], &model[..], &["--out", "x.tsv"]].concat()).code(2);
    assert!(ended.stderr.contains("wanted one that reads pairs of vectors"), "{}", ended.stderr);
}

/// What an ONNX file encodes says so, whoever scores it.
#[test]
fn vectors_of_an_onnx_encoder_say_what_made_them() {
    let scratch = scratch_with(&["--set", "run.epochs=1"]);
    copy(&scratch, "cosine_head", None, "");
    let (head, model) =
        ("cosine_head/plugin.toml", concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/onnx/esm2.onnx"));
    screen(&scratch, head, &["p.fasta", "--top-k", "2", "--model", model, "--out", "a.tsv"]).code(0);
    run(&scratch, &["embed", "p.fasta", "--model", model, "--out", "v.npz"]).go().code(0);
    screen(&scratch, head, &["--embeddings", "v.npz", "--top-k", "2", "--out", "b.tsv"]).code(0);
    assert_eq!(scores(&scratch, "a.tsv"), scores(&scratch, "b.tsv"));
    for name in ["a.tsv", "b.tsv"] {
        let told = meta(&scratch, name);
        let numerics = told["numerics"].as_str().unwrap();
        assert!(numerics.starts_with("tract-") && numerics.contains('+'), "{name}: {numerics}");
    }
    let words =
        ["finetune", "--task", "pair", "--train", "pairs.tsv", "--sequences", "p.fasta", "--classes", "0,1"];
    let more = ["--model", model, "--set", "run.epochs=1", "--valid-fraction", "0.2", "--out", "on_onnx"];
    run(&scratch, &[&words[..], &more].concat()).go().code(0);
    let training: Value = serde_json::from_slice(&scratch.read("on_onnx/training.json")).unwrap();
    assert!(training["numerics"].as_str().unwrap().starts_with("tract-"), "{}", training["numerics"]);
}

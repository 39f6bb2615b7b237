//! Tiny models of PLUS through the commands that are written for any family.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tool::{Ended, Run, Scratch};

/// A folder of `pliant model new` (tests/fixtures/models/README.md).
const RNN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/plus_rnn_tiny_random");

/// Files of the authors' form (tests/fixtures/plus, tests/fixtures/p_elmo).
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// Configurations in the authors' form, and the family of each.
const FAMILIES: [(&str, &str); 4] = [
    (
        "plus_rnn",
        r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 6, "embedding_dim": 5}"#,
    ),
    (
        "plus_tfm",
        r#"{"model_type": "TFM", "num_layers": 2, "hidden_dim": 16, "num_heads": 2, "feedforward_dim": 20,
            "pos_encode": true, "max_len": 30, "dropout": 0.1}"#,
    ),
    (
        "p_elmo",
        r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 5, "lm_proj_dim": 7,
            "embedding_dim": 4, "lm": {"num_layers": 2, "hidden_dim": 6}}"#,
    ),
    ("p_elmo_lm", r#"{"model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 6}"#),
];

const PROTEINS: &str = ">one\nMKTAYIAKQRQISFVKSHFSRQ\n>two\nMKV\n>three\nWWUOYHKLMNPQRSTVWACDEFG\n";

/// A folder with some proteins and a model of every family.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in.fasta", PROTEINS);
    for (name, config) in FAMILIES {
        scratch.write(&format!("{name}.json"), config);
        let config = format!("{name}.json");
        scratch.run(&["model", "new", "--config", &config, "--seed", "7", "--out", name]).go().code(0);
    }
    scratch
}

#[track_caller]
fn run(scratch: &Scratch, words: &[&str]) -> Ended {
    scratch.run(words).go().code(0)
}

#[track_caller]
fn refused(scratch: &Scratch, words: &[&str], code: i32, said: &str) {
    let ended = scratch.run(words).go().code(code);
    assert!(ended.stderr.contains(said), "wanted {said}: {}", ended.stderr);
}

#[test]
fn the_fixture_is_what_its_seed_makes() {
    let (scratch, config) = (Scratch::new(), format!("{RNN}.config.json"));
    run(&scratch, &["model", "new", "--config", &config, "--seed", "20", "--out", "m"]);
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        assert!(scratch.read(&format!("m/{name}")) == fs::read(Path::new(RNN).join(name)).unwrap(), "{name}");
    }
    let inspected = Run::new(&["model", "inspect", RNN]).go().code(0).text();
    for words in
        ["family           plus_rnn", "layers           1 to 2, 2 or -1 the last", "projection z     8 wide"]
    {
        assert!(inspected.contains(words), "{inspected}");
    }
}

#[test]
fn every_family_is_made_looked_at_and_copied() {
    let scratch = scratch();
    for (name, _) in FAMILIES {
        let said = run(&scratch, &["model", "inspect", name, "--json"]).json();
        assert_eq!(said["family"], name);
        assert_eq!(said["tensors"]["missing"], serde_json::json!([]));
        let text = fs::read_to_string(scratch.path(name).join("vocab.txt")).unwrap();
        let (tokens, vocabulary) = if name == "plus_tfm" { (25, "plus-tfm-25/1") } else { (22, "plus-22/1") };
        assert_eq!((text.lines().count(), &said["vocabulary"]), (tokens, &vocabulary.into()), "{name}");
        run(&scratch, &["model", "import", name, "--out", &format!("{name}_again")]);
        let verify = |folder: &str| run(&scratch, &["model", "verify", folder]).text();
        assert_eq!(verify(name), verify(&format!("{name}_again")));
        refused(&scratch, &["model", "export", name, "--hf", "--out", "hf"], 65, "transformers has no PLUS");
        run(&scratch, &["model", "export", name, "--plus", "--out", &format!("{name}_authors")]);
        assert!(scratch.path(&format!("{name}_authors/MODEL.json")).exists());
    }
}

#[test]
fn files_of_the_authors_are_imported() {
    let scratch = Scratch::new();
    let file = |name: &str| format!("{FILES}/{name}");
    let (rnn, config) = (file("plus/rnn_gpu.pt"), file("plus/rnn.json"));
    let said =
        run(&scratch, &["model", "import", &rnn, "--config", &config, "--out", "rnn", "--json"]).json();
    assert_eq!((&said["family"], &said["tensors"]["used"]), (&"plus_rnn".into(), &31.into()));
    assert_eq!(said["absent"], serde_json::json!([]));
    let one = file("plus/rnn_one_class.pt");
    let text = run(&scratch, &["model", "import", &one, "--config", &config, "--out", "one"]).text();
    for words in [
        "ignored          2: ordinal_bias, ordinal_weight",
        "without          the language-model head",
        "without          the head for pairs",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let (model, lm) = (file("p_elmo/p_elmo.pt"), file("p_elmo/lm.pt"));
    let (config, lm_config) = (file("p_elmo/p_elmo.json"), file("p_elmo/lm.json"));
    let words = ["model", "import", &model, "--config", &config, "--out", "p_elmo"];
    let more = ["--lm-model", &lm, "--lm-config", &lm_config];
    let said = run(&scratch, &[&words[..], &more, &["--json"]].concat()).json();
    assert_eq!((&said["family"], &said["width"]), (&"p_elmo".into(), &10.into()));
    refused(&scratch, &words, 2, "--lm-model");
    refused(&scratch, &["model", "import", &rnn, "--out", "x"], 2, "--config MODEL.json");
    refused(&scratch, &["model", "import", &rnn, "--lm-model", &lm, "--out", "x"], 2, "--lm-config");
    let (mlp, config) = (file("plus/mlp.pt"), file("plus/rnn.json"));
    refused(&scratch, &["model", "import", &mlp, "--config", &config, "--out", "x"], 65, "pliant finetune");
    refused(&scratch, &["model", "verify", &mlp], 65, "prediction layers");
    assert!(!scratch.path("x").exists());
}

/// Every command that a model of the family does, with its output.
fn commands(family: &str) -> Vec<Vec<&'static str>> {
    let mut commands = vec![
        vec!["embed", "in.fasta", "--out", "o.npz", "--layer", "1,-1"],
        vec![
            "embed",
            "in.fasta",
            "--out",
            "p.npz",
            "--residues",
            "o.npz",
            "--precision",
            "bf16",
            "--pool",
            "max",
        ],
    ];
    if family != "plus_tfm" && family != "p_elmo_lm" {
        commands.push(vec!["embed", "in.fasta", "--out", "p.npz", "--residues", "o.npz", "--output", "z"]);
    }
    if family != "p_elmo" {
        commands.extend([
            vec!["logits", "in.fasta", "--out", "o.npz"],
            vec!["perplexity", "in.fasta", "--out", "o.tsv"],
            vec!["evaluate", "--task", "mlm", "in.fasta", "--out", "o.tsv"],
            vec!["variants", "--wild-type", "short.fasta", "--scan", "--out", "o.csv"],
        ]);
    }
    commands
}

#[test]
fn threads_budgets_and_company_change_no_byte() {
    let scratch = scratch();
    scratch.write("short.fasta", ">one\nMKUTAYIAKQ\n");
    for (family, _) in FAMILIES {
        for words in commands(family) {
            let out = *words.iter().rfind(|word| word.starts_with("o.")).unwrap();
            let bytes = |more: &[&str]| {
                run(&scratch, &[&words[..], &["--model", family], more].concat());
                scratch.read(out)
            };
            let wanted = bytes(&["--threads", "1"]);
            for (threads, budget) in [("4", "1"), ("2", "30")] {
                let found = bytes(&["--threads", threads, "--max-batch-tokens", budget]);
                assert!(found == wanted, "{family}: {words:?} with {threads} threads and {budget} tokens");
            }
        }
    }
}

#[test]
fn what_a_family_cannot_is_refused_by_name() {
    let scratch = scratch();
    let embed = |family: &'static str, more: &[&'static str]| {
        [&["embed", "in.fasta", "--out", "o.npz", "--model", family], more].concat()
    };
    for family in ["plus_rnn", "p_elmo", "p_elmo_lm"] {
        refused(
            &scratch,
            &embed(family, &["--pool", "cls"]),
            2,
            "has no token that speaks for the whole protein",
        );
        refused(&scratch, &embed(family, &["--layer", "0"]), 2, "the model has layers 1 to 2, or -2 to -1");
    }
    run(&scratch, &embed("plus_tfm", &["--pool", "cls", "--layer", "0"]));
    for family in ["plus_tfm", "p_elmo_lm"] {
        refused(&scratch, &embed(family, &["--output", "z"]), 2, "has no projection of its states");
    }
    refused(
        &scratch,
        &embed("plus_rnn", &["--output", "z", "--layer", "1"]),
        2,
        "made of the last layer alone",
    );
    for (family, _) in FAMILIES {
        let words = ["contacts", "in.fasta", "--out", "o.npz", "--model", family];
        refused(&scratch, &words, 65, &format!("a model of the family {family} tells no contacts"));
    }
    for command in ["logits", "perplexity"] {
        let out = if command == "logits" { "l.npz" } else { "l.tsv" };
        let words = [command, "in.fasta", "--out", out, "--model", "p_elmo"];
        refused(&scratch, &words, 65, "no language-model head");
        assert!(!scratch.path(out).exists());
    }
}

/// 30 tokens in training make a table of 33 places, two of which are for the ends.
#[test]
fn proteins_beyond_the_table_of_places_are_failures() {
    let scratch = scratch();
    scratch.write("in.fasta", format!(">fits\n{}\n>over\n{}\n", "A".repeat(31), "A".repeat(32)));
    let words = ["embed", "in.fasta", "--out", "o.npz", "--model", "plus_tfm"];
    let said = "has 32 residues to be computed together, more than the 31 that this model has positions for";
    refused(&scratch, &words, 65, said);
    refused(
        &scratch,
        &[&words[..], &["--long", "window", "--window", "40"]].concat(),
        65,
        "more than the 31",
    );
    let ended = run(&scratch, &[&words[..], &["--on-error", "skip"]].concat());
    assert!(ended.stderr.contains("1 record"), "{}", ended.stderr);
    assert_eq!(scratch.records("o.npz").len(), 1);
    assert!(scratch.text("o.npz.failures.tsv").contains("more than the 31"));
    for policy in ["window", "truncate"] {
        run(&scratch, &[&words[..], &["--long", policy]].concat());
        assert_eq!(scratch.records("o.npz").len(), 2, "{policy}");
    }
    let dry = run(&scratch, &["embed", "in.fasta", "--model", "plus_tfm", "--dry-run"]).json();
    assert_eq!(
        (&dry["would_fail"], &dry["bad_records"], &dry["records"]),
        (&true.into(), &1.into(), &1.into())
    );
}

/// No recurrent model of PLUS tells X from other residues, so there is no likelihood of it. PLUS-TFM does.
#[test]
fn a_residue_that_is_not_told_has_no_likelihood() {
    let scratch = scratch();
    scratch.write("in.fasta", ">a\nMKUV\n>b\nMKXV\n>c\nMZ\n");
    for family in ["plus_rnn", "p_elmo_lm"] {
        run(&scratch, &["logits", "in.fasta", "--out", "l.npz", "--model", family]);
        let rows = scratch.records("l.npz");
        assert_eq!(rows[1].layers[0].len(), 4 * 21, "{family}");
        for row in rows.iter().flat_map(|record| record.layers[0].chunks(21)) {
            let whole: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
            assert!((whole - 1.0).abs() < 1e-5, "{family}: {whole}");
        }
        let words = ["perplexity", "in.fasta", "--out", "p.tsv", "--model", family, "--method", "one-pass"];
        refused(&scratch, &words, 65, "the letter X at position 3 is none that this model tells apart");
        run(&scratch, &[&words[..], &["--on-error", "skip"]].concat());
        let table = scratch.text("p.tsv");
        assert_eq!(table.lines().count(), 3, "{table}");
        let said: f64 = table.lines().nth(2).unwrap().split('\t').nth(2).unwrap().parse().unwrap();
        let tokens = [13, 12, 5, 20];
        let sum: f64 = (0..4).map(|at| f64::from(rows[0].layers[0][21 * at + tokens[at]])).sum();
        assert!((said - sum).abs() < 1e-5, "{family}: {said} {sum}");
        scratch.write("wild.fasta", ">w\nMKXV\n").write("m.csv", "mutant\nM1A\nX3A\n");
        let variants = ["variants", "--wild-type", "wild.fasta", "--out", "v.csv", "--model", family];
        refused(&scratch, &[&variants[..], &["--scan"]].concat(), 65, "the letter X at position 3");
        refused(
            &scratch,
            &[&variants[..], &["--mutants", "m.csv"]].concat(),
            65,
            "the letter X of the wild type",
        );
    }
    run(&scratch, &["perplexity", "in.fasta", "--out", "p.tsv", "--model", "plus_tfm"]);
    assert_eq!(scratch.text("p.tsv").lines().count(), 5);
}

/// z is another output than h: in the file, in the cache and for gather.
#[test]
fn states_and_their_projection_are_told_apart() {
    let scratch = scratch();
    let embed = |out: &str, more: &[&str]| {
        let words = [
            "embed",
            "in.fasta",
            "--model",
            "plus_rnn",
            "--out",
            out,
            "--cache",
            "c.sqlite",
            "--summary",
            "s.json",
        ];
        run(&scratch, &[&words[..], more].concat());
        let told = serde_json::from_str::<Value>(&scratch.text("s.json")).unwrap()["cache"].clone();
        (scratch.read(out), told["hits"].as_u64().unwrap())
    };
    let (h, hits) = embed("h.npz", &[]);
    assert_eq!((hits, embed("h.npz", &["--output", "h"])), (0, (h, 3)));
    let (z, hits) = embed("z.npz", &["--output", "z"]);
    assert_eq!((hits, embed("z.npz", &["--output", "z"])), (0, (z, 3)));
    let width = |name: &str| scratch.records(name)[0].layers[0].len();
    assert_eq!((width("h.npz"), width("z.npz")), (12, 5));
    let metadata = |name: &str| scratch.npz(name).metadata.unwrap();
    assert_eq!(metadata("z.npz").get("states"), Some(&"z".into()));
    assert_eq!(metadata("h.npz").get("states"), None);
    run(&scratch, &["split", "in.fasta", "--shards", "2", "--out-dir", "shards"]);
    let part = |shard: &str, out: &str, more: &[&str]| {
        let input = format!("shards/shard_000{shard}.fasta");
        run(&scratch, &[&["embed", &input, "--model", "plus_rnn", "--out", out][..], more].concat());
    };
    part("1", "one.npz", &["--output", "z"]);
    part("2", "other.npz", &[]);
    let gather = ["gather", "--split", "shards/split.json", "one.npz", "other.npz", "--out", "all.npz"];
    let ended = scratch.run(&gather).go();
    assert!(ended.code != Some(0) && ended.stderr.contains("states"), "{ended:?}");
    part("2", "other.npz", &["--output", "z"]);
    run(&scratch, &gather);
    run(&scratch, &["embed", "in.fasta", "--model", "plus_rnn", "--out", "plain.npz", "--output", "z"]);
    assert!(scratch.read("all.npz") == scratch.read("plain.npz"));
}

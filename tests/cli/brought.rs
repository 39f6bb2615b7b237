//! Heads and measures that users bring as plugins, where built-in ones would be: `predict`, `evaluate`, `finetune`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::tool::{Run, Scratch};

/// The folder of the example plugins.
const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins");

/// Numbers of a vector of the model 'composition': a letter each, and the length.
const WIDTH: usize = 21;

/// A run that keeps what it compiles beside the tests.
pub(crate) fn run(scratch: &Scratch, words: &[&str]) -> Run {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
    scratch.run(words).env("XDG_CACHE_HOME", cache.to_str().unwrap())
}

/// Copies an example plugin, with other weights of C = [`WIDTH`] where some are given, and more lines in its manifest.
pub(crate) fn copy(scratch: &Scratch, name: &str, weights: Option<&[u8]>, more: &str) {
    let folder = scratch.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(format!("{PLUGINS}/{name}")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let manifest = folder.join("plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text + more).unwrap();
    if let Some(weights) = weights {
        std::fs::write(folder.join("weights.bin"), weights).unwrap();
        let words =
            ["plugin", "check", &format!("{name}/plugin.toml"), "--seal", "--set", r#"classes=["x","y"]"#];
        run(scratch, &words).go().code(0);
    }
}

/// Weights of the linear head: C, K, the bias and the matrix.
fn weights(bias: &[f32], matrix: &[f32]) -> Vec<u8> {
    let sizes = [WIDTH as u32, bias.len() as u32].map(u32::to_le_bytes).concat();
    let numbers = bias.iter().chain(matrix).flat_map(|number| number.to_le_bytes());
    sizes.into_iter().chain(numbers).collect()
}

/// The weights of a head that was taught.
fn taught(scratch: &Scratch, folder: &str) -> Vec<u8> {
    let bytes = scratch.read(&format!("{folder}/head.safetensors"));
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    weights(&numbers("output.bias"), &numbers("output.weight"))
}

/// Proteins of two kinds, greasy and charged, as a table and as FASTA; residues are A where greasy, else B.
fn proteins(scratch: &Scratch, count: usize) {
    let (mut table, mut fasta) = ("id\tsequence\tkind\tplaces\tpart\n".to_owned(), String::new());
    for row in 0..count {
        let alphabets = [b"LAGVS", b"KRDEN"];
        let letter = |place: usize| {
            let odd = (row * 31 + place * place * 7 + place) % 10 < 3;
            alphabets[usize::from(odd) ^ (row % 2)][(row + place * 3 + place * place) % 5] as char
        };
        let sequence: String = (0..15 + row % 20).map(letter).collect();
        let places: String =
            sequence.bytes().map(|letter| if b"LAGVS".contains(&letter) { 'A' } else { 'B' }).collect();
        let (kind, part) = (["x", "y"][row % 2], if row % 5 == 4 { "valid" } else { "train" });
        let _ = writeln!(table, "p{row}\t{sequence}\t{kind}\t{places}\t{part}");
        let _ = write!(fasta, ">p{row}\n{sequence}\n");
    }
    scratch.write("t.tsv", table).write("t.fasta", fasta);
}

/// The words that teach a task of the table.
fn finetune<'a>(task: &'a str, label: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut words = vec![
        "finetune",
        "--task",
        task,
        "--train",
        "t.tsv",
        "--label-column",
        label,
        "--part-column",
        "part",
    ];
    words.extend(["--train-part", "train", "--valid-part", "valid", "--model", "composition", "--out", out]);
    words.extend(["--set", "optimizer.learning_rate=0.05", "--set", "run.epochs=4"]);
    words
}

/// Cells of a table, without what it says of itself.
fn cells(scratch: &Scratch, name: &str) -> Vec<Vec<String>> {
    let text = scratch.text(name);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn meta(scratch: &Scratch, name: &str) -> Value {
    let text = scratch.text(name);
    let line = text.lines().next().unwrap().strip_prefix("# pliant_meta ").unwrap();
    serde_json::from_str(line).unwrap()
}

/// The same tables, but for numbers that differ in the last places of 32 bits.
#[track_caller]
fn alike(left: &[Vec<String>], right: &[Vec<String>]) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left.len(), right.len(), "{left:?} {right:?}");
        for (left, right) in left.iter().zip(right) {
            match (left.parse::<f64>(), right.parse::<f64>()) {
                // Sums of 21 products in another order.
                (Ok(left), Ok(right)) => assert!((left - right).abs() < 1e-5, "{left} {right}"),
                _ => assert_eq!(left, right),
            }
        }
    }
}

const CLASSES: &[&str] = &["--set", r#"classes=["x","y"]"#];

#[test]
fn a_linear_plugin_tells_what_a_taught_head_of_its_weights_tells() {
    let scratch = Scratch::new();
    proteins(&scratch, 40);
    run(&scratch, &finetune("classification", "kind", "head")).go().code(0);
    copy(&scratch, "linear_head", Some(&taught(&scratch, "head")), "");
    let predict = |words: &[&str]| run(&scratch, &[&["predict"], words].concat()).go().code(0);
    let brought =
        |words: &[&str]| predict(&[&["--head", "linear_head/plugin.toml"], words, CLASSES].concat());
    predict(&["t.fasta", "--head", "head", "--out", "taught.tsv"]);
    brought(&["t.fasta", "--model", "composition", "--out", "brought.tsv"]);
    let (wanted, found) = (cells(&scratch, "taught.tsv"), cells(&scratch, "brought.tsv"));
    assert_eq!(found[0], ["id", "length", "label", "p_x", "p_y"]);
    alike(&wanted, &found);

    // The head may give the scores as well, and the threads change no byte.
    let logits = ["t.fasta", "--model", "composition", "--set", "softmax=false", "--out"];
    brought(&[&logits[..], &["one.tsv", "--threads", "1", "--max-batch-tokens", "64"]].concat());
    brought(&[&logits[..], &["two.tsv", "--threads", "2"]].concat());
    assert_eq!(scratch.text("one.tsv"), scratch.text("two.tsv"));
    alike(&wanted, &cells(&scratch, "one.tsv"));

    // What is told says by what: other settings are another head.
    let (one, other) = (meta(&scratch, "brought.tsv"), meta(&scratch, "one.tsv"));
    assert_eq!(
        (&one["plugin"]["name"], &one["plugin"]["meaning"]),
        (&"linear-head".into(), &"probabilities".into())
    );
    assert_eq!(one["head"], one["plugin"]["identity"]);
    assert_ne!(one["head"], other["head"]);

    // Stored vectors give the same numbers.
    run(&scratch, &["embed", "t.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    brought(&["--embeddings", "v.npz", "--out", "stored.tsv"]);
    let without_length = |mut cells: Vec<Vec<String>>| {
        cells.iter_mut().for_each(|row| drop(row.remove(1)));
        cells
    };
    assert_eq!(cells(&scratch, "stored.tsv"), without_length(found));
    brought(&["t.fasta", "--model", "composition", "--out", "b.jsonl"]);
    let text = scratch.text("b.jsonl");
    let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&line["id"], &line["length"]), (&"p0".into(), &15.into()));
    let sum: f64 = line["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{line}");
}

/// The linear head with the weights of a taught one, for a task: what `evaluate` says of both.
#[test]
fn a_plugin_is_judged_as_a_taught_head_is() {
    let scratch = Scratch::new();
    proteins(&scratch, 40);
    for (task, label, ask, set) in [
        ("classification", "kind", "pooled", r#"classes=["x","y"]"#),
        ("residue", "places", "residues", r#"classes=["A","B"]"#),
    ] {
        run(&scratch, &[&finetune(task, label, task)[..], &["--letters", "AB"]].concat()).go().code(0);
        copy(&scratch, "linear_head", Some(&taught(&scratch, task)), "");
        let evaluate = |words: &[&str]| {
            let all = [
                "evaluate",
                "--task",
                task,
                "t.tsv",
                "--part-column",
                "part",
                "--part",
                "valid",
                "--out",
                "e.json",
            ];
            run(&scratch, &[&all[..], &["--bootstrap", "20"], words].concat()).go()
        };
        evaluate(&["--head", task]).code(0);
        let wanted: Value = serde_json::from_slice(&scratch.read("e.json")).unwrap();
        let plugin = ["--head", "linear_head/plugin.toml", "--model", "composition", "--label-column", label];
        let plugin = [&plugin[..], &["--letters", "AB", "--set", set, "--ask"]].concat();
        evaluate(&[&plugin[..], &[ask]].concat()).code(0);
        let found: Value = serde_json::from_slice(&scratch.read("e.json")).unwrap();
        let near = |wanted: &Value, found: &Value, what: &str| {
            let apart =
                wanted.as_f64().zip(found.as_f64()).map_or(f64::NAN, |(wanted, found)| wanted - found);
            // The plugin has added up in another order, and told probabilities in 32 bits.
            assert!(
                apart.abs() < 1e-4 || (wanted.is_null() && found.is_null()),
                "{task} {what}: {wanted} {found}"
            );
        };
        near(&wanted["loss"], &found["loss"], "loss");
        for (name, measure) in wanted["measures"].as_object().unwrap() {
            let other = &found["measures"][name];
            near(&measure["value"], &other["value"], name);
            assert!(other["baseline"].is_null(), "{name}");
        }
        assert!(!wanted["measures"]["accuracy"]["value"].is_null());
        assert_eq!(found["pliant_meta"]["plugin"]["name"], "linear-head");
        let other = if ask == "pooled" { "residues" } else { "pooled" };
        let refused = evaluate(&[&plugin[..], &[other]].concat()).code(2);
        assert!(refused.stderr.contains("is asked about"), "{}", refused.stderr);
    }
}

#[test]
fn a_plugin_is_asked_about_each_residue() {
    let scratch = Scratch::new();
    proteins(&scratch, 30);
    run(&scratch, &[&finetune("residue", "places", "head")[..], &["--letters", "AB"]].concat()).go().code(0);
    copy(&scratch, "linear_head", Some(&taught(&scratch, "head")), "");
    let predict = |words: &[&str]| run(&scratch, &[&["predict"], words].concat()).go();
    let set = ["--set", r#"classes=["A","B"]"#];
    let asks = [&["--head", "linear_head/plugin.toml", "--ask", "residues"], &set[..]].concat();
    predict(&["t.fasta", "--head", "head", "--out", "taught.tsv", "--residues", "taught.npz"]).code(0);
    let words = ["t.fasta", "--model", "composition", "--out", "brought.tsv", "--residues", "brought.npz"];
    predict(&[&words[..], &asks].concat()).code(0);
    let found = cells(&scratch, "brought.tsv");
    assert_eq!(cells(&scratch, "taught.tsv"), found);
    for (wanted, found) in scratch.records("taught.npz").iter().zip(scratch.records("brought.npz")) {
        assert_eq!((&wanted.id, wanted.layers[0].len()), (&found.id, found.layers[0].len()));
        for (wanted, found) in wanted.layers[0].iter().zip(&found.layers[0]) {
            assert!((wanted - found).abs() < 1e-5, "{}", found);
        }
    }
    // States that were stored do as well, for both.
    let words = ["embed", "t.fasta", "--model", "composition", "--out", "v.npz", "--residues", "s.npz"];
    run(&scratch, &words).go().code(0);
    predict(&[&["--embeddings", "s.npz", "--out", "stored.tsv"][..], &asks].concat()).code(0);
    predict(&["--embeddings", "s.npz", "--out", "again.tsv", "--head", "head"]).code(0);
    assert_eq!(cells(&scratch, "stored.tsv"), found);
    assert_eq!(cells(&scratch, "again.tsv"), found);
    let refused = predict(&[&["--embeddings", "v.npz", "--out", "x.tsv"][..], &asks].concat()).code(65);
    assert!(refused.stderr.contains("the head asks about residues"), "{}", refused.stderr);
}

#[test]
fn a_plugin_of_pairs_reads_sequences_or_vectors() {
    let scratch = Scratch::new();
    proteins(&scratch, 6);
    copy(&scratch, "cosine_head", None, "");
    scratch.write("pairs.tsv", "id_a\tid_b\np0\tp1\np2\tp2\np5\tp0\n");
    run(&scratch, &["embed", "t.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    let predict = |words: &[&str]| {
        let head = ["predict", "pairs.tsv", "--head", "cosine_head/plugin.toml", "--out", "out.tsv"];
        run(&scratch, &[&head, words].concat()).go()
    };
    predict(&["--sequences", "t.fasta", "--model", "composition"]).code(0);
    let found = cells(&scratch, "out.tsv");
    predict(&["--embeddings", "v.npz"]).code(0);
    assert_eq!(cells(&scratch, "out.tsv"), found);
    let vectors: Vec<Vec<f64>> = scratch
        .records("v.npz")
        .into_iter()
        .map(|record| record.layers[0].iter().map(|&number| f64::from(number)).collect())
        .collect();
    let product =
        |a: usize, b: usize| -> f64 { vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum() };
    assert_eq!(found[0], ["id_a", "id_b", "cosine"]);
    for (row, (a, b)) in found[1..].iter().zip([(0, 1), (2, 2), (5, 0)]) {
        let wanted = product(a, b) / (product(a, a) * product(b, b)).sqrt();
        // The plugin answers in 32 bits.
        assert!((row[2].parse::<f64>().unwrap() - wanted).abs() < 1e-6, "{row:?}: {wanted}");
    }
    scratch.write("pairs.tsv", "id_a\tid_b\np0\tnobody\np2\tp3\n");
    let refused = predict(&["--embeddings", "v.npz"]).code(65);
    assert!(refused.stderr.contains("the id 'nobody', wanted an id of v.npz"), "{}", refused.stderr);
    predict(&["--embeddings", "v.npz", "--on-error", "skip"]).code(0);
    assert_eq!(cells(&scratch, "out.tsv").len(), 2);
    let refused = predict(&["--model", "composition"]).code(2);
    assert!(refused.stderr.contains("--sequences"), "{}", refused.stderr);
    let other =
        ["predict", "t.fasta", "--head", "cosine_head/plugin.toml", "--ask", "pooled", "--out", "x.tsv"];
    let refused = run(&scratch, &other).go().code(2);
    assert!(refused.stderr.contains("takes pairs, and is asked about pooled"), "{}", refused.stderr);
}

/// The largest number there is as the weight of a letter: a protein that has the letter gets an infinite score.
#[test]
fn an_answer_that_cannot_be_concerns_its_record_alone() {
    let scratch = Scratch::new();
    scratch.write("t.fasta", ">good\nCCCCCC\n>bad\nWWWWWW\n>better\nCCHHCC\n");
    let letter = |wanted: char| "LAGVSERTIDPKQNFYMHWC".find(wanted).unwrap();
    let mut matrix = vec![0.0; 2 * WIDTH];
    matrix[letter('W')] = f32::MAX;
    copy(&scratch, "linear_head", Some(&weights(&[0.0, 0.0], &matrix)), "");
    let set = [CLASSES, &["--set", "softmax=false"]].concat();
    let predict = |words: &[&str]| {
        run(&scratch, &[&["predict", "--head", "linear_head/plugin.toml"], words, &set].concat()).go()
    };
    let words = ["t.fasta", "--model", "composition", "--out", "out.tsv"];
    let refused = predict(&words).code(65);
    assert!(refused.stderr.contains("record \"bad\""), "{}", refused.stderr);
    assert!(refused.stderr.contains("plugin linear-head"), "{}", refused.stderr);
    assert!(refused.stderr.contains("the answer of predict is wrong: found inf"), "{}", refused.stderr);
    assert!(!scratch.path("out.tsv").exists());
    run(&scratch, &["embed", "t.fasta", "--model", "composition", "--out", "v.npz"]).go().code(0);
    for words in [&words[..], &["--embeddings", "v.npz", "--out", "out.tsv"]] {
        predict(&[words, &["--on-error", "skip"]].concat()).code(0);
        let ids: Vec<String> = cells(&scratch, "out.tsv").iter().map(|row| row[0].clone()).collect();
        assert_eq!(ids, ["id", "good", "better"]);
        let failures = scratch.text("out.tsv.failures.tsv");
        let line = failures.lines().last().unwrap();
        assert!(line.contains("bad") && line.contains("no answer: plugin linear-head"), "{failures}");
    }
    // The file of residues, which knows beforehand how many there are, does without it too.
    let words = [&words[..], &["--ask", "residues", "--residues", "r.npz"]].concat();
    let refused = predict(&words).code(65);
    assert!(refused.stderr.contains("record \"bad\""), "{}", refused.stderr);
    assert!(!scratch.path("r.npz").exists());
    predict(&[&words[..], &["--on-error", "skip"]].concat()).code(0);
    let told: Vec<(String, usize)> =
        scratch.records("r.npz").into_iter().map(|record| (record.id, record.layers[0].len())).collect();
    assert_eq!(told, [("good".to_owned(), 12), ("better".to_owned(), 12)]);
}

#[test]
fn a_plugin_reads_what_its_manifest_says() {
    let scratch = Scratch::new();
    proteins(&scratch, 4);
    run(&scratch, &["embed", "t.fasta", "--model", "composition", "--pool", "max", "--out", "v.npz"])
        .go()
        .code(0);
    let ones = weights(&[0.0, 0.0], &[1.0; 2 * WIDTH]);
    let predict = |words: &[&str]| {
        let head = ["predict", "--head", "linear_head/plugin.toml", "--out", "out.tsv"];
        run(&scratch, &[&head, CLASSES, words].concat()).go()
    };
    copy(&scratch, "linear_head", Some(&ones), "\n[reads]\npool = \"mean\"\n");
    let refused = predict(&["--embeddings", "v.npz"]).code(65);
    assert!(refused.stderr.contains("the pooling is \"max\", wanted \"mean\""), "{}", refused.stderr);
    copy(&scratch, "linear_head", Some(&ones), "\n[reads]\npool = \"max\"\nlayer = 0\n");
    predict(&["--embeddings", "v.npz"]).code(0);
    let stored = cells(&scratch, "out.tsv");
    predict(&["t.fasta", "--model", "composition"]).code(0);
    assert_eq!(cells(&scratch, "out.tsv")[1][2..], stored[1][1..]);
    copy(&scratch, "linear_head", Some(&ones), "\n[reads]\nlayer = 7\n");
    let refused = predict(&["t.fasta", "--model", "composition"]).code(2);
    assert!(refused.stderr.contains("\"reads.layer\" is 7"), "{}", refused.stderr);
    copy(&scratch, "linear_head", Some(&ones), &format!("\n[reads]\nmodel = \"{}\"\n", "0".repeat(64)));
    let refused = predict(&["t.fasta", "--model", "composition"]).code(65);
    assert!(refused.stderr.contains(&"0".repeat(64)), "{}", refused.stderr);
    let refused = predict(&["t.fasta"]).code(2);
    assert!(refused.stderr.contains("name its encoder with --model"), "{}", refused.stderr);
}

/// Rows of residues as a metric of the command line takes them: the probabilities of `out.npz`, and the labels of `t.tsv`.
fn as_tables(scratch: &Scratch, part: &str) {
    let (mut predictions, mut labels) =
        ("id\tposition\tA\tB\n".to_owned(), "id\tposition\tclass\n".to_owned());
    let rows = cells(scratch, "t.tsv");
    for record in scratch.records("out.npz") {
        let row = rows.iter().find(|row| row[0] == record.id).unwrap();
        if row[4] != part {
            continue;
        }
        for (place, (numbers, label)) in record.layers[0].chunks(2).zip(row[3].chars()).enumerate() {
            let _ = writeln!(predictions, "{}\t{}\t{}\t{}", row[0], place + 1, numbers[0], numbers[1]);
            let _ = writeln!(labels, "{}\t{}\t{}", row[0], place + 1, u8::from(label == 'B'));
        }
    }
    scratch.write("p.tsv", predictions).write("l.tsv", labels);
}

#[test]
fn a_metric_is_told_beside_those_of_the_task_and_stops_early() {
    let scratch = Scratch::new();
    proteins(&scratch, 40);
    copy(&scratch, "sov_metric", None, "");
    let names = ["--set", r#"run.plugin_set=["classes=[\"A\",\"B\"]"]"#];
    let more = ["--letters", "AB", "--metric", "sov_metric/plugin.toml", "--set", "run.best_by=metric"];
    let words = [&finetune("residue", "places", "head")[..], &more, &names].concat();
    run(&scratch, &words).go().code(0);
    let set = ["--set", r#"classes=["A","B"]"#];
    let words =
        ["evaluate", "--task", "residue", "t.tsv", "--head", "head", "--part", "valid", "--bootstrap", "50"];
    let metric = ["--metric", "sov_metric/plugin.toml", "--out", "e.json"];
    run(&scratch, &[&words[..], &metric, &set].concat()).go().code(0);
    let report: Value = serde_json::from_slice(&scratch.read("e.json")).unwrap();
    let words = ["predict", "t.fasta", "--head", "head", "--out", "x.tsv", "--residues", "out.npz"];
    run(&scratch, &words).go().code(0);
    as_tables(&scratch, "valid");
    let words = ["plugin", "run", "sov_metric/plugin.toml", "p.tsv", "--labels", "l.tsv", "--out", "s.json"];
    run(&scratch, &[&words[..], &set].concat()).go().code(0);
    let alone: Value = serde_json::from_slice(&scratch.read("s.json")).unwrap();
    for (name, wanted) in alone["scores"].as_object().unwrap() {
        let found = &report["measures"][format!("sov-metric.{name}")];
        let value = found["value"].as_f64().unwrap();
        // The same predictions, which the table has in decimal places.
        assert!((value - wanted.as_f64().unwrap()).abs() < 1e-9, "{name}: {found}, wanted {wanted}");
        let (low, high) = (found["low"].as_f64().unwrap(), found["high"].as_f64().unwrap());
        assert!(low <= value && value <= high, "{name}: {found}");
        assert!(found["baseline"].as_f64().unwrap() <= value, "{name}: {found}");
    }
    let told = &report["pliant_meta"]["metrics"][0];
    assert_eq!((&told["name"], &told["identity"]), (&"sov-metric".into(), &alone["plugin_identity"]));

    // The training says by what it has chosen, and its best epoch has the value of the evaluation.
    let training: Value = serde_json::from_slice(&scratch.read("head/training.json")).unwrap();
    assert_eq!(training["plugin"]["identity"], alone["plugin_identity"]);
    let (best, value) = (&training["best"]["sov-metric.sov"], &report["measures"]["sov-metric.sov"]["value"]);
    assert!((best.as_f64().unwrap() - value.as_f64().unwrap()).abs() < 1e-9, "{best} {value}");
    let table =
        [&["evaluate", "--task", "residue", "t.tsv", "--head", "head", "--part", "valid"], &metric[..2]];
    let table = [&table.concat()[..], &["--bootstrap", "0", "--out", "e.tsv"], &set].concat();
    run(&scratch, &table).go().code(0);
    let rows = cells(&scratch, "e.tsv");
    let row = rows.iter().find(|row| row[0] == "sov-metric.sov").unwrap();
    assert_eq!(row[1].parse::<f64>().unwrap(), value.as_f64().unwrap());
    wrong_metrics(&scratch);
}

/// What does not go together.
fn wrong_metrics(scratch: &Scratch) {
    copy(scratch, "cosine_head", None, "");
    let evaluate = |words: &[&str]| {
        let task = ["evaluate", "--task", "residue", "t.tsv", "--head", "head", "--out", "x.json"];
        run(scratch, &[&task, words].concat()).go()
    };
    let refused = evaluate(&["--metric", "cosine_head/plugin.toml"]).code(2);
    assert!(refused.stderr.contains("is a head-plugin, and a metric was wanted"), "{}", refused.stderr);
    let refused = evaluate(&["--set", "classes=1"]).code(2);
    assert!(
        refused.stderr.contains("--set, --limit and --deterministic are for plugins"),
        "{}",
        refused.stderr
    );
    let three = evaluate(&["--metric", "sov_metric/plugin.toml"]).code(65);
    assert!(three.stderr.contains("plugin sov-metric"), "{}", three.stderr);
    let words = ["finetune", "--head", "cosine_head/plugin.toml", "--out", "x"];
    let refused = run(scratch, &words).go().code(2);
    assert!(refused.stderr.contains("cannot be taught"), "{}", refused.stderr);
    let words = ["finetune", "--task", "residue", "--train", "t.tsv", "--model", "composition", "--out", "x"];
    let words = [&words[..], &["--metric", "sov_metric/plugin.toml"]].concat();
    let refused = run(scratch, &words).go().code(65);
    assert!(refused.stderr.contains("run.plugin"), "{}", refused.stderr);
}

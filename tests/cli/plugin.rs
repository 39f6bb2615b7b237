//! `pliant plugin …`, with the plugins of `plugins/`, as they lie there and built anew.

use crate::tool::{Ended, Run, Scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the example plugins.
const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins");

fn manifest(name: &str) -> String {
    format!("{PLUGINS}/{name}/plugin.toml")
}

/// A run that keeps what it compiles beside the tests.
fn plugin(words: &[&str]) -> Run {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
    Run::new(&[["plugin"].as_slice(), words].concat()).env("XDG_CACHE_HOME", cache.to_str().unwrap())
}

/// Three vectors of 8 numbers, as `embed` writes them.
fn vectors() -> (String, Vec<[f32; 8]>) {
    let rows: Vec<[f32; 8]> = (0..3_u8)
        .map(|row| std::array::from_fn(|column| f32::from(row) * 0.5 - column as f32 * 0.25))
        .collect();
    let mut text = "id\te0\te1\te2\te3\te4\te5\te6\te7\n".to_owned();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(f32::to_string).collect();
        text.push_str(&format!("p{number}\t{}\n", cells.join("\t")));
    }
    (text, rows)
}

/// `softmax(W x + b)` of the weights file beside the linear head, in f64.
fn linear(row: &[f32; 8]) -> Vec<f64> {
    let bytes = std::fs::read(format!("{PLUGINS}/linear_head/weights.bin")).unwrap();
    let numbers: Vec<f64> =
        bytes[8..].chunks(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect();
    let (bias, weight) = numbers.split_at(3);
    let logits = weight.chunks(8).zip(bias).map(|(weight, bias)| {
        bias + weight.iter().zip(row).map(|(weight, value)| weight * f64::from(*value)).sum::<f64>()
    });
    let powers: Vec<f64> = logits.map(f64::exp).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn is_linear_head(scratch: &Scratch, ended: Ended, out: &str) {
    ended.code(0);
    let text = scratch.text(out);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "id\tH\tE\tC");
    for (line, (number, row)) in lines[1..].iter().zip(vectors().1.iter().enumerate()) {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells[0], format!("p{number}"));
        for (cell, wanted) in cells[1..].iter().zip(linear(row)) {
            let found: f64 = cell.parse().unwrap();
            // Eight products and three exponentials in 32 bits.
            assert!((found - wanted).abs() < 1e-6, "{line}: {wanted}");
        }
    }
    assert_eq!(lines.len(), 4);
}

#[test]
fn the_linear_head_gives_the_probabilities_of_its_weights() {
    let scratch = Scratch::new();
    scratch.write("vectors.tsv", vectors().0);
    let run = |words: &[&str]| {
        let manifest = manifest("linear_head");
        plugin(&[["run", &manifest, "vectors.tsv", "--out", "out.tsv"].as_slice(), words].concat())
            .within(scratch.folder())
            .go()
    };
    is_linear_head(&scratch, run(&[]), "out.tsv");
    is_linear_head(&scratch, run(&["--deterministic"]), "out.tsv");
    let meta = scratch.text("out.tsv");
    assert!(meta.contains("linear-head 1.0.0") && meta.contains("\"meaning\":\"probabilities\""), "{meta}");
    run(&["--set", "softmax=false"]).code(0);
    assert!(scratch.text("out.tsv").contains("\"meaning\":\"logits\""));
    let refused = run(&["--set", "softmax=7"]).code(2);
    assert!(refused.stderr.contains("config.softmax: found 7, wanted true or false"), "{}", refused.stderr);
    let refused = run(&["--set", r#"classes=["H","E"]"#]).code(65);
    assert!(refused.stderr.contains("2 classes are named, but the weights have 3"), "{}", refused.stderr);
    let asks = run(&["--limit", "memory_mib=1"]).code(2);
    assert!(asks.stderr.contains("found 64, wanted at most 1"), "{}", asks.stderr);
    let unknown = run(&["--limit", "memory=1"]).code(2);
    assert!(unknown.stderr.contains("one of memory_mib"), "{}", unknown.stderr);
}

#[test]
fn vectors_of_another_width_are_refused() {
    let scratch = Scratch::new();
    scratch.write("vectors.tsv", "id\te0\np0\t1\n");
    let words = ["run", &manifest("linear_head"), "vectors.tsv", "--out", "out.tsv"];
    let refused = plugin(&words).within(scratch.folder()).go().code(65);
    assert!(refused.stderr.contains("found vectors of 1 numbers, wanted 8 numbers"), "{}", refused.stderr);
    assert!(!scratch.path("out.tsv").exists());
}

/// Known and told classes of each residue, `.` where none is known.
const STRUCTURES: [(&str, &str); 2] = [
    ("CCEEECCEEEECCHHHHHHHHHHCC", "CCCEEECCEEECHHHHHHHHHCCCC"),
    ("HHHHHHHHHHCC..CCHH", "HHHHCHHHHHCCCCCEEH"),
];

/// What another program, which takes segments as sets of places, gives for these.
const SCORES: [(&str, f64); 5] = [
    ("sov", 0.768_589_743_589_743_5),
    ("sov_H", 0.818_181_818_181_818_1),
    ("sov_E", 0.892_857_142_857_142_9),
    ("sov_C", 0.739_583_333_333_333_3),
    ("accuracy", 0.786_25),
];

#[test]
fn the_segment_overlap_is_that_of_its_definition() {
    let scratch = Scratch::new();
    let (mut predictions, mut labels) = ("id\tposition\tH\tE\tC\n".to_owned(), vec![]);
    for (number, (known, told)) in STRUCTURES.iter().enumerate() {
        for (position, (known, told)) in (1..).zip(known.chars().zip(told.chars())) {
            let cells = ['H', 'E', 'C'].map(|class| if class == told { "0.7" } else { "0.15" });
            predictions.push_str(&format!("p{number}\t{position}\t{}\n", cells.join("\t")));
            let class = "HEC".find(known).map_or(String::new(), |class| class.to_string());
            labels.push(format!("p{number}\t{position}\t{class}\n"));
        }
    }
    labels.reverse();
    scratch.write("predictions.tsv", &predictions);
    scratch.write("labels.tsv", format!("id\tposition\tclass\n{}", labels.concat()));
    let run = |labels: &str| {
        let manifest = manifest("sov_metric");
        let words = ["run", &manifest, "predictions.tsv", "--labels", labels, "--out", "scores.json"];
        plugin(&words).within(scratch.folder()).go()
    };
    run("labels.tsv").code(0);
    let report: serde_json::Value = serde_json::from_slice(&scratch.read("scores.json")).unwrap();
    assert_eq!((report["proteins"].as_u64(), report["rows"].as_u64()), (Some(2), Some(43)));
    assert_eq!(report["scores"].as_object().unwrap().len(), SCORES.len());
    for (name, wanted) in SCORES {
        let found = report["scores"][name].as_f64().unwrap();
        assert!((found - wanted).abs() < 1e-12, "{name}: found {found}, wanted {wanted}");
    }
    labels.pop();
    scratch.write("fewer.tsv", format!("id\tposition\tclass\n{}", labels.concat()));
    let refused = run("fewer.tsv").code(65);
    assert!(refused.stderr.contains("\"p0\" at position 1 has no row in fewer.tsv"), "{}", refused.stderr);
}

#[test]
fn the_examples_are_small_and_pass_their_check() {
    for name in ["linear_head", "sov_metric", "cosine_head"] {
        let bytes = std::fs::metadata(format!("{PLUGINS}/{name}/{name}.wasm")).unwrap().len();
        assert!(bytes < 60_000, "{name}: {bytes} bytes");
        let told = plugin(&["check", &manifest(name)]).go().code(0).text();
        assert!(told.ends_with("passed\n") && told.contains("the same bits each time"), "{told}");
        let about = plugin(&["inspect", &manifest(name), "--json"]).go().code(0).json();
        assert_eq!(
            (about["license"].as_str(), about["bytes"].as_u64()),
            (Some("MIT OR Apache-2.0"), Some(bytes))
        );
        let offered = ["pliant:plugin/host@0.1.0 log"];
        let imports = about["imports"].as_array().unwrap();
        assert!(imports.iter().all(|import| offered.contains(&import.as_str().unwrap())), "{imports:?}");
    }
    let told = plugin(&["bench", &manifest("linear_head"), "--rows", "50"]).go().code(0).text();
    assert!(told.contains("µs a row (50 rows"), "{told}");
}

#[test]
fn what_is_begun_is_whole_and_names_how_to_build_it() {
    let scratch = Scratch::new();
    for (folder, words) in [
        ("a-head", ["--world", "head", "--language", "rust"]),
        ("a_metric", ["--world", "metric", "--language", "c"]),
    ] {
        let new =
            || plugin(&[["new", folder].as_slice(), words.as_slice()].concat()).within(scratch.folder()).go();
        let said = new().code(0).stderr;
        assert!(said.contains("pliant plugin check") && said.contains(folder), "{said}");
        let text = scratch.text(&format!("{folder}/plugin.toml"));
        assert!(text.contains(&format!("name = \"{folder}\"")) && !text.contains('@'), "{text}");
        let again = new().code(74);
        assert!(again.stderr.contains("the folder is not empty"), "{}", again.stderr);
        // What is not built yet has no sum.
        plugin(&["check", &format!("{folder}/plugin.toml")]).within(scratch.folder()).go().code(66);
    }
    let refused = plugin(&["new", "9lives"]).within(scratch.folder()).go().code(2);
    assert!(refused.stderr.contains("beginning with a letter"), "{}", refused.stderr);
}

/// Guests that keep the compiler busy, in the process that compiles.
#[test]
fn compiling_is_bounded() {
    let scratch = Scratch::new();
    std::fs::copy(format!("{PLUGINS}/sov_metric/sov_metric.wasm"), scratch.path("guest.wasm")).unwrap();
    let text =
        std::fs::read_to_string(manifest("sov_metric")).unwrap().replace("sov_metric.wasm", "guest.wasm");
    scratch.write("plugin.toml", text);
    // Nothing that another test has compiled.
    let check = |limit: &str| {
        let words = ["check", "plugin.toml", "--limit", limit];
        let cache = scratch.path("cache");
        plugin(&words).env("XDG_CACHE_HOME", cache.to_str().unwrap()).within(scratch.folder()).go()
    };
    let slow = check("compile_ms=1").code(65);
    assert!(slow.stderr.contains("more than 1 ms: --limit compile_ms=N allows more"), "{}", slow.stderr);
    let large = check("compile_mib=1").code(65);
    assert!(large.stderr.contains("compil"), "{}", large.stderr);
    check("compile_ms=60000").code(0);
}

/// A toolchain for WebAssembly, where this machine has one.
fn rebuilt() -> Option<PathBuf> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins-rebuilt");
    std::fs::create_dir_all(&out).unwrap();
    let has_target = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
        .output();
    let folder = has_target.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())?;
    let has_clang =
        Command::new(std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned())).arg("--version").output();
    let there = Path::new(&folder).is_dir() || std::env::var_os("CARGO_FLAGS").is_some();
    if !there || !has_clang.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let script = format!("{PLUGINS}/build.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins-target");
    let built = Command::new("bash").arg(script).arg(&out).env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(out)
}

/// Built from their sources, the examples do what those in the repository do.
#[test]
fn the_examples_are_what_their_sources_say() {
    let Some(built) = rebuilt() else {
        eprintln!(
            "SKIPPED: the example plugins were not built anew (rustup target add wasm32-unknown-unknown, and clang with lld, are needed)"
        );
        return;
    };
    let scratch = Scratch::new();
    scratch.write("vectors.tsv", vectors().0);
    for name in ["linear_head", "sov_metric", "cosine_head"] {
        let folder = scratch.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["plugin.toml", "weights.bin"] {
            let from = format!("{PLUGINS}/{name}/{file}");
            if Path::new(&from).exists() {
                std::fs::copy(from, folder.join(file)).unwrap();
            }
        }
        std::fs::copy(built.join(format!("{name}.wasm")), folder.join(format!("{name}.wasm"))).unwrap();
        plugin(&["check", &format!("{name}/plugin.toml"), "--seal"]).within(scratch.folder()).go().code(0);
    }
    let words = ["run", "linear_head/plugin.toml", "vectors.tsv", "--out", "out.tsv"];
    is_linear_head(&scratch, plugin(&words).within(scratch.folder()).go(), "out.tsv");
}

//! Every kind of error: its words, its exit code, and that it leaves nothing behind.

use std::fs;
use std::path::Path;

use crate::snapshot::{check, told};
use crate::tool::{Run, Scratch, model};

/// Name of the snapshot, what is damaged, and how.
type Damage = (&'static str, &'static str, fn(Vec<u8>) -> Vec<u8>);

const GOOD: &str = ">a\nMKV\n>b\nACDEFG\n";

/// Runs in a folder with a good `in.fasta`; compares what is said; nothing but `more` files may be new.
#[track_caller]
fn case(name: &str, code: i32, words: &[&str], more: &[&str]) {
    let scratch = Scratch::new();
    scratch.write("in.fasta", GOOD);
    case_in(&scratch, name, code, words, more);
}

#[track_caller]
pub(crate) fn case_in(scratch: &Scratch, name: &str, code: i32, words: &[&str], more: &[&str]) {
    let mut before = scratch.names();
    let ended = scratch.run(words).go().code(code);
    assert_eq!(ended.text(), "", "errors say nothing on standard output");
    check(&format!("error_{name}"), &told(&ended));
    before.extend(more.iter().map(|&name| name.to_owned()));
    before.sort();
    assert_eq!(scratch.names(), before, "{name}");
}

#[test]
fn flags_that_do_not_parse() {
    case("unknown_flag", 2, &["embed", "in.fasta", "--modle", "m"], &[]);
    case("no_model", 2, &["embed", "in.fasta", "--out", "o.npz"], &[]);
    case("no_out", 2, &["embed", "in.fasta", "--model", "m"], &[]);
    case("bad_value", 2, &["embed", "in.fasta", "--model", "m", "--out", "o.npz", "--pool", "median"], &[]);
    case("zero_threads", 2, &["embed", "in.fasta", "--model", "m", "--out", "o.npz", "--threads", "0"], &[]);
    let all = ["embed", "in.fasta", "--model", "m", "--out", "o.npz", "--threads", "100000"];
    case("too_many_threads", 2, &all, &[]);
}

#[test]
fn variables_that_are_set_to_nothing_count_as_not_set() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n");
    let names = [
        "PLIANT_THREADS",
        "PLIANT_POOL",
        "PLIANT_SUMMARY",
        "PLIANT_LOG_FORMAT",
        "PLIANT_QUIET",
        "PLIANT_LAYER",
    ];
    let embed = || scratch.run(&["embed", "in.fasta", "--model", model(), "--out", "out.npz"]);
    names.iter().fold(embed(), |run, name| run.env(name, "")).go().code(0);
    let without = scratch.run(&["embed", "in.fasta", "--model", model()]).env("PLIANT_OUT", "").go().code(2);
    assert!(without.stderr.contains("--out"), "{}", without.stderr);
    let wrong = embed().env("PLIANT_THREADS", "none").go().code(2);
    assert!(wrong.stderr.contains("--threads") && wrong.stderr.contains("'none'"), "{}", wrong.stderr);
    // Help does not depend on them.
    let help = || scratch.run(&["embed", "--help"]);
    let (empty, unset) = (help().env("PLIANT_THREADS", "").go().code(0), help().go().code(0));
    assert!(empty.text() == unset.text() && unset.text().contains("PLIANT_THREADS"));
}

#[test]
fn flags_that_do_not_go_together() {
    let embed = |more: &[&'static str]| {
        let mut words = vec!["embed", "in.fasta", "--model", model()];
        words.extend(more);
        words
    };
    case("unknown_format", 2, &embed(&["--out", "o.csv"]), &[]);
    case("residues_as_text", 2, &embed(&["--out", "o.npz", "--residues", "r.tsv"]), &[]);
    case("unknown_h5_layout", 2, &embed(&["--out", "o.h5", "--h5-layout", "dscript"]), &[]);
    case("layers_in_one_h5", 2, &embed(&["--out", "-", "--format", "h5", "--layer", "0,1"]), &[]);
    case("same_output", 2, &embed(&["--out", "o.npz", "--residues", "./o.npz"]), &[]);
    case("summary_is_failures", 2, &embed(&["--out", "o.npz", "--summary", "o.npz.failures.tsv"]), &[]);
    case("output_is_input", 2, &embed(&["--out", "in.fasta", "--format", "tsv"]), &[]);
    case("stride_without_window", 2, &embed(&["--out", "o.npz", "--stride", "7"]), &[]);
    case(
        "stride_too_long",
        2,
        &embed(&["--out", "o.npz", "--long", "window", "--window", "8", "--stride", "9"]),
        &[],
    );
    case("windows_have_no_cls", 2, &embed(&["--out", "o.npz", "--long", "window", "--pool", "cls"]), &[]);
    case("no_such_layer", 2, &embed(&["--out", "o.npz", "--layer", "3"]), &[]);
    case("layer_twice", 2, &embed(&["--out", "o.npz", "--layer", "2", "--layer", "-1"]), &[]);
    case("layers_in_one_stream", 2, &embed(&["--out", "-", "--layer", "2", "--layer", "1"]), &[]);
}

#[test]
fn things_that_are_not_there() {
    case("missing_input", 66, &["embed", "no.fasta", "--model", model(), "--out", "o.npz"], &[]);
    case("input_is_a_folder", 66, &["embed", ".", "--model", model(), "--out", "o.npz"], &[]);
    case("missing_model", 66, &["embed", "in.fasta", "--model", "no-model", "--out", "o.npz"], &[]);
    case("missing_model_path", 66, &["embed", "in.fasta", "--model", "./no-model", "--out", "o.npz"], &[]);
    case("model_not_pulled", 66, &["embed", "in.fasta", "--model", "nobody/model", "--out", "o.npz"], &[]);
    case("missing_config", 66, &["model", "new", "--config", "no.json", "--seed", "1", "--out", "m"], &[]);
    case("missing_folder", 74, &["embed", "in.fasta", "--model", model(), "--out", "no/o.npz"], &[]);
    case("output_is_a_folder", 74, &["embed", "in.fasta", "--model", model(), "--out", "."], &[]);
    case(
        "no_cuda",
        69,
        &["embed", "in.fasta", "--model", model(), "--out", "o.npz", "--device", "cuda"],
        &[],
    );
}

#[test]
fn inputs_that_are_wrong() {
    let words = |input: &'static str| ["embed", input, "--model", model(), "--out", "o.npz"];
    let scratch = Scratch::new();
    scratch.write("empty.fasta", "").write("text.fasta", "hello\n");
    scratch.write("damaged.fasta.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xb3\x4b");
    scratch.write("taken.fasta", ">a\nMK\n>a\nMV\n").write("bad.fasta", ">a\nMK7V\n>b\n>c x\nMKV\n");
    case_in(&scratch, "empty_input", 65, &words("empty.fasta"), &[]);
    case_in(&scratch, "not_fasta", 65, &words("text.fasta"), &[]);
    case_in(&scratch, "damaged_gz", 65, &words("damaged.fasta.gz"), &[]);
    case_in(&scratch, "id_taken", 65, &words("taken.fasta"), &["o.npz.failures.tsv"]);
    fs::remove_file(scratch.path("o.npz.failures.tsv")).unwrap();
    case_in(&scratch, "bad_records", 65, &words("bad.fasta"), &["o.npz.failures.tsv"]);
    check("failures_file", &scratch.text("o.npz.failures.tsv"));
}

#[test]
fn more_failures_than_are_shown() {
    let scratch = Scratch::new();
    let text: String = (0..25).map(|number| format!(">r{number}\n")).collect();
    scratch.write("many.fasta", text);
    let words = ["embed", "many.fasta", "--model", model(), "--out", "o.npz"];
    case_in(&scratch, "many_failures", 65, &words, &["o.npz.failures.tsv"]);
    assert_eq!(scratch.text("o.npz.failures.tsv").lines().count(), 26);
}

#[test]
fn every_record_failed() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\n>b\n");
    let ended = scratch.embed(&["--on-error", "skip"]).code(65);
    assert!(ended.stderr.contains("no record to compute"), "{}", ended.stderr);
    assert_eq!(scratch.names(), ["in.fasta"]);
}

fn copy_model(scratch: &Scratch) -> String {
    let folder = scratch.path("model");
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        fs::copy(Path::new(model()).join(name), folder.join(name)).unwrap();
    }
    "model".to_owned()
}

#[test]
fn models_that_are_damaged() {
    let damage: [Damage; 6] = [
        ("model_truncated", "model.safetensors", |mut bytes| {
            bytes.truncate(bytes.len() - 100);
            bytes
        }),
        ("model_extended", "model.safetensors", |mut bytes| {
            bytes.push(0);
            bytes
        }),
        ("model_header", "model.safetensors", |mut bytes| {
            bytes[9] = 0xff;
            bytes
        }),
        ("model_not_finite", "model.safetensors", |mut bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            bytes
        }),
        ("model_config", "config.json", |bytes| {
            String::from_utf8(bytes).unwrap().replace("\"gelu\"", "\"relu\"").into_bytes()
        }),
        ("model_vocabulary", "vocab.txt", |_| b"<cls>\n<pad>\n<eos>\n<unk>\nA\n".to_vec()),
    ];
    for (name, file, change) in damage {
        let scratch = Scratch::new();
        scratch.write("in.fasta", GOOD);
        let folder = copy_model(&scratch);
        let path = scratch.path(&folder).join(file);
        fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
        case_in(&scratch, name, 65, &["embed", "in.fasta", "--model", &folder, "--out", "o.npz"], &[]);
    }
}

#[test]
fn a_model_of_another_size_than_its_config() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", GOOD);
    let folder = copy_model(&scratch);
    let path = scratch.path(&folder).join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"intermediate_size\": 128", "\"intermediate_size\": 64")).unwrap();
    case_in(&scratch, "model_shape", 65, &["embed", "in.fasta", "--model", &folder, "--out", "o.npz"], &[]);
}

#[test]
fn errors_can_be_json() {
    let scratch = Scratch::new();
    scratch.write("bad.fasta", ">a\nMK7V\n>b\nMKV\n");
    let words = ["embed", "bad.fasta", "--model", model(), "--out", "o.npz", "--log-format", "json"];
    let ended = scratch.run(&words).go().code(65);
    let lines: Vec<serde_json::Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = lines.last().unwrap();
    assert_eq!(error["level"], "error");
    assert_eq!(error["exit_code"], 65);
    assert_eq!(error["details"].as_array().unwrap().len(), 1);
    assert!(error["hint"].as_str().unwrap().contains("--on-error skip"));
    assert!(lines.iter().all(|line| line["level"].is_string()));
}

#[test]
fn quiet_runs_tell_errors_only() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMK-V*\n>a\nMKV\n");
    assert!(scratch.embed(&[]).code(0).stderr.contains("warning: "));
    assert_eq!(scratch.embed(&["--quiet"]).code(0).stderr, "");
    let said =
        Run::new(&["--quiet", "embed", "no.fasta", "--model", model(), "--out", "o.npz"]).go().code(66);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
}

/// A copy of the tiny model in which every weight is `value`.
fn model_of_one_number(scratch: &Scratch, value: f32) -> String {
    let folder = copy_model(scratch);
    let path = scratch.path(&folder).join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for number in bytes[8 + header..].chunks_exact_mut(4) {
        number.copy_from_slice(&value.to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    folder
}

#[test]
fn a_result_that_is_no_number_is_an_error_that_names_its_record() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", GOOD);
    let folder = model_of_one_number(&scratch, 3.0e38);
    case_in(&scratch, "not_finite", 65, &["embed", "in.fasta", "--model", &folder, "--out", "o.npz"], &[]);
}

#[test]
fn a_result_too_large_for_half_precision_is_an_error_that_names_its_record() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", GOOD);
    let folder = model_of_one_number(&scratch, 1.0e5);
    let words = ["embed", "in.fasta", "--model", &folder, "--out", "o.npz", "--out-dtype"];
    case_in(&scratch, "too_large_for_f16", 65, &[&words[..], &["f16"]].concat(), &[]);
    scratch.run(&[&words[..], &["f32"]].concat()).go().code(0);
}

#[test]
fn what_cannot_fit_into_memory_is_refused_at_once() {
    let scratch = Scratch::new();
    let mut text = b">a\n".to_vec();
    text.resize(20_000_000, b'A');
    scratch.write("in.fasta", text);
    let words = ["embed", "in.fasta", "--model", model(), "--out", "o.npz", "--max-residues", "100000000"];
    let ended = Run::shell("ulimit -v 2000000; exec \"$@\"", &words).within(scratch.folder()).go().code(137);
    assert!(
        ended.stderr.contains("MiB of memory are needed, but 1953 MiB are admitted (ulimit -v)"),
        "{}",
        ended.stderr
    );
    assert_eq!(scratch.names(), ["in.fasta"]);
}

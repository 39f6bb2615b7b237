//! A run that is killed at any of its moments goes on as if it had not been.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pliant_kernels::CpuPath;
use serde_json::Value;

use super::*;
use crate::cli::print::{LogFormat, Printer};
use crate::cli::shared::DeviceChoice;
use crate::train::kill::{KILL_AT, POINTS};

/// Names the folder in which the process of [`trains_until_it_is_killed`] works, and its threads.
const FOLDER: &str = "PLIANT_TEST_KILL_FOLDER";
const THREADS: &str = "PLIANT_TEST_KILL_THREADS";

const MODEL: &str = r#"{ "model_type": "esm", "vocab_size": 33, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 1026, "token_dropout": true,
    "position_embedding_type": "rotary", "hidden_act": "gelu", "initializer_range": 0.02 }"#;

/// Checkpoints at odd steps, lines and held-out losses at others, so that everything is stopped in the middle of
/// something.
const CONFIG: &str = "[model]\nconfig = \"model.json\"\n[data]\ntrain = [\"train.fasta\"]\nheld_out = 0.2\ncrop = 40\n\
    [optimizer]\nlearning_rate = 1e-2\nbeta1 = 0.9\nbeta2 = 0.98\nepsilon = 1e-8\nweight_decay = 0.01\nclip = 0.5\n\
    [schedule]\nwarmup_steps = 2\n[run]\nsteps = 8\nbudget_tokens = 100\naccumulate = 2\n\
    [checkpoint]\nevery_steps = 3\nkeep_last = 1\n[log]\nevery_steps = 2\nevaluate_every_steps = 4\n";

/// A model that reads pairs, and drops numbers while it learns.
const PAIRS_MODEL: &str = r#"{ "model_type": "TFM", "num_layers": 1, "hidden_dim": 16, "num_heads": 2,
    "feedforward_dim": 32, "pos_encode": true, "max_len": 90, "dropout": 0.1 }"#;

/// A model that reads each member of a pair in a chain of its own.
const CHAINS_MODEL: &str =
    r#"{ "model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 8, "embedding_dim": 6 }"#;

/// A model whose states know nothing of their own residue, and how it learns.
const UNSEEING_MODEL: &str = r#"{ "model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 8 }"#;
const UNSEEING_CONFIG: &str = "[model]\nconfig = \"model.json\"\n[objective]\nkind = \"bilm\"\n\
    [data]\ntrain = [\"train.fasta\"]\nheld_out = 0.2\ncrop = 40\n\
    [optimizer]\nlearning_rate = 1e-2\nbeta1 = 0.9\nbeta2 = 0.999\nepsilon = 1e-8\nweight_decay = 0\nclip = 0.5\n\
    [schedule]\nkind = \"constant\"\n[run]\nsteps = 8\nbudget_tokens = 1\nleast_sequences = 6\naccumulate = 2\n\
    [checkpoint]\nevery_steps = 3\nkeep_last = 1\n[log]\nevery_steps = 2\nevaluate_every_steps = 4\n";

/// The same of pairs of families.
const PAIRS_CONFIG: &str = "[model]\nconfig = \"model.json\"\n[objective]\nkind = \"mlm+sfp\"\n\
    [data]\ntrain = [\"train.tsv\"]\nheld_out = 0.3\ncrop = 40\nmin_residues = 20\nmin_family = 2\n\
    [masking]\nrounding = \"down\"\nmost = 9\n\
    [optimizer]\nkind = \"bert-adam\"\nlearning_rate = 1e-2\nbeta1 = 0.9\nbeta2 = 0.98\nepsilon = 1e-6\n\
    weight_decay = 0.01\nclip = 0.5\n[schedule]\nkind = \"bert\"\nwarmup_steps = 2\n\
    [run]\nsteps = 8\nbudget_tokens = 100\nleast_sequences = 6\naccumulate = 2\n\
    [checkpoint]\nevery_steps = 3\nkeep_last = 1\n\
    [log]\nevery_steps = 2\nevaluate_every_steps = 4\nevaluate_pairs = 10\n";

fn sequence(number: usize) -> String {
    let letters = b"ACDEFGHIKLMNPQRSTVWY";
    let letter = |place: usize| letters[(number * 7 + place * place + place * number) % 20] as char;
    (0..20 + number * 3).map(letter).collect()
}

fn prepare(folder: &Path) {
    let fasta: String = (0..25).map(|number| format!(">p{number}\n{}\n", sequence(number))).collect();
    fs::write(folder.join("train.fasta"), fasta).unwrap();
    fs::write(folder.join("model.json"), MODEL).unwrap();
    fs::write(folder.join("c.toml"), CONFIG).unwrap();
}

fn prepare_unseeing(folder: &Path) {
    prepare(folder);
    fs::write(folder.join("model.json"), UNSEEING_MODEL).unwrap();
    fs::write(folder.join("c.toml"), UNSEEING_CONFIG).unwrap();
}

fn prepare_chains(folder: &Path) {
    prepare_pairs(folder);
    fs::write(folder.join("model.json"), CHAINS_MODEL).unwrap();
}

fn prepare_pairs(folder: &Path) {
    let rows = (0..25).map(|number| format!("f{}\t{}\n", number % 3, sequence(number)));
    let table: String = std::iter::once("family\tsequence\n".to_owned()).chain(rows).collect();
    fs::write(folder.join("train.tsv"), table).unwrap();
    fs::write(folder.join("model.json"), PAIRS_MODEL).unwrap();
    fs::write(folder.join("c.toml"), PAIRS_CONFIG).unwrap();
}

fn plan(folder: &Path, threads: usize) -> PretrainPlan {
    PretrainPlan {
        config: Some(folder.join("c.toml")),
        sets: Vec::new(),
        changes: Vec::new(),
        out: Some(folder.join("run")),
        resume: true,
        print_config: false,
        device: DeviceChoice::Cpu,
        cpu_path: CpuPath::best(),
        threads,
        summary: None,
    }
}

/// A run, in a process of its own that is told where to end. Without being told it is no test.
#[test]
fn trains_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let threads = std::env::var(THREADS).unwrap().parse().unwrap();
    let context = Context { print: Printer::new(LogFormat::Text, true), command_line: Vec::new() };
    run(&plan(Path::new(&folder), threads), &context).unwrap();
}

/// Whether the process was killed; it may also come to its end.
fn killed_at(folder: &Path, point: &str, times: usize, threads: usize) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tasks::pretrain::tests::trains_until_it_is_killed", "--quiet"]);
    command.env(FOLDER, folder).env(THREADS, threads.to_string()).env(KILL_AT, format!("{point}#{times}"));
    let output = command.output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{point}: {output:?}");
    killed
}

/// Everything that a run leaves and that does not depend on the time it took.
fn left(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(place) = folders.pop() {
        for entry in fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            let bytes = match path.file_name().unwrap().to_str().unwrap() {
                _ if path.is_dir() => {
                    folders.push(path);
                    continue;
                }
                "state.json" => timeless(&fs::read_to_string(&path).unwrap()),
                "log.jsonl" => fs::read_to_string(&path).unwrap().lines().flat_map(timeless).collect(),
                "run.toml" => continue,
                _ => fs::read(&path).unwrap(),
            };
            files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
        }
    }
    files
}

/// The same JSON without what a clock says.
fn timeless(text: &str) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(text).unwrap();
    for key in ["seconds", "tokens_per_second", "blake3"] {
        value.as_object_mut().unwrap().remove(key);
    }
    if let Some(state) = value.get_mut("state") {
        state["milliseconds"] = Value::Null;
        state["interval"]["milliseconds"] = Value::Null;
    }
    value.to_string().into_bytes()
}

#[test]
fn every_moment_is_a_good_one() {
    // The first passing of each, and a later one that differs from point to point.
    every_moment_of(prepare, |index| vec![0, 1 + index % 3]);
}

#[test]
fn every_moment_of_pairs_is_a_good_one() {
    every_moment_of(prepare_pairs, |_| vec![0]);
}

#[test]
fn every_moment_of_pairs_of_two_chains_is_a_good_one() {
    every_moment_of(prepare_chains, |_| vec![0]);
}

#[test]
fn every_moment_of_a_model_that_reads_both_ways_is_a_good_one() {
    every_moment_of(prepare_unseeing, |_| vec![0]);
}

/// Kills the run that `prepare` prepares at every moment, at those of its passings that `passings` gives.
fn every_moment_of(prepare: fn(&Path), passings: fn(usize) -> Vec<usize>) {
    let whole = tempfile::tempdir().unwrap();
    prepare(whole.path());
    assert!(!killed_at(whole.path(), "none", 0, 1));
    let wanted = left(&whole.path().join("run"));
    let names: Vec<&str> = wanted.keys().map(|path| path.to_str().unwrap()).collect();
    for name in
        ["model.safetensors", "training.json", "log.jsonl", "checkpoints/step_00000008/optimizer.safetensors"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    let mut reached = Vec::new();
    for (index, point) in POINTS.into_iter().enumerate() {
        for times in passings(index) {
            let scratch = tempfile::tempdir().unwrap();
            prepare(scratch.path());
            if killed_at(scratch.path(), point, times, 1) {
                reached.push(point);
                // Killed while it goes on, with another number of threads, at another moment.
                killed_at(scratch.path(), POINTS[(index * 7 + 3) % POINTS.len()], 0, 2);
            }
            assert!(!killed_at(scratch.path(), "none", 0, 3));
            let found = left(&scratch.path().join("run"));
            assert_eq!(
                found.keys().collect::<Vec<_>>(),
                wanted.keys().collect::<Vec<_>>(),
                "{point}, {times}"
            );
            for (path, bytes) in &wanted {
                assert!(found[path] == *bytes, "{point}, {times} before: {} differs", path.display());
            }
        }
    }
    reached.dedup();
    assert_eq!(reached, POINTS, "each of them was reached");
}

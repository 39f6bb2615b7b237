//! A fine-tuning that is killed at any of its moments goes on as if it had not been.

use std::fs;
use std::path::Path;

use pliant_kernels::CpuPath;

use super::*;
use crate::cli::print::{LogFormat, Printer};
use crate::cli::shared::DeviceChoice;
use crate::train::kill::moments::{Moments, asked};

const MODEL: &str =
    r#"{ "model_type": "RNN", "rnn_type": "B", "num_layers": 1, "hidden_dim": 8, "embedding_dim": 6 }"#;

/// An encoder that learns beside its head, from the task and from hidden residues; checkpoints at odd steps, beside those of
/// epochs.
const CONFIG: &str = "[task]\nname = \"classification\"\n[model]\nconfig = \"model.json\"\n\
    [data]\ntrain = [\"t.tsv\"]\nvalid_fraction = 0.3\n[head]\nhidden = 5\ndropout = 0.2\nstandardize = true\n\
    [tuning]\nencoder = \"all\"\nmlm_weight = 0.3\ntask_weight = 0.7\n\
    [run]\nepochs = 3\nbatch = 6\nbudget_tokens = 100\n[checkpoint]\nevery_steps = 2\nkeep_last = 1\n";

/// The same head on letters alone, which are encoded once.
const FROZEN: &str = "[task]\nname = \"classification\"\n[model]\ninit = \"composition\"\n\
    [data]\ntrain = [\"t.tsv\"]\nvalid_fraction = 0.3\n[head]\nhidden = 5\ndropout = 0.2\nstandardize = true\n\
    [run]\nepochs = 3\nbatch = 6\n[checkpoint]\nevery_steps = 2\nkeep_last = 1\n";

fn prepare(folder: &Path) {
    let letters = b"ACDEFGHIKLMNPQRSTVWY";
    let letter = |number: usize, place: usize| {
        letters[(number % 2 * 10 + number * 7 + place * place + place * number) % 20] as char
    };
    let rows = (0..24).map(|number| {
        let sequence: String = (0..10 + number % 9).map(|place| letter(number, place)).collect();
        format!("p{number}\t{sequence}\t{}\n", ["x", "y"][number % 2])
    });
    let table: String = std::iter::once("id\tsequence\tlabel\n".to_owned()).chain(rows).collect();
    fs::write(folder.join("t.tsv"), table).unwrap();
    fs::write(folder.join("model.json"), MODEL).unwrap();
    fs::write(folder.join("c.toml"), CONFIG).unwrap();
}

fn prepare_frozen(folder: &Path) {
    prepare(folder);
    fs::write(folder.join("c.toml"), FROZEN).unwrap();
}

fn plan(folder: &Path, threads: usize) -> FinetunePlan {
    FinetunePlan {
        config: Some(folder.join("c.toml")),
        sets: Vec::new(),
        changes: Vec::new(),
        out: Some(folder.join("run")),
        resume: true,
        print_config: false,
        controls: Vec::new(),
        seeds: None,
        cache: None,
        device: DeviceChoice::Cpu,
        cpu_path: CpuPath::best(),
        threads,
        summary: None,
    }
}

/// A run, in a process of its own that is told where to end. Without being told it is no test.
#[test]
fn trains_until_it_is_killed() {
    let Some((folder, threads)) = asked() else { return };
    let context = Context { print: Printer::new(LogFormat::Text, true), command_line: Vec::new() };
    run(&plan(&folder, threads), &context).unwrap();
}

const KILLED: &str = "tasks::finetune::tests::trains_until_it_is_killed";

#[test]
fn every_moment_of_a_model_and_its_head_is_a_good_one() {
    let leaves =
        &["head.json", "head.safetensors", "training.json", "log.jsonl", "encoder/model.safetensors"];
    let moments = Moments { test: KILLED, prepare, without: &["result: vocab.txt named"], leaves };
    moments.every(|index| vec![0, 1 + index % 2]);
}

#[test]
fn every_moment_of_a_head_is_a_good_one() {
    let without = &["checkpoint: model written", "result: vocab.txt named"];
    let leaves = &["head.json", "head.safetensors", "training.json", "log.jsonl"];
    Moments { test: KILLED, prepare: prepare_frozen, without, leaves }.every(|_| vec![0]);
}

//! A run that is killed at any of its moments goes on as if it had not been.

use std::fs;
use std::path::Path;

use pliant_kernels::CpuPath;

use super::*;
use crate::cli::print::{LogFormat, Printer};
use crate::cli::shared::DeviceChoice;
use crate::train::kill::moments::{Moments, asked};

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
const UNSEEING_MODEL: &str =
    r#"{ "model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 8 }"#;
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
    let Some((folder, threads)) = asked() else { return };
    let context = Context { print: Printer::new(LogFormat::Text, true), command_line: Vec::new() };
    run(&plan(&folder, threads), &context).unwrap();
}

/// The run that `prepare` prepares.
fn moments(prepare: fn(&Path)) -> Moments {
    Moments {
        test: "tasks::pretrain::tests::trains_until_it_is_killed",
        prepare,
        without: &[],
        leaves: &[
            "model.safetensors",
            "training.json",
            "log.jsonl",
            "checkpoints/step_00000008/optimizer.safetensors",
        ],
    }
}

#[test]
fn every_moment_is_a_good_one() {
    // The first passing of each, and a later one that differs from point to point.
    moments(prepare).every(|index| vec![0, 1 + index % 3]);
}

#[test]
fn every_moment_of_pairs_is_a_good_one() {
    moments(prepare_pairs).every(|_| vec![0]);
}

#[test]
fn every_moment_of_pairs_of_two_chains_is_a_good_one() {
    moments(prepare_chains).every(|_| vec![0]);
}

#[test]
fn every_moment_of_a_model_that_reads_both_ways_is_a_good_one() {
    moments(prepare_unseeing).every(|_| vec![0]);
}

//! Trainings that learn something, and how much that is.

use std::fmt::Write as _;
use std::path::Path;

use pliant_seq::{Corpus, CorpusOptions, ESM2, ExcludeList, ReadOptions, RecordReader, Source};
use serde_json::Value;

use crate::tool::Scratch;

/// Names the folder of outside data.
const DATA: &str = "PLIANT_TEST_DATA";

/// A proteome in it.
const PROTEOME: &str = "proteome_ecoli_k12/UP000000625_83333.fasta.gz";

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/examples/pretrain/esm2_tiny.toml");

/// Cross-entropy of the best guess that knows the frequencies of the letters of `sequences` and nothing else.
fn entropy(sequences: &[String]) -> f64 {
    let mut counts = [0u64; 26];
    for letter in sequences.iter().flat_map(|sequence| sequence.bytes()) {
        counts[usize::from(letter - b'A')] += 1;
    }
    let all: u64 = counts.iter().sum();
    let part = |count: &u64| *count as f64 / all as f64;
    counts.iter().filter(|count| **count > 0).map(|count| -part(count) * part(count).ln()).sum()
}

fn fasta(sequences: &[String]) -> String {
    let mut text = String::new();
    for (number, sequence) in sequences.iter().enumerate() {
        let _ = writeln!(text, ">p{number}\n{sequence}");
    }
    text
}

/// Losses on the held-out sequences of the last step, over all chosen residues and over the hidden ones.
fn learn(train: &[String], held_out: &[String], more: &[&str]) -> (f64, f64) {
    let scratch = Scratch::new();
    scratch.write("train.fasta", fasta(train)).write("held_out.fasta", fasta(held_out));
    let mut words = vec![
        "pretrain",
        "--config",
        EXAMPLE,
        "--train",
        "train.fasta",
        "--held-out",
        "held_out.fasta",
        "--out",
        "run",
    ];
    words.extend(more);
    scratch.run(&words).go().code(0);
    let training: Value = serde_json::from_slice(&scratch.read("run/training.json")).unwrap();
    let number = |key: &str| training[key].as_f64().unwrap();
    (number("held_out_loss"), number("held_out_masked_loss"))
}

/// Made-up families, each with five letters of its own in nine places of ten: whoever looks at the rest of a sequence knows
/// which. This shows that a model learns to look, and nothing about proteins.
#[test]
fn a_model_learns_to_look_at_the_rest_of_a_sequence() {
    let letters = b"ACDEFGHIKLMNPQRSTVWY";
    let mut state = 20u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as usize
    };
    let mut sequence = |family: usize| -> String {
        let length = 50 + random(50);
        let mut letter = || match random(10) {
            0 => letters[random(20)] as char,
            _ => letters[5 * family + random(5)] as char,
        };
        (0..length).map(|_| letter()).collect()
    };
    let sequences: Vec<String> = (0..600).map(|number| sequence(number % 4)).collect();
    let (held_out, train) = sequences.split_at(60);
    let unigram = entropy(held_out);
    let more = ["--set", "run.steps=120", "--set", "log.evaluate_every_steps=120"];
    let (_, masked) = learn(train, held_out, &more);
    // One letter in ten is anything, the others are one of five: 1.96 is as low as it goes.
    assert!(masked < unigram - 0.5, "{masked} beside {unigram}");
}

/// The same of real proteins. The distance is small, as it must be after so short a time.
#[test]
fn a_minute_on_a_proteome_falls_below_the_entropy_of_its_residues() {
    let Some(folder) = std::env::var_os(DATA) else {
        println!("SKIPPED: {DATA} names no folder with {PROTEOME}");
        return;
    };
    let path = Path::new(&folder).join(PROTEOME);
    let exclude = ExcludeList::default();
    let options = CorpusOptions { vocabulary: &ESM2, exclude: &exclude, min_residues: 30 };
    let sources = [Source::from_path(&path).unwrap()];
    let (corpus, _) = Corpus::read(RecordReader::new(&sources, ReadOptions::default()), &options).unwrap();
    let (train, held_out) = corpus.hold_out(0.1, 7).unwrap();
    let texts = |corpus: &Corpus| -> Vec<String> {
        corpus.iter().map(|residues| String::from_utf8(residues.to_vec()).unwrap()).collect()
    };
    let (train, held_out) = (texts(&train), texts(&held_out));
    let unigram = entropy(&held_out);
    let more = ["--set", "log.evaluate_every_steps=1000", "--set", "data.min_residues=30"];
    let (loss, masked) = learn(&train, &held_out, &more);
    println!(
        "{} held-out proteins: entropy {unigram:.4}, hidden residues {masked:.4}, all chosen {loss:.4}",
        held_out.len()
    );
    assert!(masked < unigram, "{masked} beside {unigram}");
}

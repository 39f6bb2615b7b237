//! `pliant evaluate`: how well a model tells masked residues.

use std::collections::BTreeMap;
use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_models::{Purpose, load};
use pliant_seq::{ESM2, MlmSettings, Sampler, SamplerSettings};
use pliant_tensor::{Ids, Offsets, Tape};
use serde_json::Value;

use crate::errors::case_in;
use crate::tool::{Ended, Scratch, model};

/// Proteins of many lengths, one of them in small letters.
fn proteins() -> Vec<(String, String)> {
    let letters = b"ACDEFGHIKLMNPQRSTVWY";
    let mut state = 7_u64;
    let mut residue = || {
        state = state * 16807 % 2_147_483_647;
        char::from(letters[(state % 20) as usize])
    };
    let lengths = [3, 40, 127, 128, 200, 90, 255, 256, 300, 1, 60, 1100];
    let mut found: Vec<(String, String)> = lengths
        .iter()
        .enumerate()
        .map(|(number, &length)| (format!("p{number}"), (0..length).map(|_| residue()).collect()))
        .collect();
    found[5].1 = found[5].1.to_lowercase();
    found
}

fn fasta(proteins: &[(String, String)]) -> String {
    proteins.iter().map(|(id, residues)| format!(">{id} of a test\n{residues}\n")).collect()
}

fn evaluate(scratch: &Scratch, input: &str, more: &[&str]) -> Ended {
    let words = ["evaluate", "--task", "mlm", input, "--model", model()];
    scratch.run(&[&words[..], more].concat()).go().code(0)
}

/// The numbers of each protein: length, chosen, masked, loss, loss of masked ones, accuracy.
fn each(scratch: &Scratch, name: &str) -> BTreeMap<String, [f64; 6]> {
    let text = scratch.text(name);
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let number = |place: usize| cells[place].parse().unwrap();
        (cells[0].to_owned(), [1, 2, 3, 4, 5, 6].map(number))
    };
    lines.map(row).collect()
}

/// The same, found from the model itself: every protein alone, in f64 from its logits.
fn computed(seed: u64, proteins: &[(String, String)]) -> BTreeMap<String, [f64; 6]> {
    let device = Device::cpu(2).unwrap();
    let loaded = load(Path::new(model()), &device, Precision::F32, Purpose::Inference).unwrap();
    let masking = MlmSettings::default();
    let settings = SamplerSettings { seed, budget_tokens: 1, crop: None, masking };
    let sampler = Sampler::new(&ESM2, settings).unwrap();
    let tape = Tape::off(&device, Precision::F32);
    let mut found = BTreeMap::new();
    for (id, residues) in proteins {
        let masked = sampler.evaluation(residues.to_uppercase().as_bytes());
        let ids = Ids::new(&device, &masked.tokens.ids);
        let offsets = Offsets::new(&[0, masked.tokens.ids.len()]).unwrap();
        let states = loaded.model.encode(&tape, &ids, &offsets, &[2]).unwrap();
        let logits = loaded.model.lm_logits(&tape, &states[0]).unwrap().to_vec_f32();
        let (mut lost, mut right, mut masks, mut masked_lost) = (0.0, 0.0, 0.0, 0.0);
        for (&place, &target) in masked.places.iter().zip(&masked.targets) {
            let row: Vec<f64> = logits[place * 33..][..33].iter().map(|&logit| logit.into()).collect();
            let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
            let loss = sum.ln() - row[target as usize];
            lost += loss;
            if masked.tokens.ids[place] == ESM2.mask {
                (masks, masked_lost) = (masks + 1.0, masked_lost + loss);
            }
            right += f64::from(u8::from(row.iter().all(|&other| other <= row[target as usize])));
        }
        let count = masked.places.len() as f64;
        let numbers = [residues.len() as f64, count, masks, lost / count, masked_lost / masks, right / count];
        found.insert(id.clone(), numbers);
    }
    found
}

#[test]
fn losses_are_those_of_the_model_on_the_masks_of_the_sampler() {
    let (scratch, proteins) = (Scratch::new(), proteins());
    scratch.write("in.fasta", fasta(&proteins));
    for seed in [0, 5] {
        evaluate(
            &scratch,
            "in.fasta",
            &["--out", "o.json", "--proteins", "each.tsv", "--seed", &seed.to_string()],
        );
        let (found, wanted) = (each(&scratch, "each.tsv"), computed(seed, &proteins));
        let other = computed(seed + 1, &proteins);
        assert_eq!(found.len(), proteins.len());
        for (id, found) in &found {
            let wanted = wanted[id];
            assert_eq!(found[..3], wanted[..3], "{id}");
            let near = |place: usize, far: f64| (found[place] - wanted[place]).abs() < far;
            let masked = near(4, 2e-5) || found[2] == 0.0 && found[4].is_nan();
            assert!(near(3, 2e-5) && masked && near(5, 1e-12), "{id}: {found:?} {wanted:?}");
            assert!(found[1] >= 1.0 && (found[1] - 0.15 * found[0]).abs() < 1.0 || found[1] == 1.0);
            if found[0] > 10.0 {
                assert!((found[3] - other[id][3]).abs() > 1e-4, "{id}: other masks, other losses");
            }
        }
        // Sums over the proteins of a bin.
        let report: Value = serde_json::from_str(&scratch.text("o.json")).unwrap();
        let bins = report["bins"].as_array().unwrap();
        let names: Vec<&str> = bins.iter().map(|bin| bin["bin"].as_str().unwrap()).collect();
        assert_eq!(names, ["0-127", "128-255", "256-511", "1024-2047"]);
        for bin in bins.iter().chain([&report["all"]]) {
            let (from, to) = (bin["from"].as_f64().unwrap_or(0.0), bin["to"].as_f64().unwrap_or(f64::MAX));
            let of_bin: Vec<_> = found.values().filter(|row| from <= row[0] && row[0] <= to).collect();
            let sum = |part: &dyn Fn(&[f64; 6]) -> f64| of_bin.iter().map(|row| part(row)).sum::<f64>();
            let (chosen, masked) = (sum(&|row| row[1]), sum(&|row| row[2]));
            assert_eq!(bin["proteins"], of_bin.len());
            assert_eq!(bin["residues"].as_f64(), Some(sum(&|row| row[0])));
            assert_eq!((bin["chosen"].as_f64(), bin["masked"].as_f64()), (Some(chosen), Some(masked)));
            let near = |name: &str, wanted: f64| {
                let found = bin[name].as_f64().unwrap();
                assert!((found - wanted).abs() < 1e-9 * wanted, "{name}: {found} {wanted}");
            };
            near("loss", sum(&|row| row[1] * row[3]) / chosen);
            near("masked_loss", sum(&|row| if row[2] > 0.0 { row[2] * row[4] } else { 0.0 }) / masked);
            near("perplexity", (sum(&|row| row[1] * row[3]) / chosen).exp());
            let (low, high) = (bin["loss_low"].as_f64(), bin["loss_high"].as_f64());
            assert_eq!(low.is_none(), of_bin.len() == 1);
            assert!(low.is_none() || low < bin["loss"].as_f64() && bin["loss"].as_f64() < high, "{bin}");
            let entropy = bin["unigram_entropy"].as_f64().unwrap();
            assert!((2.5..3.0).contains(&entropy), "twenty residues, about even: {entropy}");
        }
        assert_eq!(report["all"]["bin"], "all");
        let about = &report["pliant_meta"];
        assert_eq!(
            (&about["task"], &about["seed"], &about["bootstrap"]),
            (&"mlm".into(), &seed.into(), &1000.into())
        );
    }
}

#[test]
fn a_protein_has_its_number_in_any_company() {
    let (scratch, proteins) = (Scratch::new(), proteins());
    scratch.write("in.fasta", fasta(&proteins));
    evaluate(&scratch, "in.fasta", &["--out", "one.json", "--proteins", "one.tsv", "--threads", "1"]);
    let words = ["--out", "two.json", "--proteins", "two.tsv", "--threads", "2", "--max-batch-tokens", "300"];
    evaluate(&scratch, "in.fasta", &words);
    assert_eq!(scratch.read("one.json"), scratch.read("two.json"));
    assert_eq!(scratch.read("one.tsv"), scratch.read("two.tsv"));
    let mut some: Vec<_> = proteins.iter().rev().step_by(3).cloned().collect();
    some[0].0 = "another_name".to_owned();
    scratch.write("some.fasta", fasta(&some));
    evaluate(&scratch, "some.fasta", &["--out", "-", "--proteins", "some.tsv"]);
    let (all, some) = (each(&scratch, "one.tsv"), each(&scratch, "some.tsv"));
    assert_eq!(some.len(), 4);
    assert_eq!(some["another_name"], all["p11"]);
    assert!(some.iter().all(|(id, numbers)| id == "another_name" || all[id] == *numbers));
}

#[test]
fn formats_hold_the_same_numbers() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", fasta(&proteins()));
    let bins = ["--bins", "100,200,5000"];
    evaluate(&scratch, "in.fasta", &[&["--out", "o.json"], &bins[..]].concat());
    evaluate(&scratch, "in.fasta", &[&["--out", "o.tsv", "--summary", "s.json"], &bins[..]].concat());
    evaluate(&scratch, "in.fasta", &[&["--out", "o.parquet"], &bins[..]].concat());
    assert!(scratch.read("o.parquet").starts_with(b"PAR1"));
    let report: Value = serde_json::from_str(&scratch.text("o.json")).unwrap();
    let text = scratch.text("o.tsv");
    let mut lines = text.lines();
    let metadata: Value =
        serde_json::from_str(lines.next().unwrap().strip_prefix("# pliant_meta ").unwrap()).unwrap();
    assert_eq!(metadata, report["pliant_meta"]);
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    assert_eq!(names[..6], ["bin", "proteins", "residues", "chosen", "masked", "loss"]);
    let objects: Vec<&Value> = report["bins"].as_array().unwrap().iter().chain([&report["all"]]).collect();
    assert_eq!(lines.clone().count(), objects.len());
    for (line, object) in lines.zip(objects) {
        for (name, cell) in names.iter().zip(line.split('\t')) {
            match &object[name] {
                Value::String(text) => assert_eq!(text, cell),
                Value::Null => assert_eq!(cell, "NaN"),
                number => {
                    // The reader of JSON may be off in the last bit.
                    let (found, wanted): (f64, f64) = (number.as_f64().unwrap(), cell.parse().unwrap());
                    assert!((found - wanted).abs() <= 1e-14 * wanted.abs(), "{name}: {found} {wanted}");
                }
            }
        }
    }
    let bins: Vec<&Value> = report["bins"].as_array().unwrap().iter().map(|bin| &bin["bin"]).collect();
    assert_eq!(bins, ["0-99", "100-199", "200-4999"], "no bin of proteins that are not there");
    let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!((&summary["task"], &summary["evaluation"]), (&"evaluate".into(), &"mlm".into()));
    assert_eq!(summary["loss"], report["all"]["loss"]);
    let none = evaluate(&scratch, "in.fasta", &["--out", "-", "--bootstrap", "0"]).json();
    assert_eq!((&none["all"]["loss"], &none["all"]["loss_low"]), (&report["all"]["loss"], &Value::Null));
}

#[test]
fn long_proteins_are_asked_as_the_policy_says() {
    let scratch = Scratch::new();
    let long = proteins().pop().unwrap();
    scratch.write("in.fasta", fasta(std::slice::from_ref(&long)));
    let row = |policy: &[&str]| {
        evaluate(&scratch, "in.fasta", &[&["--out", "-", "--proteins", "each.tsv"], policy].concat());
        each(&scratch, "each.tsv").remove("p11")
    };
    let whole = row(&["--long", "whole"]).unwrap();
    let windows = row(&["--long", "window"]).unwrap();
    assert_eq!(whole[..3], windows[..3], "the same residues are asked for");
    assert!((whole[3] - windows[3]).abs() < 0.1 && whole[3] != windows[3], "{whole:?} {windows:?}");
    let beginning = row(&["--long", "truncate"]).unwrap();
    assert!(beginning[0] < whole[0]);
    scratch.write("in.fasta", fasta(&[("p11".to_owned(), long.1[..beginning[0] as usize].to_owned())]));
    assert_eq!(row(&["--long", "error"]).unwrap(), beginning, "what is left is a protein like any other");
    // A protein of letters that no model was asked for is counted and has no loss.
    scratch.write("in.fasta", ">j\nJJJ\n>a\nMKVLA\n");
    let report = evaluate(&scratch, "in.fasta", &["--out", "-", "--proteins", "each.tsv"]).json();
    assert_eq!((&report["all"]["proteins"], &report["all"]["chosen"]), (&2.into(), &1.into()));
    assert!(scratch.text("each.tsv").contains("j\t3\t0\t0\tNaN\tNaN\tNaN\n"), "{}", scratch.text("each.tsv"));
}

#[test]
fn bf16_is_near_and_a_dry_run_computes_nothing() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", fasta(&proteins()));
    let report = evaluate(&scratch, "in.fasta", &["--out", "-"]).json();
    let rounded = evaluate(&scratch, "in.fasta", &["--out", "-", "--precision", "bf16"]).json();
    let loss = |report: &Value| report["all"]["loss"].as_f64().unwrap();
    assert!((loss(&report) - loss(&rounded)).abs() < 0.05 && loss(&report) != loss(&rounded));
    let estimate = evaluate(&scratch, "in.fasta", &["--dry-run"]).json();
    assert_eq!((&estimate["records"], &estimate["residues"]), (&12.into(), &2560.into()));
    let noted = evaluate(&scratch, "in.fasta", &["--out", "o.json", "--cache", "c.sqlite"]);
    assert!(noted.stderr.contains("--cache is not used"), "{}", noted.stderr);
    assert_eq!(scratch.names(), ["in.fasta", "o.json"]);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKVLA\n");
    let case = |name: &str, code: i32, words: &[&str]| {
        let words = [&["evaluate", "in.fasta", "--model", model()], words].concat();
        case_in(&scratch, &format!("evaluate_{name}"), code, &words, &[]);
    };
    case("no_task", 2, &["--out", "o.json"]);
    case("unknown_task", 2, &["--task", "folding", "--out", "o.json"]);
    case("bins", 2, &["--task", "mlm", "--out", "o.json", "--bins", "0,100,50"]);
    case("format", 2, &["--task", "mlm", "--out", "o.npz"]);
    case("proteins_format", 2, &["--task", "mlm", "--out", "o.json", "--proteins", "o.npz"]);
    case("same_output", 2, &["--task", "mlm", "--out", "o.tsv", "--proteins", "./o.tsv"]);
}

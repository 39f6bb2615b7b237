//! `pliant pretrain` of pairs and from both sides: what is learnt, told and refused.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::tool::{Run, Scratch};

/// PLUS-TFM, which reads both members in one chain.
const CHAIN: &str = r#"{ "model_type": "TFM", "num_layers": 1, "hidden_dim": 32, "num_heads": 2,
    "feedforward_dim": 64, "pos_encode": true, "max_len": 128, "dropout": 0.0 }"#;

/// PLUS-RNN, which reads each member in a chain of its own.
const CHAINS: &str =
    r#"{ "model_type": "RNN", "rnn_type": "B", "num_layers": 1, "hidden_dim": 16, "embedding_dim": 8 }"#;

/// P-ELMo's language model.
const UNSEEING: &str = r#"{ "model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 8 }"#;

const ESM: &str = r#"{ "model_type": "esm", "vocab_size": 33, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 1026, "token_dropout": true,
    "position_embedding_type": "rotary", "hidden_act": "gelu", "initializer_range": 0.02 }"#;

const CONFIG: &str = "[model]\nconfig = \"model.json\"\n[objective]\nkind = \"mlm+sfp\"\n\
    [data]\ntrain = [\"train.tsv\"]\nheld_out = 0.2\nmin_residues = 20\nmin_family = 3\n\
    [masking]\nrounding = \"down\"\nmost = 50\n\
    [optimizer]\nlearning_rate = 5e-3\nbeta1 = 0.9\nbeta2 = 0.999\nepsilon = 1e-8\nweight_decay = 0\nclip = 1\n\
    [schedule]\nkind = \"constant\"\nwarmup_steps = 3\n[run]\nsteps = 12\nbudget_tokens = 400\nleast_sequences = 16\n\
    [checkpoint]\nevery_steps = 5\n[log]\nevery_steps = 4\nevaluate_every_steps = 6\nevaluate_pairs = 60\n";

/// Families of which each is written with five letters of its own, so that nothing is easier than to tell them apart.
fn families(sizes: &[usize]) -> Vec<(usize, String)> {
    let letters = b"ACDEFGHIKLMNPQRSTVWY";
    let mut state = 99u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as usize
    };
    let mut all = Vec::new();
    for (family, &size) in sizes.iter().enumerate() {
        for _ in 0..size {
            let length = 20 + random(20);
            all.push((family, (0..length).map(|_| letters[family * 5 % 20 + random(5)] as char).collect()));
        }
    }
    all
}

fn table(sizes: &[usize]) -> String {
    let rows = families(sizes).into_iter().map(|(family, residues)| format!("f{family}\t{residues}\n"));
    std::iter::once("family\tsequence\n".to_owned()).chain(rows).collect()
}

fn scratch(model: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("train.tsv", table(&[40, 25, 15, 2])).write("model.json", model).write("c.toml", CONFIG);
    scratch
}

fn pretrain(scratch: &Scratch, out: &str, more: &[&str]) -> Run {
    let mut words = vec!["pretrain", "--config", "c.toml", "--out", out, "--device", "cpu"];
    words.extend(more);
    scratch.run(&words)
}

fn log(scratch: &Scratch, out: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for clock in ["seconds", "tokens_per_second"] {
            line.as_object_mut().unwrap().remove(clock);
        }
        line
    };
    scratch.text(&format!("{out}/log.jsonl")).lines().map(line).collect()
}

/// Two runs left the same.
#[track_caller]
fn same(scratch: &Scratch, one: &str, other: &str) {
    for name in ["model.safetensors", "training.json", "checkpoints/step_00000012/optimizer.safetensors"] {
        let read = |out: &str| scratch.read(&format!("{out}/{name}"));
        assert!(read(one) == read(other), "{name} of {other} differs");
    }
    assert_eq!(log(scratch, one), log(scratch, other));
}

#[test]
fn pairs_are_learnt_and_told() {
    let scratch = scratch(CHAIN);
    let ended = pretrain(&scratch, "run", &["--threads", "2"]).go().code(0);
    assert!(
        ended.stderr.contains("1 family with 2 sequences were not taken: each has fewer than 3"),
        "{}",
        ended.stderr
    );
    let lines = log(&scratch, "run");
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<String>>();
    let place = ["kind", "step", "epoch", "tokens", "residues"];
    let train = ["loss", "mlm_loss", "sfp_accuracy", "sfp_loss", "learning_rate", "gradient_norm"];
    assert_eq!(keys(&lines[0]), [&place[..], &train].concat());
    let look = lines.iter().find(|line| line["kind"] == "held_out").unwrap();
    let held_out = [
        "held_out_loss",
        "held_out_mlm_loss",
        "held_out_masked_loss",
        "held_out_sfp_accuracy",
        "held_out_sfp_loss",
    ];
    assert_eq!(keys(look), [&place[..], &held_out].concat());
    // One chain has one mean of residues.
    let number = |key: &str| look[key].as_f64().unwrap();
    let whole = 0.7 * number("held_out_mlm_loss") + 0.3 * number("held_out_sfp_loss");
    assert!((number("held_out_loss") - whole).abs() < 1e-6, "{look}");
    let training: Value = serde_json::from_slice(&scratch.read("run/training.json")).unwrap();
    assert_eq!(training["train"]["families"], 3);
    assert_eq!(training["held_out_pairs"]["pairs"], 60);
    assert_eq!(
        training["held_out_parts"]["held_out_sfp_accuracy"],
        lines.last().unwrap()["held_out_sfp_accuracy"]
    );
    any_run_is_the_same(&scratch, &[]);
    let words = ["plot", "run", "--out", "p.svg", "--y", "mlm_loss,held_out_mlm_loss", "--y", "sfp_accuracy"];
    scratch.run(&words).go().code(0);
}

/// Neither threads nor what is computed twice nor a pause change a bit of the run of this name.
#[track_caller]
fn any_run_is_the_same(scratch: &Scratch, more: &[&str]) {
    let run = |out: &str, words: &[&str], code: i32| {
        pretrain(scratch, out, &[more, words].concat()).go().code(code);
    };
    run("again", &["--threads", "1"], 0);
    same(scratch, "run", "again");
    run("twice", &["--set", "run.recompute=true"], 0);
    assert!(scratch.read("run/model.safetensors") == scratch.read("twice/model.safetensors"));
    run("paused", &["--set", "run.minutes=1e-9"], 75);
    run("paused", &["--resume", "--threads", "3"], 0);
    same(scratch, "run", "paused");
}

#[test]
fn pairs_of_two_chains_are_the_same_in_any_run() {
    let scratch = scratch(CHAINS);
    pretrain(&scratch, "run", &["--threads", "2"]).go().code(0);
    let training: Value = serde_json::from_slice(&scratch.read("run/training.json")).unwrap();
    assert_eq!(training["held_out_pairs"]["pairs"], 60);
    any_run_is_the_same(&scratch, &[]);
    // What was learnt can be aligned with.
    scratch.write("two.fasta", ">a\nACDEFACDEF\n>b\nACDEFCDEFA\n");
    scratch.run(&["align", "two.fasta", "--model", "run", "--device", "cpu"]).go().code(0);
}

#[test]
fn reading_from_both_sides_is_the_same_in_any_run() {
    let scratch = scratch(UNSEEING);
    let more = ["--set", "objective.kind=bilm", "--set", "data.families=true"];
    pretrain(&scratch, "run", &[&more[..], &["--threads", "2"]].concat()).go().code(0);
    any_run_is_the_same(&scratch, &more);
    let lines = log(&scratch, "run");
    let last = lines.last().unwrap()["held_out_loss"].as_f64().unwrap();
    assert!(last < lines[0]["loss"].as_f64().unwrap(), "{lines:?}");
}

#[test]
fn families_are_told_apart_in_the_end() {
    for model in [CHAIN, CHAINS] {
        let scratch = scratch(model);
        let more = [
            "--set",
            "run.steps=150",
            "--set",
            "log.evaluate_every_steps=150",
            "--set",
            "log.every_steps=50",
        ];
        pretrain(&scratch, "run", &more).go().code(0);
        let lines = log(&scratch, "run");
        let last = lines.last().unwrap();
        let number = |line: &Value, key: &str| line[key].as_f64().unwrap();
        // Of 60 pairs a coin gets 48 in less than one of a hundred thousand tries.
        assert!(number(last, "held_out_sfp_accuracy") > 0.8, "{last}");
        // Five letters of twenty are ln 5 = 1.61 nats, where one knows the family.
        assert!(number(last, "held_out_mlm_loss") < 1.8, "{last}");
        assert!(number(&lines[0], "mlm_loss") > number(last, "held_out_mlm_loss"));
    }
}

#[test]
fn pairs_of_a_table_are_those_it_is_evaluated_with() {
    let scratch = scratch(CHAIN);
    let all = families(&[40, 25, 15, 2]);
    let mut text = String::from("sequence_A\tsequence_B\tis_samefamily\n");
    for (one, other) in [(0, 1), (2, 50), (3, 70), (41, 42)] {
        let same = u8::from(all[one].0 == all[other].0);
        text.push_str(&format!("{}\t{}\t{same}\n", all[one].1, all[other].1));
    }
    scratch.write("pairs.tsv", &text);
    let ended = pretrain(&scratch, "run", &["--pairs", "pairs.tsv"]).go().code(0);
    assert!(ended.stderr.contains("8 sequences are held out and not learnt from"), "{}", ended.stderr);
    let training: Value = serde_json::from_slice(&scratch.read("run/training.json")).unwrap();
    assert_eq!(training["held_out_pairs"]["pairs"], 4);
    assert_eq!(training["held_out_pairs"]["same_family"], 2);
    let accuracies: BTreeSet<String> =
        log(&scratch, "run").iter().map(|line| line["held_out_sfp_accuracy"].to_string()).collect();
    let quarters = ["null", "0.0", "0.25", "0.5", "0.75", "1.0"];
    assert!(accuracies.iter().all(|found| quarters.contains(&found.as_str())), "{accuracies:?}");
    // A run does not go on with other pairs.
    scratch.write("pairs.tsv", text.replace("\t0\n", "\t1\n"));
    let refused = pretrain(&scratch, "run", &["--pairs", "pairs.tsv", "--resume"]).go().code(65);
    assert!(refused.stderr.contains("the digest of the held-out sequences"), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_learnt_is_refused() {
    let scratch = scratch(ESM);
    let refused = |more: &[&str], code: i32, words: &str| {
        let ended = pretrain(&scratch, "run", more).go().code(code);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert!(!scratch.path("run").exists());
    };
    refused(&[], 65, "this model has no head for pairs of proteins");
    refused(
        &["--set", "objective.kind=bilm", "--set", "data.families=true"],
        65,
        "see the very residue that they are to tell",
    );
    let mlm = ["--set", "objective.kind=mlm", "--set", "data.families=true"];
    refused(
        &[&mlm[..], &["--set", "compat.random_range=true"]].concat(),
        2,
        "the model has the vocabulary esm2-33/1, and only those of PLUS were so",
    );
    refused(&["--held-out", "x.fasta", "--pairs", "p.tsv"], 2, "cannot be used with");
    // Families teach to tell residues too.
    pretrain(&scratch, "run", &mlm).go().code(0);
    let training: Value = serde_json::from_slice(&scratch.read("run/training.json")).unwrap();
    assert_eq!(training["train"]["families"], 3);
    assert!(training.get("held_out_pairs").is_none());
}

#[test]
fn bad_families_are_told_with_their_place() {
    let scratch = scratch(CHAIN);
    let refused = |text: &str, code: i32, words: &[&str]| {
        scratch.write("train.tsv", text);
        let ended = pretrain(&scratch, "run", &[]).go().code(code);
        words.iter().for_each(|word| assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr));
        assert!(!scratch.path("run").exists());
    };
    let one = table(&[10]);
    refused(&one, 65, &["all sequences are of the family 'f0', wanted two families at least"]);
    refused("family\tseq\nF\tMKV\n", 65, &["train.tsv has no column 'sequence'"]);
    refused(
        &format!("{one}\tMKVMKVMKVMKVMKVMKVMKV\n"),
        65,
        &["train.tsv:12 line12: the column 'family': found nothing"],
    );
    refused(&table(&[2, 2]), 65, &["each of the 2 families has fewer than 3"]);
    let fasta = |family: usize| if family == 0 { "x PF1.1;one;" } else { "x PF2.2;two;" };
    let good = families(&[10, 10]).into_iter().enumerate();
    let good: String =
        good.map(|(number, (family, text))| format!(">p{number} {}\n{text}\n", fasta(family))).collect();
    refused(
        &format!("{good}>a x PF1\nMKVMKVMKVMKVMKVMKVMKV\n"),
        65,
        &["train.tsv:41 a: the header names no family"],
    );
    // A chain has an end.
    scratch.write("train.tsv", table(&[40, 25]).replace("f1\t", &format!("f1\t{}", "MKVL".repeat(25))));
    let ended = pretrain(&scratch, "run", &[]).go().code(2);
    assert!(
        ended.stderr.contains("the limit of pairs is 128, wanted room for the longest"),
        "{}",
        ended.stderr
    );
}

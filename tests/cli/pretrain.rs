//! `pliant pretrain`: what it makes, how it is stopped, what it refuses.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::tool::{Ended, Run, Scratch};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/examples/pretrain");

const MODEL: &str = r#"{ "model_type": "esm", "vocab_size": 33, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 1026, "token_dropout": true,
    "position_embedding_type": "rotary", "hidden_act": "gelu", "initializer_range": 0.02 }"#;

const CONFIG: &str = "[model]\nconfig = \"model.json\"\n[data]\ntrain = [\"train.fasta\"]\nheld_out = 0.2\n\
    [optimizer]\nlearning_rate = 5e-3\nbeta1 = 0.9\nbeta2 = 0.98\nepsilon = 1e-8\nweight_decay = 0.01\nclip = 1\n\
    [schedule]\nwarmup_steps = 3\n[run]\nsteps = 12\nbudget_tokens = 400\naccumulate = 2\n\
    [checkpoint]\nevery_steps = 5\n[log]\nevery_steps = 2\nevaluate_every_steps = 6\n";

/// Proteins of a made-up family: any two neighbours tell what follows, but for one place in five.
fn fasta(count: usize) -> String {
    let letters = b"ACDEFGHIKLMNPQRSTVWY";
    let mut state = 12345u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = String::new();
    for number in 0..count {
        let mut places = vec![random(20), random(20)];
        for at in 2..40 + random(30) as usize {
            let rule = (places[at - 1] + 3 * places[at - 2] + 1) % 20;
            places.push(if random(5) == 0 { random(20) } else { rule });
        }
        let residues: String = places.iter().map(|&place| letters[place as usize] as char).collect();
        text.push_str(&format!(">p{number}\n{residues}\n"));
    }
    text
}

/// A folder with all that a run needs.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("train.fasta", fasta(80)).write("model.json", MODEL).write("c.toml", CONFIG);
    scratch
}

fn pretrain(scratch: &Scratch, out: &str, more: &[&str]) -> Run {
    let mut words = vec!["pretrain", "--config", "c.toml", "--out", out, "--device", "cpu"];
    words.extend(more);
    scratch.run(&words)
}

/// Lines of the log of a run, without what a clock says.
fn log(scratch: &Scratch, out: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let members = line.as_object_mut().unwrap();
        assert!(members.remove("seconds").unwrap().as_f64().unwrap() >= 0.0);
        members.remove("tokens_per_second");
        line
    };
    scratch.text(&format!("{out}/log.jsonl")).lines().map(line).collect()
}

/// Two runs left the same.
#[track_caller]
fn same(scratch: &Scratch, one: &str, other: &str) {
    let last = "checkpoints/step_00000012";
    let moments = format!("{last}/optimizer.safetensors");
    let weights = format!("{last}/model/model.safetensors");
    for name in ["model.safetensors", "config.json", "vocab.txt", "training.json", &moments, &weights] {
        let read = |out: &str| scratch.read(&format!("{out}/{name}"));
        assert!(read(one) == read(other), "{name} of {other} differs");
    }
    assert_eq!(log(scratch, one), log(scratch, other));
}

#[test]
fn a_run_makes_a_model_and_tells_of_it() {
    let scratch = scratch();
    let ended = pretrain(&scratch, "run", &["--summary", "s.json", "--threads", "2"]).go().code(0);
    assert_eq!((ended.text(), ended.stderr), (String::new(), String::new()));
    let lines = log(&scratch, "run");
    let kinds: Vec<(&str, u64)> =
        lines.iter().map(|line| (line["kind"].as_str().unwrap(), line["step"].as_u64().unwrap())).collect();
    let train = |step| ("train", step);
    assert_eq!(
        kinds,
        [train(2), train(4), train(6), ("held_out", 6), train(8), train(10), train(12), ("held_out", 12)]
    );
    let keys: Vec<&String> = lines[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["kind", "step", "epoch", "tokens", "residues", "loss", "learning_rate", "gradient_norm"]
    );
    let training: Value = serde_json::from_slice(&scratch.read("run/training.json")).unwrap();
    assert_eq!((&training["steps"], &training["loss"]), (&12.into(), &lines[6]["loss"]));
    assert_eq!(training["held_out_loss"], lines[7]["held_out_loss"]);
    let summary: Value = serde_json::from_slice(&scratch.read("s.json")).unwrap();
    let verified = scratch.run(&["model", "verify", "run"]).go().code(0).text();
    assert_eq!(verified, format!("identity: {}\n", summary["identity"].as_str().unwrap()));
    // The folder is a model like any other, and so is that in a checkpoint.
    for model in ["run", "run/checkpoints/step_00000012/model"] {
        let words = ["embed", "train.fasta", "--model", model, "--out", "e.npz", "--device", "cpu"];
        scratch.run(&words).go().code(0);
    }
    // What was written down is what was asked for.
    let printed = pretrain(&scratch, "other", &["--print-config"]).go().code(0).text();
    assert_eq!(printed, scratch.text("run/run.toml"));
    let again =
        ["pretrain", "--config", "run/run.toml", "--out", "again", "--device", "cpu", "--threads", "1"];
    scratch.run(&again).go().code(0);
    same(&scratch, "run", "again");
}

#[test]
fn recomputation_changes_no_bit() {
    let scratch = scratch();
    pretrain(&scratch, "run", &["--threads", "2"]).go().code(0);
    pretrain(&scratch, "again", &["--set", "run.recompute=true"]).go().code(0);
    let read = |out: &str| scratch.read(&format!("{out}/model.safetensors"));
    assert!(read("run") == read("again"));
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Killed at moments that nobody chose, a run goes on as if nothing had been.
#[test]
fn a_run_killed_at_random_moments_is_the_same_run() {
    let scratch = scratch();
    let more = ["--set", "run.steps=12", "--set", "checkpoint.every_steps=2"];
    let begun = Instant::now();
    pretrain(&scratch, "whole", &[&more[..], &["--threads", "1"]].concat()).go().code(0);
    // Moments are chosen within the time that a whole run takes here, and earlier where a run was faster than that.
    let mut span = begun.elapsed();
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let mut killed = 0;
    for round in 0..24u32 {
        let out = format!("killed{round}");
        let moment = span.mul_f64(f64::from(nanos.rotate_left(round * 6) % 400_000) / 400_000.0);
        let threads = (round % 3 + 1).to_string();
        let mut child =
            pretrain(&scratch, &out, &[&more[..], &["--resume", "--threads", &threads]].concat()).start();
        std::thread::sleep(moment);
        signal(&child, Signal::KILL);
        if child.wait().unwrap().code().is_some() {
            span = span.mul_f64(0.7);
            continue;
        }
        killed += 1;
        let ended = pretrain(&scratch, &out, &[&more[..], &["--resume", "--threads", "3"]].concat()).go();
        assert_eq!(ended.code, Some(0), "after {moment:?}: {}", ended.stderr);
        same(&scratch, "whole", &out);
        if killed == 5 {
            return;
        }
    }
    panic!("of 24 runs {killed} were killed before they ended");
}

/// Waits until a run has written a line.
fn wait_for_log(folder: &Path, child: &mut Child) {
    for _ in 0..6000 {
        if fs::metadata(folder.join("log.jsonl")).is_ok_and(|found| found.len() > 0) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first line");
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no line for a minute");
}

#[test]
fn a_signal_ends_a_run_after_its_step_with_a_checkpoint() {
    let scratch = scratch();
    // A long one, of which only the beginning is seen.
    let more =
        ["--set", "run.steps=100000", "--set", "schedule.steps=12", "--set", "checkpoint.every_minutes=60"];
    for (out, asked, name) in [("one", Signal::TERM, "SIGTERM"), ("two", Signal::INT, "SIGINT")] {
        let mut child = pretrain(&scratch, out, &more).start();
        wait_for_log(&scratch.path(out), &mut child);
        // Nobody else can work there meanwhile.
        let busy = pretrain(&scratch, out, &["--resume"]).go().code(75);
        assert!(busy.stderr.contains("another run is at work in"), "{}", busy.stderr);
        signal(&child, asked);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{said}");
        assert!(said.contains(&format!("stopped by {name} after step ")), "{said}");
        assert!(said.contains("the same command with --resume goes on"), "{said}");
        assert!(!scratch.path(out).join("config.json").exists(), "there is no model before the end");
    }
    let ended =
        pretrain(&scratch, "three", &["--set", "run.minutes=1e-9", "--set", "run.steps=12"]).go().code(75);
    assert!(ended.stderr.contains("stopped by run.minutes after step 1 of 12"), "{}", ended.stderr);
    pretrain(&scratch, "three", &["--resume"]).go().code(0);
    pretrain(&scratch, "whole", &[]).go().code(0);
    same(&scratch, "whole", "three");
}

#[track_caller]
fn refused(ended: Ended, code: i32, words: &[&str]) {
    let ended = ended.code(code);
    assert_eq!(ended.text(), "");
    for word in words {
        assert!(ended.stderr.contains(word), "{word} is not in: {}", ended.stderr);
    }
}

#[test]
fn a_run_goes_on_only_with_what_it_began_with() {
    let scratch = scratch();
    pretrain(&scratch, "run", &[]).go().code(0);
    let began = scratch.read("run/model.safetensors");
    refused(pretrain(&scratch, "run", &[]).go(), 2, &["run holds a run already", "--resume goes on with it"]);
    let resumed = |more: &[&str]| pretrain(&scratch, "run", &[&["--resume"], more].concat()).go();
    for (set, name, found, wanted) in [
        ("run.seed=2", "\"run.seed\"", "2", "1"),
        ("run.accumulate=3", "\"run.accumulate\"", "3", "2"),
        ("data.crop=30", "\"data.crop\"", "30", "not set"),
        ("optimizer.beta2=0.9", "\"optimizer.beta2\"", "0.9", "0.98"),
        ("run.precision=bf16", "\"run.precision\"", "\"bf16\"", "\"f32\""),
        ("run.steps=13", "the end of the schedule", "step 13", "step 12"),
    ] {
        let words = format!("is {found}, but it began with {wanted}");
        refused(resumed(&["--set", set]), 65, &["the run in run cannot go on", name, &words]);
    }
    scratch.write("other.fasta", fasta(99)).write("other.json", MODEL.replace("64", "32"));
    refused(resumed(&["--train", "other.fasta"]), 65, &["the digest of the sequences of \"data.train\""]);
    scratch.write("apart.fasta", ">apart\nMKVLWWHHCCMKVLWWHHCCMKVLWWHHCCMKVLWWHHCC\n");
    refused(resumed(&["--held-out", "apart.fasta"]), 65, &["\"data.held_out\""]);
    refused(resumed(&["--model-config", "other.json"]), 65, &["the model of \"model.config\""]);
    refused(resumed(&["--cpu-path", "portable"]), 65, &["the numerics class of the device", "x86fma-1"]);
    refused(
        resumed(&["--set", "run.steps=5", "--set", "schedule.steps=12"]),
        65,
        &["has done 12 steps already, and the configuration asks for 5"],
    );
    assert!(scratch.read("run/model.safetensors") == began);
    // What says how long and how often may change.
    let more = ["--set", "run.steps=14", "--set", "schedule.steps=12", "--set", "checkpoint.keep_last=1"];
    resumed(&more).code(0);
    assert!(scratch.read("run/model.safetensors") != began);
    scratch.write("mine.txt", "mine");
    refused(pretrain(&scratch, ".", &["--resume"]).go(), 2, &["which is of no run"]);
}

#[test]
fn a_damaged_checkpoint_is_put_aside_and_the_one_before_taken() {
    let scratch = scratch();
    pretrain(&scratch, "whole", &[]).go().code(0);
    pretrain(&scratch, "run", &[]).go().code(0);
    let damage = |step: &str| {
        let path = scratch.path(&format!("run/checkpoints/{step}/optimizer.safetensors"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[700] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage("step_00000012");
    let ended = pretrain(&scratch, "run", &["--resume"]).go().code(0);
    let words = "a checkpoint is damaged and was put aside as run/checkpoints/damaged_step_00000012: it has other bytes \
                 in optimizer.safetensors than were written";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(ended.stderr.contains("going on after step 10"), "{}", ended.stderr);
    same(&scratch, "whole", "run");
    for step in ["step_00000012", "step_00000010", "step_00000006"] {
        if scratch.path(&format!("run/checkpoints/{step}")).exists() {
            damage(step);
        }
    }
    refused(
        pretrain(&scratch, "run", &["--resume"]).go(),
        65,
        &["no checkpoint in run/checkpoints is whole"],
    );
}

#[test]
fn what_is_wrong_is_said_before_anything_is_made() {
    let scratch = scratch();
    let before = scratch.names();
    let case = |more: &[&str], code, words: &[&str]| {
        refused(pretrain(&scratch, "run", more).go(), code, words);
        assert_eq!(scratch.names(), before, "{more:?}");
    };
    case(&["--set", "run.step=3"], 65, &["there is no key \"run.step\"; did you mean \"run.steps\"?"]);
    case(&["--set", "run.steps"], 2, &["found no '='"]);
    case(
        &["--set", "masking.choose=2"],
        65,
        &["c.toml: \"masking.choose\" is 2, wanted a number above 0 and up to 1"],
    );
    case(&["--train", "no.fasta"], 66, &["no.fasta: no such file"]);
    case(&["--model-config", "no.json"], 66, &["cannot read no.json"]);
    case(&["--init", "no-model"], 66, &["no-model"]);
    case(&["--exclude", "c.toml"], 65, &["c.toml"]);
    case(
        &["--summary", "train.fasta", "--train", "train.fasta"],
        2,
        &["the output train.fasta is the input"],
    );
    let cuda = scratch.run(&["pretrain", "--config", "c.toml", "--out", "run", "--device", "cuda"]).go();
    refused(cuda, 69, &["device cuda"]);
    assert_eq!(scratch.names(), before);
    scratch.write("bad.fasta", format!("{}>bad\nMK1V\n>worse\n\n", fasta(20)));
    let before = scratch.names();
    let bad = pretrain(&scratch, "run", &["--train", "bad.fasta"]).go();
    refused(bad, 65, &["2 of 22 records cannot be computed", "bad.fasta:41 bad: ", "bad.fasta:43 worse: "]);
    assert_eq!(scratch.names(), before);
    let ended = pretrain(&scratch, "run", &["--train", "bad.fasta", "--on-error", "skip"]).go().code(0);
    assert!(ended.stderr.contains("2 records are left out because of errors"), "{}", ended.stderr);
    assert_eq!(scratch.text("run/failures.tsv").lines().count(), 3);
    refused(scratch.run(&["pretrain", "--out", "x"]).go(), 2, &["--config"]);
    let all = scratch.run(&["pretrain", "--print-config"]).go().code(0).text();
    assert!(
        all.contains("# learning_rate = a number above 0\n") && all.contains("accumulate = 1\n"),
        "{all}"
    );
}

/// A learning rate that no model survives ends the run where it does, and the last checkpoint stays.
#[test]
fn what_is_no_number_ends_the_run() {
    let scratch = scratch();
    let more = [
        "--set",
        "optimizer.learning_rate=1e18",
        "--set",
        "optimizer.clip=0",
        "--set",
        "checkpoint.every_steps=1",
    ];
    let ended = pretrain(&scratch, "run", &more).go();
    refused(
        ended,
        65,
        &["is not finite in pack", "which holds the training sequences ", "lower optimizer.learning_rate"],
    );
    let kept = fs::read_dir(scratch.path("run/checkpoints")).unwrap().count();
    assert!(kept > 0 && !scratch.path("run/config.json").exists());
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let scratch = scratch();
    pretrain(&scratch, "first", &["--set", "optimizer.learning_rate=2e-2"]).go().code(0);
    pretrain(&scratch, "second", &["--init", "first"]).go().code(0);
    let first = |out: &str| log(&scratch, out)[0]["loss"].as_f64().unwrap();
    assert!(first("second") < first("first"), "{} {}", first("second"), first("first"));
    // YAML says the same as TOML.
    let yaml = "model: {config: model.json}\ndata: {train: [train.fasta], held_out: 0.2}\noptimizer: {learning_rate: 2e-2, \
        beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.01, clip: 1}\nschedule: {warmup_steps: 3}\n\
        run: {steps: 12, budget_tokens: 400, accumulate: 2}\ncheckpoint: {every_steps: 5}\n\
        log: {every_steps: 2, evaluate_every_steps: 6}\n";
    scratch.write("c.yaml", yaml);
    scratch.run(&["pretrain", "--config", "c.yaml", "--out", "yaml"]).go().code(0);
    same(&scratch, "first", "yaml");
}

#[test]
fn the_examples_are_sound() {
    let mut seen = 0;
    for entry in fs::read_dir(EXAMPLES).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|suffix| suffix == "toml") {
            let words =
                ["pretrain", "--config", path.to_str().unwrap(), "--train", "x.fasta", "--print-config"];
            let printed = Run::new(&words).go().code(0).text();
            let model =
                printed.lines().find_map(|line| line.strip_prefix("config = ")).unwrap().trim_matches('"');
            let scratch = Scratch::new();
            scratch.run(&["model", "new", "--config", model, "--seed", "1", "--out", "m"]).go().code(0);
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen}");
}

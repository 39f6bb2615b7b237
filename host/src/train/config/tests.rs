use std::fs;
use std::path::Path;

use super::*;

/// The least that a configuration can be.
const LEAST: &str = "[model]\nconfig = \"model.json\"\n[data]\ntrain = [\"a.fasta\", \"/b.fasta\"]\n[optimizer]\n\
    learning_rate = 1e-3\nbeta1 = 0.9\nbeta2 = 0.98\nepsilon = 1e-8\nweight_decay = 0.01\nclip = 1\n[run]\nsteps = 100\n";

fn read_text(name: &str, text: &str, sets: &[&str]) -> Result<TrainConfig, String> {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(name);
    fs::write(&path, text).unwrap();
    let sets: Vec<String> = sets.iter().map(|&word| word.to_owned()).collect();
    let folder = format!("{}/", scratch.path().display());
    read(&path, &sets, &[]).map_err(|error| error.to_string().replace(&folder, ""))
}

fn refused(sets: &[&str]) -> String {
    read_text("c.toml", LEAST, sets).unwrap_err()
}

#[test]
fn the_least_is_completed_and_paths_are_the_folders() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("c.toml");
    fs::write(&path, LEAST).unwrap();
    let config = read(&path, &["data.exclude=[\"x.txt\"]".to_owned()], &[]).unwrap();
    assert_eq!(config.model.config, Some(scratch.path().join("model.json")));
    assert_eq!(config.data.train, [scratch.path().join("a.fasta"), "/b.fasta".into()]);
    assert_eq!(
        config.data.exclude,
        [Path::new("x.txt")],
        "a word of the command line is of the current folder"
    );
    assert_eq!((config.run.budget_tokens, config.optimizer.clip), (4096, 1.0));
    let text = config.to_toml();
    assert!(text.contains("clip = 1.0\n") && text.contains("# crop = a whole number"), "{text}");
    assert_eq!(config.binding()["data.crop"], "not set");
    assert!(!config.binding().contains_key("run.steps"));
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let mut config = read_text("c.toml", LEAST, &["data.crop=64", "schedule.kind=linear"]).unwrap();
    for paths in [&mut config.data.train, &mut config.data.exclude] {
        *paths = paths.iter().map(|path| std::path::absolute(path).unwrap()).collect();
    }
    let again = read_text("run.toml", &config.to_toml(), &[]).unwrap();
    assert_eq!(again, config);
    let text = again.to_toml();
    assert_eq!(
        text.lines().filter(|line| line.starts_with("# ")).count(),
        54 + 10,
        "one comment a key: {text}"
    );
}

#[test]
fn a_model_may_be_named() {
    let text = LEAST.replace("config = \"model.json\"", "init = \"esm2_t6_8M\"");
    let config = read_text("c.toml", &text, &[]).unwrap();
    assert_eq!(config.model.beginning(), Beginning::Weights(Path::new("esm2_t6_8M")));
    assert!(config.to_toml().contains("init = \"esm2_t6_8M\"\n"));
}

#[test]
fn yaml_says_the_same() {
    let yaml = "model:\n  config: model.json\n  init: null\ndata:\n  train: [a.fasta, /b.fasta]\noptimizer: {learning_rate: 1e-3, \
        beta1: 0.9, beta2: 0.98, epsilon: 1.0e-08, weight_decay: 0.01, clip: 1}\nrun:\n  steps: 100\n";
    let mut config = read_text("c.yaml", yaml, &[]).unwrap();
    let mut wanted = read_text("c.toml", LEAST, &[]).unwrap();
    for config in [&mut config, &mut wanted] {
        (config.model.config, config.data.train) = (None, Vec::new());
    }
    assert_eq!(config, wanted);
    assert!(read_text("c.yml", "- a\n", &[]).unwrap_err().starts_with("c.yml: is no YAML: "));
    assert!(read_text("c.yml", "a: [", &[]).unwrap_err().starts_with("c.yml: is no YAML: "));
}

#[test]
fn unknown_keys_are_errors_that_name_the_near_ones() {
    for (text, wanted) in [
        ("[run]\nstep = 1\n", "c.toml: there is no key \"run.step\"; did you mean \"run.steps\"?"),
        (
            "[optimiser]\nbeta1 = 1\n",
            "c.toml: there is no key \"optimiser.beta1\"; did you mean \"optimizer.beta1\"?",
        ),
        (
            "[run]\nlearning_rate = 1\n",
            "c.toml: there is no key \"run.learning_rate\"; did you mean \"optimizer.learning_rate\"?",
        ),
        (
            "steps = 1\n",
            "c.toml: there is no key \"steps\"; did you mean \"schedule.steps\" or \"run.steps\"?",
        ),
        (
            "[data]\nfasta = 1\n",
            "c.toml: there is no key \"data.fasta\"; 'pliant pretrain --print-config' lists all",
        ),
    ] {
        assert_eq!(read_text("c.toml", text, &[]).unwrap_err(), wanted);
    }
    let wanted = "--set run.sed=1: there is no key \"run.sed\"; did you mean \"run.seed\"?";
    assert_eq!(refused(&["run.sed=1"]), wanted);
    assert!(refused(&["run.seed"]).starts_with("--set run.seed: found no '='"));
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_what_can() {
    for (set, wanted) in [
        ("run.seed=x", "\"run.seed\" is \"x\", wanted a whole number"),
        ("run.seed=-1", "\"run.seed\" is -1, wanted a whole number"),
        ("run.steps=0", "\"run.steps\" is 0, wanted a whole number of at least 1"),
        ("run.steps=1.5", "\"run.steps\" is 1.5, wanted a whole number of at least 1"),
        ("run.precision=int8", "\"run.precision\" is \"int8\", wanted \"f32\" or \"bf16\""),
        ("optimizer.learning_rate=nan", "\"optimizer.learning_rate\" is NaN, wanted a number above 0"),
        ("optimizer.learning_rate=0", "\"optimizer.learning_rate\" is 0, wanted a number above 0"),
        ("optimizer.beta2=1", "\"optimizer.beta2\" is 1, wanted a number from 0 to below 1"),
        ("masking.choose=0", "\"masking.choose\" is 0, wanted a number above 0 and up to 1"),
        (
            "masking.random=0.3",
            "\"masking.random\" is 0.3, wanted at most the rest beside \"masking.mask\", which is 0.8",
        ),
        ("data.train=a.fasta", "\"data.train\" is \"a.fasta\", wanted a list of paths of FASTA files"),
        ("data.train=[]", "\"data.train\" is missing, wanted a list of paths of FASTA files, or --train"),
        ("model.init=m", "\"model.init\" is set beside \"model.config\", wanted one of the two"),
        ("run.epochs=2", "\"run.epochs\" is set beside \"run.steps\", wanted one of the two"),
        (
            "schedule.warmup_steps=100",
            "\"schedule.warmup_steps\" is 100, wanted fewer than the 100 steps of the whole schedule",
        ),
        (
            "schedule.cycles=2",
            "\"schedule.cycles\" is 2, wanted 1, or \"schedule.kind\" = \"cosine-restarts\"",
        ),
        (
            "log.evaluate_every_steps=5",
            "\"log.evaluate_every_steps\" is set without held-out sequences, wanted \
            \"data.held_out\" or \"data.held_out_file\" beside it",
        ),
        ("objective.kind=sfp", "\"objective.kind\" is \"sfp\", wanted \"mlm\", \"mlm+sfp\" or \"bilm\""),
        ("objective.sfp_weight=0", "\"objective.sfp_weight\" is 0, wanted a number above 0"),
        ("data.min_family=5", "\"data.min_family\" is 5, wanted 1, or \"data.families\" = true"),
        (
            "data.pairs=[\"p.tsv\"]",
            "\"data.pairs\" is set, wanted \"objective.kind\" = \"mlm+sfp\" beside it",
        ),
        (
            "compat.pair_loss=true",
            "\"compat.pair_loss\" is true, wanted \"objective.kind\" = \"mlm+sfp\" beside it",
        ),
        ("masking.most=50", "\"masking.most\" is 50, wanted \"masking.rounding\" = \"down\" beside it"),
        (
            "masking.rounding=down",
            "\"data.min_residues\" is 1, wanted at least 7, so that \"masking.choose\" rounded down leaves one residue",
        ),
    ] {
        assert_eq!(refused(&[set]), format!("c.toml: {wanted}"));
    }
    let both = ["objective.kind=mlm+sfp", "data.pairs=[\"p.tsv\"]", "data.held_out=0.1"];
    assert!(refused(&both).contains("\"data.pairs\" is set beside \"data.held_out\", wanted one of the two"));
}

/// A run that began before there was a key goes on where the key has its default, and only there.
#[test]
fn later_keys_bind_where_they_say_something() {
    let config = read_text("c.toml", LEAST, &[]).unwrap();
    let keys: Vec<&str> = config.binding().into_keys().collect();
    for later in [
        "objective.kind",
        "masking.most",
        "optimizer.kind",
        "schedule.cycle_steps",
        "run.least_sequences",
        "compat.pair_loss",
    ] {
        assert!(!keys.contains(&later), "{later}");
    }
    assert!(keys.contains(&"data.crop") && keys.contains(&"masking.random"));
    let config = read_text("c.toml", LEAST, &["objective.kind=bilm", "run.least_sequences=64"]).unwrap();
    let binding = config.binding();
    assert_eq!((&*binding["objective.kind"], &*binding["run.least_sequences"]), ("\"bilm\"", "64"));
}

#[test]
fn the_optimizer_has_no_defaults() {
    for name in ["learning_rate", "beta1", "beta2", "epsilon", "weight_decay", "clip"] {
        let text: String =
            LEAST.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect();
        let refused = read_text("c.toml", &text, &[]).unwrap_err();
        assert!(
            refused.starts_with(&format!("c.toml: \"optimizer.{name}\" is missing, wanted ")),
            "{refused}"
        );
    }
    assert!(read_text("c.toml", "x = [", &[]).unwrap_err().starts_with("c.toml: is no TOML: "));
}

/// Every field has its key and every key its field.
#[test]
fn keys_are_those_of_the_structs() {
    let sets = [
        "data.crop=20",
        "run.minutes=1",
        "checkpoint.every_steps=1",
        "log.evaluate_every_steps=1",
        "log.evaluate_sequences=1",
        "data.held_out_file=x",
        "schedule.steps=9",
        "masking.rounding=down",
        "masking.most=50",
        "data.min_residues=20",
    ];
    let mut config = read_text("c.toml", LEAST, &sets).unwrap();
    (config.model.init, config.run.epochs) = (Some("m".into()), Some(1));
    config.schedule.cycle_steps = Some(1);
    let table = toml::Table::try_from(&config).unwrap();
    let mut fields: Vec<String> = Vec::new();
    for (section, members) in &table {
        fields.extend(members.as_table().unwrap().keys().map(|name| format!("{section}.{name}")));
    }
    let mut keys: Vec<&str> = keys::KEYS.iter().map(|key| key.path).collect();
    keys.sort_unstable();
    fields.sort_unstable();
    assert_eq!(fields, keys);
}

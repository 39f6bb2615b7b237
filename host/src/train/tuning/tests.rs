use std::path::Path;

use super::*;

fn read_sets(sets: &[&str]) -> Result<TuningConfig, String> {
    let least = ["task.name=solubility", "data.train=[\"a.tsv\"]", "model.init=composition"];
    let sets: Vec<String> = least.iter().chain(sets).map(|&word| word.to_owned()).collect();
    read(None, &sets, &[]).map_err(|error| error.to_string())
}

#[test]
fn what_is_left_open_has_a_default() {
    let config = read_sets(&[]).unwrap();
    assert_eq!((config.run.epochs, config.run.batch, config.head.pooling), (20, 32, Pooling::Mean));
    assert_eq!(config.data.form.max_residues, pliant_seq::DEFAULT_MAX_RESIDUES);
    assert_eq!(config.model.init.as_deref(), Some(Path::new("composition")));
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let config = read_sets(&["data.train=[\"/a.tsv\"]", "run.seed=7", "data.separator='|'", "head.hidden=8"]);
    let config = config.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, config.to_toml()).unwrap();
    assert_eq!(read(Some(&path), &[], &[]).unwrap(), config, "{}", config.to_toml());
}

#[test]
fn values_that_cannot_be_used_are_named_with_what_can() {
    for (set, wanted) in [
        ("run.batch=0", "\"run.batch\" is 0, wanted a whole number from 1 to 65536"),
        (
            "tuning.encoder=some",
            "\"tuning.encoder\" is \"some\", wanted \"frozen\", \"lora\", \"top\", \"names\" or \"all\"",
        ),
        ("tuning.encoder=top", "\"tuning.top_layers\" is missing, wanted how many layers \"top\" is"),
        ("tuning.encoder=names", "\"tuning.names\" is missing, wanted words of names"),
        ("tuning.names=['layer.3']", "\"tuning.names\" is set, wanted"),
        ("tuning.lora_rank=0", "\"tuning.lora_rank\" is 0, wanted a whole number from 1 to 65536"),
        ("tuning.lora_layers=[0]", "\"tuning.lora_layers\" is a list with 0 in it, wanted"),
        ("tuning.lora_dropout=1", "\"tuning.lora_dropout\" is 1, wanted a number from 0 to below 1"),
        ("tuning.mlm_weight=0.3", "\"tuning.mlm_weight\" is 0.3, wanted 0 beside"),
        ("run.patience=3", "\"run.patience\" is set without examples kept apart, wanted"),
        ("head.pooling=sun", "\"head.pooling\" is \"sun\", wanted"),
        ("data.valid_fraction=1", "\"data.valid_fraction\" is 1, wanted a number above 0 and below 1"),
        ("data.draw=0", "\"data.draw\" is 0, wanted a whole number from 1 to 4294967295"),
        ("run.epoch=1", "there is no key \"run.epoch\"; did you mean \"run.epochs\"?"),
    ] {
        let refused = read_sets(&[set]).unwrap_err();
        assert!(refused.contains(wanted), "{set}: {refused}");
    }
}

#[test]
fn states_of_the_published_code_do_not_learn() {
    let refused = read_sets(&["head.pooling=published", "tuning.encoder=all"]).unwrap_err();
    assert!(refused.contains("\"head.pooling\" is \"published\", wanted \"random\""), "{refused}");
    assert_eq!(read_sets(&["head.pooling=published"]).unwrap().head.pooling, Pooling::Published);
}

/// Every field has its key and every key its field.
#[test]
fn keys_are_those_of_the_structs() {
    let sets = [
        "data.valid_fraction=0.1",
        "data.draw=1",
        "data.proteins=p",
        "data.wild_type=w",
        "data.part_column=p",
        "data.mask_column=m",
        "data.weight_column=w",
        "data.group_column=g",
        "data.separator='|'",
        "data.letters=HEC",
        "data.ignored=U",
        "head.hidden=1",
        "head.embedding=1",
        "tuning.encoder=top",
        "tuning.top_layers=1",
        "schedule.steps=9",
        "masking.most=1",
        "run.patience=1",
        "run.minutes=1",
        "checkpoint.every_steps=1",
    ];
    let mut config = read_sets(&sets).unwrap();
    config.model.config = Some("c".into());
    config.tuning.adapter = Some("a".into());
    config.schedule.cycle_steps = Some(1);
    (config.run.epoch_examples, config.run.metric) = (Some(1), Some("mcc".into()));
    (config.run.plugin, config.run.plugin_set) = (Some("p".into()), vec!["a=1".into()]);
    config.run.plugin_limits = vec!["memory=1".into()];
    let mut fields: Vec<String> = Vec::new();
    for (section, members) in &Table::try_from(&config).unwrap() {
        fields.extend(members.as_table().unwrap().keys().map(|name| format!("{section}.{name}")));
    }
    let mut keys: Vec<&str> = FINETUNE.all.iter().map(|key| key.path).collect();
    keys.sort_unstable();
    fields.sort_unstable();
    assert_eq!(fields, keys);
}

//! `pliant model …`.

use std::fs;
use std::path::Path;

use crate::snapshot::{check, told};
use crate::tool::{CONFIG, Run, Scratch, model};

fn new(scratch: &Scratch, seed: &str, out: &str) -> String {
    let ended = scratch.run(&["model", "new", "--config", CONFIG, "--seed", seed, "--out", out]).go().code(0);
    assert_eq!(ended.stderr, "");
    ended.text().strip_prefix("identity: ").unwrap().trim_end().to_owned()
}

#[test]
fn a_seed_is_a_model() {
    let scratch = Scratch::new();
    let (one, again, other) =
        (new(&scratch, "1", "one"), new(&scratch, "1", "again"), new(&scratch, "2", "other"));
    assert_eq!(one.len(), 64);
    assert_eq!(one, again);
    assert_ne!(one, other);
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        let read = |folder: &str| fs::read(scratch.path(folder).join(name)).unwrap();
        assert!(read("one") == read("again"), "{name}");
    }
}

#[test]
fn inspect_tells_what_a_folder_holds() {
    let ended = Run::new(&["model", "inspect", model()]).go().code(0);
    check("model_inspect", &told(&ended));
    let said = Run::new(&["model", "inspect", model(), "--json"]).go().code(0).json();
    assert_eq!((&said["layers"], &said["width"]), (&2.into(), &32.into()));
    assert_eq!(said["config"]["hidden_size"], 32);
    assert_eq!(said["vocabulary"], "esm2-33/1");
    assert_eq!(said["tensors"]["missing"], serde_json::json!([]));
}

#[test]
fn verify_reads_every_byte() {
    let scratch = Scratch::new();
    let identity = new(&scratch, "5", "m");
    let verify = || scratch.run(&["model", "verify", "m"]).go();
    assert_eq!(verify().code(0).text(), format!("identity: {identity}\n"));
    let path = scratch.path("m/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_ne!(verify().code(0).text(), format!("identity: {identity}\n"), "a flipped bit is another model");
    bytes.pop();
    fs::write(&path, &bytes).unwrap();
    assert!(verify().code(65).stderr.contains("truncated"));
}

#[test]
fn embed_names_the_model_that_verify_names() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n");
    scratch.embed(&[]).code(0);
    let verified = Run::new(&["model", "verify", model()]).go().code(0).text();
    let said = scratch.npz("out.npz").metadata.unwrap();
    assert_eq!(verified, format!("identity: {}\n", said.get("model").unwrap().as_str().unwrap()));
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("full")).unwrap();
    scratch.write("full/mine.txt", "mine");
    let words = ["model", "new", "--config", CONFIG, "--seed", "1", "--out", "full"];
    let ended = scratch.run(&words).go().code(74);
    assert!(ended.stderr.contains("full exists and is not empty"), "{}", ended.stderr);
    assert_eq!(scratch.text("full/mine.txt"), "mine");
    assert_eq!(fs::read_dir(scratch.path("full")).unwrap().count(), 1);
}

#[test]
fn configurations_that_no_model_can_have_are_refused() {
    let text = fs::read_to_string(Path::new(CONFIG)).unwrap();
    for (from, to, words) in [
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"relu\"", "\"hidden_act\" is \"relu\""),
        ("\"num_attention_heads\": 2", "\"num_attention_heads\": 5", "num_attention_heads"),
        ("{", "", "is no JSON"),
    ] {
        let scratch = Scratch::new();
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        scratch.write("config.json", changed);
        let words_typed = ["model", "new", "--config", "config.json", "--seed", "1", "--out", "m"];
        let ended = scratch.run(&words_typed).go().code(65);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(scratch.names(), ["config.json"]);
    }
}

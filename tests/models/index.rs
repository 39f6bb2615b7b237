//! Which files of a folder are the weights, and shards that do not fit their index.

use std::fs;
use std::path::Path;

use pliant_models::verify;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Tensors, chain, contents, small, write_tensors};

const INDEX: &str = "model.safetensors.index.json";

/// The tensors in two shards with their index, changed by `change`.
fn sharded(config: &str, tensors: &Tensors, change: impl Fn(&mut Value)) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    let mut shards = [Tensors::new(), Tensors::new()];
    let mut map = serde_json::Map::new();
    for (at, (name, stored)) in tensors.iter().enumerate() {
        shards[at % 2].insert(name.clone(), stored.clone());
        map.insert(name.clone(), shard(at % 2).into());
    }
    for (at, tensors) in shards.iter().enumerate() {
        write_tensors(&folder.path().join(shard(at)), tensors);
    }
    let mut index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    change(&mut index);
    fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
    folder
}

fn shard(number: usize) -> String {
    format!("model-0000{}-of-00002.safetensors", number + 1)
}

fn error(folder: &Path) -> String {
    chain(&verify(folder).unwrap_err())
}

#[test]
fn shards_are_read_as_one_model() {
    let whole = small(3);
    let (config, tensors) = contents(whole.path());
    let folder = sharded(&config, &tensors, |_| {});
    assert_eq!(verify(folder.path()).unwrap().0, verify(whole.path()).unwrap().0);
}

#[test]
fn shards_stay_in_their_folder() {
    let (config, tensors) = contents(small(3).path());
    let name = "lm_head.bias";
    for shard in [
        "../x.safetensors",
        "/tmp/x.safetensors",
        "a/x.safetensors",
        "..",
        "",
        ".",
        "a\\x.safetensors",
        "x.bin",
    ] {
        let folder = sharded(&config, &tensors, |index| index["weight_map"][name] = shard.into());
        let text = error(folder.path());
        assert!(text.contains(INDEX) && text.contains("names the shard"), "{shard}: {text}");
    }
}

#[test]
fn index_and_shards_must_agree() {
    let (config, tensors) = contents(small(3).path());
    let name = "lm_head.bias";
    let folder = sharded(&config, &tensors, |index| index["weight_map"][name] = shard(0).into());
    let wrong = error(folder.path());
    assert!(wrong.contains(&shard(0)) && wrong.contains(&shard(1)) && wrong.contains(name), "{wrong}");
    let folder = sharded(&config, &tensors, |index| {
        index["weight_map"].as_object_mut().unwrap().remove(name);
    });
    assert!(error(folder.path()).contains("in \"no shard\""), "{}", error(folder.path()));
    let folder = sharded(&config, &tensors, |index| index["weight_map"]["x.weight"] = shard(0).into());
    assert!(error(folder.path()).contains("it is not there"), "{}", error(folder.path()));
    let folder = sharded(&config, &tensors, |_| {});
    fs::remove_file(folder.path().join(shard(1))).unwrap();
    assert!(error(folder.path()).contains(&shard(1)));
    let folder = sharded(&config, &tensors, |_| {});
    write_tensors(&folder.path().join(shard(1)), &tensors);
    assert!(error(folder.path()).contains("says tensor"), "{}", error(folder.path()));
}

#[test]
fn an_index_that_is_none() {
    let (config, tensors) = contents(small(3).path());
    let folder = sharded(&config, &tensors, |_| {});
    let path = folder.path().join(INDEX);
    let twice = format!(r#"{{"weight_map": {{"a": "{0}", "a": "{0}"}}}}"#, shard(0));
    for text in ["", "{", "[]", "{}", r#"{"weight_map": []}"#, r#"{"weight_map": {"a": 1}}"#, &twice] {
        fs::write(&path, text).unwrap();
        assert!(error(folder.path()).contains(INDEX), "{text}: {}", error(folder.path()));
    }
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(error(folder.path()).contains("is no UTF-8 text"));
}

#[test]
fn weights_of_another_name_are_found_when_they_are_the_only_ones() {
    let folder = small(3);
    let identity = verify(folder.path()).unwrap().0;
    let at = |name: &str| folder.path().join(name);
    fs::rename(at("model.safetensors"), at("weights.f32.safetensors")).unwrap();
    assert_eq!(verify(folder.path()).unwrap().0, identity);
    fs::copy(at("weights.f32.safetensors"), at("other.safetensors")).unwrap();
    let text = error(folder.path());
    assert!(text.contains("other.safetensors, weights.f32.safetensors"), "{text}");
}

#[test]
fn a_folder_without_weights_says_what_it_has() {
    let folder = small(3);
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(error(folder.path()).contains("has no model.safetensors"));
    fs::write(folder.path().join("tf_model.h5"), "").unwrap();
    assert!(error(folder.path()).contains("only tf_model.h5: wanted model.safetensors or pytorch_model.bin"));
    fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
    assert!(error(folder.path()).contains("pytorch_model.bin: is no file of PyTorch"));
    fs::remove_file(folder.path().join("pytorch_model.bin")).unwrap();
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(error(folder.path()).contains("has no config.json"));
    let file = folder.path().join("vocab.txt");
    assert!(error(&file).contains("vocab.txt: is no file of PyTorch"));
    assert!(error(&folder.path().join("nowhere")).contains("cannot open"));
}

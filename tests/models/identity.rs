//! One model has one identity however its weights are stored, and another model has another.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_models::{About, Purpose, inspect, verify};
use safetensors::Dtype;
use serde_json::json;

use crate::common::{Stored, Tensors, chain, changed, contents, folder, loaded, small, states};

const DECODER: &str = "lm_head.decoder.weight";

/// How transformers 4 writes the small model: rotary frequencies in every layer, an unused table, positions.
fn version_4() -> (String, Tensors) {
    let (config, mut tensors) = contents(small(5).path());
    let table = Stored::f32(&[1026, 16], &[0.5; 1026 * 16]);
    tensors.insert("esm.embeddings.position_embeddings.weight".to_owned(), table);
    let positions = Stored { dtype: Dtype::I64, shape: vec![1, 2], bytes: vec![0; 16] };
    tensors.insert("esm.embeddings.position_ids".to_owned(), positions);
    (hugging_face(&config), tensors)
}

/// The config without the keys of Pliant's own folders.
fn hugging_face(config: &str) -> String {
    let own = json!({"format": null, "family": null, "vocabulary": null, "rope_inv_freq": null});
    changed(config, own)
}

/// How transformers 5 writes it: gamma and beta in the norms of a layer, one table of frequencies for all.
fn version_5(tensors: &Tensors) -> Tensors {
    let mut written = Tensors::new();
    for (name, stored) in tensors.iter().filter(|(name, _)| !name.contains("position_")) {
        let name = match name.split_once(".LayerNorm.") {
            Some((place, "weight")) => format!("{place}.LayerNorm.gamma"),
            Some((place, _)) => format!("{place}.LayerNorm.beta"),
            None => name.clone(),
        };
        let name = name.replace("layer.0.attention.self.rotary", "layer.*.attention.self.rotary");
        if !name.contains("layer.1.attention.self.rotary") {
            written.insert(name, stored.clone());
        }
    }
    written
}

/// How a bare `EsmModel` is written: no prefix, an untrained pooler.
fn bare(tensors: &Tensors) -> Tensors {
    let stripped = |(name, stored): (&String, &Stored)| {
        (name.strip_prefix("esm.").unwrap_or(name).to_owned(), stored.clone())
    };
    let mut written: Tensors = tensors.iter().map(stripped).collect();
    written.insert("pooler.dense.weight".to_owned(), Stored::f32(&[16, 16], &[1.0; 256]));
    written
}

fn identity(config: &str, tensors: &Tensors) -> String {
    verify(folder(config, tensors).path()).unwrap_or_else(|error| panic!("{}", chain(&error))).0
}

/// The states of a few tokens, as bits.
fn bits(folder: &Path) -> Vec<u32> {
    let device = Device::cpu(1).unwrap();
    let loaded = loaded(folder, &device, Precision::F32, Purpose::Inference);
    let states = states(&loaded.model, (&device, Precision::F32), &[vec![0, 5, 32, 4, 20, 2]], &[2]);
    states[0].iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_spelling_is_one_model() {
    let (config, version_4) = version_4();
    let mut without_head = version_4.clone();
    without_head.retain(|name, _| !name.starts_with("lm_head."));
    let first = folder(&config, &without_head);
    let wanted = (verify(first.path()).unwrap().0, bits(first.path()));
    let mut in_memory = version_5(&without_head);
    let shared = in_memory.remove("esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq").unwrap();
    in_memory.insert("esm.rotary_embeddings.inv_freq".to_owned(), shared);
    let spellings = [
        ("transformers 5", version_5(&without_head)),
        ("transformers 5 in memory", in_memory.clone()),
        ("bare, transformers 4", bare(&without_head)),
        ("bare, transformers 5", bare(&version_5(&without_head))),
        ("bare, in memory", bare(&in_memory)),
    ];
    for (spelling, tensors) in spellings {
        let folder = folder(&config, &tensors);
        assert_eq!((verify(folder.path()).unwrap().0, bits(folder.path())), wanted, "{spelling}");
    }
}

#[test]
fn format_keys_and_extra_keys_do_not_matter() {
    let own = small(5);
    let (config, tensors) = version_4();
    let wanted = verify(own.path()).unwrap().0;
    assert_eq!(identity(&config, &tensors), wanted);
    let more = changed(&config, json!({"torch_dtype": "float16", "max_position_embeddings": 514, "_x": [1]}));
    assert_eq!(identity(&more, &tensors), wanted);
    let spelled = config.replace("0.00001", "1.0e-05");
    assert_ne!(spelled, config);
    assert_eq!(identity(&spelled, &tensors), wanted);
    assert_eq!(
        loaded(own.path(), &Device::cpu(1).unwrap(), Precision::Bf16, Purpose::Training).identity,
        wanted
    );
}

/// The order of the data in a file is no part of the model.
#[test]
fn order_does_not_matter() {
    let (config, tensors) = contents(small(5).path());
    let folder = folder(&config, &tensors);
    let wanted = verify(folder.path()).unwrap().0;
    let (mut header, mut data) = (BTreeMap::new(), Vec::<u8>::new());
    for (name, stored) in tensors.iter().rev() {
        let begin = data.len();
        data.extend(&stored.bytes);
        let offsets = [begin, data.len()];
        header.insert(name, json!({"dtype": "F32", "shape": stored.shape, "data_offsets": offsets}));
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    assert_eq!(verify(folder.path()).unwrap().0, wanted);
}

#[test]
fn one_bit_of_any_tensor_is_another_model() {
    let (config, tensors) = contents(small(5).path());
    let mut seen = vec![identity(&config, &tensors)];
    for name in tensors.keys() {
        let mut other = tensors.clone();
        other.get_mut(name).unwrap().bytes[0] ^= 1;
        let identity = identity(&config, &other);
        assert!(!seen.contains(&identity), "{name}");
        seen.push(identity);
    }
}

#[test]
fn what_changes_numbers_is_another_model() {
    let (config, tensors) = version_4();
    let mut seen = vec![identity(&config, &tensors)];
    let mut differs = |what: &str, config: &str, tensors: &Tensors| {
        let identity = identity(config, tensors);
        assert!(!seen.contains(&identity), "{what}");
        seen.push(identity);
    };
    differs("dropout", &changed(&config, json!({"token_dropout": false})), &tensors);
    differs("epsilon", &changed(&config, json!({"layer_norm_eps": 1e-6})), &tensors);
    let mut other = tensors.clone();
    other.retain(|name, _| !name.starts_with("lm_head."));
    differs("no head", &config, &other);
    let mut other = tensors.clone();
    other.retain(|name, _| !name.ends_with("inv_freq"));
    differs("exact frequencies", &config, &other);
    differs("f16 frequencies", &changed(&config, json!({"rope_inv_freq": "f16"})), &other);
    let mut other = tensors.clone();
    let norm = other.get_mut("esm.encoder.emb_layer_norm_after.weight").unwrap();
    let ones = [0x3c00u16; 16];
    *norm = Stored {
        dtype: Dtype::F16,
        shape: vec![16],
        bytes: ones.iter().flat_map(|one| one.to_le_bytes()).collect(),
    };
    differs("stored dtype", &config, &other);
    let mut other = tensors.clone();
    other.insert("esm.contact_head.regression.weight".to_owned(), Stored::f32(&[1, 4], &[0.1; 4]));
    other.insert("esm.contact_head.regression.bias".to_owned(), Stored::f32(&[1], &[0.1]));
    differs("contact head", &config, &other);
}

/// Layers may have frequencies of their own; then each uses its own.
#[test]
fn frequencies_of_one_layer_are_its_own() {
    let (config, tensors) = version_4();
    let mut other = tensors.clone();
    let name = "esm.encoder.layer.1.attention.self.rotary_embeddings.inv_freq";
    other.insert(name.to_owned(), Stored::f32(&[4], &[1.0, 0.3, 0.2, 0.1]));
    assert_ne!(identity(&config, &other), identity(&config, &tensors));
    assert_ne!(bits(folder(&config, &other).path()), bits(folder(&config, &tensors).path()));
    other.remove(name);
    let error = chain(&verify(folder(&config, &other).path()).unwrap_err());
    assert!(error.contains("missing") && error.contains(name), "{error}");
}

#[test]
fn a_tied_decoder_counts_once_and_must_be_the_embedding() {
    let (config, tensors) = version_4();
    let mut both = tensors.clone();
    both.insert(DECODER.to_owned(), tensors["esm.embeddings.word_embeddings.weight"].clone());
    assert_eq!(identity(&config, &both), identity(&config, &tensors));
    both.get_mut(DECODER).unwrap().bytes[0] ^= 1;
    let folder_of_two = folder(&config, &both);
    let error = chain(&verify(folder_of_two.path()).unwrap_err());
    assert!(error.contains(DECODER) && error.contains("tie_word_embeddings"), "{error}");
    let untied = changed(&config, json!({"tie_word_embeddings": false}));
    assert_ne!(identity(&untied, &both), identity(&config, &tensors));
    let parameters = |config: &str| inspect(folder(config, &both).path()).unwrap().parameters;
    assert_eq!(parameters(&untied), parameters(&config) + 33 * 16);
}

#[test]
fn names_are_used_missing_unexpected_or_ignored() {
    let (config, mut tensors) = version_4();
    let folder_of_all = folder(&config, &tensors);
    let About { report, dtype, .. } = inspect(folder_of_all.path()).unwrap();
    assert_eq!((report.missing.len(), report.unexpected.len(), dtype.as_str()), (0, 0, "F32"));
    assert_eq!(report.used.len(), tensors.len() - 2);
    let ignored = ["esm.embeddings.position_embeddings.weight", "esm.embeddings.position_ids"];
    assert_eq!(report.ignored, ignored);
    tensors.remove("lm_head.layer_norm.bias").unwrap();
    tensors.remove("esm.encoder.layer.0.output.dense.bias").unwrap();
    tensors.insert("esm.encoder.layer.0.adapter.weight".to_owned(), Stored::f32(&[1], &[0.0]));
    let folder = folder(&config, &tensors);
    let report = inspect(folder.path()).unwrap().report;
    assert_eq!(report.missing, ["esm.encoder.layer.0.output.dense.bias", "lm_head.layer_norm.bias"]);
    assert_eq!(report.unexpected, ["esm.encoder.layer.0.adapter.weight"]);
    let error = chain(&verify(folder.path()).unwrap_err());
    for name in report.missing.iter().chain(&report.unexpected) {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn two_spellings_of_one_parameter_are_refused() {
    let (config, mut tensors) = version_4();
    let norm = tensors["esm.encoder.layer.0.LayerNorm.weight"].clone();
    tensors.insert("esm.encoder.layer.0.LayerNorm.gamma".to_owned(), norm);
    let error = chain(&verify(folder(&config, &tensors).path()).unwrap_err());
    assert!(
        error.contains("two spellings of one parameter") && error.contains("model.safetensors"),
        "{error}"
    );
}

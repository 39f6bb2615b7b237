//! New models: a function of config and seed, in the form that everything else reads.

use std::fs;

use pliant_kernels::{Device, Precision};
use pliant_models::{Loaded, Model, ModelError, Purpose, inspect, load, verify};
use pliant_tensor::Tape;
use serde_json::{Value, json};

use crate::common::{SMALL, changed, contents, device, loaded, new, pack, small, states};

/// Parameters of the small model: table, blocks, last norm, head with its dense layer, norm and bias.
const PARAMETERS: u64 = {
    let (width, inner) = (16, 24);
    let block = 4 * (width * width + width) + 2 * width * inner + inner + width + 4 * width;
    33 * width + 2 * block + 2 * width + width * width + width + 2 * width + 33
};

#[test]
fn config_and_seed_are_the_model() {
    let (one, same, other) = (small(7), small(7), small(8));
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        let bytes = |folder: &tempfile::TempDir| fs::read(folder.path().join(name)).unwrap();
        assert_eq!(bytes(&one), bytes(&same), "{name}");
    }
    assert_ne!(verify(one.path()).unwrap().0, verify(other.path()).unwrap().0);
    assert_eq!(fs::read_dir(one.path()).unwrap().count(), 3);
    let config: Value = serde_json::from_str(&contents(one.path()).0).unwrap();
    assert_eq!(config["format"], "pliant-model-1");
    assert_eq!(config["family"], "esm2");
    assert_eq!(config["rope_inv_freq"], "stored");
    assert_eq!(config["model_type"], "esm");
    assert_eq!(config["hidden_size"], 16);
}

#[test]
fn it_holds_what_its_config_says() {
    let folder = small(7);
    let about = inspect(folder.path()).unwrap();
    assert_eq!((about.parameters, about.stored_bytes), (PARAMETERS, 4 * PARAMETERS));
    assert_eq!((about.layers, about.width, about.training_length), (2, 16, Some(1022)));
    assert_eq!((about.family, about.vocabulary, about.dtype.as_str()), ("esm2", "esm2-33/1", "F32"));
    assert_eq!(about.vocab_txt.as_deref(), Some("<cls>\n<pad>\n"));
    assert!(about.report.missing.is_empty() && about.report.unexpected.is_empty());
    let (_, tensors) = contents(folder.path());
    let table = tensors["esm.embeddings.word_embeddings.weight"].values();
    assert_eq!(table[16..32], [0.0; 16], "padding");
    assert!(tensors["esm.encoder.layer.0.LayerNorm.weight"].values().iter().all(|&one| one == 1.0));
    assert!(tensors["lm_head.bias"].values().iter().all(|&zero| zero == 0.0));
    assert!(!tensors.contains_key("lm_head.decoder.weight"));
}

#[test]
fn other_parts_are_written_when_the_config_asks_for_them() {
    for rope in ["exact", "f16", "stored"] {
        let folder = new(&changed(SMALL, json!({"rope_inv_freq": rope})), 7).unwrap();
        let (_, tensors) = contents(folder.path());
        let stored = tensors.keys().filter(|name| name.ends_with("inv_freq")).count();
        assert_eq!(stored, if rope == "stored" { 2 } else { 0 });
        verify(folder.path()).unwrap();
    }
    let folder = new(&changed(SMALL, json!({"tie_word_embeddings": false})), 7).unwrap();
    assert!(contents(folder.path()).1.contains_key("lm_head.decoder.weight"));
    assert_eq!(inspect(folder.path()).unwrap().parameters, PARAMETERS + 33 * 16);
}

#[test]
fn nothing_is_overwritten() {
    let folder = small(7);
    let before = contents(folder.path());
    let (config, config_path, out) = (SMALL, std::path::Path::new("given.json"), folder.path());
    let new = pliant_models::NewModel { config, config_path, seed: 9, vocabulary: "", out };
    assert!(matches!(pliant_models::new_folder(&new), Err(ModelError::NotEmpty { .. })));
    assert_eq!(contents(folder.path()), before);
}

/// Layers come in the order asked for, whichever that is, with the bits that they have alone.
#[test]
fn layers_come_as_they_are_asked_for() {
    let folder = small(7);
    let device = device();
    let model = loaded(folder.path(), &device, Precision::F32, Purpose::Inference).model;
    let (run, ids) = ((&device, Precision::F32), [vec![0, 4, 5, 6, 32, 2], vec![0, 9, 2]]);
    let all = states(&model, run, &ids, &[2, 0, 1, 2]);
    for (at, layer) in [2, 0, 1, 2].into_iter().enumerate() {
        assert_eq!(states(&model, run, &ids, &[layer])[0], all[at], "layer {layer}");
    }
    assert!(states(&model, run, &ids, &[]).is_empty());
    let tape = Tape::off(&device, Precision::F32);
    let (packed, offsets) = pack(&device, &ids);
    let error = model.encode(&tape, &packed, &offsets, &[3]).unwrap_err();
    assert!(
        error.to_string().contains("layer 3 was asked for, the model gives the states of layers 0 to 2"),
        "{error}"
    );
    let (strange, offsets) = pack(&device, &[vec![0, 33, 2]]);
    assert!(matches!(model.encode(&tape, &strange, &offsets, &[2]), Err(ModelError::Tensor(_))));
}

/// Frozen and trainable weights give the same states, and only trainable ones get gradients.
#[test]
fn training_and_inference_compute_the_same() {
    let folder = small(7);
    let device = Device::cpu(1).unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        let frozen = loaded(folder.path(), &device, precision, Purpose::Inference);
        let trained = loaded(folder.path(), &device, precision, Purpose::Training);
        let run = |model: &Model| states(model, (&device, precision), &[vec![0, 4, 5, 6, 32, 2]], &[0, 1, 2]);
        assert_eq!(run(&frozen.model), run(&trained.model));
        assert!(frozen.model.params().iter().all(|param| !param.is_trainable()));
        assert!(trained.model.params().iter().all(|param| param.is_trainable()));
        let parameters: usize = trained.model.params().iter().map(|param| param.len()).sum();
        assert_eq!(parameters as u64, PARAMETERS);
        assert!(frozen.model.bytes() > 0 && frozen.model.memory_per_token(precision) > 0);
    }
}

/// The head's logits of a checkpoint without one are an error, not zeros.
#[test]
fn no_head_no_logits() {
    let (config, mut tensors) = contents(small(7).path());
    tensors.retain(|name, _| !name.starts_with("lm_head."));
    let folder = crate::common::folder(&config, &tensors);
    let device = Device::cpu(1).unwrap();
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    let tape = Tape::off(&device, Precision::F32);
    let (ids, offsets) = pack(&device, &[vec![0, 4, 2]]);
    let hidden = loaded.model.encode(&tape, &ids, &offsets, &[2]).unwrap();
    assert!(matches!(loaded.model.lm_logits(&tape, &hidden[0]), Err(ModelError::NoHead)));
}

/// A model in memory, for training.
fn created(config: &str, seed: u64, device: &Device) -> Loaded {
    let run = (device, Precision::F32);
    pliant_models::create(config, std::path::Path::new("given.json"), seed, run, Purpose::Training).unwrap()
}

/// What is made in memory is what is made as a folder, and saving it makes that folder.
#[test]
fn a_model_in_memory_is_the_one_of_the_folder() {
    let device = Device::cpu(1).unwrap();
    for change in [json!({}), json!({"rope_inv_freq": "exact"}), json!({"tie_word_embeddings": false})] {
        let config = changed(SMALL, change);
        let folder = new(&config, 7).unwrap();
        let made = created(&config, 7, &device);
        assert_eq!(made.identity, verify(folder.path()).unwrap().0);
        assert_eq!(
            (made.about.parameters, made.about.layers),
            (inspect(folder.path()).unwrap().parameters, 2)
        );
        let scratch = tempfile::TempDir::new().unwrap();
        let out = scratch.path().join("model");
        made.save("<cls>\n<pad>\n", &out).unwrap();
        made.save_into("<cls>\n<pad>\n", scratch.path()).unwrap();
        for name in ["config.json", "model.safetensors", "vocab.txt"] {
            let wanted = fs::read(folder.path().join(name)).unwrap();
            assert_eq!(fs::read(out.join(name)).unwrap(), wanted, "{name}");
            assert_eq!(fs::read(scratch.path().join(name)).unwrap(), wanted, "{name}");
        }
        assert!(matches!(made.save("", &out), Err(ModelError::NotEmpty { .. })));
    }
}

/// What was trained is saved as it is, weights are restored into a model of the same config alone.
#[test]
fn weights_are_saved_as_they_are_and_restored() {
    let device = Device::cpu(1).unwrap();
    let (one, other) = (created(SMALL, 7, &device), created(SMALL, 8, &device));
    let scratch = tempfile::TempDir::new().unwrap();
    let path = scratch.path().join("weights.safetensors");
    let param = &one.model.params()[3];
    param.set_values(&vec![0.25; param.len()]).unwrap();
    one.save_weights(&path).unwrap();
    other.restore_weights(&path).unwrap();
    let run =
        |model: &Model| states(model, (&device, Precision::F32), &[vec![0, 4, 5, 6, 32, 2]], &[0, 1, 2]);
    assert_eq!(run(&one.model), run(&other.model));
    let out = scratch.path().join("model");
    one.save("", &out).unwrap();
    let again = load(&out, &device, Precision::F32, Purpose::Inference).unwrap();
    assert_eq!(run(&one.model), run(&again.model));
    assert_ne!(again.identity, one.identity);
    let untied = created(&changed(SMALL, json!({"tie_word_embeddings": false})), 7, &device);
    let error = crate::common::chain(&untied.restore_weights(&path).unwrap_err());
    assert!(error.contains("no tensor \"lm_head.decoder.weight\""), "{error}");
    // A checkpoint with a contact head keeps it, although nothing trains it.
    let mut tensors = contents(&out).1;
    tensors.insert(
        "esm.contact_head.regression.weight".to_owned(),
        crate::common::Stored::f32(&[1, 4], &[0.1; 4]),
    );
    tensors.insert("esm.contact_head.regression.bias".to_owned(), crate::common::Stored::f32(&[1], &[0.1]));
    let with_head = crate::common::folder(&contents(&out).0, &tensors);
    let loaded = loaded(with_head.path(), &device, Precision::F32, Purpose::Training);
    let copy = scratch.path().join("copy");
    loaded.save("", &copy).unwrap();
    assert_eq!(verify(&copy).unwrap().0, loaded.identity);
}

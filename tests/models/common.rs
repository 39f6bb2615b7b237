//! Folders of models, files of expected numbers, and how far two lists of numbers are apart.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use pliant_kernels::{Device, Precision};
use pliant_models::{Esm2, LcPlm, Loaded, Model, Purpose, load};
use pliant_tensor::{Ids, Offsets, Tape};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use tempfile::TempDir;

/// The folder of outside data, where the environment names one. Without it the proofs against other
/// programs' numbers do not run, and say so past the test harness, which swallows what passing tests print.
pub(crate) fn outside_data(proof: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PLIANT_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        let text = format!("SKIPPED {proof}: PLIANT_TEST_DATA names no folder with reference data\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    folder
}

/// One tensor as bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    pub(crate) fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn values(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    pub(crate) fn integers(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        self.bytes.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }
}

/// Tensors by name, read and written by the safetensors library and not by the code under test.
pub(crate) type Tensors = BTreeMap<String, Stored>;

pub(crate) fn read_tensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |view: TensorView<'_>| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    file.iter().map(|(name, view)| (name.to_owned(), stored(view))).collect()
}

pub(crate) fn write_tensors(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, stored)| {
        (name, TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes).unwrap())
    });
    serialize_to_file(views, None, path).unwrap();
}

/// A model folder that lives as long as the value.
pub(crate) fn folder(config: &str, tensors: &Tensors) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    write_tensors(&folder.path().join("model.safetensors"), tensors);
    folder
}

/// A config with some keys changed; `null` takes a key out.
pub(crate) fn changed(config: &str, changes: serde_json::Value) -> String {
    let mut config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(config).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            config.remove(key);
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    serde_json::to_string(&config).unwrap()
}

/// A small model with a head, two layers of width 16, as a config for new models.
pub(crate) const SMALL: &str = r#"{"model_type": "esm", "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 24, "layer_norm_eps": 1e-5, "token_dropout": true,
    "vocab_size": 33, "position_embedding_type": "rotary", "initializer_range": 0.3,
    "rope_inv_freq": "stored"}"#;

/// A small LC-PLM: 40 rows for 33 tokens, two layers of width 24.
pub(crate) const SMALL_LC_PLM: &str = r#"{"model_type": "lc_plm", "d_model": 24, "n_layer": 2, "vocab_size": 33,
    "pad_vocab_size_multiple": 8, "norm_epsilon": 1e-5, "ssm_cfg": {"d_state": 5},
    "initializer_cfg": {"initializer_range": 0.3}}"#;

pub(crate) fn device() -> Device {
    Device::cpu(2).unwrap()
}

pub(crate) fn loaded(folder: &Path, device: &Device, precision: Precision, purpose: Purpose) -> Loaded {
    load(folder, device, precision, purpose).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

pub(crate) fn esm2(loaded: &Loaded) -> &Esm2 {
    let Model::Esm2(model) = &loaded.model else { panic!("{}", loaded.about.family) };
    model
}

pub(crate) fn lc_plm(loaded: &Loaded) -> &LcPlm {
    let Model::LcPlm(model) = &loaded.model else { panic!("{}", loaded.about.family) };
    model
}

/// An error and its causes in one line, as the program shows it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Sequences of tokens laid end to end.
pub(crate) fn pack(device: &Device, sequences: &[Vec<u32>]) -> (Ids, Offsets) {
    let ids: Vec<u32> = sequences.concat();
    let mut offsets = vec![0];
    offsets.extend(sequences.iter().scan(0, |end, ids| {
        *end += ids.len();
        Some(*end)
    }));
    (Ids::new(device, &ids), Offsets::new(&offsets).unwrap())
}

/// States of the layers asked for, of one pack without a tape.
pub(crate) fn states(
    model: &Model,
    (device, precision): (&Device, Precision),
    sequences: &[Vec<u32>],
    layers: &[usize],
) -> Vec<Vec<f32>> {
    let tape = Tape::off(device, precision);
    let (ids, offsets) = pack(device, sequences);
    let states = model.encode(&tape, &ids, &offsets, layers).unwrap();
    states.iter().map(pliant_tensor::Tensor::to_vec_f32).collect()
}

/// Largest distance of two lists in units of the tolerance `1e-4 + 1e-5·|wanted|`, the one that the numbers
/// of two programs in f32 keep over six layers; above 1 they differ.
pub(crate) fn distance(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let units = found.iter().zip(wanted).map(|(&found, &wanted)| {
        let (found, wanted) = (f64::from(found), f64::from(wanted));
        (found - wanted).abs() / (1e-4 + 1e-5 * wanted.abs())
    });
    units.fold(0.0, |worst, unit| if unit.is_nan() { f64::INFINITY } else { worst.max(unit) })
}

/// Asserts that two lists agree, and that the assertion would not pass everything: one number moved by
/// ten times the tolerance is refused.
pub(crate) fn assert_close(what: &str, found: &[f32], wanted: &[f32]) -> f64 {
    let far = distance(found, wanted);
    assert!(far <= 1.0, "{what}: {far:.2} tolerances apart");
    let mut moved = wanted.to_vec();
    moved[wanted.len() / 2] += 10.0 * (1e-4 + 1e-5 * moved[wanted.len() / 2].abs());
    assert!(distance(found, &moved) > 1.0, "{what}: the tolerance does not bite");
    far
}

/// `‖found − wanted‖ / ‖wanted‖`
pub(crate) fn relative(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(wanted).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    apart / norm(&mut wanted.iter().map(|&value| f64::from(value)))
}

/// A folder with the model of [`SMALL`], made from a seed.
pub(crate) fn small(seed: u64) -> TempDir {
    new(SMALL, seed).unwrap()
}

/// A folder with a new model.
pub(crate) fn new(config: &str, seed: u64) -> Result<TempDir, pliant_models::ModelError> {
    let folder = TempDir::new().unwrap();
    let (config_path, out) = (Path::new("given.json"), folder.path());
    let vocabulary = "<cls>\n<pad>\n";
    pliant_models::new_folder(&pliant_models::NewModel { config, config_path, seed, vocabulary, out })?;
    Ok(folder)
}

/// The config and the tensors of a folder.
pub(crate) fn contents(folder: &Path) -> (String, Tensors) {
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    (config, read_tensors(&folder.join("model.safetensors")))
}

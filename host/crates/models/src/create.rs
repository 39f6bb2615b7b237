//! A new model with random weights.

use std::fs;
use std::path::{Path, PathBuf};

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Weights, write_safetensors};
use serde_json::{Map, Value, json};

use crate::config::Fields;
use crate::error::ModelError;
use crate::esm2::{Config, Esm2, Parts};
use crate::import::FORMAT;

/// What a new model is made of.
#[derive(Debug, Clone, Copy)]
pub struct NewModel<'a> {
    /// Text of a config, named `config_path` in errors.
    pub config: &'a str,
    /// Where that text comes from.
    pub config_path: &'a Path,
    /// Every weight is a function of this and of its name.
    pub seed: u64,
    /// Text of `vocab.txt`: one token a line.
    pub vocabulary: &'a str,
    /// Folder to be made; it may exist when it is empty.
    pub out: &'a Path,
}

/// Writes a model folder with random weights (f32), published names, and the config completed by what
/// makes it one of Pliant's. The config is written last: without it a folder is no model, so a half-written
/// one is never taken for whole.
///
/// # Errors
/// [`ModelError`] naming the config's key that does not fit, or the file that could not be written.
pub fn new_folder(new: &NewModel<'_>) -> Result<(), ModelError> {
    let fields = Fields::parse(new.config_path, new.config)?;
    if fields.get("format").is_some() {
        crate::import::check_family(&fields)?;
    } else if fields.get("model_type").is_some() {
        fields.must_be("model_type", "esm", "esm")?;
    }
    let config = Config::read(&fields)?;
    let parts = Parts::new(&config);
    let device = Device::cpu(1)?;
    let plan = Weights::random(new.seed, &device, Precision::F32);
    Esm2::new(&config, parts, &plan)?;
    make_folder(new.out)?;
    write_safetensors(&new.out.join("model.safetensors"), &plan.planned(), new.seed)?;
    write(&new.out.join("vocab.txt"), new.vocabulary)?;
    let mut text = format!("{:#}", Value::Object(complete(fields.members(), parts)));
    text.push('\n');
    let (partial, path) = (new.out.join(".config.json.partial"), new.out.join(CONFIG));
    write(&partial, &text)?;
    fs::rename(&partial, &path).map_err(|source| ModelError::Io { action: "write", path, source })
}

/// The config given, with the keys that name format, family and frequencies, and those by which
/// transformers knows the family.
fn complete(given: &Map<String, Value>, parts: Parts) -> Map<String, Value> {
    let mut members = given.clone();
    for (key, value) in [
        ("format", json!(FORMAT)),
        ("family", json!(crate::FAMILY)),
        ("vocabulary", json!(crate::VOCABULARY)),
        ("rope_inv_freq", json!(parts.rope_inv_freq.name())),
        ("model_type", json!("esm")),
        ("architectures", json!(["EsmForMaskedLM"])),
    ] {
        members.insert(key.to_owned(), value);
    }
    members
}

fn make_folder(folder: &Path) -> Result<(), ModelError> {
    let failed = |action| move |source| ModelError::Io { action, path: PathBuf::from(folder), source };
    fs::create_dir_all(folder).map_err(failed("make the folder"))?;
    let mut entries = fs::read_dir(folder).map_err(failed("read the folder"))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(ModelError::NotEmpty { folder: folder.to_owned() }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), ModelError> {
    fs::write(path, text).map_err(|source| {
        // The write has failed already; that a rest may stay behind is the lesser trouble.
        let _ = fs::remove_file(path);
        ModelError::Io { action: "write", path: path.to_owned(), source }
    })
}

//! A new model with random weights.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Weights, write_safetensors};
use serde_json::Value;

use crate::config::Fields;
use crate::error::ModelError;
use crate::esm2::{Config, Esm2, Parts};
use crate::folder::NewFolder;
use crate::import::complete;

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
/// makes it one of Pliant's. The folder appears whole or not at all.
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
    let folder = NewFolder::create(new.out)?;
    write_safetensors(&folder.path("model.safetensors"), &plan.planned(), new.seed)?;
    folder.write("vocab.txt", new.vocabulary)?;
    folder.write(CONFIG, &format!("{:#}\n", Value::Object(complete(fields.members(), parts))))?;
    folder.commit()
}

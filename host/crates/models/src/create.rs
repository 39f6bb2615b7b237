//! A new model with random weights: as a folder, or in memory.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Weights, write_safetensors};

use crate::about::About;
use crate::config::{Fields, pretty};
use crate::error::ModelError;
use crate::family::{Blueprint, Family};
use crate::folder::NewFolder;
use crate::identity::identity;
use crate::{Loaded, Purpose, taken};

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
    let (fields, family, blueprint) = read(new.config, new.config_path)?;
    let plan = Weights::random(new.seed, &Device::cpu(1)?, Precision::F32);
    blueprint.construct(&plan)?;
    let folder = NewFolder::create(new.out)?;
    write_safetensors(&folder.path("model.safetensors"), &plan.planned(), new.seed)?;
    folder.write("vocab.txt", new.vocabulary)?;
    folder.write(CONFIG, &pretty(family.complete(fields.members(), &*blueprint)))?;
    folder.commit()
}

/// The model that [`new_folder`] writes with the same config and seed, in memory. `config_path` is the name of the
/// config in errors.
///
/// # Errors
/// [`ModelError`] naming the config's key that does not fit.
pub fn create(
    config: &str,
    config_path: &Path,
    seed: u64,
    (device, precision): (&Device, Precision),
    purpose: Purpose,
) -> Result<Loaded, ModelError> {
    let (fields, family, blueprint) = read(config, config_path)?;
    let weights = taken(&Weights::random(seed, device, precision), purpose, &*blueprint)?;
    let model = blueprint.construct(&weights)?;
    Ok(Loaded {
        model,
        identity: identity(&blueprint.semantics(), &weights.records(), &blueprint.twins()),
        about: About::new(family, &*blueprint, &weights, None),
        config: pretty(family.complete(fields.members(), &*blueprint)),
        live: weights.live(),
        still: 0,
        placed: None,
    })
}

/// Identity of the vocabulary of the model that a config describes. `config_path` is the name of the config in errors.
///
/// # Errors
/// [`ModelError`] naming the config's key that does not fit.
pub fn vocabulary_of(config: &str, config_path: &Path) -> Result<&'static str, ModelError> {
    Ok(read(config, config_path)?.1.vocabulary)
}

fn read(
    config: &str,
    config_path: &Path,
) -> Result<(Fields, &'static Family, Box<dyn Blueprint>), ModelError> {
    let fields = Fields::parse(config_path, config)?;
    let family = Family::of(&fields)?;
    let blueprint = (family.read)(&fields)?;
    Ok((fields, family, blueprint))
}

//! Protein language models: one family in one file, and the folders that they come in.
//!
//! A family's file reads like its paper: config, block, model. [`load`] turns a folder, or a file of fair-esm, into a
//! [`Model`] with its identity; [`inspect`] tells what it holds without reading a weight, [`verify`] reads every
//! weight and keeps none. [`new_folder`] writes a model with random weights, [`create`] makes one in memory, [`import`]
//! copies one of any form into a folder of Pliant's own and [`export_hugging_face`] into one for transformers. What was
//! trained is kept by [`Loaded::save`].
//!
//! Everything is packed: states are `[T,C]` for the T tokens of a pack, and a row does not depend on the
//! other sequences of its pack.
//!
//! A new family is a file with its model and its blueprint, a row in `family.rs` and an arm of [`Model`].

mod about;
pub mod composition;
mod config;
mod create;
mod error;
pub mod esm2;
mod export;
mod family;
mod folder;
pub mod heads;
mod identity;
mod import;
pub mod lc_plm;
mod model;
pub mod p_elmo;
pub mod p_elmo_lm;
mod plus;
pub mod plus_rnn;
pub mod plus_tfm;
pub mod rope;
mod save;

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::{Live, Take, Weights};

use crate::config::pretty;
use crate::family::Blueprint;
use crate::import::Import;

pub use about::{About, Cost};
pub use composition::{Composition, about_composition, composition};
pub use create::{NewModel, create, new_folder, vocabulary_of};
pub use error::ModelError;
pub use esm2::Esm2;
pub use export::{Transfer, export_hugging_face, export_plus, import};
pub use family::LmHeadKind;
pub use import::{Beside, LanguageModel};
pub use lc_plm::LcPlm;
pub use model::{Member, Model};
pub use p_elmo::PElmo;
pub use p_elmo_lm::PElmoLm;
pub use plus_rnn::PlusRnn;
pub use plus_tfm::PlusTfm;

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Weights are packed once and never change.
    Inference,
    /// Every weight can be trained.
    Training,
    /// The weights of so many of the last layers can be trained, with what comes after them; those below never change.
    Top(usize),
}

/// A model that is ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// What it was when it was loaded or made, in 64 hexadecimal digits: the same for the same weights however they are
    /// stored.
    pub identity: String,
    /// What its folder holds.
    pub about: About,
    /// Text of the `config.json` of a folder of Pliant's own with this model.
    config: String,
    /// What is saved of it.
    live: Vec<Live>,
}

/// Loads a model folder; weights are read, converted and packed one by one.
///
/// # Errors
/// [`ModelError`] naming the file and the key or tensor: a config that does not fit, weights that are
/// missing, unknown, of another shape, damaged or not finite.
pub fn load(
    folder: &Path,
    device: &Device,
    precision: Precision,
    purpose: Purpose,
) -> Result<Loaded, ModelError> {
    let import = Import::open(folder, device, precision)?;
    import.require_all(folder)?;
    let weights = taken(&import.weights, purpose, &*import.blueprint)?;
    let model = import.blueprint.construct(&weights)?;
    Ok(Loaded {
        model,
        identity: import.identity_of(folder, &weights)?,
        about: import.about(&weights),
        config: pretty(import.family.complete(import.members(), &*import.blueprint)),
        live: weights.live(),
    })
}

/// The values of a model for what it is loaded for.
pub(crate) fn taken(
    weights: &Weights,
    purpose: Purpose,
    blueprint: &dyn Blueprint,
) -> Result<Weights, ModelError> {
    let weights = weights.take(Take::Values { trainable: purpose != Purpose::Inference });
    let Purpose::Top(count) = purpose else { return Ok(weights) };
    let names = weights.take(Take::Shapes);
    blueprint.construct(&names)?;
    let below = blueprint.sizes().0.saturating_sub(count);
    let on_top = |name: &String| blueprint.layer_of(name).is_some_and(|layer| layer > below);
    let chosen = names.records().into_iter().map(|record| record.name).filter(on_top);
    Ok(weights.only_trainable(chosen.collect()))
}

/// Tells what a model folder holds from its config and headers alone. Missing and unexpected names are in
/// the report and no error.
///
/// # Errors
/// [`ModelError`] for a config that does not fit, and for files that their headers show to be damaged.
pub fn inspect(folder: &Path) -> Result<About, ModelError> {
    let import = Import::open(folder, &Device::cpu(1)?, Precision::F32)?;
    Ok(import.about(&import.survey()?))
}

/// The same of a file of weights with what goes with it.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_with(source: &Path, beside: &Beside<'_>) -> Result<About, ModelError> {
    let import = Import::open_with(source, beside, &Device::cpu(1)?, Precision::F32)?;
    Ok(import.about(&import.survey()?))
}

/// Reads every weight of a model folder, keeps none, and gives its identity.
///
/// # Errors
/// As [`load`].
pub fn verify(folder: &Path) -> Result<(String, About), ModelError> {
    let import = Import::open(folder, &Device::cpu(1)?, Precision::F32)?;
    let (identity, _) = import.identify(folder)?;
    Ok((identity, import.about(&import.survey()?)))
}

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
//! [`adapter`] has what can be put beside the matrices of a model that do not change.
//!
//! A new family is a file with its model and its blueprint, a row in `family.rs` and an arm of [`Model`].

mod about;
pub mod adapter;
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

use std::collections::BTreeSet;
use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::{Live, Take, Weights};

use crate::adapter::placed::Placed;
use crate::config::pretty;
use crate::family::Blueprint;
use crate::import::Import;

pub use about::{About, Cost};
pub use adapter::{Adapter, Adapting, load_adapted};
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
    /// Layers from the embedding on of which nothing learns.
    still: usize,
    /// What stands beside its matrices.
    placed: Option<Placed>,
}

impl Loaded {
    /// The number of the highest layer whose states never change, as nothing of it or below it learns; 0 where something of
    /// the first block or of the embedding may.
    #[must_use]
    pub fn still(&self) -> usize {
        self.still
    }
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
    let loaded = assembled(&import, folder, &weights)?;
    Ok(Loaded { still: still(&loaded.model, purpose), ..loaded })
}

/// Loads a model folder for the training of the parameters whose canonical names have one of `names` in them, as whole words
/// with dots between: `layer.3` is none of `layer.30`.
///
/// # Errors
/// As [`load`], and [`ModelError::NoParameters`] for a name that no parameter has.
pub fn load_named(
    folder: &Path,
    (device, precision): (&Device, Precision),
    names: &[String],
) -> Result<Loaded, ModelError> {
    let import = Import::open(folder, device, precision)?;
    import.require_all(folder)?;
    let all: Vec<String> = import.survey()?.records().into_iter().map(|record| record.name).collect();
    let has = |name: &str, words: &str| format!(".{name}.").contains(&format!(".{words}."));
    for words in names {
        if !all.iter().any(|name| has(name, words)) {
            let example = all.first().cloned().unwrap_or_default();
            return Err(ModelError::NoParameters { found: words.clone(), example });
        }
    }
    let chosen: Vec<String> =
        all.into_iter().filter(|name| names.iter().any(|words| has(name, words))).collect();
    let lowest = chosen.iter().map(|name| import.blueprint.layer_of(name).unwrap_or(0)).min();
    let weights = import.weights.take(Take::Values { trainable: true });
    let weights = weights.only_trainable(chosen.into_iter().collect());
    let loaded = assembled(&import, folder, &weights)?;
    Ok(Loaded { still: lowest.unwrap_or(0).saturating_sub(1), ..loaded })
}

/// The model of an import with these values.
pub(crate) fn assembled(import: &Import, folder: &Path, weights: &Weights) -> Result<Loaded, ModelError> {
    Ok(Loaded {
        model: import.blueprint.construct(weights)?,
        identity: import.identity_of(folder, weights)?,
        about: import.about(weights),
        config: pretty(import.family.complete(import.members(), &*import.blueprint)),
        live: weights.live(),
        still: 0,
        placed: None,
    })
}

/// Layers of which nothing learns.
pub(crate) fn still(model: &Model, purpose: Purpose) -> usize {
    match purpose {
        Purpose::Inference | Purpose::Training => 0,
        Purpose::Top(count) => model.layers().saturating_sub(count),
    }
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
    let chosen: BTreeSet<String> =
        names.records().into_iter().map(|record| record.name).filter(on_top).collect();
    if chosen.is_empty() {
        return Err(ModelError::NoTop { found: count });
    }
    Ok(weights.only_trainable(chosen))
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

//! Protein language models: one family in one file, and the folders that they come in.
//!
//! A family's file reads like its paper: config, block, model. [`load`] turns a folder, or a file of fair-esm, into a
//! [`Model`] with its identity; [`inspect`] tells what it holds without reading a weight, [`verify`] reads every
//! weight and keeps none. [`new_folder`] writes a model with random weights, [`import`] copies one of any form into a
//! folder of Pliant's own and [`export_hugging_face`] into one for transformers.
//!
//! Everything is packed: states are `[T,C]` for the T tokens of a pack, and a row does not depend on the
//! other sequences of its pack.

mod config;
mod create;
mod error;
pub mod esm2;
mod export;
mod fair_esm;
mod folder;
mod identity;
mod import;
mod keys;
pub mod rope;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::{KeyReport, Record, Take, Weights};
use pliant_tensor::{Ids, Offsets, Param, Tape, Tensor};

use crate::import::Import;

pub use create::{NewModel, new_folder};
pub use error::ModelError;
pub use esm2::Esm2;
pub use export::{Transfer, export_hugging_face, import};

/// Name of the ESM-2 family in configs and reports.
pub(crate) const FAMILY: &str = "esm2";

/// Identity of the vocabulary that ESM-2 was trained with.
pub(crate) const VOCABULARY: &str = "esm2-33/1";

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Weights are packed once and never change.
    Inference,
    /// Every weight can be trained.
    Training,
}

/// A model of any family.
#[derive(Debug)]
pub enum Model {
    /// ESM-2.
    Esm2(Esm2),
}

impl Model {
    /// Number of the last layer; layer 0 is the embedding.
    #[must_use]
    pub fn layers(&self) -> usize {
        match self {
            Self::Esm2(model) => model.config().num_hidden_layers,
        }
    }

    /// C, the width of states.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Esm2(model) => model.config().hidden_size,
        }
    }

    /// States `[T,C]` (f32) of the `layers` asked for, in that order.
    ///
    /// # Errors
    /// [`ModelError::Layer`] for a layer the model does not have, [`ModelError::Tensor`] for a pack that does
    /// not fit.
    pub fn encode(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        match self {
            Self::Esm2(model) => model.encode(tape, ids, offsets, layers),
        }
    }

    /// Whether it can tell tokens from states.
    #[must_use]
    pub fn has_lm_head(&self) -> bool {
        match self {
            Self::Esm2(model) => model.has_lm_head(),
        }
    }

    /// Logits `[T,V]` (f32) of its V tokens, from the states `hidden [T,C]` of the last layer.
    ///
    /// # Errors
    /// [`ModelError::NoHead`] for a checkpoint without a language-model head.
    pub fn lm_logits(&self, tape: &Tape, hidden: &Tensor) -> Result<Tensor, ModelError> {
        match self {
            Self::Esm2(model) => model.lm_logits(tape, hidden),
        }
    }

    /// Whether it tells which residues touch.
    #[must_use]
    pub fn has_contact_head(&self) -> bool {
        match self {
            Self::Esm2(model) => model.has_contact_head(),
        }
    }

    /// Probabilities `[L,L]` that the L residues of each sequence touch, symmetric; `residues` are their tokens, one
    /// range for each sequence of the pack.
    ///
    /// # Errors
    /// [`ModelError::NoContactHead`] for a checkpoint without the regression, and those of [`Model::encode`].
    pub fn contacts(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        residues: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        match self {
            Self::Esm2(model) => model.contacts(tape, ids, offsets, residues),
        }
    }

    /// Every parameter once, in the order of construction.
    #[must_use]
    pub fn params(&self) -> &[Arc<Param>] {
        match self {
            Self::Esm2(model) => model.params(),
        }
    }

    /// Memory that the parameters hold now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.params().iter().map(|param| param.bytes()).sum()
    }

    /// Estimate of the memory that inference needs for each token of a pack, in bytes.
    #[must_use]
    pub fn memory_per_token(&self, precision: Precision) -> usize {
        match self {
            Self::Esm2(model) => model.memory_per_token(precision),
        }
    }
}

/// What a model folder holds, as far as its config and headers tell.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Family, as in configs.
    pub family: &'static str,
    /// The keys of the config that change numbers, as JSON with sorted keys.
    pub config_summary: String,
    /// Number types of the stored parameters, such as `F16`; several are joined by `+`.
    pub dtype: String,
    /// Number of parameters that the family uses, a tied one once, rotary frequencies not counted.
    pub parameters: u64,
    /// Bytes of those parameters as stored.
    pub stored_bytes: u64,
    /// Number of the last layer.
    pub layers: usize,
    /// C
    pub width: usize,
    /// Residues of the longest sequence seen in training.
    pub training_length: usize,
    /// Identity of the vocabulary.
    pub vocabulary: &'static str,
    /// The folder's `vocab.txt`, where there is one, to be compared with that vocabulary.
    pub vocab_txt: Option<String>,
    /// What became of every stored name.
    pub report: KeyReport,
}

impl About {
    fn new(import: &Import, weights: &Weights) -> Self {
        let (config, records) = (&import.config, weights.records());
        let tied = esm2::tied_names(import.parts).map(|(decoder, _)| decoder);
        let counts =
            |record: &&Record| !record.name.ends_with(keys::INV_FREQ) && Some(record.name.as_str()) != tied;
        let parameters: Vec<&Record> = records.iter().filter(counts).collect();
        let elements = |record: &Record| record.shape.iter().product::<usize>() as u64;
        let mut dtypes: Vec<&str> = parameters.iter().map(|record| record.dtype.name()).collect();
        dtypes.sort_unstable();
        dtypes.dedup();
        Self {
            family: FAMILY,
            config_summary: identity::canonical_json(&config.semantics(import.parts)),
            dtype: dtypes.join("+"),
            parameters: parameters.iter().map(|record| elements(record)).sum(),
            stored_bytes: parameters.iter().map(|record| elements(record) * record.dtype.bytes()).sum(),
            layers: config.num_hidden_layers,
            width: config.hidden_size,
            training_length: config.training_length(),
            vocabulary: VOCABULARY,
            vocab_txt: import.vocab_txt.clone(),
            report: weights.report(),
        }
    }
}

/// A model that is ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// What it is, in 64 hexadecimal digits: the same for the same weights however they are stored.
    pub identity: String,
    /// What its folder holds.
    pub about: About,
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
    require_all(folder, import.survey()?.report())?;
    let weights = import.weights.take(Take::Values { trainable: purpose == Purpose::Training });
    let model = Esm2::new(&import.config, import.parts, &weights)?;
    let identity = identify(folder, &import, &weights)?;
    Ok(Loaded { model: Model::Esm2(model), identity, about: About::new(&import, &weights) })
}

/// Tells what a model folder holds from its config and headers alone. Missing and unexpected names are in
/// the report and no error.
///
/// # Errors
/// [`ModelError`] for a config that does not fit, and for files that their headers show to be damaged.
pub fn inspect(folder: &Path) -> Result<About, ModelError> {
    let import = Import::open(folder, &Device::cpu(1)?, Precision::F32)?;
    Ok(About::new(&import, &import.survey()?))
}

/// Reads every weight of a model folder, keeps none, and gives its identity.
///
/// # Errors
/// As [`load`].
pub fn verify(folder: &Path) -> Result<(String, About), ModelError> {
    let import = Import::open(folder, &Device::cpu(1)?, Precision::F32)?;
    let (identity, _) = import.identify(folder)?;
    Ok((identity, About::new(&import, &import.survey()?)))
}

fn require_all(folder: &Path, report: KeyReport) -> Result<(), ModelError> {
    if report.missing.is_empty() && report.unexpected.is_empty() {
        return Ok(());
    }
    let KeyReport { missing, unexpected, .. } = report;
    Err(ModelError::Keys { folder: folder.to_owned(), missing, unexpected })
}

/// The identity of what was read, once a tied decoder is known to be the embedding.
fn identify(folder: &Path, import: &Import, weights: &Weights) -> Result<String, ModelError> {
    let records = weights.records();
    let tied = esm2::tied_names(import.parts);
    if let Some((decoder, embedding)) = tied {
        let find = |name: &str| records.iter().find(|record| record.name == name);
        let same = |one: &Record, other: &Record| (one.dtype, one.hash) == (other.dtype, other.hash);
        if let (Some(one), Some(other)) = (find(decoder), find(embedding))
            && !same(one, other)
        {
            let stored = |record: &Record| record.stored_as.clone().unwrap_or_default();
            let (decoder, embedding) = (stored(one), stored(other));
            return Err(ModelError::Untied { folder: folder.to_owned(), decoder, embedding });
        }
    }
    let semantics = import.config.semantics(import.parts);
    Ok(identity::identity(&semantics, &records, tied.is_some()))
}

//! From a model folder or a file of weights to a family, its config and the handle of its weights.

use std::fs;
use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Checkpoint, KeyReport, Record, Take, Weights};
use serde_json::{Map, Value};

use crate::about::About;
use crate::config::Fields;
use crate::error::ModelError;
use crate::esm2::fair_esm;
use crate::family::{Blueprint, Family};
use crate::identity::identity;
use crate::plus;

/// What goes with a file of weights that has no folder of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// For a file of fair-esm: the file of the contact head, where it is not the one beside it.
    pub contact_regression: Option<&'a Path>,
    /// For a file of PLUS: the authors' file that says what the model is.
    pub config: Option<&'a Path>,
    /// For a file of P-ELMo: its language model.
    pub language_model: Option<LanguageModel<'a>>,
}

/// The language model that another model reads.
#[derive(Debug, Clone, Copy)]
pub struct LanguageModel<'a> {
    /// Its weights.
    pub weights: &'a Path,
    /// The authors' file that says what it is.
    pub config: &'a Path,
}

/// What stands before the names of a language model that is part of another model, and the key of its sizes.
pub(crate) const LANGUAGE_MODEL: (&str, &str) = ("lm.", "lm");

/// A model folder whose config is read and whose headers are checked.
#[derive(Debug)]
pub(crate) struct Import {
    fields: Fields,
    pub(crate) family: &'static Family,
    pub(crate) blueprint: Box<dyn Blueprint>,
    pub(crate) weights: Weights,
    vocab_txt: Option<String>,
}

impl Import {
    /// Opens a model folder, or a file of fair-esm with the contact regression that stands beside it.
    pub(crate) fn open(source: &Path, device: &Device, precision: Precision) -> Result<Self, ModelError> {
        Self::open_with(source, &Beside::default(), device, precision)
    }

    /// The same, with what goes with a file of weights.
    pub(crate) fn open_with(
        source: &Path,
        beside: &Beside<'_>,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        if source.is_file() {
            return match beside.config {
                Some(config) => Self::open_plus(source, (config, beside), (device, precision)),
                None => Self::open_fair_esm(source, beside, (device, precision)),
            };
        }
        let checkpoint = Checkpoint::open(source)?;
        if let Some(found) = beside.contact_regression {
            return Err(ModelError::NoRegression { source_path: source.to_owned(), found: found.to_owned() });
        }
        if beside.config.is_some() || beside.language_model.is_some() {
            return Err(ModelError::ConfigOfFolder { path: source.to_owned() });
        }
        let fields = Fields::parse(&source.join(CONFIG), &checkpoint.config()?)?;
        let family = Family::of(&fields)?;
        let blueprint = (family.read)(&fields)?;
        let vocab_txt = checkpoint.text("vocab.txt")?;
        let meanings = |stored: &[&str]| blueprint.meanings(stored);
        let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
        Ok(Self::settled(fields, family, blueprint, weights, vocab_txt))
    }

    /// A file of fair-esm, which says itself what it holds.
    fn open_fair_esm(
        source: &Path,
        beside: &Beside<'_>,
        (device, precision): (&Device, Precision),
    ) -> Result<Self, ModelError> {
        let (weights, fields) = fair_esm::open(source, beside.contact_regression, (device, precision))
            .map_err(|error| refused(source, error))?;
        let family = Family::of(&fields)?;
        let blueprint = (family.read)(&fields)?;
        Ok(Self::settled(fields, family, blueprint, weights, None))
    }

    /// A file of weights of PLUS with the authors' file of the model, and of its language model where it has one.
    fn open_plus(
        source: &Path,
        (config, beside): (&Path, &Beside<'_>),
        (device, precision): (&Device, Precision),
    ) -> Result<Self, ModelError> {
        let problem = |problem| ModelError::LanguageModel { path: source.to_owned(), problem };
        let mut fields = Fields::parse(config, &read(config)?)?;
        let family = Family::of(&fields)?;
        let mut blueprint = (family.read)(&fields)?;
        match (blueprint.reads_language_model(), beside.language_model) {
            (false, None) => {}
            (true, None) => {
                return Err(problem(
                    "P-ELMo reads the states of a language model that lies in a file of its own: name it with --lm-model \
                     and --lm-config",
                ));
            }
            (false, Some(_)) => {
                return Err(problem(
                    "only P-ELMo reads a language model: leave --lm-model and --lm-config away",
                ));
            }
            (true, Some(language_model)) => {
                let of = Fields::parse(language_model.config, &read(language_model.config)?)?;
                fields = fields.with(LANGUAGE_MODEL.1, of.members().clone());
                blueprint = (family.read)(&fields)?;
            }
        }
        let mut parts = vec![(source, "")];
        parts.extend(beside.language_model.map(|of| (of.weights, LANGUAGE_MODEL.0)));
        let checkpoint = Checkpoint::open_parts(&parts)?;
        plus::refuse_heads(source, checkpoint.tensors().map(|(name, _)| name))?;
        let meanings = |stored: &[&str]| blueprint.meanings(stored);
        let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
        Ok(Self::settled(fields, family, blueprint, weights, None))
    }

    fn settled(
        fields: Fields,
        family: &'static Family,
        mut blueprint: Box<dyn Blueprint>,
        weights: Weights,
        vocab_txt: Option<String>,
    ) -> Self {
        blueprint.settle(&weights);
        Self { fields, family, blueprint, weights, vocab_txt }
    }

    /// The config as it was read.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        self.fields.members()
    }

    /// Walks the model without reading a weight: names and shapes.
    pub(crate) fn survey(&self) -> Result<Weights, ModelError> {
        let survey = self.weights.take(Take::Shapes);
        self.blueprint.construct(&survey)?;
        Ok(survey)
    }

    /// Reads every weight and keeps none: the identity, and what it is made of.
    pub(crate) fn identify(&self, source: &Path) -> Result<(String, Vec<Record>), ModelError> {
        self.require_all(source)?;
        let weights = self.weights.take(Take::Hashes);
        self.blueprint.construct(&weights)?;
        Ok((self.identity_of(source, &weights)?, weights.records()))
    }

    /// What the folder holds, after a walk.
    pub(crate) fn about(&self, weights: &Weights) -> About {
        About::new(self.family, &*self.blueprint, weights, self.vocab_txt.clone())
    }

    /// Refuses weights that are missing or that nobody knows.
    pub(crate) fn require_all(&self, folder: &Path) -> Result<(), ModelError> {
        let KeyReport { missing, unexpected, .. } = self.survey()?.report();
        if missing.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        Err(ModelError::Keys { folder: folder.to_owned(), missing, unexpected })
    }

    /// The identity of what was read, once twins are known to be equal.
    pub(crate) fn identity_of(&self, folder: &Path, weights: &Weights) -> Result<String, ModelError> {
        let (records, twins) = (weights.records(), self.blueprint.twins());
        for twin in &twins {
            let find = |name: &str| records.iter().find(|record| record.name == name);
            let (Some(first), Some(second)) = (find(&twin.first), find(&twin.second)) else { continue };
            if (first.dtype, first.hash) != (second.dtype, second.hash) {
                let stored = |record: &Record| record.stored_as.clone().unwrap_or_default();
                return Err(ModelError::Untied {
                    folder: folder.to_owned(),
                    first: stored(first),
                    second: stored(second),
                    key: twin.key,
                    advice: twin.advice,
                });
            }
        }
        Ok(identity(&self.blueprint.semantics(), &records, &twins))
    }
}

/// Why a file that is none of fair-esm's cannot be read, where its names tell more than `error` does.
fn refused(source: &Path, error: ModelError) -> ModelError {
    if !matches!(error, ModelError::NotFairEsm { .. }) {
        return error;
    }
    let told = || {
        let checkpoint = Checkpoint::open_files(source, None)?;
        let names = || checkpoint.tensors().map(|(name, _)| name);
        plus::refuse_heads(source, names())?;
        Ok::<_, ModelError>(plus::family_of(names()))
    };
    match told() {
        Err(told) => told,
        Ok(None) => error,
        Ok(Some(family)) => ModelError::WantsConfig { path: source.to_owned(), family },
    }
}

/// The text of a config.
fn read(path: &Path) -> Result<String, ModelError> {
    fs::read_to_string(path).map_err(|source| ModelError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })
}
